/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of .proto texts: tokens, then statements. See protobuf_text.h. */
#include "protobuf_text.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "protobuf_text_private.h"

enum token_kind { TOKEN_END, TOKEN_NAME, TOKEN_NUMBER, TOKEN_TEXT, TOKEN_SIGN };

struct token {
    enum token_kind kind;
    struct str s; /* of a text: without the quotes */
    uint32_t line;
};

struct reader {
    struct str rest;
    uint32_t line;
    struct token token; /* the current one */
    struct proto_file *file;
    struct err *err;
};

/* ---- tokens ---- */

/* "line 3: expected ';', at 'x'"; bytes that are no plain characters are shown as '?'. */
static int fail(struct reader *r, const char *what)
{
    char shown[40];
    size_t n = MIN_OF(r->token.s.n, sizeof(shown));
    for (size_t i = 0; i < n; i++) {
        char c = r->token.s.p[i];
        shown[i] = c >= ' ' && c <= '~' ? c : '?';
    }
    return r->token.kind == TOKEN_END
               ? err_set(r->err, -E_INVAL, "line %u: %s, at the end", r->token.line, what)
               : err_set(r->err, -E_INVAL, "line %u: %s, at '%.*s'", r->token.line, what, (int)n,
                         shown);
}

static void skip(struct reader *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        r->line += r->rest.p[i] == '\n';
    }
    r->rest = str_n(r->rest.p + n, r->rest.n - n);
}

/* White space and comments; false where a comment does not end. */
static bool skip_blank(struct reader *r)
{
    while (r->rest.n > 0) {
        size_t n = 0;
        char c = r->rest.p[0], next = r->rest.n > 1 ? r->rest.p[1] : '\0';
        if (c == ' ' || (c >= '\t' && c <= '\r')) {
            n = 1;
        } else if (c == '/' && next == '/') {
            const char *end = memchr(r->rest.p, '\n', r->rest.n);
            n = end ? (size_t)(end - r->rest.p) : r->rest.n;
        } else if (c == '/' && next == '*') {
            for (n = 2; n + 1 < r->rest.n && memcmp(r->rest.p + n, "*/", 2) != 0;) {
                n++;
            }
            if (n + 1 >= r->rest.n) {
                return false;
            }
            n += 2;
        } else {
            return true;
        }
        skip(r, n);
    }
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Length of the token at the start; 0 where a text does not end. */
static size_t measure(struct str s, enum token_kind *ret_kind)
{
    size_t n = 1;
    char c = s.p[0];
    if (is_letter(c) || is_digit(c)) {
        *ret_kind = is_letter(c) ? TOKEN_NAME : TOKEN_NUMBER;
        while (n < s.n && (is_letter(s.p[n]) || is_digit(s.p[n]) ||
                           (*ret_kind == TOKEN_NUMBER && s.p[n] == '.'))) {
            n++;
        }
        return n;
    }
    *ret_kind = c == '"' || c == '\'' ? TOKEN_TEXT : TOKEN_SIGN;
    if (*ret_kind == TOKEN_SIGN) {
        return 1;
    }
    while (n < s.n && s.p[n] != c && s.p[n] != '\n') {
        n += s.p[n] == '\\' && n + 1 < s.n ? 2 : 1;
    }
    return n < s.n && s.p[n] == c ? n + 1 : 0;
}

static int next(struct reader *r)
{
    bool ok = skip_blank(r);
    r->token = (struct token){TOKEN_END, STR_LIT(""), r->line};
    if (!ok) {
        return fail(r, "a comment does not end");
    }
    if (r->rest.n == 0) {
        return 0;
    }
    size_t n = measure(r->rest, &r->token.kind);
    if (n == 0) {
        return fail(r, "a text does not end");
    }
    r->token.s = r->token.kind == TOKEN_TEXT ? str_n(r->rest.p + 1, n - 2) : str_n(r->rest.p, n);
    skip(r, n);
    return 0;
}

static bool at_sign(const struct reader *r, char c)
{
    return r->token.kind == TOKEN_SIGN && r->token.s.p[0] == c;
}

static bool at_word(const struct reader *r, const char *word)
{
    return r->token.kind == TOKEN_NAME && str_is(r->token.s, word);
}

static int expect(struct reader *r, char c)
{
    char what[] = "expected 'x'";
    what[sizeof("expected '") - 1] = c;
    return at_sign(r, c) ? next(r) : fail(r, what);
}

static int take_name(struct reader *r, struct str *ret)
{
    if (r->token.kind != TOKEN_NAME) {
        return fail(r, "expected a name");
    }
    *ret = r->token.s;
    return next(r);
}

/* "a.b.C", ".a.B": one piece of the source, without blanks in it. */
static int take_path(struct reader *r, struct str *ret)
{
    const char *from = r->token.s.p, *end = from;
    bool more = true;
    while (more) {
        bool dot = at_sign(r, '.'), joined = r->token.s.p == end;
        int rc = dot ? next(r) : 0;
        if (rc == 0 && (!joined || r->token.s.p != end + dot)) {
            return fail(r, "expected a name without blanks");
        }
        end = r->token.s.p + r->token.s.n;
        rc = rc < 0 ? rc : r->token.kind == TOKEN_NAME ? next(r) : fail(r, "expected a name");
        if (rc < 0) {
            return rc;
        }
        more = at_sign(r, '.');
    }
    *ret = str_n(from, (size_t)(end - from));
    return 0;
}

static int take_number(struct reader *r, uint32_t *ret)
{
    uint64_t v = 0;
    struct str s = r->token.s;
    bool hex = s.n > 2 && s.p[0] == '0' && (s.p[1] == 'x' || s.p[1] == 'X');
    bool ok = r->token.kind == TOKEN_NUMBER && s.n <= 16;
    for (size_t i = hex ? 2 : 0; ok && i < s.n; i++) {
        char c = s.p[i] | 0x20;
        unsigned digit = is_digit(s.p[i])              ? (unsigned)(s.p[i] - '0')
                         : hex && c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                                                       : 99;
        v = v * (hex ? 16 : 10) + digit;
        ok = digit < 16 && v <= UINT32_MAX;
    }
    if (!ok) {
        return fail(r, "expected a whole number");
    }
    *ret = (uint32_t)v;
    return next(r);
}

/* ---- what is read over ---- */

/* From an opening sign to its closing one, or to ';'. Braces may stand in each other. */
static int skip_statement(struct reader *r)
{
    unsigned open = 0;
    for (;;) {
        if (r->token.kind == TOKEN_END) {
            return fail(r, "expected ';' or '}'");
        }
        bool down = at_sign(r, '}') || at_sign(r, ']');
        open += at_sign(r, '{') || at_sign(r, '[');
        if (down && open == 0) {
            return fail(r, "unexpected sign");
        }
        open -= down;
        bool ends = open == 0 && (at_sign(r, ';') || at_sign(r, '}'));
        int rc = next(r);
        if (rc < 0 || ends) {
            return rc;
        }
    }
}

/* "[packed = true, deprecated = false, (mine).x = {...}]" after a field. */
static int take_options(struct reader *r, struct proto_field *f)
{
    bool packed = false, value = false;
    unsigned open = 0;
    if (!at_sign(r, '[')) {
        return 0;
    }
    do {
        if (r->token.kind == TOKEN_END || at_sign(r, ';')) {
            return fail(r, "expected ']'");
        }
        open += at_sign(r, '[') || at_sign(r, '{');
        open -= at_sign(r, ']') || at_sign(r, '}');
        if (open == 1 && packed && value && (at_word(r, "true") || at_word(r, "false"))) {
            f->packed = at_word(r, "true");
        }
        value = at_sign(r, '=');
        packed = at_word(r, "packed") || (packed && value);
        int rc = next(r);
        if (rc < 0) {
            return rc;
        }
    } while (open > 0);
    return 0;
}

/* ---- fields ---- */

static const struct {
    const char *name;
    enum schema_type type;
} scalars[] = {
    {"double", SCHEMA_DOUBLE},     {"float", SCHEMA_FLOAT},   {"int64", SCHEMA_INT64},
    {"uint64", SCHEMA_UINT64},     {"int32", SCHEMA_INT32},   {"fixed64", SCHEMA_FIXED64},
    {"fixed32", SCHEMA_FIXED32},   {"bool", SCHEMA_BOOL},     {"string", SCHEMA_STRING},
    {"bytes", SCHEMA_BYTES},       {"uint32", SCHEMA_UINT32}, {"sfixed32", SCHEMA_SFIXED32},
    {"sfixed64", SCHEMA_SFIXED64}, {"sint32", SCHEMA_SINT32}, {"sint64", SCHEMA_SINT64},
};

static int take_type(struct reader *r, struct proto_field *f)
{
    if (at_word(r, "group")) {
        return fail(r, "groups are not supported: use a message");
    }
    int rc = take_path(r, &f->type_name);
    for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(scalars); i++) {
        if (str_is(f->type_name, scalars[i].name)) {
            f->type = scalars[i].type;
        }
    }
    return rc;
}

static struct proto_field *add_field(struct reader *r, struct proto_type *m)
{
    struct proto_field *f = arena_zalloc(r->file->arena, sizeof(*f));
    if (!f) {
        (void)err_sys(r->err, -E_NOMEM, "read a schema");
        return NULL;
    }
    f->packed = -1;
    f->label = PROTO_OPTIONAL;
    f->line = r->token.line;
    *m->last_field = f;
    m->last_field = &f->next;
    m->n_fields++;
    return f;
}

/* "name = 5 [options];" */
static int take_field_end(struct reader *r, struct proto_field *f)
{
    int rc = take_name(r, &f->name);
    rc = rc < 0 ? rc : expect(r, '=');
    rc = rc < 0 ? rc : take_number(r, &f->number);
    if (rc == 0 &&
        (f->number == 0 || f->number > 536870911 || (f->number >= 19000 && f->number <= 19999))) {
        return err_set(r->err, -E_INVAL, "line %u: field " STR_FMT " cannot have the number %u",
                       f->line, STR_ARG(f->name), f->number);
    }
    rc = rc < 0 ? rc : take_options(r, f);
    return rc < 0 ? rc : expect(r, ';');
}

static int take_field(struct reader *r, struct proto_type *m, bool choice)
{
    struct proto_field *f = add_field(r, m);
    int rc = f ? 0 : -E_NOMEM;
    bool labelled = at_word(r, "repeated") || at_word(r, "optional") || at_word(r, "required");
    if (rc == 0 && labelled) {
        f->label = at_word(r, "repeated")   ? PROTO_REPEATED
                   : at_word(r, "required") ? PROTO_REQUIRED
                                            : PROTO_OPTIONAL;
        choice = f->label == PROTO_OPTIONAL && r->file->proto3;
        rc = f->label == PROTO_REQUIRED && r->file->proto3
                 ? fail(r, "proto3 has no required fields")
                 : next(r);
    } else if (rc == 0 && !choice && !r->file->proto3) {
        rc = fail(r, "expected required, optional or repeated");
    }
    rc = rc < 0 ? rc : take_type(r, f);
    if (rc == 0) {
        f->choice = choice;
        rc = take_field_end(r, f);
    }
    return rc;
}

static int add_type(struct reader *r, struct proto_type *parent, struct str name,
                    struct proto_type **ret);

/* TagsEntry of the field tags, as protoc names it. */
static struct str entry_name(struct reader *r, struct str field)
{
    char *name = arena_alloc(r->file->arena, field.n + sizeof("Entry"));
    size_t n = 0;
    bool up = true;
    for (size_t i = 0; name && i < field.n; i++) {
        char c = field.p[i];
        if (c != '_') {
            name[n++] = up && c >= 'a' && c <= 'z' ? (char)(c - 0x20) : c;
        }
        up = c == '_';
    }
    if (name) {
        memcpy(name + n, "Entry", sizeof("Entry"));
    }
    return str_n(name, name ? n + sizeof("Entry") - 1 : 0);
}

/* "map<string, Place> places = 3;" is a repeated message {key = 1; value = 2}. */
static int take_map(struct reader *r, struct proto_type *m)
{
    struct proto_field *f = add_field(r, m), key = {0}, value = {0};
    struct proto_type *entry = NULL;
    int rc = f ? next(r) : -E_NOMEM;
    rc = rc < 0 ? rc : expect(r, '<');
    rc = rc < 0 ? rc : take_type(r, &key);
    if (rc == 0 && (key.type == 0 || key.type == SCHEMA_DOUBLE || key.type == SCHEMA_FLOAT ||
                    key.type == SCHEMA_BYTES)) {
        rc = fail(r, "a map's key is a whole number, a bool or a string");
    }
    rc = rc < 0 ? rc : expect(r, ',');
    rc = rc < 0 ? rc : take_type(r, &value);
    rc = rc < 0 ? rc : expect(r, '>');
    rc = rc < 0 ? rc : take_field_end(r, f);
    rc = rc < 0 ? rc : add_type(r, m, entry_name(r, f->name), &entry);
    if (rc < 0) {
        return rc;
    }
    f->label = PROTO_REPEATED;
    f->type_name = arena_failed(r->file->arena) ? STR_NULL : entry->name;
    entry->map_entry = true;
    struct proto_field *k = add_field(r, entry), *v = add_field(r, entry);
    if (!k || !v) {
        return -E_NOMEM;
    }
    k->name = STR_LIT("key");
    k->number = 1;
    k->type = key.type;
    v->name = STR_LIT("value");
    v->number = 2;
    v->type = value.type;
    v->type_name = value.type_name;
    v->line = f->line;
    return 0;
}

static int take_oneof(struct reader *r, struct proto_type *m)
{
    struct str name;
    int rc = next(r);
    rc = rc < 0 ? rc : take_name(r, &name);
    rc = rc < 0 ? rc : expect(r, '{');
    while (rc == 0 && !at_sign(r, '}')) {
        if (at_word(r, "repeated") || at_word(r, "optional") || at_word(r, "required") ||
            at_word(r, "map")) {
            rc = fail(r, "a field of a oneof has no label");
        } else {
            rc = at_word(r, "option") ? skip_statement(r) : take_field(r, m, /* choice= */ true);
        }
    }
    return rc < 0 ? rc : next(r);
}

/* ---- messages and enums ---- */

static int add_type(struct reader *r, struct proto_type *parent, struct str name,
                    struct proto_type **ret)
{
    struct arena *a = r->file->arena;
    struct proto_type *t = arena_zalloc(a, sizeof(*t));
    struct str scope = parent->full;
    char *full = scope.n ? arena_printf(a, STR_FMT "." STR_FMT, STR_ARG(scope), STR_ARG(name))
                         : arena_str(a, name);
    if (!t || !full) {
        return err_sys(r->err, -E_NOMEM, "read a schema");
    }
    t->name = name;
    t->full = str_of(full);
    t->last_field = &t->fields;
    t->last_type = &t->types;
    t->parent = parent;
    *parent->last_type = t;
    parent->last_type = &t->next;
    if (map_get(&r->file->names, t->full)) {
        return err_set(r->err, -E_INVAL, "line %u: " STR_FMT " is defined twice", r->token.line,
                       STR_ARG(t->full));
    }
    *ret = t;
    return map_put(&r->file->names, t->full, t, NULL) < 0
               ? err_sys(r->err, -E_NOMEM, "read a schema")
               : 0;
}

/* The decoder knows enums as numbers: their values are read over. */
static int take_enum(struct reader *r, struct proto_type *parent)
{
    struct proto_type *t = NULL;
    struct str name;
    int rc = next(r);
    rc = rc < 0 ? rc : take_name(r, &name);
    rc = rc < 0 ? rc : add_type(r, parent, name, &t);
    if (rc < 0) {
        return rc;
    }
    t->is_enum = true;
    return at_sign(r, '{') ? skip_statement(r) : expect(r, '{');
}

static int by_number(const void *a, const void *b)
{
    const struct proto_field *const *x = a, *const *y = b;
    return ((*x)->number > (*y)->number) - ((*x)->number < (*y)->number);
}

static int by_name(const void *a, const void *b)
{
    const struct proto_field *const *x = a, *const *y = b;
    return str_cmp((*x)->name, (*y)->name);
}

static int check_fields(struct reader *r, const struct proto_type *m)
{
    struct proto_field **all = arena_alloc(r->file->arena, (m->n_fields + 1) * sizeof(*all));
    uint32_t n = 0;
    if (!all) {
        return err_sys(r->err, -E_NOMEM, "read a schema");
    }
    if (m->n_fields > LIMIT_STREAM_FIELDS) {
        return err_set(r->err, -E_LIMIT, "message " STR_FMT " has more than %d fields",
                       STR_ARG(m->full), LIMIT_STREAM_FIELDS);
    }
    for (struct proto_field *f = m->fields; f; f = f->next) {
        all[n++] = f;
    }
    for (int names = 0; names < 2; names++) {
        qsort(all, n, sizeof(*all), names ? by_name : by_number);
        for (uint32_t i = 1; i < n; i++) {
            if ((names ? by_name : by_number)(&all[i - 1], &all[i]) == 0) {
                return err_set(r->err, -E_INVAL,
                               "message " STR_FMT ": fields " STR_FMT " and " STR_FMT
                               " have the same %s",
                               STR_ARG(m->full), STR_ARG(all[i - 1]->name), STR_ARG(all[i]->name),
                               names ? "name" : "number");
            }
        }
    }
    return 0;
}

static int take_message(struct reader *r, struct proto_type *parent, int depth);

static int take_member(struct reader *r, struct proto_type *m, int depth)
{
    if (at_sign(r, ';')) {
        return next(r);
    }
    if (at_word(r, "message")) {
        return take_message(r, m, depth + 1);
    }
    if (at_word(r, "enum")) {
        return take_enum(r, m);
    }
    if (at_word(r, "oneof")) {
        return take_oneof(r, m);
    }
    if (at_word(r, "map")) {
        return take_map(r, m);
    }
    if (at_word(r, "option") || at_word(r, "reserved") || at_word(r, "extensions")) {
        return skip_statement(r);
    }
    return at_word(r, "extend") ? fail(r, "extensions are not supported")
                                : take_field(r, m, /* choice= */ false);
}

static int take_message(struct reader *r, struct proto_type *parent, int depth)
{
    struct proto_type *m = NULL;
    struct str name;
    if (depth >= LIMIT_PROTOBUF_DEPTH) {
        return err_set(r->err, -E_LIMIT, "line %u: messages are nested deeper than %d",
                       r->token.line, LIMIT_PROTOBUF_DEPTH);
    }
    int rc = next(r);
    rc = rc < 0 ? rc : take_name(r, &name);
    rc = rc < 0 ? rc : add_type(r, parent, name, &m);
    rc = rc < 0 ? rc : expect(r, '{');
    while (rc == 0 && !at_sign(r, '}')) {
        rc = take_member(r, m, depth);
    }
    rc = rc < 0 ? rc : check_fields(r, m);
    return rc < 0 ? rc : next(r);
}

/* ---- the file ---- */

static int take_syntax(struct reader *r)
{
    int rc = next(r);
    rc = rc < 0 ? rc : expect(r, '=');
    if (rc < 0) {
        return rc;
    }
    if (r->token.kind != TOKEN_TEXT ||
        (!str_is(r->token.s, "proto3") && !str_is(r->token.s, "proto2"))) {
        return fail(r, "expected \"proto3\" or \"proto2\"");
    }
    r->file->proto3 = str_is(r->token.s, "proto3");
    rc = next(r);
    return rc < 0 ? rc : expect(r, ';');
}

static int take_package(struct reader *r)
{
    int rc = r->file->package.n > 0 || r->file->root.types
                 ? fail(r, "package stands once, before all messages")
                 : next(r);
    rc = rc < 0 ? rc : take_path(r, &r->file->package);
    r->file->root.full = r->file->package;
    return rc < 0 ? rc : expect(r, ';');
}

static int take_top(struct reader *r)
{
    if (at_word(r, "message")) {
        return take_message(r, &r->file->root, 0);
    }
    if (at_word(r, "enum")) {
        return take_enum(r, &r->file->root);
    }
    if (at_word(r, "package")) {
        return take_package(r);
    }
    if (at_word(r, "option") || at_word(r, "service")) {
        return skip_statement(r);
    }
    if (at_word(r, "import")) {
        return fail(r, "import is not supported: put all messages into one text");
    }
    if (at_word(r, "extend") || at_word(r, "edition")) {
        return fail(r, "extensions and editions are not supported");
    }
    return at_sign(r, ';') ? next(r) : fail(r, "expected message or enum");
}

int proto_read(struct arena *a, struct str text, struct proto_file *file, struct err *err)
{
    struct reader r = {.rest = text, .line = 1, .file = file, .err = err};
    *file = (struct proto_file){.arena = a};
    map_init(&file->names);
    file->root.last_type = &file->root.types;
    if (text.n > LIMIT_PROTOBUF_TEXT) {
        return err_set(err, -E_LIMIT, "a schema of %zu bytes is more than %d", text.n,
                       LIMIT_PROTOBUF_TEXT);
    }
    int rc = next(&r);
    if (rc == 0 && at_word(&r, "syntax")) {
        rc = take_syntax(&r);
    }
    while (rc == 0 && r.token.kind != TOKEN_END) {
        rc = take_top(&r);
    }
    if (rc == 0 && !file->root.types) {
        rc = err_set(err, -E_INVAL, "the schema has no message");
    }
    return rc;
}

int protobuf_text_compile(struct str text, struct buf *out, struct err *err)
{
    struct proto_file file;
    struct arena a;
    arena_init(&a, 0);
    int rc = proto_read(&a, text, &file, err);
    rc = rc < 0 ? rc : proto_write(&file, out, err);
    map_fini(&file.names, NULL);
    arena_fini(&a);
    return rc;
}
