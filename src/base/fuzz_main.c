/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays corpus files through a fuzz target that was built without libFuzzer: each argument is a
 * file or a directory of files. Prints how many inputs ran; none at all is a failure, so that a
 * lost corpus is seen.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct buf b = BUF_INIT;
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0) {
        char *to = buf_reserve(&b, 65536);
        n = to ? read(fd, to, 65536) : -1;
        if (n > 0) {
            buf_commit(&b, (size_t)n);
        }
    }
    if (n == 0) {
        uint8_t *exact = mem_dup(buf_data(&b), buf_len(&b)); /* exact size: overreads are seen */
        (void)LLVMFuzzerTestOneInput(exact, buf_len(&b));    /* always 0 */
        mem_free(exact);
    }
    buf_fini(&b);
    return n == 0 ? 1 : -1;
}

static int replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        return -1;
    }
    if (!S_ISDIR(st.st_mode)) {
        return replay_file(path);
    }
    DIR *d = opendir(path);
    int total = d ? 0 : -1;
    for (struct dirent *e = d ? readdir(d) : NULL; e && total >= 0; e = readdir(d)) {
        if (e->d_name[0] == '.') {
            continue;
        }
        char *name = mem_printf("%s/%s", path, e->d_name);
        int n = name ? replay_file(name) : -1;
        mem_free(name);
        total = n < 0 ? -1 : total + n;
    }
    if (d) {
        (void)closedir(d);
    }
    return total;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int n = replay(argv[i]);
        if (n < 0) {
            (void)fprintf(stderr, "cannot replay %s\n", argv[i]);
            return 1;
        }
        total += n;
    }
    (void)printf("%d inputs replayed\n", total);
    return total > 0 ? 0 : 1;
}
