/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A foreign archive on its whole way into a store in /tmp, and the same bytes as one layer.
 * Whatever comes, nothing may appear outside the store. As root the process confines nothing: the
 * point is to see what the code itself allows.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"
#include "runtime/fs.h"
#include "runtime/image_private.h"

static char base[64];

static int count(void *arg, int dir_fd, const char *name)
{
    ++*(int *)arg;
    return 0;
}

static void clean_up(void)
{
    (void)fs_remove_tree(AT_FDCWD, base, NULL); /* at exit */
}

static void prepare(void)
{
    char path[128];
    if (base[0]) {
        return;
    }
    snprintf(base, sizeof(base), "/tmp/selvedge-fuzz-%d", (int)getpid());
    snprintf(path, sizeof(path), "%s/layer", base);
    assert(dir_make(path, 0700, NULL) == 0);
    atexit(clean_up);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char file[128], store[128], layer[128];
    struct images *s;
    struct layer_result res;
    int n = 0;
    prepare();
    snprintf(file, sizeof(file), "%s/input", base);
    snprintf(store, sizeof(store), "%s/store", base);
    snprintf(layer, sizeof(layer), "%s/layer", base);
    assert(file_write_replace(file, data, size, 0600, NULL) == 0 &&
           images_open(store, &s, NULL) == 0);
    const struct image_import in = {.file = file, .name = size % 2 ? "fuzz:1" : NULL};
    (void)image_import(s, &in, NULL); /* mostly refused */
    images_close(s);

    int fd = open(file, O_RDONLY | O_CLOEXEC), to = open(layer, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)image_layer_unpack(fd, to, 1 << 20, &res, NULL); /* as above */
    close(fd);
    close(to);
    assert(fs_remove_tree(AT_FDCWD, layer, NULL) == 0 && mkdir(layer, 0700) == 0);
    /* input, store, layer - and nothing else */
    assert(fs_each(AT_FDCWD, base, count, &n) == 0 && n == 3);
    return 0;
}
