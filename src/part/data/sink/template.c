/* SPDX-License-Identifier: Apache-2.0 */
/* The compiler of data templates: text to a list of nodes. */
#include "template.h"

#include "base/mem.h"
#include "template_private.h"

struct compiler {
    struct template *t;
    struct str all, rest;               /* the text; what is not yet read */
    struct str action;                  /* inside {{ }} */
    struct str vars[TEMPLATE_VARS_MAX]; /* names in scope; slot i is vars[i] */
    uint32_t slots[TEMPLATE_VARS_MAX];
    uint32_t n_vars;
    uint32_t n_nodes;
    bool trim_next; /* the last action ended with -}} */
    struct err *err;
};

static int fail(struct compiler *c, const char *what, struct str at)
{
    int line = 1;
    const char *end = c->rest.p ? c->rest.p : c->all.p + c->all.n;
    for (const char *p = c->all.p; p < end; p++) {
        line += *p == '\n';
    }
    return err_set(c->err, -E_PARSE, "line %d: %s '" STR_FMT "'", line, what,
                   STR_ARG(str_n(at.p, MIN_OF(at.n, 40u))));
}

static bool is_space(char ch)
{
    return ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r';
}

static bool is_name(char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
           ch == '_' || (unsigned char)ch >= 0x80;
}

static struct str trim(struct str s, bool left, bool right)
{
    while (left && s.n > 0 && is_space(*s.p)) {
        s = str_n(s.p + 1, s.n - 1);
    }
    while (right && s.n > 0 && is_space(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

static void skip(struct compiler *c, size_t n)
{
    c->action = trim(str_n(c->action.p + n, c->action.n - n), true, false);
}

/* ---- expressions ---- */

static struct t_expr *new_expr(struct compiler *c, enum expr_node_kind kind)
{
    struct t_expr *e =
        ++c->n_nodes <= TEMPLATE_NODES_MAX ? arena_zalloc(&c->t->arena, sizeof(*e)) : NULL;
    if (!e) {
        (void)err_set(c->err, -E_LIMIT, "the template is too large");
        return NULL;
    }
    e->kind = kind;
    return e;
}

/* ".a.b" behind a dot or a variable */
static bool read_path(struct compiler *c, struct t_expr *e)
{
    struct str names[TEMPLATE_ARGS_MAX];
    while (c->action.n > 1 && c->action.p[0] == '.' && is_name(c->action.p[1])) {
        size_t n = 1;
        while (n < c->action.n && is_name(c->action.p[n])) {
            n++;
        }
        if (e->n_path == ARRAY_SIZE(names)) {
            (void)fail(c, "too many levels at", c->action);
            return false;
        }
        names[e->n_path++] = str_n(c->action.p + 1, n - 1);
        c->action = str_n(c->action.p + n, c->action.n - n);
    }
    e->path = arena_dup(&c->t->arena, names, e->n_path * sizeof(*names));
    skip(c, 0);
    return e->n_path == 0 || e->path;
}

static struct t_expr *read_text(struct compiler *c)
{
    char quote = c->action.p[0];
    struct buf b = BUF_INIT;
    size_t i = 1;
    for (; i < c->action.n && c->action.p[i] != quote; i++) {
        char ch = c->action.p[i];
        if (ch == '\\' && quote == '"' && i + 1 < c->action.n) {
            ch = c->action.p[++i];
            ch = ch == 'n' ? '\n' : ch == 't' ? '\t' : ch == 'r' ? '\r' : ch;
        }
        (void)buf_putc(&b, ch); /* sticky */
    }
    struct t_expr *e = NULL;
    if (i >= c->action.n) {
        (void)fail(c, "unterminated text", c->action);
    } else if ((e = new_expr(c, T_CONST))) {
        char *copy = arena_strndup(&c->t->arena, buf_data(&b), buf_len(&b));
        e->value = value_string(str_n(copy, copy ? buf_len(&b) : 0));
        skip(c, i + 1);
    }
    buf_fini(&b);
    return e;
}

static struct t_expr *read_number(struct compiler *c)
{
    size_t n = 1;
    while (n < c->action.n && (is_name(c->action.p[n]) || c->action.p[n] == '.')) {
        n++;
    }
    struct str text = str_n(c->action.p, n);
    struct t_expr *e = new_expr(c, T_CONST);
    int64_t i;
    double d;
    if (!e) {
        return NULL;
    }
    if (str_i64(text, &i) == 0) {
        e->value = value_int(i);
    } else if (str_double(text, &d) == 0) {
        e->value = value_float(d);
    } else {
        (void)fail(c, "bad number", text);
        return NULL;
    }
    skip(c, n);
    return e;
}

static struct t_expr *read_variable(struct compiler *c)
{
    size_t n = 1;
    while (n < c->action.n && is_name(c->action.p[n])) {
        n++;
    }
    struct str name = str_n(c->action.p, n);
    struct t_expr *e = new_expr(c, T_VAR);
    for (uint32_t i = c->n_vars; e && i-- > 0;) {
        if (str_eq(c->vars[i], name)) {
            e->slot = c->slots[i];
            c->action = str_n(c->action.p + n, c->action.n - n);
            return read_path(c, e) ? e : NULL;
        }
    }
    if (e) {
        (void)fail(c, "undefined variable", name);
    }
    return NULL;
}

static struct t_expr *read_pipeline(struct compiler *c, int depth);

static const char *const function_names[F_NR] = {
    [F_AND] = "and", [F_BASE64] = "base64", [F_EQ] = "eq",         [F_GE] = "ge",
    [F_GT] = "gt",   [F_INDEX] = "index",   [F_JSON] = "json",     [F_LE] = "le",
    [F_LEN] = "len", [F_LT] = "lt",         [F_NE] = "ne",         [F_NOT] = "not",
    [F_OR] = "or",   [F_PRINT] = "print",   [F_PRINTF] = "printf", [F_TO_JSON] = "toJson",
};

static struct t_expr *read_word(struct compiler *c)
{
    size_t n = 0;
    while (n < c->action.n && is_name(c->action.p[n])) {
        n++;
    }
    struct str word = str_n(c->action.p, n);
    if (str_is(word, "true") || str_is(word, "false") || str_is(word, "nil")) {
        struct t_expr *e = new_expr(c, T_CONST);
        if (e) {
            e->value = str_is(word, "nil") ? VALUE_OF_NULL : value_bool(str_is(word, "true"));
            skip(c, n);
        }
        return e;
    }
    for (int f = 0; f < F_NR; f++) {
        if (str_is(word, function_names[f])) {
            struct t_expr *e = new_expr(c, T_CALL);
            if (e) {
                e->function = (enum template_function)f;
                skip(c, n);
            }
            return e;
        }
    }
    (void)fail(c, n > 0 ? "unknown function" : "unexpected", n > 0 ? word : c->action);
    return NULL;
}

/* One operand: a constant, a field, a variable, a function's name, a pipeline in parentheses. */
static struct t_expr *read_operand(struct compiler *c, int depth)
{
    if (c->action.n == 0) {
        (void)fail(c, "a value is missing", c->action);
        return NULL;
    }
    char ch = c->action.p[0];
    if (ch == '(') {
        skip(c, 1);
        struct t_expr *e = read_pipeline(c, depth + 1);
        if (e && (c->action.n == 0 || c->action.p[0] != ')')) {
            (void)fail(c, "expected ) at", c->action);
            return NULL;
        }
        if (e) {
            skip(c, 1);
        }
        return e;
    }
    if (ch == '.') {
        struct t_expr *e = new_expr(c, T_DOT);
        if (e && (c->action.n == 1 || !is_name(c->action.p[1]))) {
            skip(c, 1);
            return e;
        }
        return e && read_path(c, e) ? e : NULL;
    }
    if (ch == '"' || ch == '`') {
        return read_text(c);
    }
    if (ch == '$') {
        return read_variable(c);
    }
    return (ch >= '0' && ch <= '9') || ch == '-' ? read_number(c) : read_word(c);
}

static bool at_end(const struct compiler *c)
{
    return c->action.n == 0 || c->action.p[0] == '|' || c->action.p[0] == ')';
}

/* An operand, or a function with its arguments. */
static struct t_expr *read_command(struct compiler *c, int depth)
{
    struct t_expr *e = read_operand(c, depth);
    if (!e || e->kind != T_CALL) {
        if (e && !at_end(c)) {
            (void)fail(c, "unexpected", c->action);
            return NULL;
        }
        return e;
    }
    while (!at_end(c)) {
        struct t_expr *arg = e->n_args < TEMPLATE_ARGS_MAX ? read_operand(c, depth) : NULL;
        if (!arg) {
            if (e->n_args == TEMPLATE_ARGS_MAX) {
                (void)fail(c, "too many arguments at", c->action);
            }
            return NULL;
        }
        e->args[e->n_args++] = arg;
    }
    return e;
}

static struct t_expr *read_pipeline(struct compiler *c, int depth)
{
    if (depth > TEMPLATE_DEPTH_MAX) {
        (void)err_set(c->err, -E_LIMIT, "the template nests too deeply");
        return NULL;
    }
    struct t_expr *e = read_command(c, depth);
    for (int pipes = 1; e && c->action.n > 0 && c->action.p[0] == '|'; pipes++) {
        if (pipes > TEMPLATE_PIPES_MAX) {
            (void)err_set(c->err, -E_LIMIT, "more than %d functions in one pipeline",
                          TEMPLATE_PIPES_MAX);
            return NULL;
        }
        skip(c, 1);
        struct t_expr *next = read_command(c, depth);
        if (!next || next->kind != T_CALL || next->n_args == TEMPLATE_ARGS_MAX) {
            if (next) {
                (void)fail(c, "a function is expected after | before", c->action);
            }
            return NULL;
        }
        next->args[next->n_args++] = e;
        e = next;
    }
    return e;
}

/* ---- actions ---- */

static uint32_t declare(struct compiler *c, struct str name)
{
    if (c->n_vars == TEMPLATE_VARS_MAX || c->t->n_slots == TEMPLATE_SLOTS_MAX) {
        (void)err_set(c->err, -E_LIMIT, "the template has too many variables");
        return 0;
    }
    c->vars[c->n_vars] = name;
    c->slots[c->n_vars] = c->t->n_slots++;
    return c->slots[c->n_vars++];
}

/* "$x" or "$i, $v" before ":="; false when there is none. c->action is behind it. */
static bool read_declaration(struct compiler *c, struct str ret[2], uint32_t *ret_n)
{
    struct str s = c->action;
    uint32_t n = 0;
    while (s.n > 0 && s.p[0] == '$' && n < 2) {
        size_t len = 1;
        while (len < s.n && is_name(s.p[len])) {
            len++;
        }
        ret[n++] = str_n(s.p, len);
        s = trim(str_n(s.p + len, s.n - len), true, false);
        if (s.n > 0 && s.p[0] == ',') {
            s = trim(str_n(s.p + 1, s.n - 1), true, false);
        } else {
            break;
        }
    }
    if (n == 0 || !str_starts(s, ":=")) {
        return false;
    }
    c->action = s;
    skip(c, 2);
    *ret_n = n;
    return true;
}

static struct t_node *new_node(struct compiler *c, enum t_node_kind kind)
{
    struct t_node *n =
        ++c->n_nodes <= TEMPLATE_NODES_MAX ? arena_zalloc(&c->t->arena, sizeof(*n)) : NULL;
    if (!n) {
        (void)err_set(c->err, -E_LIMIT, "the template is too large");
        return NULL;
    }
    n->kind = kind;
    return n;
}

static bool take_word(struct compiler *c, const char *word)
{
    size_t n = strlen(word);
    if (!str_starts(c->action, word) || (c->action.n > n && is_name(c->action.p[n]))) {
        return false;
    }
    skip(c, n);
    return true;
}

enum list_end { END_OF_TEXT, END_OF_BLOCK, END_ELSE, END_ELSE_IF, END_FAILED };

static enum list_end read_list(struct compiler *c, struct t_node **ret, int depth);

/* The rest of a block whose head was read: body, else, end. */
static bool read_block(struct compiler *c, struct t_node *n, int depth)
{
    enum list_end end = read_list(c, &n->body, depth + 1);
    if (end == END_ELSE_IF && n->kind == N_IF) {
        struct t_node *inner = new_node(c, N_IF);
        n->otherwise = inner;
        inner = inner && (inner->expr = read_pipeline(c, depth)) ? inner : NULL;
        return inner && read_block(c, inner, depth + 1);
    }
    if (end == END_ELSE) {
        end = read_list(c, &n->otherwise, depth + 1);
    }
    if (end != END_OF_BLOCK && end != END_FAILED) {
        (void)fail(c, "{{end}} is missing after", c->action);
    }
    return end == END_OF_BLOCK;
}

static struct t_node *read_head(struct compiler *c, enum t_node_kind kind, int depth)
{
    struct t_node *n = new_node(c, kind);
    struct str names[2];
    uint32_t n_names = 0, before = c->n_vars;
    if (!n) {
        return NULL;
    }
    bool declares = read_declaration(c, names, &n_names);
    n->expr = read_pipeline(c, depth);
    if (!n->expr) {
        return NULL;
    }
    if (declares && n_names == 2) {
        n->key_slot = declare(c, names[0]);
    }
    if (declares) {
        n->slot = declare(c, names[n_names - 1]);
    }
    if (c->action.n > 0) {
        (void)fail(c, "unexpected", c->action);
        return NULL;
    }
    bool ok = read_block(c, n, depth);
    c->n_vars = before;
    return ok ? n : NULL;
}

static struct t_node *read_print(struct compiler *c, int depth)
{
    struct str names[2];
    uint32_t n_names;
    bool declares = read_declaration(c, names, &n_names);
    struct t_node *n = new_node(c, declares ? N_SET : N_PRINT);
    if (!n || !(n->expr = read_pipeline(c, depth))) {
        return NULL;
    }
    if (c->action.n > 0) {
        (void)fail(c, "unexpected", c->action);
        return NULL;
    }
    if (declares) {
        n->slot = declare(c, names[0]);
        n = n->slot > 0 ? n : NULL;
    }
    return n;
}

/* ---- text and lists ---- */

/* The text before the next action; false at the end of all. The action is then in c->action. */
static bool next_action(struct compiler *c, struct str *ret_text, bool *ret_bad)
{
    const char *open = memmem(c->rest.p, c->rest.n, "{{", 2);
    struct str text = str_n(c->rest.p, open ? (size_t)(open - c->rest.p) : c->rest.n);
    bool trim_left = c->trim_next;
    c->trim_next = false;
    if (!open) {
        c->rest = str_n(c->rest.p + c->rest.n, 0);
        *ret_text = trim(text, trim_left, false);
        return false;
    }
    struct str inside = str_n(open + 2, (size_t)(c->rest.p + c->rest.n - open) - 2);
    const char *close = memmem(inside.p, inside.n, "}}", 2);
    if (!close) {
        *ret_bad = true;
        c->rest = inside; /* where the message counts lines */
        (void)fail(c, "unclosed action", inside);
        return false;
    }
    c->rest = str_n(close + 2, (size_t)(inside.p + inside.n - close) - 2);
    inside.n = (size_t)(close - inside.p);
    bool trim_right = inside.n > 1 && inside.p[0] == '-' && is_space(inside.p[1]);
    inside = trim_right ? str_n(inside.p + 1, inside.n - 1) : inside;
    if (inside.n > 1 && inside.p[inside.n - 1] == '-' && is_space(inside.p[inside.n - 2])) {
        c->trim_next = true;
        inside.n--;
    }
    *ret_text = trim(text, trim_left, trim_right);
    c->action = trim(inside, true, true);
    return true;
}

static bool append(struct t_node ***at, struct t_node *n)
{
    if (n) {
        **at = n;
        *at = &n->next;
    }
    return n != NULL;
}

static enum list_end read_list(struct compiler *c, struct t_node **ret, int depth)
{
    struct t_node **at = ret;
    if (depth > TEMPLATE_DEPTH_MAX) {
        (void)err_set(c->err, -E_LIMIT, "the template nests too deeply");
        return END_FAILED;
    }
    for (;;) {
        struct str text;
        bool bad = false, more = next_action(c, &text, &bad);
        if (bad) {
            return END_FAILED;
        }
        if (text.n > 0) {
            struct t_node *n = new_node(c, N_TEXT);
            if (!append(&at, n)) {
                return END_FAILED;
            }
            n->text = text;
        }
        if (!more) {
            return END_OF_TEXT;
        }
        if (str_starts(c->action, "/*")) {
            continue;
        }
        if (take_word(c, "end")) {
            return END_OF_BLOCK;
        }
        if (take_word(c, "else")) {
            return take_word(c, "if") ? END_ELSE_IF : END_ELSE;
        }
        struct t_node *n = take_word(c, "if")      ? read_head(c, N_IF, depth)
                           : take_word(c, "range") ? read_head(c, N_RANGE, depth)
                           : take_word(c, "with")  ? read_head(c, N_WITH, depth)
                                                   : read_print(c, depth);
        if (!append(&at, n)) {
            return END_FAILED;
        }
    }
}

int template_compile(struct str text, struct template **ret, struct err *err)
{
    struct err own = {0};
    struct template *t = mem_zalloc(sizeof(*t));
    if (!t) {
        return err_sys(err, -E_NOMEM, "compile a template");
    }
    arena_init(&t->arena, (size_t)16 << 20);
    char *copy = arena_str(&t->arena, text);
    struct compiler c = {.t = t, .err = &own, .all = str_n(copy, copy ? text.n : 0)};
    c.rest = c.all;
    t->n_slots = 0;
    (void)declare(&c, STR_LIT("$")); /* slot 0 is the whole */
    enum list_end end = copy ? read_list(&c, &t->nodes, 0) : END_FAILED;
    if (end != END_OF_TEXT && end != END_FAILED) {
        (void)fail(&c, "unexpected", c.action);
    }
    if (own.code == 0 && end == END_FAILED) {
        (void)err_sys(&own, -E_NOMEM, "compile a template");
    }
    if (own.code < 0) {
        template_free(t);
        if (err) {
            *err = own;
        }
        return own.code;
    }
    *ret = t;
    return 0;
}

void template_free(struct template *t)
{
    if (t) {
        arena_fini(&t->arena);
        mem_free(t);
    }
}
