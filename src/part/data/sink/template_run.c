/* SPDX-License-Identifier: Apache-2.0 */
/* The evaluator of data templates. */
#include <stdio.h>

#include "base/encode.h"
#include "base/limits.h"
#include "base/mem.h"
#include "template_private.h"

#define STEPS_MAX 1000000

struct run {
    struct arena arena;
    struct buf *out;
    size_t out_start;
    struct value slots[TEMPLATE_SLOTS_MAX];
    uint64_t steps;
    struct err *err;
};

static int fail(struct run *r, const char *text)
{
    return err_set(r->err, -E_INVAL, "template: %s", text);
}

/* Go's truth: false, 0, nil, empty text, list and object are false. */
static bool truth(const struct value *v)
{
    switch (v->type) {
    case VALUE_BOOL:
        return v->b;
    case VALUE_INT:
    case VALUE_TIME:
        return v->i != 0;
    case VALUE_FLOAT:
        return v->f != 0;
    case VALUE_STRING:
    case VALUE_BYTES:
    case VALUE_ARRAY:
    case VALUE_OBJECT:
        return v->n > 0;
    default:
        return false;
    }
}

static struct value walk(struct value v, const struct t_expr *e)
{
    for (uint32_t i = 0; i < e->n_path; i++) {
        const struct value *found = value_get(&v, e->path[i]);
        if (!found) {
            return VALUE_OF_NULL;
        }
        v = *found;
    }
    return v;
}

/* Text of a value in the arena. */
static int text_of(struct run *r, const struct value *v, bool json, struct value *ret)
{
    struct buf b = BUF_INIT;
    int rc = json ? value_print_json(&b, v) : value_print_text(&b, v);
    char *copy = rc == 0 ? arena_strndup(&r->arena, buf_data(&b), buf_len(&b)) : NULL;
    *ret = value_string(str_n(copy, copy ? buf_len(&b) : 0));
    buf_fini(&b);
    return copy ? 0 : err_sys(r->err, -E_NOMEM, "run a template");
}

static int index_of(struct run *r, const struct value *args, uint32_t n, struct value *ret)
{
    struct value v = args[0];
    for (uint32_t i = 1; i < n; i++) {
        const struct value *found = NULL;
        if (v.type == VALUE_ARRAY && args[i].type == VALUE_INT) {
            if (args[i].i < 0 || args[i].i >= v.n) {
                return fail(r, "index: out of range");
            }
            found = &v.items[args[i].i];
        } else if (v.type == VALUE_OBJECT && args[i].type == VALUE_STRING) {
            found = value_get(&v, value_text(&args[i]));
        } else if (!value_is_null(&v)) {
            return fail(r, "index: a list wants a number, an object a name");
        }
        v = found ? *found : VALUE_OF_NULL;
    }
    *ret = v;
    return 0;
}

static int compare(struct run *r, enum value_op op, const struct value *args, uint32_t n,
                   struct value *ret)
{
    if (n < 2) {
        return fail(r, "a comparison wants two values");
    }
    *ret = value_bool(false);
    for (uint32_t i = 1; i < n && !ret->b; i++) { /* eq a b c: a equals any of them */
        struct value one;
        if (op <= VALUE_NE && args[0].type != args[i].type &&
            !(value_is_number(&args[0]) && value_is_number(&args[i]))) {
            one = value_bool(op == VALUE_NE);
        } else if (value_is_null(&args[0]) || value_is_null(&args[i])) {
            one = value_bool(op == VALUE_EQ);
        } else if (value_apply(op, &args[0], &args[i], &one, r->err) < 0) {
            return r->err ? r->err->code : -E_INVAL;
        }
        *ret = one;
    }
    return 0;
}

/* ---- printf ---- */

static int verb(struct run *r, struct buf *b, struct str spec, char v, const struct value *arg)
{
    char fmt[24];
    struct value text;
    if (v == 'd' && arg->type == VALUE_INT) {
        (void)snprintf(fmt, sizeof(fmt), "%%" STR_FMT "lld", STR_ARG(spec));
        return buf_printf(b, fmt, (long long)arg->i);
    }
    if ((v == 'f' || v == 'e' || v == 'g') && value_is_number(arg)) {
        (void)snprintf(fmt, sizeof(fmt), "%%" STR_FMT "%c", STR_ARG(spec), v);
        return buf_printf(b, fmt, arg->type == VALUE_INT ? (double)arg->i : arg->f);
    }
    if (v == 't' && arg->type == VALUE_BOOL) {
        return buf_puts(b, arg->b ? "true" : "false");
    }
    if (v == 'q') {
        int rc = text_of(r, arg, false, &text);
        return rc < 0 ? rc : json_print_string(b, value_text(&text));
    }
    if (v == 's' || v == 'v') {
        int rc = text_of(r, arg, false, &text);
        (void)snprintf(fmt, sizeof(fmt), "%%" STR_FMT "s", STR_ARG(spec));
        return rc < 0 ? rc : buf_printf(b, fmt, arena_str(&r->arena, value_text(&text)));
    }
    return fail(r, "printf: the verb does not fit the value");
}

static size_t run_of(struct str s, size_t from, const char *of, size_t most)
{
    size_t n = 0;
    while (n < most && from + n < s.n && s.p[from + n] && strchr(of, s.p[from + n])) {
        n++;
    }
    return n;
}

/* The flags, width and precision of a verb, "-08.3": what Go and C have in common. A width has at
 * most three digits: the output is bounded. */
static size_t spec_length(struct str s)
{
    size_t n = run_of(s, 0, "-+ 0", 4);
    n += run_of(s, n, "0123456789", 3);
    if (n < s.n && s.p[n] == '.') {
        n += 1 + run_of(s, n + 1, "0123456789", 3);
    }
    return n;
}

static int print_format(struct run *r, const struct value *args, uint32_t n, struct value *ret)
{
    struct str f = n > 0 && args[0].type == VALUE_STRING ? value_text(&args[0]) : STR_NULL;
    struct buf b = BUF_INIT;
    uint32_t next = 1;
    int rc = f.p ? 0 : fail(r, "printf: the first argument is a format");
    for (size_t i = 0; rc == 0 && i < f.n; i++) {
        if (f.p[i] != '%') {
            rc = buf_putc(&b, f.p[i]);
            continue;
        }
        struct str spec = str_n(f.p + i + 1, f.n - i - 1);
        spec.n = spec_length(spec);
        i += 1 + spec.n;
        if (i < f.n && f.p[i] == '%') {
            rc = buf_putc(&b, '%');
        } else if (i >= f.n || next >= n) {
            rc = fail(r, "printf: an argument is missing");
        } else {
            rc = verb(r, &b, spec, f.p[i], &args[next++]);
        }
    }
    if (rc == 0) {
        char *copy = arena_strndup(&r->arena, buf_data(&b), buf_len(&b));
        *ret = value_string(str_n(copy, copy ? buf_len(&b) : 0));
        rc = copy ? 0 : err_sys(r->err, -E_NOMEM, "run a template");
    }
    buf_fini(&b);
    return rc;
}

/* ---- functions ---- */

static int base64(struct run *r, const struct value *v, struct value *ret)
{
    struct value text;
    struct buf b = BUF_INIT;
    bool plain = v->type == VALUE_BYTES || v->type == VALUE_STRING;
    int rc = plain ? 0 : text_of(r, v, true, &text);
    struct str s = plain ? value_text(v) : value_text(&text);
    rc = rc < 0 ? rc : base64_encode(&b, s.p, s.n);
    char *copy = rc == 0 ? arena_strndup(&r->arena, buf_data(&b), buf_len(&b)) : NULL;
    *ret = value_string(str_n(copy, copy ? buf_len(&b) : 0));
    buf_fini(&b);
    return copy ? 0 : err_sys(r->err, -E_NOMEM, "run a template");
}

static int print_all(struct run *r, const struct value *args, uint32_t n, struct value *ret)
{
    struct buf b = BUF_INIT;
    for (uint32_t i = 0; i < n; i++) {
        bool texts = args[i].type == VALUE_STRING || (i > 0 && args[i - 1].type == VALUE_STRING);
        if (i > 0 && !texts) {
            (void)buf_putc(&b, ' '); /* sticky, as the rest */
        }
        (void)value_print_text(&b, &args[i]);
    }
    char *copy = buf_failed(&b) ? NULL : arena_strndup(&r->arena, buf_data(&b), buf_len(&b));
    *ret = value_string(str_n(copy, copy ? buf_len(&b) : 0));
    buf_fini(&b);
    return copy ? 0 : err_sys(r->err, -E_NOMEM, "run a template");
}

static int call(struct run *r, enum template_function f, const struct value *args, uint32_t n,
                struct value *ret)
{
    static const enum value_op ops[F_NR] = {
        [F_EQ] = VALUE_EQ, [F_GE] = VALUE_GE, [F_GT] = VALUE_GT,
        [F_LE] = VALUE_LE, [F_LT] = VALUE_LT, [F_NE] = VALUE_NE};
    if (n == 0 && f != F_PRINT) {
        return fail(r, "a function has no arguments");
    }
    switch (f) {
    case F_EQ:
    case F_GE:
    case F_GT:
    case F_LE:
    case F_LT:
    case F_NE:
        return compare(r, ops[f], args, n, ret);
    case F_AND:
    case F_OR:
        for (uint32_t i = 0; i < n; i++) {
            *ret = args[i];
            if (truth(&args[i]) == (f == F_OR)) {
                break;
            }
        }
        return 0;
    case F_NOT:
        *ret = value_bool(!truth(&args[0]));
        return 0;
    case F_INDEX:
        return index_of(r, args, n, ret);
    case F_JSON:
    case F_TO_JSON:
        return text_of(r, &args[0], true, ret);
    case F_LEN:
        *ret = value_int(args[0].type >= VALUE_STRING ? args[0].n : 0);
        return args[0].type >= VALUE_STRING ? 0 : fail(r, "len: the value has no length");
    case F_BASE64:
        return base64(r, &args[0], ret);
    case F_PRINT:
        return print_all(r, args, n, ret);
    case F_PRINTF:
        return print_format(r, args, n, ret);
    case F_NR:
        break;
    }
    return fail(r, "unknown function");
}

/* Depth is bounded by the compiler. */
static int eval(struct run *r, const struct t_expr *e, const struct value *dot, struct value *ret)
{
    struct value args[TEMPLATE_ARGS_MAX];
    if (++r->steps > STEPS_MAX) {
        return err_set(r->err, -E_LIMIT, "template: too many steps");
    }
    switch (e->kind) {
    case T_CONST:
        *ret = e->value;
        return 0;
    case T_DOT:
        *ret = walk(*dot, e);
        return 0;
    case T_VAR:
        *ret = walk(r->slots[e->slot], e);
        return 0;
    default:
        for (uint32_t i = 0; i < e->n_args; i++) {
            int rc = eval(r, e->args[i], dot, &args[i]);
            if (rc < 0) {
                return rc;
            }
        }
        return call(r, e->function, args, e->n_args, ret);
    }
}

/* ---- nodes ---- */

static int run_list(struct run *r, const struct t_node *n, const struct value *dot);

static int run_range(struct run *r, const struct t_node *n, const struct value *over,
                     const struct value *dot)
{
    if (over->type != VALUE_ARRAY && over->type != VALUE_OBJECT && !value_is_null(over)) {
        return fail(r, "range: the value is no list and no object");
    }
    uint32_t count = value_is_null(over) ? 0 : over->n;
    int rc = count == 0 ? run_list(r, n->otherwise, dot) : 0;
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        bool list = over->type == VALUE_ARRAY;
        struct value item = list ? over->items[i] : over->members[i].value;
        if (n->key_slot) {
            r->slots[n->key_slot] = list ? value_int(i) : value_string(over->members[i].key);
        }
        if (n->slot) {
            r->slots[n->slot] = item;
        }
        rc = run_list(r, n->body, &item);
    }
    return rc;
}

static int run_node(struct run *r, const struct t_node *n, const struct value *dot)
{
    struct value v = VALUE_OF_NULL;
    if (n->kind == N_TEXT) {
        return buf_append_str(r->out, n->text);
    }
    int rc = eval(r, n->expr, dot, &v);
    if (rc < 0) {
        return rc;
    }
    switch (n->kind) {
    case N_PRINT:
        if (value_is_null(&v)) { /* as Go's templates print what is not there */
            return buf_puts(r->out, "<no value>");
        }
        return value_print_text(r->out, &v);
    case N_SET:
        r->slots[n->slot] = v;
        return 0;
    case N_RANGE:
        return run_range(r, n, &v, dot);
    case N_WITH:
        if (n->slot) {
            r->slots[n->slot] = v;
        }
        return truth(&v) ? run_list(r, n->body, &v) : run_list(r, n->otherwise, dot);
    default:
        if (n->slot) {
            r->slots[n->slot] = v;
        }
        return run_list(r, truth(&v) ? n->body : n->otherwise, dot);
    }
}

static int run_list(struct run *r, const struct t_node *n, const struct value *dot)
{
    int rc = 0;
    for (; rc == 0 && n; n = n->next) {
        rc = run_node(r, n, dot);
        if (rc == 0 &&
            (++r->steps > STEPS_MAX || buf_len(r->out) - r->out_start > LIMIT_EVENT_BYTES)) {
            rc = err_set(r->err, -E_LIMIT, "template: too much output or too many steps");
        }
    }
    return rc;
}

int template_run(const struct template *t, const struct value *dot, struct buf *out,
                 struct err *err)
{
    struct run r = {.out = out, .out_start = buf_len(out), .err = err};
    arena_init(&r.arena, 0);
    for (uint32_t i = 0; i < t->n_slots; i++) {
        r.slots[i] = VALUE_OF_NULL;
    }
    r.slots[0] = *dot;
    int rc = run_list(&r, t->nodes, dot);
    arena_fini(&r.arena);
    return rc == -E_NOMEM ? err_sys(err, rc, "run a template") : rc;
}
