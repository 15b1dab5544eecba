/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.json: one container as it is known on the disk. Written whole (tmp + rename) but not
 * synced: kill -9 of the agent loses nothing, and after a power cut no container runs anyway.
 *
 * {"version":1,"id":"<64
 * hex>","podUID":...,"podNamespace":...,"podName":...,"name":...,"attempt":0,
 *  "imageName":...,"imageID":...,"imageDigest":...,"layers":[...],"cgroup":...,"logPath":...,"note":...,
 *  "tty":false,"stdin":false,"stopSignal":15,"state":"running","pid":1,"pidStart":1,"conmonPid":1,"conmonStart":1,
 *  "started":true,"exitCode":0,"oomKilled":false,"reason":"","message":"","createdAt":us,"startedAt":us,
 *  "finishedAt":us}
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "runtime/container_private.h"
#include "runtime/fs.h"

#define RECORD_MAX ((size_t)1 << 20)

static const struct sm_state states[CONTAINER_STATE_NR] = {
    [CONTAINER_NEW] = {"new", SM_TO(CONTAINER_STARTING) | SM_TO(CONTAINER_RUNNING) |
                                  SM_TO(CONTAINER_EXITED) | SM_TO(CONTAINER_RELEASED)},
    [CONTAINER_STARTING] = {"starting", SM_TO(CONTAINER_RUNNING) | SM_TO(CONTAINER_EXITED)},
    [CONTAINER_RUNNING] = {"running", SM_TO(CONTAINER_EXITED)},
    [CONTAINER_EXITED] = {"exited", SM_TO(CONTAINER_RELEASED)},
    [CONTAINER_RELEASED] = {"released", 0},
};

struct container *container_alloc(struct runtime *rt)
{
    struct container *c = mem_zalloc(sizeof(*c));
    if (c) {
        c->magic = CONTAINER_MAGIC;
        c->rt = rt;
        arena_init(&c->a, 0);
        list_init(&c->stops);
        list_init(&c->releases);
        c->kill_at_ms = INT64_MAX;
        sm_init(&c->sm, states, CONTAINER_STATE_NR, CONTAINER_NEW, "container");
    }
    return c;
}

void container_free(struct container *c)
{
    if (!c) {
        return;
    }
    conmon_cancel(c->starting);
    io_run_cancel(c->run);
    io_pidwatch_close(c->watch);
    io_pidwatch_close(c->conmon_watch);
    io_timer_stop(&c->stop_timer);
    c->magic = 0;
    arena_fini(&c->a);
    mem_free(c);
}

/* ---- writing ---- */

static struct json *to_json(const struct container *c, struct arena *a)
{
    const struct container_status *s = &c->st;
    struct json *j = json_object(a);
    json_set_int(j, "version", 1);
    json_set_str(j, "id", c->id);
    json_set_str(j, "podUID", s->pod_uid);
    json_set_str(j, "podNamespace", s->pod_namespace);
    json_set_str(j, "podName", s->pod_name);
    json_set_str(j, "name", s->name);
    json_set_int(j, "attempt", s->attempt);
    json_set_str(j, "imageName", s->image_name);
    json_set_str(j, "imageID", s->image_id);
    json_set_str(j, "imageDigest", s->image_digest);
    struct json *layers = json_ensure_array(j, "layers");
    for (size_t i = 0; c->layers && c->layers[i]; i++) {
        json_push(layers, json_string(a, c->layers[i]));
    }
    json_set_str(j, "cgroup", c->cgroup);
    json_set_str(j, "logPath", s->log_path);
    json_set_str(j, "note", c->note);
    json_set_bool(j, "tty", c->tty);
    json_set_bool(j, "stdin", c->stdin_open);
    json_set_bool(j, "stdinOnce", c->stdin_once);
    json_set_int(j, "stopSignal", c->stop_signal);
    json_set_str(j, "state", sm_name(&c->sm));
    json_set_int(j, "pid", s->pid);
    json_set_int(j, "pidStart", (int64_t)c->pid_start);
    json_set_int(j, "conmonPid", c->conmon_pid);
    json_set_int(j, "conmonStart", (int64_t)c->conmon_start_time);
    json_set_bool(j, "started", s->started);
    json_set_int(j, "exitCode", s->exit_code);
    json_set_bool(j, "oomKilled", s->oom_killed);
    json_set_str(j, "reason", s->reason);
    json_set_str(j, "message", s->message);
    json_set_int(j, "createdAt", s->created_at.us);
    json_set_int(j, "startedAt", s->started_at.us);
    json_set_int(j, "finishedAt", s->finished_at.us);
    return j;
}

int record_write(struct container *c, struct err *err)
{
    struct arena a;
    arena_init(&a, 0);
    char *path = fs_join(&a, c->bundle, "record.json");
    struct json *j = to_json(c, &a);
    int r = arena_failed(&a) ? err_set(err, -ENOMEM, "out of memory")
                             : fs_write_json(path, j, 0600, err);
    arena_fini(&a);
    return r;
}

/* ---- reading ---- */

static const char *text_of(struct container *c, const struct json *j, const char *key)
{
    return arena_strdup(&c->a, json_cstr(json_get(j, key), ""));
}

static int64_t number_of(const struct json *j, const char *key)
{
    return json_i64(json_get(j, key), 0);
}

static void load_layers(struct container *c, const struct json *list)
{
    size_t i = 0;
    const char **layers = arena_zalloc(&c->a, (json_len(list) + 1) * sizeof(*layers));
    JSON_FOR_EACH (item, list) {
        if (layers && json_cstr(item, NULL)) {
            layers[i++] = arena_strdup(&c->a, json_cstr(item, NULL));
        }
    }
    c->layers = layers;
}

static int load_state(struct container *c, const struct json *j)
{
    const char *name = json_cstr(json_get(j, "state"), "");
    for (int i = 0; i < CONTAINER_STATE_NR; i++) {
        if (cstr_eq(states[i].name, name)) {
            sm_init(&c->sm, states, CONTAINER_STATE_NR, i, c->id);
            c->st.state = (enum container_state)i;
            return 0;
        }
    }
    return -E_INVAL;
}

static int from_json(struct container *c, const struct json *j, struct err *err)
{
    struct container_status *s = &c->st;
    if (number_of(j, "version") != 1 ||
        !cstr_copy(c->id, sizeof(c->id), json_cstr(json_get(j, "id"), "")) ||
        strlen(c->id) != CONTAINER_ID_SIZE - 1 || load_state(c, j) < 0) {
        return err_set(err, -E_INVAL, "%s/record.json does not fit", c->bundle);
    }
    s->id = c->id;
    s->pod_uid = text_of(c, j, "podUID");
    s->pod_namespace = text_of(c, j, "podNamespace");
    s->pod_name = text_of(c, j, "podName");
    s->name = text_of(c, j, "name");
    s->attempt = (int)number_of(j, "attempt");
    s->image_name = text_of(c, j, "imageName");
    s->image_id = text_of(c, j, "imageID");
    s->image_digest = text_of(c, j, "imageDigest");
    load_layers(c, json_get(j, "layers"));
    c->cgroup = (char *)(uintptr_t)text_of(c, j, "cgroup");
    s->log_path = text_of(c, j, "logPath");
    c->note = arena_strdup(&c->a, json_cstr(json_get(j, "note"), NULL));
    c->tty = json_true(json_get(j, "tty"), false);
    c->stdin_open = json_true(json_get(j, "stdin"), false);
    c->stdin_once = json_true(json_get(j, "stdinOnce"), false);
    c->stop_signal = (int)number_of(j, "stopSignal");
    s->pid = (pid_t)number_of(j, "pid");
    c->pid_start = (uint64_t)number_of(j, "pidStart");
    c->conmon_pid = (pid_t)number_of(j, "conmonPid");
    c->conmon_start_time = (uint64_t)number_of(j, "conmonStart");
    s->started = json_true(json_get(j, "started"), false);
    s->exit_code = (int)number_of(j, "exitCode");
    s->oom_killed = json_true(json_get(j, "oomKilled"), false);
    s->reason = text_of(c, j, "reason");
    s->message = text_of(c, j, "message");
    s->created_at.us = number_of(j, "createdAt");
    s->started_at.us = number_of(j, "startedAt");
    s->finished_at.us = number_of(j, "finishedAt");
    return arena_failed(&c->a) ? err_set(err, -ENOMEM, "out of memory") : 0;
}

int record_load(struct runtime *rt, const char *bundle, struct container **ret, struct err *err)
{
    struct arena a;
    struct json *j = NULL;
    struct container *c = container_alloc(rt);
    if (!c || !(c->bundle = arena_strdup(&c->a, bundle))) {
        container_free(c);
        return err_set(err, -ENOMEM, "out of memory");
    }
    arena_init(&a, 0);
    char *path = fs_join(&a, bundle, "record.json");
    int r =
        path ? fs_read_json(&a, path, RECORD_MAX, &j, err) : err_set(err, -ENOMEM, "out of memory");
    r = r == 0 ? from_json(c, j, err) : r;
    arena_fini(&a);
    if (r < 0) {
        container_free(c);
        return r;
    }
    *ret = c;
    return 0;
}
