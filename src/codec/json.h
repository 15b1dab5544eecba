/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON (RFC 8259) trees in an arena.
 *
 * Every node lives in an arena and is freed with it; nothing here is reference-counted. A tree may
 * hold nodes of several arenas as long as those live. All functions accept NULL nodes: reading from
 * NULL gives NULL or the default, building onto NULL does nothing, so code builds first and asks
 * arena_failed() once.
 *
 * Objects keep the order of their members; from 16 members on they carry a hash index. Numbers keep
 * their text, so that what was read is printed unchanged. Strings may hold any UTF-8; texts are
 * 0-terminated, and U+0000 inside a string is kept (use json_text for the length).
 */
#ifndef CODEC_JSON_H
#define CODEC_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum json_type { JSON_NULL, JSON_BOOL, JSON_INT, JSON_REAL, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_member;

struct json {
    /* read-only */
    enum json_type type;
    uint32_t
        n; /* bytes of a string or of a number's text, items of an array, members of an object */
    uint32_t cap; /* private */
    union {
        bool b;
        int64_t i; /* JSON_INT */
        struct {
            const char *s; /* JSON_STRING: 0-terminated; JSON_REAL: the number's text */
            double d;      /* JSON_REAL */
        };
        struct json **items; /* JSON_ARRAY */
        struct {
            struct json_member *members; /* JSON_OBJECT */
            uint32_t *index;             /* private */
        };
    };
    struct arena *arena; /* private: where containers grow */
};

struct json_member {
    const char *key; /* 0-terminated */
    uint32_t key_n;
    uint32_t hash; /* private */
    struct json *value;
};

/* ---- parsing and printing ---- */

/* Called for every member name that appears twice in one object (the last value wins); path is
 * dotted
 * ("spec.containers[0].image"). May be NULL. */
typedef void json_duplicate_fn(void *arg, const char *path);

struct json_parse_opts {
    json_duplicate_fn *on_duplicate;
    void *arg;
};

/* The whole text must be one JSON value in UTF-8. Depth and count are bounded (limits.def). *ret
 * only on success. -E_PARSE with line and column in err, -ENOMEM, -E_LIMIT. Strings are copied into
 * the arena. opts may be NULL. */
int json_parse(struct arena *a, struct str text, const struct json_parse_opts *opts,
               struct json **ret, struct err *err);
int json_print(struct buf *out, const struct json *j); /* compact; 0 or -ENOMEM */
int json_print_pretty(struct buf *out, const struct json *j, int indent);
int json_print_string(struct buf *out,
                      struct str s); /* quoted and escaped; bad UTF-8 becomes U+FFFD */

/* ---- building (NULL when the arena failed) ---- */

struct json *json_object(struct arena *a);
struct json *json_array(struct arena *a);
struct json *json_string(struct arena *a, const char *s); /* copied; NULL in = NULL out */
struct json *json_string_n(struct arena *a, struct str s);
struct json *json_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
struct json *json_int(struct arena *a, int64_t v);
struct json *json_real(struct arena *a, double v);
struct json *json_bool(struct arena *a, bool v);
struct json *json_null(struct arena *a);
struct json *json_clone(struct arena *a, const struct json *j); /* deep; shares nothing with j */

/* Sets or replaces a member (key is copied; order of an existing member is kept). value NULL does
 * nothing. Returns value. */
struct json *json_set(struct json *obj, const char *key, struct json *value);
struct json *json_set_n(struct json *obj, struct str key, struct json *value);
void json_set_str(struct json *obj, const char *key, const char *s); /* s NULL does nothing */
void json_set_int(struct json *obj, const char *key, int64_t v);
void json_set_bool(struct json *obj, const char *key, bool v);
/* The member as an object or array, made when it is absent or of another type. */
struct json *json_ensure_object(struct json *obj, const char *key);
struct json *json_ensure_array(struct json *obj, const char *key);
bool json_del(struct json *obj, const char *key); /* true when it was there */
bool json_del_n(struct json *obj, struct str key);
struct json *json_push(struct json *arr, struct json *value);       /* returns value */
void json_insert(struct json *arr, size_t at, struct json *value);  /* at <= n */
void json_remove(struct json *arr, size_t at);                      /* at < n */
void json_replace(struct json *arr, size_t at, struct json *value); /* at < n */

/* ---- reading ---- */

struct json *json_get(const struct json *obj,
                      const char *key); /* NULL when absent or obj is no object */
struct json *json_get_n(const struct json *obj, struct str key);
struct json *json_at(const struct json *arr, size_t i);
/* Walks members by a dotted path of plain names: json_path(pod, "spec.nodeName"). */
struct json *json_path(const struct json *j, const char *path);

/* The value when the type fits, else the default. json_cstr(NULL, NULL) is NULL. */
const char *json_cstr(const struct json *j, const char *def);
struct str
json_text(const struct json *j); /* a string's text with its length; empty for other types */
int64_t json_i64(const struct json *j,
                 int64_t def); /* JSON_INT, and a JSON_REAL with an integral value */
double json_double(const struct json *j, double def);
bool json_true(const struct json *j, bool def);
/* The same through a path, the most common use. */
const char *json_path_cstr(const struct json *j, const char *path, const char *def);
int64_t json_path_i64(const struct json *j, const char *path, int64_t def);
bool json_path_true(const struct json *j, const char *path, bool def);

static inline bool json_is(const struct json *j, enum json_type t)
{
    return j && j->type == t;
}
static inline size_t json_len(const struct json *j) /* of an array or object, else 0 */
{
    return j && (j->type == JSON_ARRAY || j->type == JSON_OBJECT) ? j->n : 0;
}
const char *json_type_name(
    enum json_type t); /* "null" "boolean" "integer" "number" "string" "array" "object" */
/* Deep equality; members compare without order, 1 and 1.0 are equal. */
bool json_equal(const struct json *a, const struct json *b);

/* JSON_FOR_EACH(item, arr) { item is struct json * }, JSON_FOR_EACH_MEMBER(m, obj) { m->key,
 * m->value }. Both accept NULL and other types (no iteration); break and continue work. Do not
 * change the container inside. */
struct json **json_items_(const struct json *arr, struct json ***ret_end);
struct json_member *json_members_(const struct json *obj, struct json_member **ret_end);
#define JSON_FOR_EACH(item, arr)                                                          \
    for (struct json * *item##_end, **item##_at = json_items_((arr), &item##_end), *item; \
         item##_at < item##_end && ((item = *item##_at), 1); item##_at++)
#define JSON_FOR_EACH_MEMBER(m, obj) \
    for (struct json_member * m##_end, *m = json_members_((obj), &m##_end); m < m##_end; m++)

#endif
