/* SPDX-License-Identifier: Apache-2.0 */
/* Paths and queries: see route.h. */
#include "api/route.h"

#include "base/encode.h"
#include "base/mem.h"
#include "net/http.h"

#define SEGMENTS_MAX 9

struct segments {
    const char *s[SEGMENTS_MAX + 1];    /* "" after the last */
    struct str after[SEGMENTS_MAX + 1]; /* the path behind it, as received, with its '/' */
    size_t n;
};

static int split(struct arena *a, struct str path, struct segments *out)
{
    const char *end = path.p + path.n;
    *out = (struct segments){0};
    while (path.n) {
        struct str head;
        (void)str_cut(path, '/', &head, &path);
        if (head.n == 0) {
            continue; /* Go's mux cleans double slashes, too */
        }
        if (out->n == SEGMENTS_MAX) {
            out->n++;
            return 0;
        }
        if (memchr(head.p, '\0', head.n)) {
            return -E_INVAL;
        }
        bool plain = memchr(head.p, '%', head.n) == NULL;
        const char *s = plain ? arena_strndup(a, head.p, head.n) : percent_decode(a, head, false);
        if (!s) {
            return arena_failed(a) ? -E_NOMEM : -E_INVAL;
        }
        out->after[out->n] = str_n(head.p + head.n, (size_t)(end - head.p) - head.n);
        out->s[out->n++] = s;
    }
    for (size_t i = out->n; i <= SEGMENTS_MAX; i++) {
        out->s[i] = "";
    }
    return 0;
}

/* Kinds are few, and lists of versions shorter: a walk is quick enough. */
static bool group_known(const char *group, const char *version)
{
    size_t n;
    const struct kind *const *all = kinds_all(&n);
    for (size_t i = 0; i < n; i++) {
        if (cstr_eq(all[i]->group, group) && (!version || cstr_eq(all[i]->version, version))) {
            return true;
        }
    }
    return false;
}

/* What comes after the version: [namespaces NS] RESOURCE [NAME [SUBRESOURCE]]; only "proxy" takes
 * more. */
static void resource_parse(const struct segments *seg, size_t at, struct route *r)
{
    const char *const *s = seg->s + at;
    size_t n = seg->n - at;
    r->type = ROUTE_NO_RESOURCE;
    if (n > 0 && cstr_eq(s[0], "watch")) {
        r->watch = true;
        s++;
        n--;
    }
    bool core = !*r->group;
    bool of_namespace = n == 3 && core && (cstr_eq(s[2], "status") || cstr_eq(s[2], "finalize"));
    if (n > 2 && cstr_eq(s[0], "namespaces") && !of_namespace) {
        r->ns = s[1];
        s += 2;
        n -= 2;
    }
    if (n == 0 || (n > 3 && !cstr_eq(s[2], "proxy"))) {
        return;
    }
    const struct kind *k = kind_find(r->group, r->version, s[0]);
    if (!k || (!k->namespaced && *r->ns)) {
        return;
    }
    if (k->namespaced && n > 1 && !*r->ns) {
        return; /* a name without its namespace */
    }
    r->name = n > 1 ? s[1] : "";
    r->subresource = n > 2 ? s[2] : "";
    if (n > 2) {
        r->sub = kind_subresource(k, s[2]);
        if (!r->sub) {
            return;
        }
        r->tail = seg->after[(size_t)(s - seg->s) + 2];
    }
    r->kind = k;
    r->type = ROUTE_RESOURCE;
}

int route_parse(struct arena *a, struct str path, struct route *ret)
{
    struct segments seg;
    struct route r = {
        .type = ROUTE_OTHER, .group = "", .version = "", .ns = "", .name = "", .subresource = ""};
    *ret = r;
    if (!str_starts(path, "/api")) {
        return 0;
    }
    int code = split(a, path, &seg);
    if (code < 0) {
        return code;
    }
    size_t at;
    if (cstr_eq(seg.s[0], "api")) {
        at = 2;
        r.version = seg.s[1];
    } else if (cstr_eq(seg.s[0], "apis")) {
        at = 3;
        r.group = seg.s[1];
        r.version = seg.s[2];
    } else {
        return 0;
    }
    if (seg.n == 1) {
        r.type = at == 2 ? ROUTE_API : ROUTE_APIS;
    } else if ((at == 3 && !*r.group) || !group_known(r.group, NULL)) {
        r.type = ROUTE_OTHER;
    } else if (seg.n < at) {
        r.type = ROUTE_GROUP;
    } else if (!group_known(r.group, r.version)) {
        r.type = ROUTE_OTHER;
    } else if (seg.n == at) {
        r.type = ROUTE_GROUP_VERSION;
    } else {
        resource_parse(&seg, at, &r);
    }
    *ret = r;
    return 0;
}

/* ---- the query ---- */

static int bad(struct err *err, const char *name, const char *value, const char *why)
{
    return err_set(err, -E_INVAL, "invalid value \"%.100s\" of the query parameter \"%s\": %s",
                   value, name, why);
}

static int read_bool(const char *name, const char *value, bool *ret, struct err *err)
{
    /* "watch" and "watch=" are true, as Kubernetes' conversion of *[]string to bool has it. */
    if (!*value) {
        *ret = true;
        return 0;
    }
    if (str_bool(str_of(value), ret) < 0) {
        return bad(err, name, value, "it must be true or false");
    }
    return 0;
}

static int read_int(const char *name, const char *value, int64_t *ret, struct err *err)
{
    if (*value && str_i64(str_of(value), ret) < 0) {
        return bad(err, name, value, "it must be a whole number");
    }
    return 0;
}

static int read_validation(const char *value, enum field_validation *ret, struct err *err)
{
    if (!*value || cstr_eq(value, "Warn")) {
        *ret = VALIDATION_WARN;
    } else if (cstr_eq(value, "Strict")) {
        *ret = VALIDATION_STRICT;
    } else if (cstr_eq(value, "Ignore")) {
        *ret = VALIDATION_IGNORE;
    } else {
        return err_set(err, -E_INVALID,
                       "fieldValidation: Unsupported value: \"%.100s\": supported values: "
                       "\"\", \"Ignore\", \"Strict\", \"Warn\"",
                       value);
    }
    return 0;
}

static int read_match(const char *value, enum rv_match *ret, struct err *err)
{
    if (!*value) {
        *ret = RV_MATCH_UNSET;
    } else if (cstr_eq(value, "NotOlderThan")) {
        *ret = RV_MATCH_NOT_OLDER;
    } else if (cstr_eq(value, "Exact")) {
        *ret = RV_MATCH_EXACT;
    } else {
        return err_set(err, -E_INVALID,
                       "resourceVersionMatch: Unsupported value: \"%.100s\": supported values: "
                       "\"Exact\", \"NotOlderThan\", \"\"",
                       value);
    }
    return 0;
}

static int read_dry_run(const char *value, bool *ret, struct err *err)
{
    if (*value && !cstr_eq(value, "All")) {
        return err_set(err, -E_INVALID,
                       "dryRun: Unsupported value: \"%.100s\": supported values: \"All\"", value);
    }
    *ret = *value != '\0';
    return 0;
}

/* ints and bools; 1 = taken, 0 = not one of them */
static int read_scalar(const char *name, const char *value, struct route_options *o,
                       struct err *err)
{
    const struct {
        const char *name;
        bool *flag;
        int64_t *number;
        bool *has;
    } scalars[] = {
        {"watch", &o->watch, NULL, NULL},
        {"allowWatchBookmarks", &o->bookmarks, NULL, NULL},
        {"sendInitialEvents", &o->initial_events, NULL, &o->has_initial_events},
        {"force", &o->force, NULL, &o->has_force},
        {"orphanDependents", &o->orphan, NULL, &o->has_orphan},
        {"limit", NULL, &o->limit, NULL},
        {"timeoutSeconds", NULL, &o->timeout_seconds, NULL},
        {"gracePeriodSeconds", NULL, &o->grace_seconds, &o->has_grace},
    };
    for (size_t i = 0; i < ARRAY_SIZE(scalars); i++) {
        if (!cstr_eq(name, scalars[i].name)) {
            continue;
        }
        int code = scalars[i].flag ? read_bool(name, value, scalars[i].flag, err)
                                   : read_int(name, value, scalars[i].number, err);
        if (code == 0 && scalars[i].has) {
            *scalars[i].has = true;
        }
        return code < 0 ? code : 1;
    }
    return 0;
}

static int read_option(const char *name, const char *value, struct route_options *o,
                       struct err *err)
{
    const struct {
        const char *name, **text;
    } texts[] = {
        {"resourceVersion", &o->resource_version}, {"continue", &o->cont},
        {"labelSelector", &o->label_selector},     {"fieldSelector", &o->field_selector},
        {"fieldManager", &o->field_manager},       {"propagationPolicy", &o->propagation},
        {"includeObject", &o->include_object},
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (cstr_eq(name, texts[i].name)) {
            *texts[i].text = value;
            return 0;
        }
    }
    if (cstr_eq(name, "fieldValidation")) {
        return read_validation(value, &o->validation, err);
    }
    if (cstr_eq(name, "resourceVersionMatch")) {
        return read_match(value, &o->match, err);
    }
    if (cstr_eq(name, "dryRun")) {
        return read_dry_run(value, &o->dry_run, err);
    }
    int code = read_scalar(name, value, o, err);
    return code < 0 ? code : 0;
}

int route_options(struct arena *a, struct str query, struct route_options *ret, struct err *err)
{
    struct route_options o = {0};
    const char *name, *value;
    /* Left out, a broken selector would select everything. */
    if (!http_query_valid(query)) {
        return err_set(err, -E_INVAL, "the query has an escape that means nothing");
    }
    while (http_query_next(a, &query, &name, &value)) {
        int code = read_option(name, value, &o, err);
        if (code < 0) {
            return code;
        }
    }
    if (arena_failed(a)) {
        return -E_NOMEM;
    }
    if (o.limit < 0) {
        return err_set(err, -E_INVAL, "limit must not be negative");
    }
    *ret = o;
    return 0;
}
