/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CSV (RFC 4180): a line is an event, cells are texts. Lines end with LF or CRLF, empty ones count
 * for nothing; a quoted cell may hold delimiters, line breaks and doubled quotes.
 *
 * The names of the columns are those of the header line, of the declared columns, or col0, col1,
 * ... A header line that comes again, as it does where every payload is a file, is left out.
 */
#include <stdio.h>

#include "base/limits.h"
#include "base/mem.h"
#include "codec/utf8.h"
#include "decoder_private.h"

struct delimited_decoder {
    struct decoder d;
    struct str *names; /* heap, as their texts are */
    uint32_t *slots;   /* of the names, for `columns` columns of a batch */
    uint32_t n, cap;
    uint32_t columns;
    char *header; /* the line that was the header; NULL = not yet seen */
    size_t header_n;
    bool fixed;          /* names are known: cells beyond them have none */
    struct value *cells; /* of the current line; heap */
    uint32_t n_cells, cells_cap;
};

static int add_name(struct delimited_decoder *c, struct str name)
{
    if (c->n == c->cap) {
        uint32_t cap = c->cap ? c->cap * 2 : 16;
        struct str *names = mem_realloc(c->names, cap * sizeof(*names));
        if (!names) {
            return -ENOMEM;
        }
        c->names = names;
        uint32_t *slots = mem_realloc(c->slots, cap * sizeof(*slots));
        if (!slots) {
            return -ENOMEM;
        }
        c->slots = slots;
        c->cap = cap;
    }
    char *text = mem_strndup(name.p, name.n);
    if (!text) {
        return -ENOMEM;
    }
    c->names[c->n] = str_n(text, name.n);
    c->slots[c->n] = c->d.fill.b ? fill_slot(&c->d.fill, c->names[c->n]) : FILL_NOWHERE;
    c->n++;
    return 0;
}

static void forget_names(struct delimited_decoder *c)
{
    for (uint32_t i = 0; i < c->n; i++) {
        mem_free((char *)c->names[i].p);
    }
    c->n = 0;
}

static int init(struct decoder *d, struct err *err)
{
    struct delimited_decoder *c = (struct delimited_decoder *)d;
    d->fill.texts = true;
    if (d->opts.delimiter == 0) {
        d->opts.delimiter = ',';
    }
    for (uint32_t i = 0; i < d->shape->n; i++) {
        if (d->shape->fields[i].declared && add_name(c, d->shape->fields[i].name) < 0) {
            return err_set(err, -ENOMEM, "no memory for a decoder");
        }
    }
    c->fixed = c->n > 0;
    return 0;
}

static void fini(struct decoder *d)
{
    struct delimited_decoder *c = (struct delimited_decoder *)d;
    forget_names(c);
    mem_free(c->names);
    mem_free(c->slots);
    mem_free(c->header);
    mem_free(c->cells);
}

static void begin(struct decoder *d)
{
    struct delimited_decoder *c = (struct delimited_decoder *)d;
    if (c->columns != d->fill.columns || d->opts.timestamp.n) {
        for (uint32_t i = 0; i < c->n; i++) {
            c->slots[i] = fill_slot(&d->fill, c->names[i]);
        }
        c->columns = d->fill.columns;
    }
}

/* ---- lines and cells ---- */

/* The line at `from` without its end; *ret_next is where the next begins. False: a quote is not
 * closed. */
static bool find_line(struct str text, size_t from, struct str *ret, size_t *ret_next)
{
    const char *at = text.p + from, *end = text.p + text.n;
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    size_t n = (size_t)((stop ? stop : end) - at);
    if (memchr(at, '"', n)) {
        bool quoted = false;
        for (stop = at; stop < end && (quoted || *stop != '\n'); stop++) {
            quoted ^= *stop == '"';
        }
        if (quoted) {
            return false;
        }
        n = (size_t)(stop - at);
    }
    *ret_next = MIN_OF(from + n + 1, text.n);
    n -= n > 0 && at[n - 1] == '\r';
    *ret = str_n(at, n);
    return true;
}

static int add_cell(struct delimited_decoder *c, struct str s)
{
    if (c->n_cells == c->cells_cap) {
        uint32_t cap = c->cells_cap ? c->cells_cap * 2 : 16;
        struct value *grown =
            cap <= LIMIT_STREAM_FIELDS ? mem_realloc(c->cells, cap * sizeof(*grown)) : NULL;
        if (!grown) {
            return -ENOMEM;
        }
        c->cells = grown;
        c->cells_cap = cap;
    }
    c->cells[c->n_cells++] = value_string(s);
    return 0;
}

/* A cell that begins with a quote, rewritten in place. Returns the place behind it. */
static char *unquote(char *at, char *end, char delimiter, struct str *ret)
{
    char *out = at, *from = at;
    for (at++; at < end; at++) {
        if (*at == '"') {
            if (at + 1 == end || at[1] != '"') {
                at++;
                break;
            }
            at++;
        }
        *out++ = *at;
    }
    while (at < end && *at != delimiter) { /* what stands behind the quote belongs to the cell */
        *out++ = *at++;
    }
    *ret = str_n(from, (size_t)(out - from));
    return at;
}

/* The cells of a line, which is writable. */
static int split(struct delimited_decoder *c, char *at, size_t n)
{
    char *end = at + n, delimiter = c->d.opts.delimiter;
    c->n_cells = 0;
    for (;;) {
        struct str cell;
        if (at < end && *at == '"') {
            at = unquote(at, end, delimiter, &cell);
        } else {
            char *stop = at < end ? memchr(at, delimiter, (size_t)(end - at)) : NULL;
            stop = stop ? stop : end;
            cell = str_n(at, (size_t)(stop - at));
            at = stop;
        }
        if (add_cell(c, cell) < 0) {
            return -ENOMEM;
        }
        if (at >= end) {
            return 0;
        }
        at++;
    }
}

/* ---- events ---- */

static int take_header(struct delimited_decoder *c, struct str line)
{
    forget_names(c);
    c->header = mem_strndup(line.p, line.n);
    c->header_n = line.n;
    c->fixed = true;
    int rc = c->header ? 0 : -ENOMEM;
    for (uint32_t i = 0; rc == 0 && i < c->n_cells; i++) {
        rc = add_name(c, str_trim(value_text(&c->cells[i])));
    }
    return rc;
}

static int name_cells(struct delimited_decoder *c)
{
    while (!c->fixed && c->n < c->n_cells) {
        char name[16];
        int n = snprintf(name, sizeof(name), "col%u", c->n);
        if (add_name(c, str_n(name, (size_t)n)) < 0) {
            return -ENOMEM;
        }
    }
    c->n_cells = MIN_OF(c->n_cells, c->n);
    return 0;
}

static struct value whole_event(struct delimited_decoder *c)
{
    struct value_member *m = arena_alloc(&c->d.fill.b->arena, c->n_cells * sizeof(*m));
    for (uint32_t i = 0; m && i < c->n_cells; i++) {
        char *key = arena_str(&c->d.fill.b->arena, c->names[i]); /* names may be replaced */
        m[i] = (struct value_member){str_n(key, key ? c->names[i].n : 0), c->cells[i]};
    }
    return (struct value){.type = VALUE_OBJECT, .n = m ? c->n_cells : 0, .members = m};
}

/* 0, -ENOMEM, -E_LIMIT; -E_PARSE: the line is no event. */
static int decode_line(struct delimited_decoder *c, struct str line)
{
    struct fill *f = &c->d.fill;
    bool header = c->d.opts.header && !c->header;
    if (line.n == 0 || (c->header && str_eq(line, str_n(c->header, c->header_n)))) {
        return 0;
    }
    char *copy = arena_dup(&f->b->arena, line.p, line.n);
    if (!copy) {
        return -E_LIMIT;
    }
    if (!utf8_valid(line)) {
        return -E_PARSE;
    }
    int rc = split(c, copy, line.n);
    if (rc == 0) {
        rc = header ? take_header(c, line) : name_cells(c);
    }
    if (rc < 0 || header) {
        return rc;
    }
    fill_row(f);
    for (uint32_t i = 0; i < c->n_cells; i++) {
        if (c->slots[i] != FILL_NOWHERE) {
            fill_value(f, c->slots[i], &c->cells[i]);
        }
    }
    struct value whole = {.type = VALUE_ABSENT};
    if (f->b->whole) {
        whole = whole_event(c);
    }
    return decoder_end_row(&c->d, &whole);
}

static void refuse(struct delimited_decoder *c, const char *why)
{
    struct err err;
    err_set(&err, -E_PARSE, "invalid CSV: %s", why);
    decoder_refuse(&c->d, &err);
}

static int decode(struct decoder *d)
{
    struct delimited_decoder *c = (struct delimited_decoder *)d;
    struct str text = d->payload->bytes, line;
    size_t at = d->inside;
    while (at < text.n) {
        size_t next;
        if (decoder_full(d)) {
            d->inside = at;
            return 0;
        }
        if (!find_line(text, at, &line, &next)) {
            refuse(c, "a quote is not closed");
            return 1;
        }
        int rc = decode_line(c, line);
        if (rc == -E_PARSE) {
            refuse(c, "a line is not UTF-8");
        } else if (rc < 0) {
            d->inside = at;
            return rc;
        }
        at = next;
    }
    return 1;
}

const struct decoder_ops decode_delimited = {
    .size = sizeof(struct delimited_decoder),
    .init = init,
    .fini = fini,
    .begin = begin,
    .decode = decode,
};
