/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users of an image, by the rootfs' own passwd and group files, and signal names. The files are
 * foreign: they are opened inside the rootfs (RESOLVE_IN_ROOT), bounded, and lines that do not
 * parse are passed over.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "runtime/fs.h"
#include "runtime/oci_spec.h"

#define ACCOUNTS_MAX ((size_t)4 << 20)

/* Empty when the image has no such file. */
static int read_accounts(const char *rootfs, const char *name, struct buf *out)
{
    struct stat st;
    CLEANUP(fd_closep) int root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        return -errno;
    }
    CLEANUP(fd_closep)
    int fd = fs_open_in(root, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, RESOLVE_IN_ROOT);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return 0;
    }
    while (buf_len(out) < ACCOUNTS_MAX) {
        char *p = buf_reserve(out, 4096);
        ssize_t n = p ? read(fd, p, 4096) : -1;
        if (!p) {
            return -ENOMEM;
        }
        if (n <= 0) {
            return 0;
        }
        buf_commit(out, (size_t)n);
    }
    return 0;
}

static bool parse_id(struct str s, uint32_t *ret)
{
    uint64_t v;
    if (str_u64(s, &v) < 0 || v >= UINT32_MAX) {
        return false;
    }
    *ret = (uint32_t)v;
    return true;
}

/* The fields of the next line "a:b:c..."; false at the end. */
static bool next_line(struct str *rest, struct str f[7])
{
    struct str line;
    if (rest->n == 0) {
        return false;
    }
    str_cut(*rest, '\n', &line, rest);
    for (int i = 0; i < 7; i++) {
        str_cut(line, ':', &f[i], &line);
    }
    return true;
}

/* name:x:uid:gid:gecos:home:shell, by name or by number. */
static bool find_user(struct str passwd, struct str who, struct oci_user *u, struct str *ret_name)
{
    struct str f[7];
    uint32_t wanted = 0, uid, gid;
    bool by_id = parse_id(who, &wanted);
    while (next_line(&passwd, f)) {
        if (!parse_id(f[2], &uid) || !parse_id(f[3], &gid) || f[0].n == 0) {
            continue;
        }
        if (str_eq(f[0], who) || (by_id && uid == wanted)) {
            u->uid = uid;
            u->gid = gid;
            *ret_name = f[0];
            if (f[5].n > 0 && f[5].n < sizeof(u->home)) {
                memcpy(u->home, f[5].p, f[5].n);
                u->home[f[5].n] = '\0';
            }
            return true;
        }
    }
    return false;
}

static bool find_group(struct str group, struct str who, uint32_t *ret)
{
    struct str f[7];
    while (next_line(&group, f)) {
        if (str_eq(f[0], who) && parse_id(f[2], ret)) {
            return true;
        }
    }
    return false;
}

/* Groups whose member list names the user. */
static void add_memberships(struct str group, struct str name, struct oci_user *u)
{
    struct str f[7], member;
    uint32_t gid;
    while (next_line(&group, f)) {
        if (!parse_id(f[2], &gid)) {
            continue;
        }
        while (f[3].n > 0) {
            str_cut(f[3], ',', &member, &f[3]);
            if (str_eq(str_trim(member), name) && u->groups_n < ARRAY_SIZE(u->groups)) {
                u->groups[u->groups_n++] = gid;
                break;
            }
        }
    }
}

static int resolve(struct str user, struct str passwd, struct str groups, struct oci_user *u,
                   struct err *err)
{
    struct str who, group, name = STR_NULL;
    bool has_group = str_cut(user, ':', &who, &group);
    if (who.n == 0) {
        who = STR_LIT("0");
    }
    if (!find_user(passwd, who, u, &name) && !parse_id(who, &u->uid)) {
        return err_set(err, -E_INVAL,
                       "unable to find user " STR_FMT ": no matching entries in passwd file",
                       STR_ARG(who));
    }
    if (has_group) {
        if (!find_group(groups, group, &u->gid) && !parse_id(group, &u->gid)) {
            return err_set(err, -E_INVAL,
                           "unable to find group " STR_FMT ": no matching entries in group file",
                           STR_ARG(group));
        }
    } else if (name.n > 0) {
        add_memberships(groups, name, u);
    }
    return 0;
}

int oci_user_resolve(const char *rootfs, const char *user, struct oci_user *ret, struct err *err)
{
    CLEANUP(buf_finip) struct buf passwd = BUF_INIT, groups = BUF_INIT;
    struct oci_user u = {.home = "/"};
    int r = read_accounts(rootfs, "etc/passwd", &passwd);
    r = r == 0 ? read_accounts(rootfs, "etc/group", &groups) : r;
    if (r < 0) {
        return err_sys(err, r, "read the users of %s", rootfs);
    }
    r = resolve(str_of(user), buf_str(&passwd), buf_str(&groups), &u, err);
    if (r == 0) {
        *ret = u;
    }
    return r;
}

/* ---- signals ---- */

int signal_parse(const char *text, int *ret)
{
    struct str s = str_of(text);
    uint64_t n;
    if (str_u64(s, &n) == 0) {
        if (n < 1 || n > 64) {
            return -E_INVAL;
        }
        *ret = (int)n;
        return 0;
    }
    if (str_starts(s, "SIG")) {
        s = str_n(s.p + 3, s.n - 3);
    }
    if (str_starts(s, "RTMIN") || str_starts(s, "RTMAX")) {
        bool min = str_starts(s, "RTMIN");
        struct str off = str_n(s.p + 5, s.n - 5);
        n = 0;
        if (off.n > 0 && (off.p[0] != (min ? '+' : '-') ||
                          str_u64(str_n(off.p + 1, off.n - 1), &n) < 0 || n > 30)) {
            return -E_INVAL;
        }
        *ret = min ? 34 + (int)n : 64 - (int)n;
        return 0;
    }
    for (int i = 1; i < 32; i++) {
        if (str_is(s, sigabbrev_np(i))) {
            *ret = i;
            return 0;
        }
    }
    return -E_INVAL;
}
