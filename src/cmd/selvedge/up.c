/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `selvedge up` and `selvedge down`: a center and an edge on this machine.
 *
 *     STATE/kubeconfig          admin credentials
 *     STATE/center/             the center's store, certificates and log
 *     STATE/edge/               the edge's state, join token and log
 *     STATE/center.pid, edge.pid
 *
 * Each step looks first whether it is done already, so a second `up` changes nothing, and an `up`
 * after a crash finishes what is missing.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "admin.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/options.h"
#include "commands.h"
#include "daemon.h"
#include "io/file.h"
#include "paths.h"
#include "token.h"

#define CENTER_WAIT_MS 30000
#define NODE_WAIT_MS 60000
#define POLL_MS 50

struct layout {
    struct arena arena;
    const char *state, *listen, *node;
    char *center_dir, *edge_dir, *kubeconfig, *center_pid, *edge_pid, *center_log, *edge_log,
        *token_file;
    char *center_program, *edge_program, *image_program;
};

static int lay_out(struct layout *l, const char *state, struct err *err)
{
    char *absolute = NULL;
    arena_init(&l->arena, 0);
    int rc = paths_state(state, &absolute, err);
    if (rc < 0) {
        return rc;
    }
    struct arena *a = &l->arena;
    l->state = arena_strdup(a, absolute);
    l->center_dir = arena_printf(a, "%s/center", absolute);
    l->edge_dir = arena_printf(a, "%s/edge", absolute);
    l->kubeconfig = arena_printf(a, "%s/kubeconfig", absolute);
    l->center_pid = arena_printf(a, "%s/center.pid", absolute);
    l->edge_pid = arena_printf(a, "%s/edge.pid", absolute);
    l->center_log = arena_printf(a, "%s/center/center.log", absolute);
    l->edge_log = arena_printf(a, "%s/edge/edge.log", absolute);
    l->token_file = arena_printf(a, "%s/edge/join-token", absolute);
    mem_free(absolute);
    char **programs[] = {&l->center_program, &l->edge_program, &l->image_program};
    const char *const names[] = {"center", "edge", "image"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char *path = NULL;
        rc = paths_program(names[i], &path, err);
        if (rc < 0) {
            return rc;
        }
        *programs[i] = arena_strdup(a, path);
        mem_free(path);
    }
    rc = dir_make(l->center_dir, 0700, err);
    rc = rc < 0 ? rc : dir_make(l->edge_dir, 0700, err);
    return rc == 0 && arena_failed(a) ? err_sys(err, -ENOMEM, "lay out '%s'", state) : rc;
}

static void pause_ms(int ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&ts, NULL); /* woken early by a signal is fine: it only paces a loop */
}

/* Asks again and again until `ready` says 0, the program has ended, or the time is over. */
static int wait_until(int (*ready)(struct layout *l, struct err *err), struct layout *l,
                      const char *pid_file, const char *what, const char *log_file, int limit_ms,
                      struct err *err)
{
    struct err last = {0};
    for (int waited = 0; waited < limit_ms; waited += POLL_MS) {
        if (ready(l, &last) == 0) {
            return 0;
        }
        pid_t pid = daemon_running(pid_file, err);
        if (pid < 0) {
            return pid;
        }
        if (pid == 0) {
            return err_set(err, -E_PIPE, "%s has ended; its log is '%s'", what, log_file);
        }
        pause_ms(POLL_MS);
    }
    return err_set(err, -E_TIMEOUT, "%s is not ready (%s); its log is '%s'", what, last.text,
                   log_file);
}

/* ---- the center ---- */

static int copy_kubeconfig(struct layout *l, struct err *err)
{
    CLEANUP(mem_freep)
    char *text = NULL, *old = NULL, *from = mem_printf("%s/kubeconfig", l->center_dir);
    size_t n, old_n;
    int rc = from ? file_read(from, 1 << 20, &text, &n, err)
                  : err_sys(err, -ENOMEM, "read the kubeconfig");
    if (rc < 0) {
        return rc;
    }
    if (file_read(l->kubeconfig, 1 << 20, &old, &old_n, NULL) == 0 &&
        str_eq(str_n(text, n), str_n(old, old_n))) {
        return 0;
    }
    return file_write_atomic(l->kubeconfig, text, n, 0600, err);
}

static int center_ready(struct layout *l, struct err *err)
{
    struct admin *admin = NULL;
    struct arena a;
    int rc = copy_kubeconfig(l, err);
    if (rc < 0) {
        return rc;
    }
    arena_init(&a, 0);
    rc = admin_open(l->kubeconfig, &admin, err);
    rc = rc < 0 ? rc : admin_get(admin, "/readyz", &a, NULL, err);
    admin_close(admin);
    arena_fini(&a);
    return rc;
}

static int start_center(struct layout *l, struct err *err)
{
    const char *const argv[] = {l->center_program, "--data-dir", l->center_dir,
                                "--listen",        l->listen,    NULL};
    struct daemon d = {
        .name = "center", .argv = argv, .log_file = l->center_log, .pid_file = l->center_pid};
    bool started;
    int rc = daemon_start(&d, &started, err);
    rc = rc < 0 ? rc
                : wait_until(center_ready, l, l->center_pid, "the center", l->center_log,
                             CENTER_WAIT_MS, err);
    if (rc == 0) {
        (void)printf("center  %s, listening on %s\n", started ? "started" : "runs", l->listen);
    }
    return rc;
}

/* ---- the edge ---- */

static int write_token(struct layout *l, struct err *err)
{
    struct admin *admin = NULL;
    CLEANUP(mem_freep) char *token = NULL;
    int rc = admin_open(l->kubeconfig, &admin, err);
    rc = rc < 0 ? rc : token_create(admin, (int64_t)3600 * 1000000, &token, err);
    rc = rc < 0 ? rc : file_write_atomic(l->token_file, token, strlen(token), 0600, err);
    admin_close(admin);
    return rc;
}

static bool node_is_ready(const struct json *node)
{
    JSON_FOR_EACH (c, json_path(node, "status.conditions")) {
        if (cstr_eq(json_cstr(json_get(c, "type"), NULL), "Ready")) {
            return cstr_eq(json_cstr(json_get(c, "status"), NULL), "True");
        }
    }
    return false;
}

static int node_ready(struct layout *l, struct err *err)
{
    struct admin *admin = NULL;
    struct arena a;
    struct json *node = NULL;
    arena_init(&a, 0);
    struct api_request req = {
        .verb = API_GET, .kind = kind_find("", "v1", "nodes"), .name = l->node};
    int rc = admin_open(l->kubeconfig, &admin, err);
    rc = rc < 0 ? rc : admin_call(admin, &req, &a, &node, err);
    if (rc == 0 && !node_is_ready(node)) {
        rc = err_set(err, -E_AGAIN, "node '%s' is not Ready", l->node);
    }
    admin_close(admin);
    arena_fini(&a);
    return rc;
}

static int start_edge(struct layout *l, struct err *err)
{
    pid_t pid = daemon_running(l->edge_pid, err);
    int rc = pid < 0 ? pid : pid == 0 ? write_token(l, err) : 0;
    if (rc < 0) {
        return err_wrap(err, rc, "make a join token");
    }
    char *parent = arena_printf(&l->arena, "https://%s", l->listen);
    const char *const argv[] = {l->edge_program, "--state-dir", l->edge_dir,   "--parent", parent,
                                "--token-file",  l->token_file, "--node-name", l->node,    NULL};
    struct daemon d = {
        .name = "edge", .argv = argv, .log_file = l->edge_log, .pid_file = l->edge_pid};
    bool started;
    rc = daemon_start(&d, &started, err);
    rc = rc < 0
             ? rc
             : wait_until(node_ready, l, l->edge_pid, "the edge", l->edge_log, NODE_WAIT_MS, err);
    if (rc == 0) {
        (void)printf("edge    %s, node %s is Ready\n", started ? "started" : "runs", l->node);
    }
    return rc;
}

/* ---- the image ---- */

static int run(const char *const *argv, struct err *err)
{
    (void)fflush(stdout); /* what the program prints must come after what we printed */
    pid_t pid = fork();
    if (pid == 0) {
        (void)execv(argv[0], (char *const *)(uintptr_t)argv); /* returns only on failure */
        _exit(127);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) < 0) {
        return err_sys(err, -errno, "run %s", argv[0]);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        return err_set(err, -E_IO, "%s failed", argv[0]);
    }
    return 0;
}

/* The examples' images lie in examples/ of a build folder, in share/selvedge/images of an
 * installation. */
static int import_hello(struct layout *l, struct err *err)
{
    CLEANUP(mem_freep) char *own = NULL;
    int rc = paths_own_folder(&own, err);
    if (rc < 0) {
        return rc;
    }
    static const char *const names[] = {"hello.tar", "hello-2.tar"};
    int found = 0;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char *file = arena_printf(&l->arena, "%s/examples/hello/%s", own, names[i]);
        if (file && !file_exists(file)) {
            file = arena_printf(&l->arena, "%s/../share/selvedge/images/%s", own, names[i]);
        }
        if (!file || !file_exists(file)) {
            continue;
        }
        const char *const argv[] = {l->image_program, "import", file, "--state", l->edge_dir, NULL};
        rc = run(argv, err);
        if (rc < 0) {
            return err_wrap(err, rc, "import '%s'", file);
        }
        found++;
    }
    if (!found) {
        (void)puts("image   the hello example is not installed here");
    }
    return 0;
}

/* ---- the commands ---- */

static void print_next_steps(const struct layout *l)
{
    (void)printf("\nexport KUBECONFIG=%s\n"
                 "kubectl apply -f examples/hello/hello.yaml\n"
                 "kubectl get pods -o wide\n"
                 "kubectl logs deployment/hello\n",
                 l->kubeconfig);
}

static const char up_usage[] =
    "usage: selvedge up [--state FOLDER] [--listen ADDRESS:PORT] [--node-name NAME]\n"
    "\n"
    "Starts a center and an edge on this machine and waits until the node is Ready. Running it twice is harmless.\n"
    "\n"
    "  --state FOLDER          where everything is kept; default: run\n"
    "  --listen ADDRESS:PORT   of the center's API; default: 127.0.0.1:6443\n"
    "  --node-name NAME        default: the host's name\n";

int command_up(int argc, char **argv)
{
    const char *state = "run", *listen = "127.0.0.1:6443", *node = NULL;
    const struct option_spec specs[] = {
        {"state", &state, NULL}, {"listen", &listen, NULL}, {"node-name", &node, NULL}};
    int rc = options_parse("selvedge", argc, argv, specs, ARRAY_SIZE(specs), up_usage, NULL);
    if (rc != 0) {
        return rc > 0 ? 0 : 2;
    }
    char host[256] = "";
    if (gethostname(host, sizeof(host) - 1) < 0 && !node) {
        (void)fprintf(stderr, "selvedge: find the host's name: %s\n", strerrordesc_np(errno));
        return 1;
    }
    struct err err;
    struct layout l = {.listen = listen, .node = node ? node : host};
    rc = lay_out(&l, state, &err);
    rc = rc < 0 ? rc : start_center(&l, &err);
    rc = rc < 0 ? rc : start_edge(&l, &err);
    rc = rc < 0 ? rc : import_hello(&l, &err);
    if (rc < 0) {
        (void)fprintf(stderr, "selvedge up: %s\n", err.text);
    } else {
        print_next_steps(&l);
    }
    arena_fini(&l.arena);
    return rc < 0;
}

static const char down_usage[] =
    "usage: selvedge down [--state FOLDER]\n"
    "\n"
    "Stops what `selvedge up` started and removes its containers, networks and mounts. What is stored stays.\n"
    "\n"
    "  --state FOLDER   as given to `selvedge up`; default: run\n";

int command_down(int argc, char **argv)
{
    const char *state = "run";
    const struct option_spec specs[] = {{"state", &state, NULL}};
    int rc = options_parse("selvedge", argc, argv, specs, ARRAY_SIZE(specs), down_usage, NULL);
    if (rc != 0) {
        return rc > 0 ? 0 : 2;
    }
    struct err err;
    struct layout l = {0};
    rc = lay_out(&l, state, &err);
    rc = rc < 0 ? rc : daemon_stop(l.edge_pid, "edge", &err);
    if (rc == 0) {
        const char *const teardown[] = {l.edge_program, "--state-dir", l.edge_dir, "--teardown",
                                        NULL};
        rc = run(teardown, &err);
    }
    /* The center is stopped even when the edge could not be torn down. */
    struct err center_err;
    int center_rc = l.center_pid ? daemon_stop(l.center_pid, "center", &center_err) : 0;
    if (rc < 0 || center_rc < 0) {
        (void)fprintf(stderr, "selvedge down: %s\n", rc < 0 ? err.text : center_err.text);
    }
    arena_fini(&l.arena);
    return rc < 0 || center_rc < 0;
}
