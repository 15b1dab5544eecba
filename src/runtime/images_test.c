/* SPDX-License-Identifier: Apache-2.0 */
/* Image names, the store, packing and importing, and what hostile archives try. As root also owners
 * and whiteouts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/encode.h"
#include "base/mem.h"
#include "io/file.h"
#include "runtime/fs.h"
#include "runtime/image_private.h"

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
    snprintf(dir, sizeof(dir), "/tmp/selvedge-images-%s", id);
    arena_init(&arena, 0);
    return dir_make(dir, 0700, NULL);
}

static int teardown(void **state)
{
    arena_fini(&arena);
    return fs_remove_tree(AT_FDCWD, dir, NULL);
}

/* ---- names ---- */

static void names_are_normalised_as_users_expect(void **state)
{
    static const char *const cases[][2] = {
        {"hello", "docker.io/library/hello:latest"},
        {"hello:1", "docker.io/library/hello:1"},
        {"library/hello", "docker.io/library/hello:latest"},
        {"docker.io/library/hello:latest", "docker.io/library/hello:latest"},
        {"index.docker.io/hello", "docker.io/library/hello:latest"},
        {"me/hello:v1.2", "docker.io/me/hello:v1.2"},
        {"localhost/x", "localhost/x:latest"},
        {"registry.example:5000/a/b:T", "registry.example:5000/a/b:T"},
        {"a@sha256:0123456789012345678901234567890123456789012345678901234567890123",
         "docker.io/library/a@sha256:0123456789012345678901234567890123456789012345678901234567890123"},
        {"a:t@sha256:0123456789012345678901234567890123456789012345678901234567890123",
         "docker.io/library/a:t@sha256:0123456789012345678901234567890123456789012345678901234567890123"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *out = NULL;
        struct err err = {0};
        assert_int_equal(image_name_normalise(&arena, cases[i][0], &out, &err), 0);
        assert_string_equal(out, cases[i][1]);
    }
    static const char *const bad[] = {"",      "Hello",       "a//b", "a:",   ":a",     "a b",
                                      "a@",    "a@sha256:12", "-a",   "a/",   "a/../b", "/a",
                                      "a:b:c", "a.:x/y!",     "é",    "a:-t", "x@md5:1"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char *out = NULL;
        struct err err = {0};
        assert_int_equal(image_name_normalise(&arena, bad[i], &out, &err), -E_INVAL);
        assert_non_null(strstr(err.text, "no valid image name"));
    }
    assert_string_equal(image_name_tag("docker.io/library/hello:1"), "1");
    assert_null(image_name_tag("localhost:5000/hello"));
}

/* ---- archives made by hand ---- */

struct entry {
    const char *path;
    int type;         /* AE_IFREG ... */
    const char *text; /* content, or target of a link */
    int mode;
    bool hardlink;
};

static void write_tar(const char *file, const struct entry *entries, size_t n)
{
    struct archive *a = archive_write_new();
    archive_write_set_format_pax_restricted(a);
    assert_int_equal(archive_write_open_filename(a, file), ARCHIVE_OK);
    for (size_t i = 0; i < n; i++) {
        struct archive_entry *e = archive_entry_new();
        size_t len = entries[i].type == AE_IFREG && !entries[i].hardlink && entries[i].text
                         ? strlen(entries[i].text)
                         : 0;
        archive_entry_set_pathname(e, entries[i].path);
        archive_entry_set_filetype(e, (unsigned)entries[i].type);
        archive_entry_set_perm(e, entries[i].mode ? (mode_t)entries[i].mode : 0644);
        archive_entry_set_size(e, (int64_t)len);
        archive_entry_set_uid(e, 1000);
        archive_entry_set_gid(e, 1001);
        if (entries[i].hardlink) {
            archive_entry_set_hardlink(e, entries[i].text);
        } else if (entries[i].type == AE_IFLNK) {
            archive_entry_set_symlink(e, entries[i].text);
        } else if (entries[i].type == AE_IFCHR) {
            archive_entry_set_rdev(e, makedev(1, 3));
        }
        assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
        if (len > 0) {
            assert_int_equal(archive_write_data(a, entries[i].text, len), len);
        }
        archive_entry_free(e);
    }
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
}

static int unpack(const struct entry *entries, size_t n, const char *name, struct err *err)
{
    struct layer_result res;
    char *tar = at("layer.tar"), *root = at(name);
    write_tar(tar, entries, n);
    assert_int_equal(dir_make(root, 0755, NULL), 0);
    CLEANUP(fd_closep) int fd = open(tar, O_RDONLY | O_CLOEXEC);
    CLEANUP(fd_closep) int to = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return image_layer_unpack(fd, to, 1 << 20, &res, err);
}

static void need_root(void)
{
    if (geteuid() != 0) {
        print_message("skipped: needs root\n");
        skip();
    }
}

static void a_layer_becomes_an_overlay_directory(void **state)
{
    need_root();
    const struct entry e[] = {
        {"./", AE_IFDIR, NULL, 0755},
        {"a/b/file", AE_IFREG, "text", 04755},
        {"a/hard", AE_IFREG, "a/b/file", 0, true},
        {"link", AE_IFLNK, "/etc/passwd"},
        {"a/.wh.gone", AE_IFREG},
        {"c/", AE_IFDIR, NULL, 0700},
        {"c/.wh..wh..opq", AE_IFREG},
        {".wh..wh.plnk", AE_IFDIR},
        {"null", AE_IFCHR},
        {"pipe", AE_IFIFO, NULL, 0600},
    };
    struct err err = {0};
    struct stat st;
    char value[8];
    int r = unpack(e, ARRAY_SIZE(e), "l1", &err);
    if (r < 0) {
        print_message("%s\n", err.text);
    }
    assert_int_equal(r, 0);
    assert_int_equal(lstat(at("l1/a/b/file"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 04755);
    assert_int_equal(st.st_uid, 1000);
    assert_int_equal(st.st_gid, 1001);
    assert_int_equal(st.st_nlink, 2);
    assert_int_equal(lstat(at("l1/link"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(lstat(at("l1/a/gone"), &st), 0);
    assert_true(S_ISCHR(st.st_mode) && st.st_rdev == 0);
    assert_int_equal(getxattr(at("l1/c"), "trusted.overlay.opaque", value, sizeof(value)), 1);
    assert_int_equal(value[0], 'y');
    assert_int_not_equal(lstat(at("l1/null"), &st), 0);
    assert_int_equal(lstat(at("l1/pipe"), &st), 0);
}

static void a_folder_in_place_of_a_hidden_one_is_opaque(void **state)
{
    need_root();
    const struct entry e[] = {{"x/.wh.y", AE_IFREG},
                              {"x/y/", AE_IFDIR, NULL, 0755},
                              {"z/w/", AE_IFDIR, NULL, 0755},
                              {"z/.wh.w", AE_IFREG}};
    struct err err = {0};
    char value[8];
    assert_int_equal(unpack(e, ARRAY_SIZE(e), "l2", &err), 0);
    assert_int_equal(getxattr(at("l2/x/y"), "trusted.overlay.opaque", value, sizeof(value)), 1);
    assert_int_equal(getxattr(at("l2/z/w"), "trusted.overlay.opaque", value, sizeof(value)), 1);
}

static void paths_that_lead_out_are_refused(void **state)
{
    need_root();
    const struct entry up[] = {{"../evil", AE_IFREG, "x"}};
    const struct entry deep[] = {{"a/../../evil", AE_IFREG, "x"}};
    const struct entry hard[] = {{"h", AE_IFREG, "../../etc/passwd", 0, true}};
    struct err err = {0};
    assert_int_equal(unpack(up, 1, "e1", &err), -E_INVAL);
    assert_non_null(strstr(err.text, "leads out"));
    assert_int_equal(unpack(deep, 1, "e2", &err), -E_INVAL);
    assert_int_equal(unpack(hard, 1, "e3", &err), -E_INVAL);
    assert_int_not_equal(access(at("evil"), F_OK), 0);
}

static void links_cannot_carry_a_file_out_of_the_layer(void **state)
{
    need_root();
    char *outside = at("outside");
    assert_int_equal(dir_make(outside, 0777, NULL), 0);
    struct entry e[] = {{"out", AE_IFLNK, outside},
                        {"out/evil", AE_IFREG, "x"},
                        {"up", AE_IFLNK, "../../outside"},
                        {"up/evil2", AE_IFREG, "x"}};
    struct err err = {0};
    (void)unpack(e, ARRAY_SIZE(e), "e4", &err); /* refused or made inside: both are fine */
    assert_int_not_equal(access(at("outside/evil"), F_OK), 0);
    assert_int_not_equal(access(at("outside/evil2"), F_OK), 0);
    /* A file that replaces a link does not write through it. */
    struct entry f[] = {{"t", AE_IFLNK, at("outside/victim")}, {"t", AE_IFREG, "x"}};
    assert_int_equal(unpack(f, ARRAY_SIZE(f), "e5", &err), 0);
    assert_int_not_equal(access(at("outside/victim"), F_OK), 0);
}

static void an_absolute_path_stays_inside(void **state)
{
    need_root();
    const struct entry e[] = {{"/abs/file", AE_IFREG, "x"}};
    struct err err = {0};
    assert_int_equal(unpack(e, 1, "e6", &err), 0);
    assert_int_equal(access(at("e6/abs/file"), F_OK), 0);
}

static void a_layer_over_the_limit_is_refused(void **state)
{
    need_root();
    char *big = mem_alloc((2 << 20) + 1);
    memset(big, 'a', 2 << 20);
    big[2 << 20] = '\0';
    const struct entry e[] = {{"big", AE_IFREG, big}};
    struct err err = {0};
    assert_true(unpack(e, 1, "e7", &err) < 0);
    assert_non_null(strstr(err.text, "over 1048576 bytes"));
    mem_free(big);
}

/* ---- the store ---- */

static struct images *open_store(const char *name)
{
    struct images *s = NULL;
    assert_int_equal(images_open(at(name), &s, NULL), 0);
    return s;
}

static void make_root(const char *content)
{
    char *root = at("root");
    assert_int_equal(dir_make(fs_join(&arena, root, "bin"), 0755, NULL), 0);
    assert_int_equal(
        file_write_replace(fs_join(&arena, root, "bin/app"), content, strlen(content), 0755, NULL),
        0);
}

static int pack(const char *file, const char *name)
{
    struct err err = {0};
    const struct image_pack in = {.dir = at("root"),
                                  .file = at(file),
                                  .name = name,
                                  .entrypoint = (const char *const[]){"/bin/app", NULL},
                                  .env = (const char *const[]){"A=1", NULL},
                                  .ports = (const char *const[]){"8080", NULL},
                                  .user = "1000:1000",
                                  .cwd = "/bin",
                                  .stop_signal = "SIGINT"};
    int r = image_pack(&in, &err);
    if (r < 0) {
        print_message("%s\n", err.text);
    }
    return r;
}

static int import(struct images *s, const char *file, const char *name, struct err *err)
{
    const struct image_import in = {.file = at(file), .name = name};
    return image_import(s, &in, err);
}

static void what_is_packed_can_be_imported_found_and_removed(void **state)
{
    need_root();
    struct images *s = open_store("s1");
    struct image *im, **list;
    struct err err = {0};
    size_t n;
    int64_t freed = 0;
    make_root("one");
    assert_int_equal(pack("one.tar", "hello:1"), 0);
    assert_int_equal(import(s, "one.tar", NULL, &err), 0);
    assert_int_equal(import(s, "one.tar", "other/name:x", &err), 0);
    assert_int_equal(images_find(s, "hello:1", &arena, &im, &err), 0);
    assert_string_equal(im->entrypoint[0], "/bin/app");
    assert_null(im->entrypoint[1]);
    assert_string_equal(im->env[0], "A=1");
    assert_string_equal(im->ports[0], "8080/tcp");
    assert_string_equal(im->user, "1000:1000");
    assert_string_equal(im->cwd, "/bin");
    assert_string_equal(im->stop_signal, "SIGINT");
    assert_int_equal(im->size, 3);
    assert_string_equal(im->names[0], "docker.io/library/hello:1");
    assert_string_equal(im->names[1], "docker.io/other/name:x");
    struct image *same;
    assert_int_equal(images_find(s, im->id, &arena, &same, &err), 0);
    assert_int_equal(
        images_find(s, arena_printf(&arena, "whatever@%s", im->digest), &arena, &same, &err), 0);
    assert_int_equal(images_find(s, "hello:2", &arena, &same, &err), -E_NOENT);
    assert_int_equal(images_list(s, &arena, &list, &n, &err), 0);
    assert_int_equal(n, 1);
    assert_int_equal(images_untag(s, "hello:1", &err), 0);
    assert_int_equal(images_untag(s, "hello:1", &err), -E_NOENT);
    assert_int_equal(images_gc(s, NULL, &freed, &err), 0);
    assert_int_equal(images_find(s, "other/name:x", &arena, &same, &err), 0);
    assert_int_equal(images_untag(s, "other/name:x", &err), 0);
    assert_int_equal(images_gc(s, same->layers, &freed, &err), 0);
    assert_int_equal(access(same->layers[0], F_OK), 0);
    assert_int_equal(images_gc(s, NULL, &freed, &err), 0);
    assert_int_equal(freed, 3);
    assert_int_not_equal(access(same->layers[0], F_OK), 0);
    images_close(s);
}

static void the_same_folder_packs_to_the_same_bytes(void **state)
{
    CLEANUP(buf_finip) struct buf one = BUF_INIT, two = BUF_INIT;
    make_root("one");
    assert_int_equal(pack("p1.tar", "hello:1"), 0);
    sleep(1);
    assert_int_equal(pack("p2.tar", "hello:1"), 0);
    assert_int_equal(fs_read_at(AT_FDCWD, at("p1.tar"), 1 << 20, &one), 0);
    assert_int_equal(fs_read_at(AT_FDCWD, at("p2.tar"), 1 << 20, &two), 0);
    assert_true(str_eq(buf_str(&one), buf_str(&two)));
}

/* Every byte of the archive is changed in turn (in steps); nothing damaged may get a name. */
static void a_damaged_archive_gets_no_name(void **state)
{
    need_root();
    CLEANUP(buf_finip) struct buf bytes = BUF_INIT;
    struct err err = {0};
    struct image *im;
    make_root("damaged content of a file");
    assert_int_equal(pack("whole.tar", "hello:d"), 0);
    assert_int_equal(fs_read_at(AT_FDCWD, at("whole.tar"), 1 << 20, &bytes), 0);
    char *data = (char *)(uintptr_t)buf_data(&bytes);
    int refused = 0;
    for (size_t i = 0; i < buf_len(&bytes); i += 37) {
        struct images *s = open_store("s2");
        data[i] ^= 0x20;
        assert_int_equal(file_write_replace(at("damaged.tar"), data, buf_len(&bytes), 0600, NULL),
                         0);
        int r = import(s, "damaged.tar", "x:1", &err);
        data[i] ^= 0x20;
        refused += r < 0;
        if (r < 0) {
            assert_int_not_equal(images_find(s, "x:1", &arena, &im, NULL), 0);
        } else {
            /* Padding, or metadata outside the hashed blobs: then the content is whole. */
            char *text = NULL;
            assert_int_equal(images_find(s, "x:1", &arena, &im, &err), 0);
            text = fs_read_text(&arena, fs_join(&arena, im->layers[0], "bin/app"), 100);
            assert_string_equal(text, "damaged content of a file");
        }
        images_close(s);
        assert_int_equal(fs_remove_tree(AT_FDCWD, at("s2"), NULL), 0);
    }
    print_message("%d damaged archives refused\n", refused);
    assert_true(refused > 50);
}

static void a_killed_import_leaves_only_what_the_next_one_sweeps(void **state)
{
    need_root();
    struct images *s = open_store("s3");
    struct err err = {0};
    assert_int_equal(dir_make(at("s3/tmp/layer-dead/fs/a"), 0700, NULL), 0);
    make_root("one");
    assert_int_equal(pack("three.tar", "hello:3"), 0);
    assert_int_equal(import(s, "three.tar", NULL, &err), 0);
    assert_int_not_equal(access(at("s3/tmp/layer-dead"), F_OK), 0);
    images_close(s);
}

static void what_is_no_image_is_refused_with_a_sentence(void **state)
{
    struct images *s = open_store("s4");
    struct err err = {0};
    const struct entry e[] = {{"readme", AE_IFREG, "hi"}};
    write_tar(at("no.tar"), e, 1);
    assert_true(import(s, "no.tar", NULL, &err) < 0);
    assert_non_null(strstr(err.text, "neither an OCI layout nor a docker-save archive"));
    assert_int_equal(file_write_replace(at("text"), "hello", 5, 0600, NULL), 0);
    assert_true(import(s, "text", NULL, &err) < 0);
    assert_true(import(s, "missing", NULL, &err) < 0);
    assert_non_null(strstr(err.text, "No such file"));
    images_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_normalised_as_users_expect),
        cmocka_unit_test(a_layer_becomes_an_overlay_directory),
        cmocka_unit_test(a_folder_in_place_of_a_hidden_one_is_opaque),
        cmocka_unit_test(paths_that_lead_out_are_refused),
        cmocka_unit_test(links_cannot_carry_a_file_out_of_the_layer),
        cmocka_unit_test(an_absolute_path_stays_inside),
        cmocka_unit_test(a_layer_over_the_limit_is_refused),
        cmocka_unit_test(what_is_packed_can_be_imported_found_and_removed),
        cmocka_unit_test(the_same_folder_packs_to_the_same_bytes),
        cmocka_unit_test(a_damaged_archive_gets_no_name),
        cmocka_unit_test(a_killed_import_leaves_only_what_the_next_one_sweeps),
        cmocka_unit_test(what_is_no_image_is_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
