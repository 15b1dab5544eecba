/* SPDX-License-Identifier: Apache-2.0 */
/* config.json, users, signals, and the arithmetic of cgroups. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/encode.h"
#include "base/mem.h"
#include "runtime/cgroup.h"
#include "io/file.h"
#include "runtime/fs.h"
#include "runtime/oci_spec.h"

static char root[64];
static struct arena arena;

static int setup(void **state)
{
    char id[9];
    random_name(id, 8);
    arena_init(&arena, 0);
    snprintf(root, sizeof(root), "/tmp/selvedge-oci-%s", id);
    static const char passwd[] =
        "root:x:0:0:root:/root:/bin/sh\n:x:7:7\nbroken\nweb:x:1000:1001::/home/web:/bin/sh\n";
    static const char group[] = "root:x:0:\nweb:x:1001:\nextra:x:2000:a,web,b\nother:x:2001:webx\n";
    int r = dir_make(fs_join(&arena, root, "etc"), 0755, NULL);
    r = r == 0 ? file_write_replace(fs_join(&arena, root, "etc/passwd"), passwd, sizeof(passwd) - 1,
                                    0644, NULL)
               : r;
    return r == 0 ? file_write_replace(fs_join(&arena, root, "etc/group"), group, sizeof(group) - 1,
                                       0644, NULL)
                  : r;
}

static int teardown(void **state)
{
    int r = fs_remove_tree(AT_FDCWD, root, NULL);
    arena_fini(&arena);
    return r;
}

static const char *const base_args[] = {"sleep", "1", NULL};
static const char *const base_env[] = {"A=1", NULL};

static struct oci_spec base(void)
{
    return (struct oci_spec){.rootfs = root,
                             .args = base_args,
                             .env = base_env,
                             .hostname = "h",
                             .cgroup_path = "/kubepods/podx/c",
                             .net = "/run/net",
                             .ipc = "",
                             .oom_score_adj = 1000};
}

static struct json *build(const struct oci_spec *s)
{
    struct json *j = NULL;
    struct err err = {0};
    int r = oci_spec_build(s, &arena, &j, &err);
    if (r < 0) {
        print_message("%s\n", err.text);
    }
    assert_int_equal(r, 0);
    return j;
}

static bool holds(const struct json *list, const char *text)
{
    JSON_FOR_EACH (item, list) {
        if (cstr_eq(json_cstr(item, ""), text)) {
            return true;
        }
    }
    return false;
}

static const struct json *mount_at(const struct json *j, const char *dest)
{
    JSON_FOR_EACH (m, json_get(j, "mounts")) {
        if (cstr_eq(json_path_cstr(m, "destination", ""), dest)) {
            return m;
        }
    }
    return NULL;
}

static void defaults_are_those_of_containerd(void **state)
{
    struct oci_spec s = base();
    const struct json *j = build(&s), *lin = json_get(j, "linux");
    assert_string_equal(json_path_cstr(j, "ociVersion", ""), "1.0.2-dev");
    assert_int_equal(json_len(json_path(j, "process.capabilities.bounding")), 14);
    assert_true(holds(json_path(j, "process.env"), "A=1"));
    assert_true(holds(json_path(j, "process.env"), "HOSTNAME=h"));
    assert_int_equal(json_len(json_path(j, "process.env")), 3);
    assert_string_equal(json_path_cstr(j, "process.cwd", ""), "/");
    assert_int_equal(json_path_i64(j, "process.oomScoreAdj", 0), 1000);
    assert_null(json_path(j, "process.noNewPrivileges"));
    assert_int_equal(json_len(json_get(lin, "maskedPaths")), 12);
    assert_int_equal(json_len(json_get(lin, "readonlyPaths")), 5);
    assert_string_equal(json_path_cstr(lin, "cgroupsPath", ""), "/kubepods/podx/c");
    assert_null(json_get(lin, "seccomp"));
    assert_non_null(mount_at(j, "/proc"));
    assert_non_null(mount_at(j, "/dev/shm"));
    size_t named = 0;
    JSON_FOR_EACH (ns, json_get(lin, "namespaces")) {
        const char *type = json_path_cstr(ns, "type", "");
        assert_string_not_equal(type, "ipc");
        if (cstr_eq(type, "network")) {
            assert_string_equal(json_path_cstr(ns, "path", ""), "/run/net");
            named++;
        }
    }
    assert_int_equal(named, 1);
}

static void capabilities_are_added_and_dropped(void **state)
{
    struct oci_spec s = base();
    struct json *j = NULL;
    struct err err = {0};
    s.security.caps_drop = (const char *const[]){"ALL", NULL};
    s.security.caps_add = (const char *const[]){"net_admin", "CAP_CHOWN", NULL};
    const struct json *set = json_path(build(&s), "process.capabilities.effective");
    assert_int_equal(json_len(set), 2);
    assert_true(holds(set, "CAP_NET_ADMIN") && holds(set, "CAP_CHOWN"));
    s.security.caps_add = (const char *const[]){"NOT_A_CAP", NULL};
    assert_int_equal(oci_spec_build(&s, &arena, &j, &err), -E_INVAL);
    assert_non_null(strstr(err.text, "NOT_A_CAP"));
}

static void a_privileged_container_has_everything_but_masks(void **state)
{
    struct oci_spec s = base();
    s.security.privileged = true;
    s.security.seccomp_default = true;
    const struct json *j = build(&s);
    assert_true(json_len(json_path(j, "process.capabilities.bounding")) > 30);
    assert_null(json_path(j, "linux.maskedPaths"));
    assert_null(json_path(j, "linux.seccomp"));
    assert_true(
        json_true(json_get(json_at(json_path(j, "linux.resources.devices"), 0), "allow"), false));
    assert_true(holds(json_get(mount_at(j, "/sys"), "options"), "rw"));
}

static void security_settings_arrive(void **state)
{
    struct oci_spec s = base();
    s.security = (struct oci_security){.read_only_root = true,
                                       .no_new_privileges = true,
                                       .seccomp_default = true,
                                       .proc_unmasked = true};
    s.resources = (struct oci_resources){
        .cpu_shares = 512, .cpu_quota_us = 50000, .memory_limit = 1 << 20, .pids_limit = 9};
    const struct json *j = build(&s);
    assert_true(json_path_true(j, "root.readonly", false));
    assert_true(json_path_true(j, "process.noNewPrivileges", false));
    assert_string_equal(json_path_cstr(j, "linux.seccomp.defaultAction", ""), "SCMP_ACT_ERRNO");
    assert_null(json_path(j, "linux.maskedPaths"));
    assert_int_equal(json_path_i64(j, "linux.resources.cpu.shares", 0), 512);
    assert_int_equal(json_path_i64(j, "linux.resources.cpu.quota", 0), 50000);
    assert_int_equal(json_path_i64(j, "linux.resources.cpu.period", 0), 100000);
    assert_int_equal(json_path_i64(j, "linux.resources.memory.limit", 0), 1 << 20);
    assert_int_equal(json_path_i64(j, "linux.resources.pids.limit", 0), 9);
}

static void mounts_are_ordered_from_shallow_to_deep(void **state)
{
    struct oci_spec s = base();
    const struct oci_mount m[] = {{"/src/deep", "/a/b/c", true, NULL},
                                  {"/src/top", "/a", false, "rslave"}};
    s.mounts = m;
    s.mounts_n = 2;
    const struct json *j = build(&s), *list = json_get(j, "mounts");
    size_t n = json_len(list);
    assert_string_equal(json_path_cstr(json_at(list, n - 2), "destination", ""), "/a");
    assert_string_equal(json_path_cstr(json_at(list, n - 1), "destination", ""), "/a/b/c");
    assert_true(holds(json_get(json_at(list, n - 1), "options"), "ro"));
    assert_true(holds(json_get(json_at(list, n - 2), "options"), "rslave"));
    const struct oci_mount bad = {"relative", "/x", false, NULL};
    struct json *out = NULL;
    s.mounts = &bad;
    s.mounts_n = 1;
    assert_int_equal(oci_spec_build(&s, &arena, &out, NULL), -E_INVAL);
}

static void users_are_looked_up_in_the_image(void **state)
{
    struct oci_user u;
    struct err err = {0};
    assert_int_equal(oci_user_resolve(root, "web", &u, &err), 0);
    assert_int_equal(u.uid, 1000);
    assert_int_equal(u.gid, 1001);
    assert_int_equal(u.groups_n, 1);
    assert_int_equal(u.groups[0], 2000);
    assert_string_equal(u.home, "/home/web");
    assert_int_equal(oci_user_resolve(root, "1000", &u, &err), 0);
    assert_int_equal(u.gid, 1001);
    assert_int_equal(oci_user_resolve(root, "4711", &u, &err), 0);
    assert_int_equal(u.uid, 4711);
    assert_int_equal(u.gid, 0);
    assert_int_equal(oci_user_resolve(root, "web:extra", &u, &err), 0);
    assert_int_equal(u.gid, 2000);
    assert_int_equal(oci_user_resolve(root, "12:34", &u, &err), 0);
    assert_int_equal(u.gid, 34);
    assert_int_equal(oci_user_resolve(root, "", &u, &err), 0);
    assert_int_equal(u.uid, 0);
    assert_int_equal(oci_user_resolve(root, "nobody", &u, &err), -E_INVAL);
    assert_string_equal(err.text, "unable to find user nobody: no matching entries in passwd file");
    assert_int_equal(oci_user_resolve(root, "web:nogroup", &u, &err), -E_INVAL);
    assert_int_equal(oci_user_resolve(root, "99999999999", &u, &err), -E_INVAL);
}

static void the_image_cannot_show_the_hosts_users(void **state)
{
    struct oci_user u;
    char *passwd = fs_join(&arena, root, "etc/passwd");
    assert_int_equal(unlink(passwd), 0);
    assert_int_equal(symlink("/../../../../../../etc/passwd", passwd),
                     0); /* leads to itself inside the root */
    assert_int_equal(oci_user_resolve(root, "root", &u, NULL), -E_INVAL);
    assert_int_equal(unlink(passwd), 0);
    assert_int_equal(mkfifo(passwd, 0600), 0);
    assert_int_equal(oci_user_resolve(root, "0", &u, NULL), 0);
}

static void root_is_refused_where_it_must_not_be(void **state)
{
    struct oci_spec s = base();
    struct json *j = NULL;
    struct err err = {0};
    s.security.must_be_non_root = true;
    assert_int_equal(oci_spec_build(&s, &arena, &j, &err), -E_INVAL);
    assert_string_equal(err.text, "container has runAsNonRoot and image will run as root");
    s.security.has_uid = true;
    s.security.uid = 1000;
    s.security.groups = (const int64_t[]){3000};
    s.security.groups_n = 1;
    const struct json *user = json_path(build(&s), "process.user");
    assert_int_equal(json_path_i64(user, "uid", -1), 1000);
    assert_int_equal(json_path_i64(user, "gid", -1), 1001);
    assert_int_equal(json_len(json_get(user, "additionalGids")), 3);
}

static void signals_have_names_and_numbers(void **state)
{
    static const struct {
        const char *text;
        int number;
    } cases[] = {{"SIGTERM", 15},    {"TERM", 15},    {"9", 9},
                 {"SIGRTMIN+3", 37}, {"RTMAX-1", 63}, {"SIGUSR1", SIGUSR1}};
    int n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(signal_parse(cases[i].text, &n), 0);
        assert_int_equal(n, cases[i].number);
    }
    assert_int_equal(signal_parse("SIGNOTHING", &n), -E_INVAL);
    assert_int_equal(signal_parse("0", &n), -E_INVAL);
    assert_int_equal(signal_parse("65", &n), -E_INVAL);
    assert_int_equal(signal_parse("", &n), -E_INVAL);
}

/* The arena ends at every possible place in turn. */
static void a_short_arena_is_an_error_and_no_more(void **state)
{
    struct oci_spec s = base();
    const struct oci_mount m[] = {{"/src/deep", "/a/b/c", true, NULL},
                                  {"/src/top", "/a", false, "rslave"}};
    const struct oci_device d[] = {{"/dev/null", NULL, NULL}};
    s.mounts = m;
    s.mounts_n = 2;
    s.devices = d;
    s.devices_n = 1;
    s.tty = true;
    s.security.seccomp_default = true;
    int failures = 0, r = -1;
    for (size_t cap = 16; r < 0 && cap < 1 << 20; cap += cap < 20000 ? 16 : 256) {
        struct arena a;
        struct json *j = NULL;
        struct err err = {0};
        arena_init(&a, cap);
        r = oci_spec_build(&s, &a, &j, &err);
        assert_true(r == 0 || (r == -ENOMEM && err.text[0]));
        failures += r < 0;
        arena_fini(&a);
    }
    assert_int_equal(r, 0);
    assert_true(failures > 100);
}

static void shares_and_quotas_are_those_of_kubernetes(void **state)
{
    assert_int_equal(cgroup_shares(0), 2);
    assert_int_equal(cgroup_shares(250), 256);
    assert_int_equal(cgroup_shares(1000000), 262144);
    assert_int_equal(cgroup_quota_us(0), 0);
    assert_int_equal(cgroup_quota_us(1), 1000);
    assert_int_equal(cgroup_quota_us(1500), 150000);
    assert_int_equal(cgroup_oom_score_adj(QOS_GUARANTEED, 0, 1), -997);
    assert_int_equal(cgroup_oom_score_adj(QOS_BEST_EFFORT, 0, 1), 1000);
    assert_int_equal(cgroup_oom_score_adj(QOS_BURSTABLE, 250, 1000), 750);
    assert_int_equal(cgroup_oom_score_adj(QOS_BURSTABLE, 0, 1000), 999);
    assert_int_equal(cgroup_oom_score_adj(QOS_BURSTABLE, 1000, 1000), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(defaults_are_those_of_containerd, setup, teardown),
        cmocka_unit_test_setup_teardown(capabilities_are_added_and_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_privileged_container_has_everything_but_masks, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(security_settings_arrive, setup, teardown),
        cmocka_unit_test_setup_teardown(mounts_are_ordered_from_shallow_to_deep, setup, teardown),
        cmocka_unit_test_setup_teardown(users_are_looked_up_in_the_image, setup, teardown),
        cmocka_unit_test_setup_teardown(the_image_cannot_show_the_hosts_users, setup, teardown),
        cmocka_unit_test_setup_teardown(root_is_refused_where_it_must_not_be, setup, teardown),
        cmocka_unit_test_setup_teardown(signals_have_names_and_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(a_short_arena_is_an_error_and_no_more, setup, teardown),
        cmocka_unit_test_setup_teardown(shares_and_quotas_are_those_of_kubernetes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
