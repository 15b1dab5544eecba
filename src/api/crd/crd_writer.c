/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server writes about a definition: its status, the deletion of its objects, and the end
 * of its finalizer. One operation at a time for each definition; when it is done, the definition is
 * looked at anew, which leads to the next step.
 *
 *     deletionTimestamp -> status Terminating -> delete objects, a batch at a time -> no finalizer
 */
#include "api/crd/crd_private.h"

#include "api/object.h"
#include "api/server_private.h"
#include "base/log.h"
#include "base/mem.h"

#define BATCH 200
#define RETRY_MS 500

struct crd_writer {
    struct crd *crd;
    struct arena arena;
    struct handler_op op;
    size_t objects; /* that there were before a batch */
};

static const char *const groups[] = {"system:masters", NULL};
static const struct api_user writer_user = {.name = "system:apiserver", .groups = groups};

static size_t objects_of(struct crd *crd)
{
    struct arena a;
    size_t n = 0;
    arena_init(&a, 0);
    const char *prefix = arena_printf(&a, "%s/", crd->name);
    if (prefix) {
        n = store_count(crd->set->store, str_of(prefix));
    }
    arena_fini(&a);
    return n;
}

static void writer_free(struct crd_writer *w)
{
    w->crd->writer = NULL;
    arena_fini(&w->arena);
    mem_free(w);
}

void crd_writer_stop(struct crd *crd)
{
    if (crd->writer) {
        handler_cancel(&crd->writer->op);
        writer_free(crd->writer);
    }
}

/* The timer looks again: never inside the operation's own end. */
static void done(struct handler_op *op)
{
    struct crd_writer *w = op->arg;
    struct crd *crd = w->crd;
    bool collection = op->verb == HANDLER_DELETE_COLLECTION;
    bool stuck = collection && objects_of(crd) >= w->objects;
    bool failed = op->http >= 300 && op->http != 409 && op->http != 404;
    if (failed) {
        log_warn("custom kind '%s': %s, trying again", crd->name,
                 json_path_cstr(op->result, "message", "out of memory"));
    }
    handler_fini(op);
    writer_free(w);
    io_timer_start(&crd->retry, failed || stuck ? RETRY_MS : 0, 0);
}

static struct crd_writer *writer_new(struct crd *crd)
{
    struct crd_writer *w = crd->writer ? NULL : mem_zalloc(sizeof(*w));
    if (!w) {
        return NULL; /* one is under way: its end looks again; or no memory: the next change does */
    }
    w->crd = crd;
    arena_init(&w->arena, 0);
    crd->writer = w;
    w->op = (struct handler_op){.server = crd->set->server,
                                .arena = &w->arena,
                                .user = &writer_user,
                                .ns = "",
                                .done = done,
                                .arg = w};
    return w;
}

static void write_definition(struct crd *crd, const struct json *obj, const char *sub)
{
    struct crd_writer *w = writer_new(crd);
    if (!w) {
        return;
    }
    w->op.verb = HANDLER_UPDATE;
    w->op.kind = kind_find("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    w->op.sub = sub ? kind_subresource(w->op.kind, sub) : NULL;
    w->op.name = arena_strdup(&w->arena, crd->name);
    w->op.body = json_clone(&w->arena, obj);
    if (arena_failed(&w->arena)) {
        writer_free(w);
        io_timer_start(&crd->retry, RETRY_MS, 0);
        return;
    }
    handler_run(&w->op);
}

void crd_writer_status(struct crd *crd, const struct json *obj)
{
    write_definition(crd, obj, "status");
}

static void delete_objects(struct crd *crd, size_t n)
{
    struct crd_writer *w = writer_new(crd);
    if (!w) {
        return;
    }
    w->objects = n;
    w->op.verb = HANDLER_DELETE_COLLECTION;
    w->op.kind = crd->shown->kinds[crd->shown->storage];
    w->op.name = "";
    w->op.opt.limit = BATCH;
    handler_run(&w->op);
}

void crd_writer_clean(struct crd *crd, struct json *obj)
{
    struct wall now = wall_now();
    size_t n = crd->shown ? objects_of(crd) : 0;
    if (!obj_has_finalizer(obj, CRD_FINALIZER)) {
        return;
    }
    if (n == 0) {
        (void)obj_del_finalizer(obj, CRD_FINALIZER);
        write_definition(crd, obj, NULL);
        return;
    }
    if (obj_condition_set(obj, "Terminating", "True", "InstanceDeletionInProgress",
                          "CustomResource deletion is in progress", now)) {
        crd_writer_status(crd, obj);
    } else {
        delete_objects(crd, n);
    }
}
