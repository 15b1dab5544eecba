/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removal of what the image store holds in vain: layers and documents that no name and no container
 * refers to, at any time; and, when the disk is fuller than the high threshold, names of images
 * that no pod here wants, until it would be below the low one.
 *
 * No container starts while it works (inf->gc_busy), so what it removes cannot come into use.
 */
#include "infra_private.h"

#define FIRST_MS 60000
#define EVERY_MS 300000
#define SETTLE_MS 2000

struct image_gc {
    struct runtime_op op;
    struct infra *inf;
    struct arena arena;
    const char *const *keep;
    const char **drop; /* names, NULL-terminated */
    size_t n_drop;
    int64_t freed;
};

/* ---- which names may go ---- */

static bool same_image(struct arena *a, const char *spec, const char *name)
{
    char *normal = NULL;
    return image_name_normalise(a, spec, &normal, NULL) == 0 && cstr_eq(normal, name);
}

static bool wanted(struct infra *inf, struct arena *a, const struct image *image)
{
    MAP_FOR_EACH (slot, &inf->pods) {
        const struct pod *p = slot->value;
        for (size_t i = 0; i < p->n_slots; i++) {
            const char *spec = json_path_cstr(p->slots[i]->spec, "image", "");
            if (cstr_eq(spec, image->id)) {
                return true;
            }
            for (size_t k = 0; image->names[k]; k++) {
                if (same_image(a, spec, image->names[k])) {
                    return true;
                }
            }
        }
    }
    return false;
}

/* Bytes that must go to come below the low threshold; 0 while the high one is not reached. */
static int64_t surplus(const struct infra *inf)
{
    struct hostinfo_pressure p;
    if (hostinfo_pressure(inf->state_dir, &p, NULL) < 0 || p.disk_size <= 0) {
        return 0;
    }
    int64_t used = p.disk_size - p.disk_available;
    if (used / (p.disk_size / 100 + 1) < inf->gc_high) {
        return 0;
    }
    return MAX_OF(used - p.disk_size / 100 * inf->gc_low, (int64_t)0);
}

static void choose_names(struct image_gc *g)
{
    struct image **list = NULL;
    size_t n = 0, names = 0;
    int64_t need = surplus(g->inf);
    if (need == 0 || images_list(runtime_images(g->inf->runtime), &g->arena, &list, &n, NULL) < 0) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; list[i]->names[k]; k++) {
            names++;
        }
    }
    g->drop = arena_zalloc(&g->arena, (names + 1) * sizeof(*g->drop));
    for (size_t i = 0; i < n && need > 0 && g->drop; i++) {
        if (wanted(g->inf, &g->arena, list[i])) {
            continue;
        }
        need -= list[i]->size;
        for (size_t k = 0; list[i]->names[k]; k++) {
            g->drop[g->n_drop++] = list[i]->names[k];
        }
    }
}

/* ---- the work ---- */

/* In a pool thread, with a handle of its own. */
static int work(void *arg, struct err *err)
{
    struct image_gc *g = arg;
    struct images *images = NULL;
    int rc = images_open(images_root(runtime_images(g->inf->runtime)), &images, err);
    for (size_t i = 0; rc == 0 && i < g->n_drop; i++) {
        rc = images_untag(images, g->drop[i], err);
        rc = rc == -E_NOENT ? 0 : rc; /* somebody else took it away */
    }
    rc = rc < 0 ? rc : images_gc(images, g->keep, &g->freed, err);
    images_close(images);
    return rc;
}

static void done(struct runtime_op *op, int code)
{
    struct image_gc *g = op->arg;
    struct infra *inf = g->inf;
    inf->gc_busy = false;
    infra_op_end(inf);
    if (code < 0) {
        log_warn("image garbage: %s, ignoring until the next time", op->err.text);
    } else if (g->n_drop > 0 || g->freed > 0) {
        log_info("image garbage: %zu names and %lld bytes are removed", g->n_drop,
                 (long long)g->freed);
    }
    if (g->n_drop > 0) {
        node_agent_changed(inf);
    }
    MAP_FOR_EACH (slot, &inf->pods) {
        pod_wake(slot->value); /* a start may have waited */
    }
    arena_fini(&g->arena);
    mem_free(g);
}

/* Starts under way use layers that no record names yet. */
static bool starting(const struct infra *inf)
{
    bool any = !inf->ready;
    MAP_FOR_EACH (slot, &inf->pods) {
        const struct pod *p = slot->value;
        for (size_t i = 0; i < p->n_slots; i++) {
            any |= p->slots[i]->sm.state == SLOT_STARTING;
        }
    }
    return any;
}

static void run(void *arg)
{
    struct infra *inf = arg;
    struct err err;
    if (inf->stopping || inf->gc_busy) {
        return;
    }
    if (starting(inf)) {
        io_timer_start(&inf->gc_timer, SETTLE_MS, EVERY_MS);
        return;
    }
    struct image_gc *g = mem_zalloc(sizeof(*g));
    if (!g) {
        return; /* the next time */
    }
    arena_init(&g->arena, 0);
    g->inf = inf;
    choose_names(g);
    if (container_layers_in_use(inf->runtime, &g->arena, &g->keep, &err) < 0) {
        log_warn("image garbage: %s, ignoring until the next time", err.text);
        arena_fini(&g->arena);
        mem_free(g);
        return;
    }
    g->op = (struct runtime_op){.done = done, .arg = g};
    inf->gc_busy = true;
    infra_op_begin(inf);
    runtime_work(inf->runtime, work, g, &g->op);
}

void image_gc_start(struct infra *inf)
{
    io_timer_init(inf->loop, &inf->gc_timer, run, inf);
    io_timer_start(&inf->gc_timer, FIRST_MS, EVERY_MS);
}

void image_gc_soon(struct infra *inf)
{
    io_timer_start(&inf->gc_timer, SETTLE_MS, EVERY_MS);
}

void image_gc_stop(struct infra *inf)
{
    io_timer_stop(&inf->gc_timer);
}
