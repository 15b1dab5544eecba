/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One container of a pod over all its attempts: when it may start, what happens at its end, how it
 * is ended. The states are drawn in infra_private.h; what a start needs is put together in
 * slot_start.c.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "api/object.h"
#include "base/metrics.h"
#include "infra_private.h"
#include "io/file.h"

#define MESSAGE_MAX ((size_t)4096)
#define LOG_TAIL_MAX ((size_t)2048)
#define CONFIG_RETRY_US 10000000
#define IMAGE_RETRY_US 1000000
#define STOP_MIN_US 2000000

static const struct sm_state states[SLOT_STATE_NR] = {
    [SLOT_WAITING] = {"waiting", SM_TO(SLOT_STARTING) | SM_TO(SLOT_RUNNING) | SM_TO(SLOT_EXITED)},
    [SLOT_STARTING] = {"starting", SM_TO(SLOT_RUNNING) | SM_TO(SLOT_EXITED) | SM_TO(SLOT_WAITING)},
    [SLOT_RUNNING] = {"running", SM_TO(SLOT_STOPPING) | SM_TO(SLOT_EXITED)},
    [SLOT_STOPPING] = {"stopping", SM_TO(SLOT_EXITED)},
    [SLOT_EXITED] = {"exited", SM_TO(SLOT_WAITING)},
};

/* An operation that outlives what the slot thinks of: a stop, a removal. */
struct loose_op {
    struct runtime_op op;
    struct pod *pod;
    char *log;
};

static void exited(struct slot *s);
static void on_exit_cb(void *arg, struct container *c);

/* ---- lifetime ---- */

struct slot *slot_new(struct pod *p, const struct json *spec, enum slot_role role)
{
    char label[64];
    struct slot *s = mem_zalloc(sizeof(*s));
    char *name = s ? mem_strdup(json_path_cstr(spec, "name", "")) : NULL;
    if (!name) {
        mem_free(s);
        return NULL;
    }
    s->pod = p;
    s->spec = spec;
    s->name = name;
    s->init = role == SLOT_INIT;
    s->ephemeral = role == SLOT_EPHEMERAL;
    s->sidecar = s->init && cstr_eq(json_path_cstr(spec, "restartPolicy", ""), "Always");
    s->attempt = -1;
    (void)snprintf(label, sizeof(label), "container %s/%s", p->name, s->name);
    sm_init(&s->sm, states, SLOT_STATE_NR, SLOT_WAITING, label);
    return s;
}

void slot_free(struct slot *s)
{
    if (!s) {
        return;
    }
    probes_stop(s);
    hook_cancel(s);
    if (s->c) {
        container_detach(s->c);
    }
    if (s->previous) {
        container_detach(s->previous);
    }
    mem_free(s->name);
    mem_free(s->end_message);
    mem_free(s->last_message);
    mem_free(s->reason);
    mem_free(s->message);
    mem_free(s->spec_mark);
    mem_free(s->applied);
    mem_free(s);
}

/* ---- loose operations ---- */

static void loose_done(struct runtime_op *op, int code)
{
    struct loose_op *o = op->arg;
    struct pod *p = o->pod;
    if (code < 0) {
        log_debug("pod %s/%s: %s", p->ns, p->name, op->err.text);
    }
    if (o->log) {
        (void)unlink(o->log); /* rotated away or gone is fine */
    }
    mem_free(o->log);
    mem_free(o);
    p->dead--;
    infra_op_end(p->inf);
    pod_wake(p);
}

static struct loose_op *loose_new(struct pod *p)
{
    struct loose_op *o = mem_zalloc(sizeof(*o));
    if (o) {
        o->op.done = loose_done;
        o->op.arg = o;
        o->pod = p;
        p->dead++;
        infra_op_begin(p->inf);
    }
    return o;
}

void pod_forget_container(struct pod *p, struct container *c)
{
    struct loose_op *o = loose_new(p);
    if (!o) {
        container_detach(c); /* the next agent finds it */
        return;
    }
    o->log = mem_strdup(container_status(c)->log_path);
    container_on_exit(c, NULL, NULL);
    container_remove(c, &o->op);
}

void slot_forget(struct slot *s, struct container **c)
{
    if (*c) {
        pod_forget_container(s->pod, TAKE_PTR(*c));
    }
}

/* ---- questions ---- */

bool slot_alive(const struct slot *s)
{
    return s->sm.state == SLOT_STARTING || s->sm.state == SLOT_RUNNING ||
           s->sm.state == SLOT_STOPPING;
}

int slot_exit_code(const struct slot *s)
{
    return s->c ? container_status(s->c)->exit_code : 0;
}

bool slot_finished(const struct slot *s)
{
    const char *policy = json_path_cstr(s->pod->obj, "spec.restartPolicy", "Always");
    if (s->sm.state != SLOT_EXITED || s->sidecar) {
        return false;
    }
    if (s->ephemeral) {
        return true;
    }
    if (cstr_eq(policy, "Never")) {
        return true;
    }
    /* For an init container Always means until it succeeds. */
    return slot_exit_code(s) == 0 && (s->init || cstr_eq(policy, "OnFailure"));
}

static void set_text(char **at, const char *text)
{
    if (!cstr_eq(*at, text)) {
        mem_free(*at);
        *at = mem_strdup(text);
    }
}

void slot_wait(struct slot *s, const char *reason, const char *message)
{
    set_text(&s->reason, reason);
    set_text(&s->message, message);
}

void slot_rearm(struct slot *s)
{
    if (s->sm.state == SLOT_EXITED && !s->op_busy) {
        s->retry_at = (struct mono){0};
        s->told_backoff = false;
        slot_wait(s, NULL, NULL);
        sm_move(&s->sm, SLOT_WAITING);
    }
}

/* ---- adopting ---- */

/* Readiness is asked anew by probes; without them the status that was told last holds. */
static void adopt_running(struct slot *s)
{
    const struct container_status *st = container_status(s->c);
    const struct json *old = NULL;
    const char *list = s->ephemeral ? "status.ephemeralContainerStatuses"
                       : s->init    ? "status.initContainerStatuses"
                                    : "status.containerStatuses";
    JSON_FOR_EACH (i, json_path(s->pod->obj, list)) {
        const char *id = json_path_cstr(i, "containerID", "");
        if (strstr(id, st->id)) {
            old = i;
        }
    }
    s->started = !json_get(s->spec, "startupProbe") || json_path_true(old, "started", false);
    s->ready =
        s->started && (!json_get(s->spec, "readinessProbe") || json_path_true(old, "ready", false));
    s->sandbox_began = true;
    set_text(&s->spec_mark, container_note(s->c));
    /* What an earlier agent has told is in force; "" makes the next look apply the spec's. */
    struct buf told = BUF_INIT;
    (void)(json_get(old, "resources") ? json_print(&told, json_get(old, "resources")) : 0);
    set_text(&s->applied, buf_len(&told) ? buf_data(&told) : "");
    buf_fini(&told);
    sm_move(&s->sm, SLOT_RUNNING);
    probes_start(s);
}

void slot_adopt(struct slot *s, struct container *c)
{
    const struct container_status *st = container_status(c);
    if (st->state != CONTAINER_RUNNING && !st->started) {
        s->attempt = MAX_OF(s->attempt, st->attempt); /* its number is not used again */
        pod_forget_container(s->pod, c);              /* a start that was cut short */
        return;
    }
    slot_forget(s, &s->previous);
    s->previous = s->c;
    mem_free(s->last_message);
    s->last_message = TAKE_PTR(s->end_message);
    s->c = c;
    s->attempt = st->attempt;
    if (s->sm.state == SLOT_EXITED) {
        sm_move(&s->sm, SLOT_WAITING);
    }
    container_on_exit(c, on_exit_cb, s);
    if (st->state == CONTAINER_RUNNING) {
        adopt_running(s);
    } else {
        sm_move(&s->sm, SLOT_STARTING);
        sm_move(&s->sm, SLOT_EXITED);
        exited(s);
    }
}

/* ---- starting ---- */

static void try_later(struct slot *s, int64_t us)
{
    s->retry_at = (struct mono){mono_now().us + us};
    pod_wake_at(s->pod, s->retry_at);
}

/* True when the last end was too recent. */
static bool backing_off(struct slot *s)
{
    struct mono now = mono_now();
    int64_t wait = s->c ? backoff_wait(&s->crash, now, s->ended) : 0;
    if (wait == 0) {
        return false;
    }
    struct pod *p = s->pod;
    char text[400];
    (void)snprintf(text, sizeof(text),
                   "back-off %llds restarting failed container=%s pod=%s_%s(%s)",
                   (long long)backoff_seconds(&s->crash), s->name, p->name, p->ns, p->uid);
    slot_wait(s, "CrashLoopBackOff", text);
    if (!s->told_backoff) {
        s->told_backoff = true;
        slot_event(s, "Warning", "BackOff",
                   "Back-off restarting failed container %s in pod %s_%s(%s)", s->name, p->name,
                   p->ns, p->uid);
    }
    try_later(s, wait);
    return true;
}

static void image_missing(struct slot *s)
{
    const char *image = json_path_cstr(s->spec, "image", "");
    struct mono now = mono_now();
    char text[600];
    if (cstr_eq(json_path_cstr(s->spec, "imagePullPolicy", ""), "Never")) {
        (void)snprintf(text, sizeof(text),
                       "Container image \"%s\" is not present with pull policy of Never", image);
        if (!cstr_eq(s->reason, "ErrImageNeverPull")) {
            slot_event(s, "Warning", "ErrImageNeverPull", "%s", text);
            slot_event(s, "Warning", "Failed", "Error: ErrImageNeverPull");
        }
        slot_wait(s, "ErrImageNeverPull", text);
        try_later(s, CONFIG_RETRY_US);
        return;
    }
    int64_t wait = backoff_wait(&s->pull, now, s->pull.updated);
    if (wait > 0) {
        (void)snprintf(text, sizeof(text), "Back-off pulling image \"%s\"", image);
        if (!cstr_eq(s->reason, "ImagePullBackOff")) {
            slot_event(s, "Normal", "BackOff", "%s", text);
        }
        slot_wait(s, "ImagePullBackOff", text);
        try_later(s, wait);
        return;
    }
    backoff_next(&s->pull, now);
    (void)snprintf(text, sizeof(text),
                   "failed to pull image \"%s\": the image is not on this node, and registries are "
                   "not supported yet: import it (selvedge image import)",
                   image);
    slot_event(s, "Warning", "Failed", "Failed to pull image \"%s\": not on this node", image);
    slot_event(s, "Warning", "Failed", "Error: ErrImagePull");
    slot_wait(s, "ErrImagePull", text);
    try_later(s, IMAGE_RETRY_US);
}

/* 0, or the slot waits with a reason. */
static int find_image(struct slot *s, struct arena *a, struct image **ret)
{
    const char *name = json_path_cstr(s->spec, "image", "");
    char *normal = NULL, text[600];
    struct err err;
    if (image_name_normalise(a, name, &normal, &err) < 0) {
        (void)snprintf(text, sizeof(text), "Failed to apply default image tag \"%s\": %s", name,
                       err.text);
        if (!cstr_eq(s->reason, "InvalidImageName")) {
            slot_event(s, "Warning", "InspectFailed", "%s", text);
            slot_event(s, "Warning", "Failed", "Error: InvalidImageName");
        }
        slot_wait(s, "InvalidImageName", text);
        try_later(s, 6 * (int64_t)CONFIG_RETRY_US);
        return -E_INVAL;
    }
    int rc = images_find(runtime_images(s->pod->inf->runtime), name, a, ret, &err);
    if (rc == -E_NOENT) {
        image_missing(s);
    } else if (rc < 0) {
        slot_wait(s, "ImageInspectError", err.text);
        try_later(s, CONFIG_RETRY_US);
    }
    return rc;
}

static void config_failed(struct slot *s, const char *reason, const char *text)
{
    slot_event(s, "Warning", "Failed", "Error: %s", text);
    slot_wait(s, reason, text);
    try_later(s, CONFIG_RETRY_US);
}

static void op_begin(struct slot *s, runtime_done_fn *done)
{
    s->op = (struct runtime_op){.done = done, .arg = s};
    s->op_busy = true;
    infra_op_begin(s->pod->inf);
}

static struct slot *op_end(struct runtime_op *op)
{
    struct slot *s = op->arg;
    s->op_busy = false;
    infra_op_end(s->pod->inf);
    pod_wake(s->pod);
    return s;
}

static void prepared(struct runtime_op *op, int code)
{
    struct slot *s = op_end(op);
    slot_subpaths_free(TAKE_PTR(s->prepare));
    if (code < 0) {
        config_failed(s, "CreateContainerConfigError", op->err.text);
    }
    s->prepared = code == 0;
    sm_move(&s->sm, SLOT_WAITING);
}

static void started(struct runtime_op *op, int code)
{
    struct slot *s = op_end(op);
    if (code < 0) {
        slot_event(s, "Warning", "Failed", "Error: %s", op->err.text);
        sm_move(&s->sm, SLOT_EXITED);
        exited(s);
        return;
    }
    sm_move(&s->sm, SLOT_RUNNING);
    slot_event(s, "Normal", "Started", "Started container %s", s->name);
    if (s->attempt > 0) {
        metric_add(METRIC_CONTAINER_RESTARTS, 1);
    }
    s->started = !json_get(s->spec, "startupProbe") && !json_path(s->spec, "lifecycle.postStart");
    s->ready = s->started && !json_get(s->spec, "readinessProbe");
    if (s->exited_early) {
        sm_move(&s->sm, SLOT_EXITED);
        exited(s);
    } else if (s->stop_wanted) {
        slot_stop(s, s->stop_grace_us, "Stopping container");
    } else if (json_path(s->spec, "lifecycle.postStart")) {
        hook_post_start(s);
    } else {
        probes_start(s);
    }
}

/* The attempt before becomes history; the one before that is forgotten. */
static void turn_over(struct slot *s)
{
    if (!s->c) {
        return;
    }
    slot_forget(s, &s->previous);
    s->previous = TAKE_PTR(s->c);
    mem_free(s->last_message);
    s->last_message = TAKE_PTR(s->end_message);
}

static void create(struct slot *s, const struct container_config *config, const char *mark)
{
    struct err err;
    struct container *c = NULL;
    struct container_config numbered = *config;
    numbered.attempt = s->attempt + 1;
    int rc = container_new(s->pod->inf->runtime, &numbered, &c, &err);
    if (rc == -E_EXISTS) {
        s->attempt++; /* an earlier agent's, being removed: its number is not used again */
        try_later(s, IMAGE_RETRY_US);
        return;
    }
    if (rc < 0) {
        config_failed(s, "CreateContainerError", err.text);
        return;
    }
    if (s->c) {
        backoff_next(&s->crash, mono_now());
    }
    turn_over(s);
    s->c = c;
    s->attempt++;
    s->sandbox_began = true;
    s->released = s->stop_wanted = s->exited_early = s->prepared = false;
    s->started = s->ready = false;
    set_text(&s->spec_mark, mark);
    slot_resources_applied(s);
    container_on_exit(c, on_exit_cb, s);
    sm_move(&s->sm, SLOT_STARTING);
    slot_event(s, "Normal", "Created", "Created container: %s", s->name);
    op_begin(s, started);
    container_start(c, &s->op);
}

static int start_with(struct slot *s, struct arena *a, struct image *image)
{
    struct container_config config;
    const char *reason = "CreateContainerConfigError";
    struct err err;
    int rc = 0;
    void *subpaths = s->prepared ? NULL : slot_subpaths(s, a, &rc, &err);
    rc = rc < 0 ? rc : slot_config(s, a, image, &config, &reason, &err);
    if (rc < 0) {
        slot_subpaths_free(subpaths);
        config_failed(s, reason, err.text);
        return rc;
    }
    if (subpaths) {
        sm_move(&s->sm, SLOT_STARTING);
        s->prepare = subpaths;
        op_begin(s, prepared);
        runtime_work(s->pod->inf->runtime, slot_subpaths_work, subpaths, &s->op);
        return 0;
    }
    create(s, &config, pod_spec_mark(a, s->spec));
    return 0;
}

void slot_try_start(struct slot *s)
{
    struct arena a;
    struct image *image = NULL;
    if (s->op_busy || s->hook_busy || s->pod->inf->gc_busy) {
        return; /* its end wakes the pod */
    }
    if (mono_now().us < s->retry_at.us) {
        pod_wake_at(s->pod, s->retry_at);
        return;
    }
    if (backing_off(s)) {
        return;
    }
    bool told = s->reason && (cstr_eq(s->reason, "ErrImagePull") ||
                              cstr_eq(s->reason, "ImagePullBackOff") || s->prepared);
    arena_init(&a, 0);
    if (find_image(s, &a, &image) == 0) {
        if (!s->prepared && (told || !s->reason || cstr_eq(s->reason, "CrashLoopBackOff"))) {
            slot_event(s, "Normal", "Pulled", "Container image \"%s\" already present on machine",
                       json_path_cstr(s->spec, "image", ""));
        }
        (void)start_with(s, &a, image); /* a failure is told by the slot's reason */
    }
    arena_fini(&a);
}

/* ---- the end ---- */

/* What a container says of its end: its termination log, or the end of its log. */
static char *read_text(const char *path, size_t tail)
{
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    off_t from = size > (off_t)tail ? size - (off_t)tail : 0;
    char *text = size < 0 ? NULL : mem_zalloc(tail + 1);
    if (text && pread(fd, text, tail, from) < 0) {
        text[0] = '\0';
    }
    return text;
}

/* "<time> stdout F text" lines -> text, the last of it. */
static char *log_tail(const char *path)
{
    CLEANUP(mem_freep) char *raw = read_text(path, LOG_TAIL_MAX * 4);
    struct buf out = BUF_INIT;
    struct str rest = str_of(raw), line, field;
    while (rest.n > 0) {
        bool full = true;
        (void)str_cut(rest, '\n', &line, &rest); /* the last line may be cut */
        if (!str_cut(line, ' ', &field, &line) || !str_cut(line, ' ', &field, &line)) {
            continue;
        }
        full = str_starts(line, "F");
        if (str_cut(line, ' ', &field, &line)) {
            (void)buf_append_str(&out, line); /* sticky */
            (void)(full ? buf_putc(&out, '\n') : 0);
        }
    }
    if (buf_len(&out) > LOG_TAIL_MAX) {
        buf_consume(&out, buf_len(&out) - LOG_TAIL_MAX);
    }
    char *text = buf_take(&out, NULL);
    buf_fini(&out);
    return text;
}

static void read_message(struct slot *s)
{
    const struct container_status *st = container_status(s->c);
    struct arena a;
    arena_init(&a, 0);
    char *path = slot_termination_path(s, &a, st->attempt);
    mem_free(s->end_message);
    s->end_message = path ? read_text(path, MESSAGE_MAX) : NULL;
    bool fallback =
        cstr_eq(json_path_cstr(s->spec, "terminationMessagePolicy", ""), "FallbackToLogsOnError");
    if (fallback && st->exit_code != 0 && (!s->end_message || !*s->end_message) && st->log_path) {
        mem_free(s->end_message);
        s->end_message = log_tail(st->log_path);
    }
    arena_fini(&a);
}

static void release_done(struct runtime_op *op, int code)
{
    struct slot *s = op_end(op);
    s->released = true;
    if (code < 0) {
        log_warn("container %s of pod %s/%s: %s, ignoring", s->name, s->pod->ns, s->pod->name,
                 op->err.text);
    }
}

static void exited(struct slot *s)
{
    probes_stop(s);
    hook_cancel(s);
    s->ended = mono_now();
    s->started = s->ready = false;
    read_message(s);
    pod_wake(s->pod);
    if (!s->op_busy && container_status(s->c)->state == CONTAINER_EXITED) {
        op_begin(s, release_done);
        container_release(s->c, &s->op);
    }
}

static void on_exit_cb(void *arg, struct container *c)
{
    struct slot *s = arg;
    if (c != s->c) {
        return;
    }
    if (s->sm.state == SLOT_STARTING) {
        s->exited_early = true; /* the end of the start looks at it */
        return;
    }
    if (s->sm.state == SLOT_RUNNING || s->sm.state == SLOT_STOPPING) {
        sm_move(&s->sm, SLOT_EXITED);
        exited(s);
    }
}

/* ---- stopping ---- */

static int64_t stop_left(const struct slot *s)
{
    return s->stop_began.us + s->stop_grace_us - mono_now().us;
}

static void send_stop(struct slot *s)
{
    struct loose_op *o = loose_new(s->pod);
    int64_t least = s->stop_grace_us > 0 ? STOP_MIN_US : 0;
    if (!o) {
        (void)container_signal(s->c, 9); /* no memory for patience */
        return;
    }
    container_stop(s->c, 0, MAX_OF(stop_left(s), least), &o->op);
}

void slot_pre_stop_over(struct slot *s)
{
    if (s->sm.state == SLOT_STOPPING) {
        send_stop(s);
    }
}

static void shorten(struct slot *s, int64_t grace_us)
{
    if (grace_us >= stop_left(s)) {
        return;
    }
    s->stop_began = mono_now();
    s->stop_grace_us = grace_us;
    if (s->hook_busy) {
        hook_cancel(s);
    }
    send_stop(s);
}

void slot_stop(struct slot *s, int64_t grace_us, const char *why)
{
    switch ((enum slot_state)s->sm.state) {
    case SLOT_STARTING:
        s->stop_wanted = true;
        s->stop_grace_us = grace_us;
        return;
    case SLOT_STOPPING:
        shorten(s, grace_us + 1000000); /* a second of slack: the same wish is no new one */
        return;
    case SLOT_RUNNING:
        break;
    case SLOT_WAITING:
    case SLOT_EXITED:
    case SLOT_STATE_NR:
        return;
    }
    if (why) {
        slot_event(s, "Normal", "Killing", "%s %s", why, s->name);
    }
    probes_stop(s);
    hook_cancel(s); /* a postStart that has not ended */
    s->stop_began = mono_now();
    s->stop_grace_us = grace_us;
    sm_move(&s->sm, SLOT_STOPPING);
    pod_wake(s->pod);
    if (grace_us == 0 || !hook_pre_stop(s, grace_us)) {
        send_stop(s);
    }
}
