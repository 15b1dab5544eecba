/* SPDX-License-Identifier: Apache-2.0 */
/* The options of the program `edge`; see options.h. */
#include "options.h"

#include <ctype.h>
#include <unistd.h>

#include "api/name.h"
#include "base/mem.h"
#include "base/options.h"
#include "base/str.h"
#include "codec/json.h"
#include "io/file.h"
#include "sync/child.h"

#define HEARTBEAT_MAX_S 3600
#define TOKEN_LIMIT 4096

static const char usage[] =
    "usage: selvedge edge --parent https://HOST:PORT [options]\n"
    "\n"
    "  --parent URL            the center or site that this node belongs to\n"
    "  --token TEXT            join token (selvedge token create); only for the first start\n"
    "  --token-file FILE       the same, read from a file\n"
    "  --node-name NAME        default: the host name\n"
    "  --node-ip ADDRESS       default: the address of the default route\n"
    "  --node-labels K=V,...   labels of the Node when it is made\n"
    "  --state-dir FOLDER      store, keys, images, volumes; default: /var/lib/selvedge/edge\n"
    "  --log-dir FOLDER        logs of containers; default: STATE/logs\n"
    "  --local-listen ADDRESS:PORT\n"
    "                          the node's own API (TLS); default: 127.0.0.1:10443\n"
    "  --bridge NAME           of the pods' network; default: selvedge0\n"
    "  --pod-subnet CIDR       of the pods' network; default: 10.88.0.0/16\n"
    "  --cni-conf-dir FOLDER   use the network configured there instead\n"
    "  --cni-bin-dirs DIR:DIR  default: /opt/cni/bin:/usr/lib/cni\n"
    "  --cgroup-parent NAME    control group above all pods; default: selvedge\n"
    "  --oci-runtime PROGRAM   default: runc, else crun\n"
    "  --conmon PROGRAM        default: conmon\n"
    "  --data PROGRAM          runs streams, tables and rules; default: data, beside this program\n"
    "  --data-args TEXT        more options of it, separated by spaces (selvedge data --help), such\n"
    "                          as \"--mqtt 127.0.0.1:1883 --mqtt-anonymous\". It is started only when\n"
    "                          the node has a stream, table or rule\n"
    "  --heartbeat SECONDS     how often the node tells its parent that it lives; default: 30. Less\n"
    "                          than the center's --node-grace\n"
    "  --image-gc-high-threshold PERCENT\n"
    "                          of the disk in use, above which images that no pod here wants are\n"
    "                          removed; default: 100, never, since nothing fetches them again\n"
    "  --image-gc-low-threshold PERCENT\n"
    "                          to which they are removed; default: the high one\n"
    "  --log-level LEVEL       debug, info, warn or error; default: info\n"
    "  --teardown              take this node's pods and network off the machine and end; what is\n"
    "                          stored stays, so the node can be started again\n"
    "  -n                      check the options and end\n"
    "\n"
    "kubectl --kubeconfig STATE/kubeconfig talks to this node alone, also while it is cut off.\n";

static int own_name(struct edge_options *o, struct err *err)
{
    char host[256] = "";
    if (!o->node_name && gethostname(host, sizeof(host) - 1) < 0) {
        return err_sys(err, -errno, "find the host's name");
    }
    o->name = mem_strdup(o->node_name ? o->node_name : host);
    if (!o->name) {
        return err_sys(err, -ENOMEM, "--node-name");
    }
    for (char *p = o->name; *p; p++) {
        *p = (char)tolower((unsigned char)*p);
    }
    const char *wrong = name_check_dns_subdomain(str_of(o->name));
    return wrong ? err_set(err, -E_INVAL, "--node-name: '%s': %s", o->name, wrong) : 0;
}

static int own_names(struct edge_options *o, struct err *err)
{
    bool absolute = o->cgroup_parent[0] == '/';
    int rc = own_name(o, err);
    if (rc < 0) {
        return rc;
    }
    o->cgroup = mem_printf("%s%s", absolute ? "" : "/", o->cgroup_parent);
    return o->cgroup ? 0 : err_sys(err, -ENOMEM, "--cgroup-parent");
}

static int read_token(struct edge_options *o, struct err *err)
{
    size_t n;
    if (o->token) {
        o->bearer = mem_strdup(o->token);
        return o->bearer ? 0 : err_sys(err, -ENOMEM, "--token");
    }
    /* After the first start nobody needs the file any more. */
    if (!o->token_file || !file_exists(o->token_file)) {
        return 0;
    }
    return file_read(o->token_file, TOKEN_LIMIT, &o->bearer, &n, err);
}

static int parse_listen(struct edge_options *o, struct err *err)
{
    int rc = options_address("local-listen", o->local_listen, &o->local_host, &o->local_port, err);
    if (rc == 0 && o->local_port == 0) {
        return err_set(err, -E_INVAL, "--local-listen: '%s' has no port", o->local_listen);
    }
    return rc;
}

/* ---- what a teardown must know ---- */

struct remembered {
    const char *name;
    size_t offset; /* of a const char * in struct edge_options */
};

static const struct remembered remembered[] = {
    {"bridge", offsetof(struct edge_options, bridge)},
    {"podSubnet", offsetof(struct edge_options, pod_subnet)},
    {"cgroupParent", offsetof(struct edge_options, cgroup_parent)},
    {"cniConfDir", offsetof(struct edge_options, cni_conf_dir)},
    {"cniBinDirs", offsetof(struct edge_options, cni_bin_dirs)},
    {"ociRuntime", offsetof(struct edge_options, oci_runtime)},
    {"conmon", offsetof(struct edge_options, conmon)},
    {"logDir", offsetof(struct edge_options, log_dir)},
    {"nodeName", offsetof(struct edge_options, node_name)},
};

static const char **member(struct edge_options *o, const struct remembered *r)
{
    return (const char **)((char *)o + r->offset);
}

int edge_options_save(const struct edge_options *o, struct err *err)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/machine.json", o->state_dir);
    struct arena a;
    struct buf text = BUF_INIT;
    struct edge_options copy = *o;
    arena_init(&a, 0);
    struct json *j = json_object(&a);
    for (size_t i = 0; i < ARRAY_SIZE(remembered); i++) {
        json_set_str(j, remembered[i].name, *member(&copy, &remembered[i]));
    }
    int rc = json_print_pretty(&text, j, 2);
    rc = rc < 0 || !path || arena_failed(&a)
             ? err_sys(err, -ENOMEM, "remember the options")
             : file_write_replace(path, buf_data(&text), buf_len(&text), 0644, err);
    buf_fini(&text);
    arena_fini(&a);
    return rc;
}

/* What the command line gives wins over what was remembered only where it was not remembered: a
 * teardown is for what is there. */
static int recall(struct edge_options *o, struct err *err)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/machine.json", o->state_dir);
    CLEANUP(mem_freep) char *text = NULL;
    struct json *j = NULL;
    size_t n;
    if (!path || !file_exists(path)) {
        return path ? 0 : err_sys(err, -ENOMEM, "recall the options");
    }
    o->memory = mem_zalloc(sizeof(*o->memory));
    if (!o->memory) {
        return err_sys(err, -ENOMEM, "recall the options");
    }
    arena_init(o->memory, 0);
    int rc = file_read(path, 1 << 16, &text, &n, err);
    rc = rc < 0 ? rc : json_parse(o->memory, str_n(text, n), NULL, &j, err);
    if (rc < 0) {
        return err_wrap(err, rc, "'%s'", path);
    }
    for (size_t i = 0; i < ARRAY_SIZE(remembered); i++) {
        const char **at = member(o, &remembered[i]);
        *at = json_path_cstr(j, remembered[i].name, *at);
    }
    return 0;
}

/* ---- all ---- */

static int read_percent(const char *option, const char *text, int fallback, int *ret,
                        struct err *err)
{
    uint64_t n = 0;
    if (text && (str_u64(str_of(text), &n) < 0 || n < 1 || n > 100)) {
        return err_set(err, -E_INVAL, "--%s: '%s' is not a percentage from 1 to 100", option, text);
    }
    *ret = text ? (int)n : fallback;
    return 0;
}

static int read_thresholds(struct edge_options *o, struct err *err)
{
    int rc = read_percent("image-gc-high-threshold", o->gc_high_text, 100, &o->gc_high, err);
    rc = rc < 0
             ? rc
             : read_percent("image-gc-low-threshold", o->gc_low_text, o->gc_high, &o->gc_low, err);
    if (rc == 0 && o->gc_low > o->gc_high) {
        rc = err_set(err, -E_INVAL, "--image-gc-low-threshold is above the high one");
    }
    return rc;
}

static int read_heartbeat(struct edge_options *o, struct err *err)
{
    uint64_t seconds = 0;
    const char *text = o->heartbeat_text;
    if (text && (str_u64(str_of(text), &seconds) < 0 || seconds < 1 || seconds > HEARTBEAT_MAX_S)) {
        return err_set(err, -E_INVAL, "--heartbeat: '%s' is not a number of seconds from 1 to %d",
                       text, HEARTBEAT_MAX_S);
    }
    o->heartbeat_ms = (int64_t)seconds * 1000;
    return 0;
}

static int check(struct edge_options *o, struct err *err)
{
    CLEANUP(mem_freep) char *host = NULL;
    uint16_t port;
    int rc = options_log("edge", o->log_level, err);
    if (rc < 0) {
        return rc;
    }
    if (o->teardown) {
        rc = recall(o, err);
        return rc < 0 ? rc : own_names(o, err);
    }
    if (!o->parent) {
        return err_set(err, -E_INVAL, "--parent is missing");
    }
    if (o->state_dir[0] != '/') {
        return err_set(err, -E_INVAL, "--state-dir: '%s' is no absolute path", o->state_dir);
    }
    rc = sync_parent_address(o->parent, &host, &port, err);
    rc = rc < 0 ? err_wrap(err, rc, "--parent") : own_names(o, err);
    rc = rc < 0 ? rc : read_token(o, err);
    rc = rc < 0 ? rc : read_thresholds(o, err);
    rc = rc < 0 ? rc : read_heartbeat(o, err);
    return rc < 0 ? rc : parse_listen(o, err);
}

int edge_options_parse(int argc, char **argv, struct edge_options *ret, struct err *err)
{
    struct edge_options o = {
        .state_dir = "/var/lib/selvedge/edge",
        .local_listen = "127.0.0.1:10443",
        .bridge = "selvedge0",
        .pod_subnet = "10.88.0.0/16",
        .cgroup_parent = "selvedge",
        .log_level = "info",
    };
    const struct option_spec specs[] = {
        {"bridge", &o.bridge, NULL},
        {"cgroup-parent", &o.cgroup_parent, NULL},
        {"cni-bin-dirs", &o.cni_bin_dirs, NULL},
        {"cni-conf-dir", &o.cni_conf_dir, NULL},
        {"conmon", &o.conmon, NULL},
        {"data", &o.data_program, NULL},
        {"data-args", &o.data_args, NULL},
        {"heartbeat", &o.heartbeat_text, NULL},
        {"image-gc-high-threshold", &o.gc_high_text, NULL},
        {"image-gc-low-threshold", &o.gc_low_text, NULL},
        {"local-listen", &o.local_listen, NULL},
        {"log-dir", &o.log_dir, NULL},
        {"log-level", &o.log_level, NULL},
        {"n", NULL, &o.check},
        {"node-ip", &o.node_ip, NULL},
        {"node-labels", &o.node_labels, NULL},
        {"node-name", &o.node_name, NULL},
        {"oci-runtime", &o.oci_runtime, NULL},
        {"parent", &o.parent, NULL},
        {"pod-subnet", &o.pod_subnet, NULL},
        {"state-dir", &o.state_dir, NULL},
        {"teardown", NULL, &o.teardown},
        {"token", &o.token, NULL},
        {"token-file", &o.token_file, NULL},
    };
    int rc = options_parse("edge", argc, argv, specs, ARRAY_SIZE(specs), usage, NULL);
    if (rc != 0) {
        return rc > 0 ? 1 : err_set(err, -E_INVAL, "bad options");
    }
    rc = check(&o, err);
    if (rc < 0) {
        edge_options_fini(&o);
        return rc;
    }
    *ret = o;
    return 0;
}

void edge_options_fini(struct edge_options *o)
{
    mem_free(o->name);
    mem_free(o->bearer);
    mem_free(o->cgroup);
    mem_free(o->local_host);
    if (o->memory) {
        arena_fini(o->memory);
        mem_free(o->memory);
    }
}
