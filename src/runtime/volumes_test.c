/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes: content that is exchanged as one, host paths, sub paths, tmpfs. Mounts need root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/un.h>

#include <cmocka.h>

#include "base/encode.h"
#include "base/mem.h"
#include "io/file.h"
#include "runtime/fs.h"
#include "runtime/hostinfo.h"
#include "runtime/volumes.h"

static char dir[64];
static struct arena arena;

static char *at(const char *name)
{
    return fs_join(&arena, dir, name);
}

static int setup(void **state)
{
    char id[9];
    random_name(id, 8);
    snprintf(dir, sizeof(dir), "/tmp/selvedge-volumes-%s", id);
    arena_init(&arena, 0);
    return dir_make(dir, 0700, NULL);
}

static int teardown(void **state)
{
    int r = volume_remove(dir, NULL);
    arena_fini(&arena);
    return r;
}

static void need_root(void)
{
    if (geteuid() != 0) {
        print_message("skipped: needs root\n");
        skip();
    }
}

static const char *read_text(const char *name)
{
    char *text = fs_read_text(&arena, at(name), 4096);
    return text ? text : "(none)";
}

static void content_is_written_once_and_exchanged_as_one(void **state)
{
    struct volume_file files[] = {
        {"key", "one", 3, 0}, {"deep/er/file", "two", 3, 0600}, {"empty", "", 0, 0444}};
    struct err err = {0};
    bool changed = false;
    char first[128] = {0}, second[128] = {0};
    struct stat st;
    assert_int_equal(volume_content(at("cm"), false, files, 3, -1, &changed, &err), 0);
    assert_true(changed);
    assert_string_equal(read_text("cm/key"), "one");
    assert_string_equal(read_text("cm/deep/er/file"), "two");
    assert_int_equal(stat(at("cm/deep/er/file"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(readlink(at("cm/..data"), first, sizeof(first) - 1) > 0);
    assert_int_equal(volume_content(at("cm"), false, files, 3, -1, &changed, &err), 0);
    assert_false(changed);

    files[0].data = "ONE";
    assert_int_equal(volume_content(at("cm"), false, files, 1, -1, &changed, &err), 0);
    assert_true(changed);
    assert_string_equal(read_text("cm/key"), "ONE");
    assert_int_not_equal(lstat(at("cm/deep"), &st), 0);
    assert_int_not_equal(lstat(at("cm/empty"), &st), 0);
    assert_true(readlink(at("cm/..data"), second, sizeof(second) - 1) > 0);
    assert_string_not_equal(first, second);
    assert_int_not_equal(access(fs_join(&arena, at("cm"), first), F_OK), 0);
    files[0].mode = 0400;
    assert_int_equal(volume_content(at("cm"), false, files, 1, -1, &changed, &err), 0);
    assert_true(changed);
}

static void what_a_kill_left_behind_is_finished_by_the_next_call(void **state)
{
    struct volume_file f = {"key", "one", 3, 0};
    struct err err = {0};
    bool changed;
    struct stat st;
    assert_int_equal(volume_content(at("k"), false, &f, 1, -1, &changed, &err), 0);
    assert_int_equal(mkdir(at("k/..2020_01_01_00_00_00.000000001"), 0755), 0);
    assert_int_equal(symlink("nowhere", at("k/..data_tmp")), 0);
    assert_int_equal(unlink(at("k/key")), 0);
    assert_int_equal(volume_content(at("k"), false, &f, 1, -1, &changed, &err), 0);
    assert_string_equal(read_text("k/key"), "one");
    assert_int_not_equal(lstat(at("k/..2020_01_01_00_00_00.000000001"), &st), 0);
    assert_int_not_equal(lstat(at("k/..data_tmp"), &st), 0);
}

static void names_that_lead_out_of_a_volume_are_refused(void **state)
{
    static const char *const bad[] = {"", "/a", "../a", "a/../b", "..data", "a//b", "./a", "a/"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct volume_file f = {bad[i], "x", 1, 0};
        assert_int_equal(volume_content(at("bad"), false, &f, 1, -1, NULL, NULL), -E_INVAL);
    }
}

static void secrets_lie_in_memory(void **state)
{
    need_root();
    struct volume_file f = {"password", "p", 1, 0400};
    struct err err = {0};
    struct statfs fs;
    assert_int_equal(volume_content(at("secret"), true, &f, 1, 2000, NULL, &err), 0);
    assert_int_equal(statfs(at("secret"), &fs), 0);
    assert_int_equal(fs.f_type, 0x01021994);
    struct stat st;
    assert_int_equal(stat(at("secret/password"), &st), 0);
    assert_int_equal(st.st_gid, 2000);
    assert_int_equal(st.st_mode & 0777, 0440);
    assert_int_equal(volume_remove(at("secret"), &err), 0);
    assert_int_not_equal(access(at("secret"), F_OK), 0);
    assert_int_equal(volume_remove(at("secret"), &err), 0);
}

static void an_empty_dir_keeps_what_is_in_it(void **state)
{
    need_root();
    struct err err = {0};
    struct stat st;
    struct statfs fs;
    assert_int_equal(volume_empty_dir(at("e"), false, 0, -1, &err), 0);
    assert_int_equal(stat(at("e"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0777);
    assert_int_equal(file_write_replace(at("e/x"), "1", 1, 0600, &err), 0);
    assert_int_equal(volume_empty_dir(at("e"), false, 0, -1, &err), 0);
    assert_string_equal(read_text("e/x"), "1");
    assert_int_equal(volume_empty_dir(at("m"), true, 1 << 20, 3000, &err), 0);
    assert_int_equal(statfs(at("m"), &fs), 0);
    assert_int_equal((int64_t)fs.f_blocks * fs.f_bsize, 1 << 20);
    assert_int_equal(stat(at("m"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 02777);
    assert_int_equal(st.st_gid, 3000);
    assert_int_equal(volume_empty_dir(at("m"), true, 1 << 20, 3000, &err), 0);
}

static void host_paths_are_checked_by_type(void **state)
{
    struct err err = {0};
    assert_int_equal(dir_make(at("hd"), 0755, NULL), 0);
    assert_int_equal(file_write_replace(at("hf"), "", 0, 0600, NULL), 0);
    assert_int_equal(volume_host_path(at("hd"), "Directory", &err), 0);
    assert_int_equal(volume_host_path(at("hf"), "Directory", &err), -E_INVAL);
    assert_non_null(strstr(err.text, "hostPath type check failed: "));
    assert_non_null(strstr(err.text, "is not a directory"));
    assert_int_equal(volume_host_path(at("hf"), "File", &err), 0);
    assert_int_equal(volume_host_path(at("no"), "File", &err), -E_NOENT);
    assert_int_equal(volume_host_path(at("nd/a"), "DirectoryOrCreate", &err), 0);
    assert_int_equal(access(at("nd/a"), F_OK), 0);
    assert_int_equal(volume_host_path(at("nf"), "FileOrCreate", &err), 0);
    assert_int_equal(access(at("nf"), F_OK), 0);
    assert_int_equal(volume_host_path("/dev/null", "CharDevice", &err), 0);
    assert_int_equal(volume_host_path("/dev/null", "BlockDevice", &err), -E_INVAL);
    assert_int_equal(volume_host_path(at("hf"), "Socket", &err), -E_INVAL);
    assert_int_equal(volume_host_path(at("hf"), "Nonsense", &err), -E_INVAL);
    assert_int_equal(volume_host_path("relative", "", &err), -E_INVAL);
}

static void a_sub_path_cannot_leave_its_volume(void **state)
{
    need_root();
    struct err err = {0};
    assert_int_equal(dir_make(at("v/in"), 0755, NULL), 0);
    assert_int_equal(dir_make(at("outside"), 0755, NULL), 0);
    assert_int_equal(file_write_replace(at("v/in/f"), "inner", 5, 0644, NULL), 0);
    assert_int_equal(symlink("../outside", at("v/out")), 0);
    assert_int_equal(symlink("/etc", at("v/abs")), 0);
    assert_int_equal(volume_sub_path(at("v"), "in/f", at("t1"), &err), 0);
    assert_string_equal(read_text("t1"), "inner");
    assert_int_equal(volume_sub_path(at("v"), "new/deep", at("t2"), &err), 0);
    assert_int_equal(access(at("v/new/deep"), F_OK), 0);
    assert_true(fs_is_mount(at("t2")));
    assert_int_equal(volume_sub_path(at("v"), "new/deep", at("t2"), &err), 0);
    assert_true(volume_sub_path(at("v"), "out", at("t3"), &err) < 0);
    assert_true(volume_sub_path(at("v"), "out/x", at("t3"), &err) < 0);
    assert_true(volume_sub_path(at("v"), "abs/passwd", at("t3"), &err) < 0);
    assert_true(volume_sub_path(at("v"), "../outside", at("t3"), &err) < 0);
    assert_true(volume_sub_path(at("v"), "no/../../outside", at("t3"), &err) < 0);
    assert_true(volume_sub_path(at("v"), "/etc", at("t3"), &err) < 0);
    assert_int_not_equal(access(at("outside/x"), F_OK), 0);
}

static void deep_trees_are_removed(void **state)
{
    assert_int_equal(dir_make(at("d"), 0755, NULL), 0);
    CLEANUP(fd_closep) int fd = open(at("d"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(mkdirat(fd, "x", 0755), 0);
        int next = openat(fd, "x", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        close(fd);
        fd = next;
    }
    assert_int_equal(volume_remove(at("d"), NULL), 0);
    assert_int_not_equal(access(at("d"), F_OK), 0);
}

static void removal_follows_no_link_and_enters_no_mount(void **state)
{
    need_root();
    struct err err = {0};
    assert_int_equal(dir_make(at("keep"), 0755, NULL), 0);
    assert_int_equal(file_write_replace(at("keep/x"), "1", 1, 0600, NULL), 0);
    assert_int_equal(dir_make(at("r"), 0755, NULL), 0);
    assert_int_equal(symlink("../keep", at("r/link")), 0);
    assert_int_equal(volume_remove(at("r"), &err), 0);
    assert_string_equal(read_text("keep/x"), "1");
    assert_int_equal(volume_sub_path(at("keep"), "x", at("m2/x"), &err), 0);
    assert_true(fs_remove_tree(AT_FDCWD, at("m2"), &err) < 0);
    assert_string_equal(read_text("keep/x"), "1");
    assert_int_equal(volume_remove(at("m2"), &err), 0);
    assert_string_equal(read_text("keep/x"), "1");
}

static void the_facts_of_this_machine_are_plausible(void **state)
{
    struct hostinfo h;
    struct hostinfo_pressure p;
    assert_int_equal(hostinfo_read(&arena, "/tmp", &h, NULL), 0);
    assert_in_range(h.cpus, 1, 4096);
    assert_true(h.memory_bytes > 16 << 20);
    assert_true(h.ephemeral_bytes > 0);
    assert_true(h.boot_id[0] && h.kernel_version[0] && h.os_image[0] && h.architecture[0]);
    assert_string_not_equal(h.architecture, "unknown");
    assert_int_equal(hostinfo_pressure("/tmp", &p, NULL), 0);
    assert_true(p.memory_available > 0 && p.disk_size >= p.disk_available && p.pids > 0 &&
                p.pids_max > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_is_written_once_and_exchanged_as_one),
        cmocka_unit_test(what_a_kill_left_behind_is_finished_by_the_next_call),
        cmocka_unit_test(names_that_lead_out_of_a_volume_are_refused),
        cmocka_unit_test(secrets_lie_in_memory),
        cmocka_unit_test(an_empty_dir_keeps_what_is_in_it),
        cmocka_unit_test(host_paths_are_checked_by_type),
        cmocka_unit_test(a_sub_path_cannot_leave_its_volume),
        cmocka_unit_test(deep_trees_are_removed),
        cmocka_unit_test(removal_follows_no_link_and_enters_no_mount),
        cmocka_unit_test(the_facts_of_this_machine_are_plausible),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
