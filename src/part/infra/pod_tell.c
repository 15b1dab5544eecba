/* SPDX-License-Identifier: Apache-2.0 */
/* Tells how a pod is: gathers the facts of its containers and hands the status to the replica,
 * which writes it only when it differs. */
#include "api/object.h"
#include "infra_private.h"

static const char *container_id(struct infra *inf, struct arena *a,
                                const struct container_status *st)
{
    return arena_printf(a, "%s://%s", runtime_name(inf->runtime), st->id);
}

struct fact_end slot_end(struct infra *inf, struct arena *a, struct container *c,
                         const char *message)
{
    const struct container_status *st = c ? container_status(c) : NULL;
    if (!st || (st->state != CONTAINER_EXITED && st->state != CONTAINER_RELEASED)) {
        return (struct fact_end){0};
    }
    const char *reason = st->oom_killed ? "OOMKilled" : st->reason;
    if (!reason || !*reason) {
        reason = st->exit_code == 0 ? "Completed" : "Error";
    }
    return (struct fact_end){
        .valid = true,
        .exit_code = st->exit_code,
        .reason = st->started ? reason : "StartError",
        .message = message && *message ? message
                   : st->started       ? NULL
                                       : st->message,
        .container_id = container_id(inf, a, st),
        .started_at = st->started_at,
        .finished_at = st->finished_at,
    };
}

static const char *default_reason(const struct pod *p)
{
    return json_len(json_path(p->obj, "spec.initContainers")) > 0 ? "PodInitializing"
                                                                  : "ContainerCreating";
}

/* A slot that waits to run again shows its last end; one that was never tried shows nothing. */
static void slot_facts(struct slot *s, struct arena *a, struct fact_slot *f)
{
    struct infra *inf = s->pod->inf;
    /* A start that is under way shows what was before: it has its own words when it is done. */
    struct container *shown = s->sm.state == SLOT_STARTING ? s->previous : s->c;
    const struct container_status *st = shown ? container_status(shown) : NULL;
    *f = (struct fact_slot){
        .spec = s->spec,
        .init = s->init,
        .sidecar = s->sidecar,
        .ephemeral = s->ephemeral,
        .applied = s->applied,
        .image = st ? st->image_name : NULL,
        .image_id = st ? st->image_id : NULL,
        .container_id = st ? container_id(inf, a, st) : NULL,
        .restart_count = st ? st->attempt : 0,
    };
    switch ((enum slot_state)s->sm.state) {
    case SLOT_RUNNING:
    case SLOT_STOPPING:
        f->state = FACT_RUNNING;
        f->started_at = st ? st->started_at : (struct wall){0};
        f->started = s->started;
        f->ready = s->ready && s->sm.state == SLOT_RUNNING;
        f->last = slot_end(inf, a, s->previous, s->last_message);
        break;
    case SLOT_EXITED:
        f->state = FACT_TERMINATED;
        f->end = slot_end(inf, a, s->c, s->end_message);
        f->ready = s->init && !s->sidecar && f->end.exit_code == 0;
        f->last = slot_end(inf, a, s->previous, s->last_message);
        break;
    case SLOT_STARTING:
    case SLOT_WAITING:
    case SLOT_STATE_NR:
        f->state = FACT_WAITING;
        f->reason = s->reason ? s->reason : default_reason(s->pod);
        f->message = s->reason ? s->message : NULL;
        f->last = slot_end(inf, a, shown, shown == s->c ? s->end_message : s->last_message);
        break;
    }
}

static bool is_last_word(const struct pod *p)
{
    for (size_t i = 0; i < p->n_slots; i++) {
        if (slot_alive(p->slots[i])) {
            return false;
        }
    }
    return p->sm.state == POD_STOPPING;
}

void pod_tell(struct pod *p)
{
    struct arena a;
    struct err err;
    if (!p->obj || p->orphan || p->told_end || !p->slots) {
        return;
    }
    arena_init(&a, 0);
    struct fact_slot *slots = arena_zalloc(&a, (p->n_slots + 1) * sizeof(*slots));
    for (size_t i = 0; slots && i < p->n_slots; i++) {
        slot_facts(p->slots[i], &a, &slots[i]);
    }
    struct fact_pod f = {
        .pod = p->obj,
        .slots = slots,
        .n_slots = p->n_slots,
        .pod_ips = p->ips,
        .host_ip = p->inf->node_ip,
        .start_time = p->start_time,
        .sandbox_ready = p->sandbox_ready,
        .failed = p->failed,
        .ended = is_last_word(p) && obj_deleting(p->obj),
        .reason = p->fail_reason,
        .message = p->fail_message,
        .resize = p->resize,
    };
    struct json *status = slots ? pod_status_make(&a, &f, wall_now()) : NULL;
    int rc = status
                 ? replica_set_status(p->inf->replica, "pods", p->ns, p->name, p->uid, status, &err)
                 : err_sys(&err, -ENOMEM, "make the status");
    if (rc < 0 && rc != -E_NOENT) {
        log_warn("pod %s/%s: %s; trying again", p->ns, p->name, err.text);
        pod_wake_at(p, (struct mono){mono_now().us + 1000000});
    }
    arena_fini(&a);
}
