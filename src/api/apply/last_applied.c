/* SPDX-License-Identifier: Apache-2.0 */
/* Between client-side and server-side apply: see last_applied.h. */
#include "api/apply/last_applied.h"

#include "api/apply/field_set.h"
#include "api/apply/walk.h"
#include "api/object.h"
#include "base/mem.h"

#define ANNOTATIONS_BYTES ((size_t)256 * 1024)

static bool concerns(const struct apply_request *r)
{
    return cstr_eq(r->manager, "kubectl") && !*r->subresource;
}

/* Kubernetes' limit of all annotations together; what does not fit is not kept. */
static bool fits(const struct json *annotations)
{
    size_t size = 0;
    JSON_FOR_EACH_MEMBER (m, annotations) {
        size += m->key_n + json_text(m->value).n;
    }
    return size <= ANNOTATIONS_BYTES;
}

static struct json *annotation_of(const struct json *obj)
{
    return json_get(json_path(obj, "metadata.annotations"), LAST_APPLIED_ANNOTATION);
}

struct json *last_applied_allowed(struct arena *a, const struct apply_request *r,
                                  const struct json *live)
{
    const struct json *text = annotation_of(live);
    struct json *applied = NULL, *named = NULL;
    struct walk_difference d;
    struct err ignored = {0};
    if (!concerns(r) || !json_is(text, JSON_STRING) ||
        json_parse(a, json_text(text), NULL, &applied, NULL) < 0 ||
        !json_is(applied, JSON_OBJECT) || !cstr_eq(obj_api_version(applied), r->api_version) ||
        walk_applied_set(a, r->kind, applied, &named, &ignored) < 0) {
        return NULL;
    }
    walk_compare(a, r->kind, applied, live, &d);
    struct json *changed = set_union(a, set_union(a, d.added, d.modified), d.removed);
    return set_difference(a, named, changed);
}

void last_applied_sync(struct arena *a, const struct apply_request *r, const struct json *config,
                       struct json *obj)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    if (!concerns(r) || !annotation_of(obj)) {
        return;
    }
    struct json *copy = json_clone(a, config);
    struct json *annotations = json_path(copy, "metadata.annotations");
    (void)json_del(annotations, LAST_APPLIED_ANNOTATION);
    if (json_print(&b, copy) < 0 || buf_puts(&b, "\n") < 0) {
        return; /* short of memory the annotation stays as it was, which is only less helpful */
    }
    annotations = json_path(obj, "metadata.annotations");
    json_set_str(annotations, LAST_APPLIED_ANNOTATION, arena_str(a, buf_str(&b)));
    if (!fits(annotations)) {
        (void)json_del(annotations, LAST_APPLIED_ANNOTATION);
    }
}
