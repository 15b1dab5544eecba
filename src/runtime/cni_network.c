/* SPDX-License-Identifier: Apache-2.0 */
/* Which network pods get: the first valid file of the configuration folder, or our own bridge. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "base/mem.h"
#include "runtime/cni_private.h"
#include "runtime/fs.h"
#include "runtime/runtime_private.h"

char *cni_find_plugin(struct cni *c, struct arena *a, const char *type)
{
    struct str rest = str_of(c->bin_dirs), dir;
    if (strchr(type, '/') || type[0] == '.' || !type[0]) {
        return NULL;
    }
    while (rest.n > 0) {
        str_cut(rest, ':', &dir, &rest);
        char *path = arena_printf(a, STR_FMT "/%s", STR_ARG(dir), type);
        if (path && access(path, X_OK) == 0) {
            return path;
        }
    }
    return NULL;
}

/* ---- files of the node ---- */

struct conf_list {
    struct arena *a;
    char **names;
    size_t n;
};

static int add_conf(void *arg, int dir_fd, const char *name)
{
    struct conf_list *l = arg;
    struct str s = str_of(name);
    if (!str_ends(s, ".conflist") && !str_ends(s, ".conf") && !str_ends(s, ".json")) {
        return 0;
    }
    l->names = arena_grow(l->a, l->names, l->n * sizeof(char *), (l->n + 1) * sizeof(char *));
    char *text = arena_strdup(l->a, name);
    if (!l->names || !text) {
        return -ENOMEM;
    }
    l->names[l->n++] = text;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A single plugin's configuration becomes a list of one. */
static struct json *as_list(struct arena *a, struct json *j)
{
    if (json_is(json_get(j, "plugins"), JSON_ARRAY)) {
        return j;
    }
    struct json *list = json_object(a);
    json_set(list, "cniVersion", json_clone(a, json_get(j, "cniVersion")));
    json_set(list, "name", json_clone(a, json_get(j, "name")));
    json_push(json_ensure_array(list, "plugins"), j);
    return list;
}

static bool valid(const struct json *list)
{
    const struct json *plugins = json_get(list, "plugins");
    bool ok =
        json_path_cstr(list, "name", NULL) && json_len(plugins) > 0 && json_len(plugins) <= 32;
    JSON_FOR_EACH (p, plugins) {
        ok = ok && json_path_cstr(p, "type", NULL);
    }
    return ok;
}

static struct json *from_files(struct cni *c, struct arena *a)
{
    struct conf_list l = {.a = a};
    if (!c->conf_dir[0] || fs_each(AT_FDCWD, c->conf_dir, add_conf, &l) < 0 || l.n == 0) {
        return NULL;
    }
    qsort(l.names, l.n, sizeof(char *), by_name);
    for (size_t i = 0; i < l.n; i++) {
        struct json *j = NULL;
        char *path = fs_join(a, c->conf_dir, l.names[i]);
        if (path && fs_read_json(a, path, 1 << 20, &j, /* err= */ NULL) == 0) {
            struct json *list = as_list(a, j);
            if (valid(list)) {
                return list;
            }
        }
    }
    return NULL;
}

/* ---- our own ---- */

static struct json *own_network(struct cni *c, struct arena *a)
{
    struct json *n = json_object(a);
    json_set_str(n, "cniVersion", "1.0.0");
    json_set_str(n, "name", c->bridge);
    struct json *plugins = json_ensure_array(n, "plugins");
    struct json *b = json_push(plugins, json_object(a));
    json_set_str(b, "type", "bridge");
    json_set_str(b, "bridge", c->bridge);
    json_set_bool(b, "isGateway", true);
    json_set_bool(b, "ipMasq", true);
    json_set_bool(b, "hairpinMode", true);
    struct json *ipam = json_ensure_object(b, "ipam");
    json_set_str(ipam, "type", "host-local");
    json_set(ipam, "dataDir", json_printf(a, "%s/addresses", c->dir));
    struct json *range =
        json_push(json_push(json_ensure_array(ipam, "ranges"), json_array(a)), json_object(a));
    json_set_str(range, "subnet", c->subnet);
    struct json *route = json_push(json_ensure_array(ipam, "routes"), json_object(a));
    json_set_str(route, "dst", "0.0.0.0/0");
    struct json *p = json_push(plugins, json_object(a));
    json_set_str(p, "type", "portmap");
    json_set_bool(json_ensure_object(p, "capabilities"), "portMappings", true);
    return n;
}

int cni_load_network(struct cni *c, struct arena *a, struct json **ret, struct err *err)
{
    struct json *n = from_files(c, a);
    n = n ? n : own_network(c, a);
    if (arena_failed(a)) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    *ret = n;
    return 0;
}

int cni_check(struct cni *c, struct err *err)
{
    struct arena a;
    struct json *n;
    arena_init(&a, 0);
    int r = cni_load_network(c, &a, &n, err);
    if (r == 0) {
        JSON_FOR_EACH (p, json_get(n, "plugins")) {
            const char *type = json_path_cstr(p, "type", "");
            const char *ipam = json_path_cstr(p, "ipam.type", NULL);
            if (!cni_find_plugin(c, &a, type) || (ipam && !cni_find_plugin(c, &a, ipam))) {
                r = err_set(err, -E_NOENT, "network plugin %s is not in %s",
                            cni_find_plugin(c, &a, type) ? ipam : type, c->bin_dirs);
                break;
            }
        }
    }
    arena_fini(&a);
    return r;
}

/* ---- removal of our own ---- */

static int delete_link(const char *name, struct err *err)
{
    unsigned index = if_nametoindex(name);
    struct {
        struct nlmsghdr h;
        struct ifinfomsg i;
    } req = {.h = {.nlmsg_len = sizeof(req),
                   .nlmsg_type = RTM_DELLINK,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
             .i = {.ifi_index = (int)index}};
    struct {
        struct nlmsghdr h;
        struct nlmsgerr e;
        char rest[512];
    } ack;
    if (index == 0) {
        return 0;
    }
    CLEANUP(fd_closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0 || send(fd, &req, sizeof(req), 0) < 0) {
        return err_sys(err, -errno, "delete the bridge %s", name);
    }
    ssize_t n = recv(fd, &ack, sizeof(ack), 0);
    if (n < (ssize_t)(sizeof(ack.h) + sizeof(ack.e)) || ack.h.nlmsg_type != NLMSG_ERROR) {
        return err_set(err, -E_PROTO, "delete the bridge %s: no answer", name);
    }
    return ack.e.error < 0 && ack.e.error != -ENODEV
               ? err_sys(err, ack.e.error, "delete the bridge %s", name)
               : 0;
}

static int remove_network(void *arg, struct err *err)
{
    struct cni *c = arg;
    char path[PATH_MAX];
    int r = delete_link(c->bridge, err);
    snprintf(path, sizeof(path), "%s/addresses", c->dir);
    return r == 0 ? fs_remove_tree(AT_FDCWD, path, err) : r;
}

void cni_remove_network(struct cni *c, struct runtime_op *op)
{
    runtime_work(c->rt, remove_network, c, op);
}
