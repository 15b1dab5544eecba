/* SPDX-License-Identifier: Apache-2.0 */
/* Types: the known ones, their names, fields of objects, and Kubernetes' escaping of names. */
#include <stdlib.h>

#include "cel_private.h"

#define SIMPLE(name_, kind_) const struct cel_type cel_type_##name_ = {.kind = (kind_)}
SIMPLE(dyn, CEL_DYN);
SIMPLE(null, CEL_NULL);
SIMPLE(bool, CEL_BOOL);
SIMPLE(int, CEL_INT);
SIMPLE(uint, CEL_UINT);
SIMPLE(double, CEL_DOUBLE);
SIMPLE(string, CEL_STRING);
SIMPLE(bytes, CEL_BYTES);
SIMPLE(timestamp, CEL_TIMESTAMP);
SIMPLE(duration, CEL_DURATION);
SIMPLE(type, CEL_TYPE);
SIMPLE(quantity, CEL_QUANTITY);
SIMPLE(ip, CEL_IP);
SIMPLE(cidr, CEL_CIDR);
SIMPLE(url, CEL_URL);
SIMPLE(format, CEL_FORMAT);
SIMPLE(semver, CEL_SEMVER);
SIMPLE(authorizer, CEL_AUTHORIZER);
SIMPLE(path_check, CEL_PATH_CHECK);
SIMPLE(group_check, CEL_GROUP_CHECK);
SIMPLE(resource_check, CEL_RESOURCE_CHECK);
SIMPLE(decision, CEL_DECISION);
SIMPLE(error, CEL_ERROR);
SIMPLE(list_dyn, CEL_LIST);
SIMPLE(optional_dyn, CEL_OPTIONAL);
const struct cel_type cel_type_map_dyn = {.kind = CEL_MAP, .key = &cel_type_string};
static const struct cel_type type_map_any = {.kind = CEL_MAP};

/* By kind: the name as type() shows it, and the shorter one of the checker's messages. */
static const struct {
    const char *name, *checked;
    const struct cel_type *type;
} kinds[] = {
    [CEL_DYN] = {"dyn", "dyn", &cel_type_dyn},
    [CEL_NULL] = {"null_type", "null", &cel_type_null},
    [CEL_BOOL] = {"bool", "bool", &cel_type_bool},
    [CEL_INT] = {"int", "int", &cel_type_int},
    [CEL_UINT] = {"uint", "uint", &cel_type_uint},
    [CEL_DOUBLE] = {"double", "double", &cel_type_double},
    [CEL_STRING] = {"string", "string", &cel_type_string},
    [CEL_BYTES] = {"bytes", "bytes", &cel_type_bytes},
    [CEL_TIMESTAMP] = {"google.protobuf.Timestamp", "timestamp", &cel_type_timestamp},
    [CEL_DURATION] = {"google.protobuf.Duration", "duration", &cel_type_duration},
    [CEL_LIST] = {"list", "list", &cel_type_list_dyn},
    [CEL_MAP] = {"map", "map", &type_map_any},
    [CEL_OBJECT] = {"object", "object", &cel_type_map_dyn},
    [CEL_TYPE] = {"type", "type", &cel_type_type},
    [CEL_OPTIONAL] = {"optional_type", "optional_type", &cel_type_optional_dyn},
    [CEL_QUANTITY] = {"kubernetes.Quantity", "kubernetes.Quantity", &cel_type_quantity},
    [CEL_IP] = {"net.IP", "net.IP", &cel_type_ip},
    [CEL_CIDR] = {"net.CIDR", "net.CIDR", &cel_type_cidr},
    [CEL_URL] = {"kubernetes.URL", "kubernetes.URL", &cel_type_url},
    [CEL_FORMAT] = {"kubernetes.NamedFormat", "kubernetes.NamedFormat", &cel_type_format},
    [CEL_SEMVER] = {"kubernetes.Semver", "kubernetes.Semver", &cel_type_semver},
#define AUTHZ "kubernetes.authorization."
    [CEL_AUTHORIZER] = {AUTHZ "Authorizer", AUTHZ "Authorizer", &cel_type_authorizer},
    [CEL_PATH_CHECK] = {AUTHZ "PathCheck", AUTHZ "PathCheck", &cel_type_path_check},
    [CEL_GROUP_CHECK] = {AUTHZ "GroupCheck", AUTHZ "GroupCheck", &cel_type_group_check},
    [CEL_RESOURCE_CHECK] = {AUTHZ "ResourceCheck", AUTHZ "ResourceCheck", &cel_type_resource_check},
    [CEL_DECISION] = {AUTHZ "Decision", AUTHZ "Decision", &cel_type_decision},
#undef AUTHZ
    [CEL_ERROR] = {"error", "!error!", &cel_type_error},
};

const char *cel_kind_name(enum cel_kind k)
{
    return (size_t)k < ARRAY_SIZE(kinds) ? kinds[k].name : "param";
}

const struct cel_type *cel_type_simple(enum cel_kind k)
{
    return kinds[k].type;
}

const struct cel_type *cel_type_named(struct str name)
{
    for (size_t i = CEL_NULL; i < CEL_KIND_NR; i++) {
        if (i != CEL_OBJECT && str_is(name, kinds[i].name)) {
            return kinds[i].type;
        }
    }
    return NULL;
}

const struct cel_type *cel_type_of(struct arena *a, enum cel_kind kind, const struct cel_type *of)
{
    struct cel_type *t = arena_zalloc(a, sizeof(*t));
    if (!t) {
        return &cel_type_error;
    }
    t->kind = kind;
    t->elem = of;
    return t;
}

const struct cel_type *cel_type_list(struct arena *a, const struct cel_type *elem)
{
    return cel_type_of(a, CEL_LIST, elem);
}

const struct cel_type *cel_type_map(struct arena *a, const struct cel_type *key,
                                    const struct cel_type *elem)
{
    struct cel_type *t = arena_zalloc(a, sizeof(*t));
    if (!t) {
        return &cel_type_error;
    }
    *t = (struct cel_type){.kind = CEL_MAP, .key = key, .elem = elem};
    return t;
}

/* Depth is that of an expression. */
const struct cel_type *cel_type_copy(struct arena *a, const struct cel_type *t)
{
    bool simple =
        t->kind != CEL_LIST && t->kind != CEL_MAP && t->kind != CEL_OPTIONAL && t->kind != CEL_TYPE;
    if (simple || !t->elem) {
        return cel_type_simple(t->kind) && t->kind != CEL_OBJECT ? cel_type_simple(t->kind) : t;
    }
    struct cel_type *copy = arena_dup(a, t, sizeof(*t));
    if (!copy) {
        return &cel_type_error;
    }
    copy->elem = cel_type_copy(a, t->elem);
    copy->key = t->key ? cel_type_copy(a, t->key) : NULL;
    return copy;
}

const struct cel_type *cel_type_elem(const struct cel_type *t)
{
    return t && t->elem ? t->elem : &cel_type_dyn;
}

const struct cel_type *cel_type_key(const struct cel_type *t)
{
    return t && t->key ? t->key : &cel_type_dyn;
}

void cel_type_print(struct buf *out, const struct cel_type *t)
{
    if (t->kind == CEL_PARAM) {
        const struct cel_type_var *v = (const struct cel_type_var *)t;
        if (v->bound) {
            cel_type_print(out, v->bound);
        } else {
            (void)buf_puts(out, t->name);
        }
        return;
    }
    if (t->kind == CEL_OBJECT) {
        (void)buf_puts(out, t->name ? t->name : "object");
        return;
    }
    (void)buf_puts(out, kinds[t->kind].checked);
    if (t->kind == CEL_MAP) {
        (void)buf_putc(out, '(');
        cel_type_print(out, cel_type_key(t));
        (void)buf_puts(out, ", ");
        cel_type_print(out, cel_type_elem(t));
        (void)buf_putc(out, ')');
    } else if (t->kind == CEL_LIST || t->kind == CEL_OPTIONAL || (t->kind == CEL_TYPE && t->elem)) {
        (void)buf_putc(out, '(');
        cel_type_print(out, cel_type_elem(t));
        (void)buf_putc(out, ')');
    }
}

/* ---- fields ---- */

static int field_cmp(const void *a, const void *b)
{
    const struct cel_field *x = a, *y = b;
    return str_cmp(str_n(x->name, x->n), str_n(y->name, y->n));
}

void cel_fields_sort(struct cel_field *fields, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        fields[i].n = (uint32_t)strlen(fields[i].name);
    }
    if (n) {
        qsort(fields, n, sizeof(*fields), field_cmp);
    }
}

const struct cel_field *cel_type_field(const struct cel_type *t, struct str name)
{
    uint32_t lo = 0, hi = t->n_fields;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int order = str_cmp(str_n(t->fields[mid].name, t->fields[mid].n), name);
        if (order == 0) {
            return &t->fields[mid];
        }
        if (order < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return NULL;
}

/* ---- names ---- */

static bool is_reserved(const char *name)
{
    static const char *const words[] = {
        "true",     "false",   "null",      "in",       "as",  "break",  "const",
        "continue", "else",    "for",       "function", "if",  "import", "let",
        "loop",     "package", "namespace", "return",   "var", "void",   "while"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (cstr_eq(name, words[i])) {
            return true;
        }
    }
    return false;
}

const char *cel_escape_name(struct arena *a, const char *name)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    if (is_reserved(name)) {
        return arena_printf(a, "__%s__", name);
    }
    for (const char *s = name; *s; s++) {
        bool letter = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || *s == '_';
        bool digit = *s >= '0' && *s <= '9';
        const char *escaped = *s == '.'   ? "__dot__"
                              : *s == '-' ? "__dash__"
                              : *s == '/' ? "__slash__"
                                          : NULL;
        if (s[0] == '_' && s[1] == '_') {
            (void)buf_puts(&out, "__underscores__");
            s++;
        } else if (escaped) {
            (void)buf_puts(&out, escaped);
        } else if (letter || (digit && s > name)) {
            (void)buf_putc(&out, *s);
        } else {
            return NULL;
        }
    }
    return buf_len(&out) && !buf_failed(&out) ? arena_str(a, buf_str(&out)) : NULL;
}
