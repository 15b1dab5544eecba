/* SPDX-License-Identifier: Apache-2.0 */
/* Whole JSON values; see json_scan.h. Members of open containers stand on one stack. */
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "json_scan.h"

void json_stack_fini(struct json_stack *s)
{
    mem_free(s->members);
    *s = (struct json_stack){.n = 0};
}

bool json_stack_push(struct json_stack *s, struct str key, const struct value *v)
{
    if (s->n == s->cap) {
        uint32_t cap = s->cap ? s->cap * 2 : 64;
        struct value_member *grown = mem_realloc(s->members, cap * sizeof(*grown));
        if (!grown) {
            s->failed = true;
            return false;
        }
        s->members = grown;
        s->cap = cap;
    }
    s->members[s->n++] = (struct value_member){key, *v};
    return true;
}

/* ---- keys are unique ---- */

#define FEW_KEYS 16

static bool all_different(const struct value_member *m, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        for (uint32_t k = 0; k < i; k++) {
            if (m[i].key.n == m[k].key.n && str_eq(m[i].key, m[k].key)) {
                return false;
            }
        }
    }
    return true;
}

/* Moves the last value of each key to the key's first place; returns how many are left. */
static uint32_t unite(struct value_member *m, uint32_t n, struct arena *a)
{
    uint32_t size = 64, left = 0;
    while (size < n * 2) {
        size *= 2;
    }
    uint32_t *table = arena_zalloc(a, size * sizeof(*table));
    for (uint32_t i = 0; table && i < n; i++) {
        uint32_t at = (uint32_t)hash_bytes(m[i].key.p, m[i].key.n) & (size - 1);
        while (table[at] && !str_eq(m[table[at] - 1].key, m[i].key)) {
            at = (at + 1) & (size - 1);
        }
        if (table[at]) {
            m[table[at] - 1].value = m[i].value;
        } else {
            m[left] = m[i];
            table[at] = ++left;
        }
    }
    return left;
}

struct value json_stack_object(struct json_stack *s, uint32_t base, struct arena *a)
{
    struct value_member *m = s->members ? s->members + base : NULL;
    uint32_t n = s->n - base;
    if (n > FEW_KEYS || !all_different(m, n)) {
        n = unite(m, n, a);
    }
    s->n = base;
    struct value_member *kept = arena_dup(a, m, n * sizeof(*m));
    return (struct value){.type = VALUE_OBJECT, .n = kept ? n : 0, .members = kept};
}

static struct value stack_array(struct json_stack *s, uint32_t base, struct arena *a)
{
    uint32_t n = s->n - base;
    struct value *items = arena_alloc(a, n * sizeof(*items));
    for (uint32_t i = 0; items && i < n; i++) {
        items[i] = s->members[base + i].value;
    }
    s->n = base;
    return (struct value){.type = VALUE_ARRAY, .n = items ? n : 0, .items = items};
}

/* ---- reading ---- */

struct frame {
    uint32_t base; /* of its members on the stack */
    bool object;
    struct str key; /* of the member that is read */
};

struct reader {
    struct arena *a;
    struct json_stack *s;
    unsigned depth;
    struct frame frames[LIMIT_EVENT_DEPTH];
};

static const char *read_key(const char *at, struct reader *r)
{
    at = json_space(at);
    at = *at == '"' ? json_read_string(at + 1, r->a, &r->frames[r->depth - 1].key) : NULL;
    at = at ? json_space(at) : NULL;
    return at && *at == ':' ? json_space(at + 1) : NULL;
}

static const char *read_scalar(const char *at, struct reader *r, struct value *ret)
{
    struct str s;
    if (*at == '"') {
        at = json_read_string(at + 1, r->a, &s);
        if (at) {
            *ret = value_string(s);
        }
        return at;
    }
    return *at == '-' || (unsigned char)(*at - '0') <= 9 ? json_read_number(at, ret)
                                                         : json_read_word(at, ret);
}

/* Puts a value into its container and closes what closes; *v is then the outermost that closed.
 * Returns where the next value begins, or the end of all when depth is 0. */
static const char *after_value(const char *at, struct reader *r, struct value *v)
{
    while (r->depth) {
        struct frame *f = &r->frames[r->depth - 1];
        if (!json_stack_push(r->s, f->key, v)) {
            return NULL;
        }
        at = json_space(at);
        if (*at == ',') {
            return f->object ? read_key(at + 1, r) : json_space(at + 1);
        }
        if (*at != (f->object ? '}' : ']')) {
            return NULL;
        }
        at++;
        *v = f->object ? json_stack_object(r->s, f->base, r->a) : stack_array(r->s, f->base, r->a);
        r->depth--;
    }
    return at;
}

/* at stands on a bracket. */
static const char *open_container(const char *at, struct reader *r, struct value *v)
{
    bool object = *at == '{';
    at = json_space(at + 1);
    if (*at == (object ? '}' : ']')) {
        *v = (struct value){.type = object ? VALUE_OBJECT : VALUE_ARRAY};
        return after_value(at + 1, r, v);
    }
    if (r->depth == LIMIT_EVENT_DEPTH) {
        return NULL;
    }
    r->frames[r->depth++] = (struct frame){.base = r->s->n, .object = object};
    return object ? read_key(at, r) : at;
}

const char *json_read(const char *at, struct arena *a, struct json_stack *s, struct value *ret)
{
    struct reader r; /* the frames need no initial value */
    struct value v = VALUE_OF_NULL;
    uint32_t base = s->n;
    r.a = a;
    r.s = s;
    r.depth = 0;
    do {
        if (*at == '{' || *at == '[') {
            at = open_container(at, &r, &v);
        } else {
            at = read_scalar(at, &r, &v);
            at = at ? after_value(at, &r, &v) : NULL;
        }
    } while (at && r.depth);
    s->n = base;
    *ret = v;
    return at;
}
