/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists: selectors, resourceVersion semantics, and pages that are consistent because every page is
 * read at the revision of the first (it is in the continue token, as in Kubernetes:
 * {"v":"meta.k8s.io/v1","rv":273,"start":"web-1\u0000"}, base64url).
 */
#include "api/handler_private.h"

#include "api/crd/crd_convert.h"

#include "api/selector.h"
#include "api/server_private.h"
#include "base/encode.h"

#define TOKEN_MAX 2048

struct page {
    const char *prefix;
    const char *after; /* key, or "" */
    int64_t rev;       /* 0 = newest */
    bool inconsistent; /* a token of an earlier 410 */
};

/* ---- selectors ---- */

/* The names under which events.k8s.io/v1 shows what is stored as a v1 Event. */
static const char *stored_field(struct arena *a, const struct kind *k, const char *name)
{
    if (!kind_converts(k)) {
        return name;
    }
    if (str_starts(str_of(name), "regarding.")) {
        return arena_printf(a, "involvedObject.%s", name + strlen("regarding."));
    }
    return cstr_eq(name, "reportingController") ? "reportingComponent" : name;
}

static bool field_supported(const struct kind *k, const char *name)
{
    if (cstr_eq(name, "metadata.name") || (k->namespaced && cstr_eq(name, "metadata.namespace"))) {
        return true;
    }
    for (size_t i = 0; k->selectable[i]; i++) {
        if (cstr_eq(k->selectable[i], name)) {
            return true;
        }
    }
    return false;
}

int handler_selectors(struct arena *a, const struct kind *k, const struct route_options *o,
                      struct selector **ret_labels, struct selector **ret_fields, struct err *err)
{
    struct selector *labels = NULL, *fields = NULL;
    int code = 0;
    if (o->label_selector && *o->label_selector) {
        code = selector_parse(a, o->label_selector, &labels, err);
    }
    if (code == 0 && o->field_selector && *o->field_selector) {
        code = selector_parse_fields(a, o->field_selector, &fields, err);
    }
    if (code < 0) {
        return code;
    }
    for (size_t i = 0; fields && i < fields->n; i++) {
        const char *name = fields->terms[i].key;
        if (!field_supported(k, name)) {
            return err_set(err, -E_INVAL, "field label not supported: %s", name);
        }
        fields->terms[i].key = stored_field(a, k, name);
    }
    *ret_labels = labels && !selector_empty(labels) ? labels : NULL;
    *ret_fields = fields && !selector_empty(fields) ? fields : NULL;
    return 0;
}

/* ---- continue tokens ---- */

static const char *token_make(struct arena *a, int64_t rev, const char *prefix, struct str last)
{
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    CLEANUP(buf_finip) struct buf token = BUF_INIT;
    size_t skip = strlen(prefix);
    struct json *t = json_object(a);
    json_set_str(t, "v", "meta.k8s.io/v1");
    json_set_int(t, "rv", rev);
    char *start = arena_zalloc(a, last.n - skip + 1); /* the key and a NUL: what comes after it */
    if (!start) {
        return NULL;
    }
    memcpy(start, last.p + skip, last.n - skip);
    json_set(t, "start", json_string_n(a, str_n(start, last.n - skip + 1)));
    if (json_print(&text, t) < 0 || base64url_encode(&token, buf_data(&text), buf_len(&text)) < 0) {
        return NULL;
    }
    return arena_strndup(a, buf_data(&token), buf_len(&token));
}

static int token_read(struct arena *a, const char *token, struct page *p, struct err *err)
{
    static const char bad[] = "continue key is not valid: ";
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    struct json *t = NULL;
    if (strlen(token) > TOKEN_MAX || base64url_decode(&text, str_of(token)) < 0 ||
        json_parse(a, buf_str(&text), NULL, &t, NULL) < 0) {
        return err_set(err, -E_INVAL, "%sit is no token of this server", bad);
    }
    if (!cstr_eq(json_path_cstr(t, "v", ""), "meta.k8s.io/v1")) {
        return err_set(err, -E_INVAL, "%sserver does not recognize this encoded version", bad);
    }
    struct str start = json_text(json_get(t, "start"));
    int64_t rev = json_path_i64(t, "rv", 0);
    if (start.n < 2 || start.p[start.n - 1] != '\0' || memchr(start.p, '\0', start.n - 1) ||
        rev == 0) {
        return err_set(err, -E_INVAL, "%sincorrect encoded start key", bad);
    }
    p->after = arena_printf(a, "%s%.*s", p->prefix, (int)start.n - 1, start.p);
    p->rev = rev > 0 ? rev : 0;
    p->inconsistent = rev < 0;
    return 0;
}

static void fail_expired_token(struct handler_op *op, const struct page *p)
{
    struct json *s = status_failure(
        op->arena, 410, "Expired",
        "The provided continue parameter is too old to display a consistent list result. You can "
        "start a new list without the continue parameter, or use the continue token in this "
        "response to retrieve the remainder of the results. Continuing with the provided token "
        "results in an inconsistent list - objects that were created, modified, or deleted between "
        "the time the first chunk was returned and now may show up in the list.",
        /* about= */ NULL);
    json_set_str(json_get(s, "metadata"), "continue",
                 token_make(op->arena, -1, p->prefix, str_of(p->after)));
    handler_fail(op, s);
}

/* ---- which revision ---- */

static void fail_option(struct handler_op *op, const char *message)
{
    struct status_about about = {.kind = "ListOptions", .group = "meta.k8s.io"};
    struct field_errors e;
    field_errors_init(&e, op->arena);
    field_error(&e, FIELD_FORBIDDEN, "resourceVersionMatch", NULL, message);
    handler_fail(op, status_invalid(op->arena, &about, &e));
}

/* False when it has ended the operation. */
static bool read_page(struct handler_op *op, struct page *p)
{
    struct err err;
    const char *rv = op->opt.resource_version ? op->opt.resource_version : "";
    int64_t rev = 0;
    if (*rv && (str_i64(str_of(rv), &rev) < 0 || rev < 0)) {
        handler_fail_code(op, -E_INVAL,
                          arena_printf(op->arena,
                                       "resourceVersion: Invalid value: \"%.64s\": invalid syntax",
                                       rv));
        return false;
    }
    if (op->opt.match != RV_MATCH_UNSET && !*rv) {
        fail_option(op, "resourceVersionMatch is forbidden unless resourceVersion is provided");
        return false;
    }
    if (op->opt.match == RV_MATCH_EXACT && rev == 0) {
        fail_option(op, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
        return false;
    }
    if (op->opt.cont && *op->opt.cont) {
        if (rev != 0) {
            handler_fail_code(op, -E_INVAL,
                              "specifying resource version is not allowed when using continue");
            return false;
        }
        if (token_read(op->arena, op->opt.cont, p, &err) < 0) {
            handler_fail_code(op, -E_INVAL, err.text);
            return false;
        }
        return true;
    }
    if (rev > store_rev(op->server->store)) {
        handler_fail(op, status_too_large_rv(op->arena, rev, store_rev(op->server->store)));
        return false;
    }
    p->rev = op->opt.match == RV_MATCH_EXACT ? rev : 0;
    return true;
}

/* ---- the list ---- */

/* Drops what the selectors refuse and cuts at the limit. True when items are left behind the cut.
 */
static bool filter(struct handler_op *op, const struct selector *labels,
                   const struct selector *fields)
{
    struct store_list *l = &op->list.list;
    size_t limit = op->opt.limit > 0 ? (size_t)op->opt.limit : SIZE_MAX;
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++) {
        struct store_item *it = l->items[i];
        if (!api_item_match(it, labels, fields)) {
            continue;
        }
        if (kept == limit) {
            op->list.n = kept;
            return true;
        }
        /* A swap keeps every reference in the list, and the order of those that are kept. */
        l->items[i] = l->items[kept];
        l->items[kept++] = it;
    }
    op->list.n = kept;
    return false;
}

/* "metadata.name=x" in one namespace is a single read. */
static const char *single_name(const struct handler_op *op, const struct selector *fields)
{
    for (size_t i = 0; fields && i < fields->n; i++) {
        const struct selector_term *t = &fields->terms[i];
        if (t->op == SELECTOR_EQ && cstr_eq(t->key, "metadata.name") &&
            (!op->kind->namespaced || *op->ns)) {
            return t->values[0];
        }
    }
    return NULL;
}

static int read_items(struct handler_op *op, const struct page *p, const struct selector *labels,
                      const struct selector *fields)
{
    bool selects = labels || fields;
    struct store_list_opts o = {.prefix = str_of(p->prefix),
                                .after = str_of(p->after),
                                .limit = selects ? 0 : (size_t)op->opt.limit,
                                .rev = p->rev};
    const char *name = single_name(op, fields);
    if (name) {
        /* The name as a prefix: the filter drops longer ones. */
        o.prefix = str_of(arena_printf(op->arena, "%s%s", p->prefix, name));
    }
    if (arena_failed(op->arena)) {
        return -E_NOMEM;
    }
    return store_list(op->server->store, &o, &op->list.list);
}

static void fail_read(struct handler_op *op, const struct page *p, int code)
{
    if (code == -E_GONE && op->opt.cont && *op->opt.cont) {
        fail_expired_token(op, p);
    } else if (code == -E_GONE) {
        handler_fail(op, status_failure(op->arena, 410, "Expired",
                                        "The resourceVersion for the provided list is too old.",
                                        /* about= */ NULL));
    } else if (code == -E_RANGE) {
        handler_fail(op, status_too_large_rv(op->arena, p->rev, store_rev(op->server->store)));
    } else {
        handler_fail_code(op, code, err_text(code));
    }
}

static void set_continue(struct handler_op *op, const struct page *p, bool more, bool selects)
{
    struct handler_list *l = &op->list;
    l->remaining = -1;
    if (!more || l->n == 0) {
        return;
    }
    l->cont = token_make(op->arena, p->inconsistent ? -1 : l->rev, p->prefix,
                         store_item_key(l->items[l->n - 1]));
    if (!selects) {
        l->remaining = (int64_t)l->list.remaining;
    }
}

/* Whether a conversion webhook must be asked. */
static bool has_foreign(const struct handler_op *op)
{
    for (size_t i = 0; op->kind->custom && !op->list.raw && i < op->list.n; i++) {
        if (crd_item_foreign(op->kind, op->list.items[i])) {
            return true;
        }
    }
    return false;
}

static void list_done(struct handler_op *op)
{
    op->done(op);
}

void handler_list(struct handler_op *op)
{
    struct selector *labels, *fields;
    struct err err;
    int code = handler_selectors(op->arena, op->kind, &op->opt, &labels, &fields, &err);
    if (code < 0) {
        handler_fail_code(op, code, err.text);
        return;
    }
    bool whole = op->kind->namespaced && !*op->ns;
    struct page p = {.prefix =
                         api_key(op->arena, op->kind, whole ? NULL : op->ns, whole ? NULL : ""),
                     .after = ""};
    if (!p.prefix) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
        return;
    }
    if (!read_page(op, &p)) {
        return;
    }
    code = read_items(op, &p, labels, fields);
    if (code < 0) {
        fail_read(op, &p, code);
        return;
    }
    op->list.items = op->list.list.items;
    op->list.rev = op->list.list.rev;
    op->list.n = op->list.list.n;
    bool more = labels || fields ? filter(op, labels, fields) : op->list.list.remaining > 0;
    set_continue(op, &p, more, labels || fields);
    op->http = arena_failed(op->arena) ? 503 : 200;
    if (op->http == 200 && has_foreign(op)) {
        crd_handler_list(op, list_done);
    } else {
        op->done(op);
    }
}
