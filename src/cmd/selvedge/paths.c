/* SPDX-License-Identifier: Apache-2.0 */
/* Where the programs and their state lie; see paths.h. */
#include "paths.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

int paths_own_folder(char **ret, struct err *err)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (n < 0) {
        return err_sys(err, -errno, "read /proc/self/exe");
    }
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    assert(slash);
    *slash = '\0';
    *ret = mem_strdup(path);
    return *ret ? 0 : err_sys(err, -ENOMEM, "find the own folder");
}

int paths_program(const char *name, char **ret, struct err *err)
{
    CLEANUP(mem_freep) char *folder = NULL;
    int rc = paths_own_folder(&folder, err);
    if (rc < 0) {
        return rc;
    }
    char *path = mem_printf("%s/libexec/selvedge/%s", folder, name);
    if (path && access(path, F_OK) < 0) {
        mem_free(path);
        path = mem_printf("%s/../libexec/selvedge/%s", folder, name);
    }
    *ret = path;
    return path ? 0 : err_sys(err, -ENOMEM, "find program '%s'", name);
}

static int make_folders(char *path, struct err *err)
{
    for (char *at = path + 1; *at; at++) {
        if (*at != '/') {
            continue;
        }
        *at = '\0';
        int rc = mkdir(path, 0755);
        *at = '/';
        if (rc < 0 && errno != EEXIST) {
            return err_sys(err, -errno, "make folder '%s'", path);
        }
    }
    if (mkdir(path, 0755) < 0 && errno != EEXIST) {
        return err_sys(err, -errno, "make folder '%s'", path);
    }
    return 0;
}

int paths_state(const char *text, char **ret, struct err *err)
{
    char cwd[PATH_MAX];
    if (text[0] != '/' && !getcwd(cwd, sizeof(cwd))) {
        return err_sys(err, -errno, "find the working folder");
    }
    CLEANUP(mem_freep)
    char *path = text[0] == '/' ? mem_strdup(text) : mem_printf("%s/%s", cwd, text);
    if (!path) {
        return err_sys(err, -ENOMEM, "state folder '%s'", text);
    }
    int rc = make_folders(path, err);
    if (rc < 0) {
        return rc;
    }
    *ret = TAKE_PTR(path);
    return 0;
}
