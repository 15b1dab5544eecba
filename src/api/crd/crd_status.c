/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The status of a definition: whether its names are its own (NamesAccepted), whether it is served
 * (Established), what it was accepted as, and in which versions objects may lie in the store
 * (apiextensions-apiserver's naming, establishing and approval controllers).
 *
 * Within a group, plurals, singulars and short names share one space of names, kinds and list kinds
 * another. Who has a name keeps it.
 */
#include "api/crd/crd_private.h"

#include "api/object.h"
#include "base/mem.h"

/* ---- names ---- */

static bool in_list(const char *const *list, const char *name)
{
    for (; *list; list++) {
        if (cstr_eq(*list, name)) {
            return true;
        }
    }
    return false;
}

static bool uses_resource(const struct crd_body *b, const char *name)
{
    return cstr_eq(b->plural, name) || cstr_eq(b->singular, name) || in_list(b->short_names, name);
}

static bool uses_kind(const struct crd_body *b, const char *name)
{
    return cstr_eq(b->kind, name) || cstr_eq(b->list_kind, name);
}

static bool taken(const struct crd *crd, const struct crd_body *b, const char *name,
                  bool (*uses)(const struct crd_body *b, const char *name))
{
    MAP_FOR_EACH (slot, &crd->set->all) {
        const struct crd *other = slot->value;
        if (other != crd && other->shown && cstr_eq(other->shown->group, b->group) &&
            uses(other->shown, name)) {
            return true;
        }
    }
    return false;
}

/* The reason of the last conflict in the order of the names, with its message; NULL when all are
 * free. */
static const char *conflict(struct arena *a, const struct crd *crd, const struct crd_body *b,
                            const char **ret_message)
{
    const struct {
        const char *reason, *name;
        bool (*uses)(const struct crd_body *b, const char *name);
    } names[] = {{"ListKindConflict", b->list_kind, uses_kind},
                 {"KindConflict", b->kind, uses_kind},
                 {"ShortNamesConflict", NULL, uses_resource},
                 {"SingularConflict", b->singular, uses_resource},
                 {"PluralConflict", b->plural, uses_resource}};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const char *one[] = {names[i].name, NULL};
        for (const char *const *n = names[i].name ? one : b->short_names; *n; n++) {
            if (taken(crd, b, *n, names[i].uses)) {
                *ret_message = arena_printf(a, "\"%s\" is already in use", *n);
                return names[i].reason;
            }
        }
    }
    return NULL;
}

/* ---- the status ---- */

static void set_names(struct json *status, const struct json *names)
{
    static const char *const order[] = {"plural", "singular", "shortNames",
                                        "kind",   "listKind", "categories"};
    struct json *out = json_object(status->arena);
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        json_set(out, order[i], json_clone(status->arena, json_get(names, order[i])));
    }
    json_set(status, "acceptedNames", out);
}

static void add_stored_version(struct json *status, const char *version)
{
    struct json *list = json_ensure_array(status, "storedVersions");
    JSON_FOR_EACH (v, list) {
        if (cstr_eq(json_cstr(v, ""), version)) {
            return;
        }
    }
    json_push(list, json_string(status->arena, version));
}

static bool is_protected(const char *group)
{
    struct str g = str_of(group);
    return str_is(g, "k8s.io") || str_ends(g, ".k8s.io") || str_is(g, "kubernetes.io") ||
           str_ends(g, ".kubernetes.io");
}

static void approval(const struct crd_body *b, struct json *obj)
{
    const char *value = obj_annotation(obj, "api-approved.kubernetes.io");
    struct str v = str_of(value);
    if (!is_protected(b->group)) {
        return;
    }
    if (str_starts(v, "unapproved")) {
        const char *message =
            arena_printf(obj->arena, "not approved: \"api-approved.kubernetes.io\": \"%s\"", value);
        (void)obj_condition_set(obj, "KubernetesAPIApprovalPolicyConformant", "False",
                                "UnapprovedAnnotation", message ? message : "", wall_now());
        return;
    }
    const char *message = arena_printf(obj->arena, "approved in %s", value);
    (void)obj_condition_set(obj, "KubernetesAPIApprovalPolicyConformant", "True",
                            "ApprovedAnnotation", message ? message : "", wall_now());
}

static void conditions(struct crd *crd, const struct crd_body *b, struct json *obj)
{
    const char *message = "no conflicts found";
    struct wall now = wall_now();
    bool had = crd->shown != NULL;
    bool same = json_equal(json_path(obj, "spec.names"), json_path(obj, "status.acceptedNames"));
    bool own = obj_condition_true(obj, "NamesAccepted") && same;
    const char *reason = own ? NULL : conflict(obj->arena, crd, b, &message);
    (void)obj_condition_set(obj, "NamesAccepted", reason ? "False" : "True",
                            reason ? reason : "NoConflicts", message, now);
    crd->accepted = !reason;
    if (!reason) {
        (void)obj_condition_set(obj, "Established", "True", "InitialNamesAccepted",
                                "the initial names have been accepted", now);
    } else if (!had) {
        (void)obj_condition_set(obj, "Established", "False", "NotAccepted",
                                "not all names are accepted", now);
    }
}

bool crd_status_decide(struct crd *crd, const struct crd_body *b, struct json *obj)
{
    struct arena *a = obj->arena;
    const struct json *before = json_clone(a, json_get(obj, "status"));
    struct json *status = json_ensure_object(obj, "status");
    (void)json_ensure_array(status, "conditions");
    conditions(crd, b, obj);
    approval(b, obj);
    if (crd->accepted) {
        set_names(status, json_path(obj, "spec.names"));
    }
    add_stored_version(status, b->versions[b->storage].name);
    return !arena_failed(a) && !(before && json_equal(before, status));
}
