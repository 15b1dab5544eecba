/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON events to columns, in one pass: members that the shape names are read, others are skipped.
 *
 * Events of a source mostly have their members in the same order, so the text of each member's name
 * as it stood in the last event, with quotes and colon, is compared first; only a name that is not
 * where it was is read and looked up.
 *
 * Texts point into a copy of the payload in the batch's arena (json_scan.h wants it padded). A long
 * array is copied in windows, as an event more would not fit into the batch: what is cut off at the
 * end of a window is read again from the next.
 */
#include "base/mem.h"
#include "decoder_private.h"
#include "json_scan.h"

#define GUESS_TEXT 64   /* longest predicted name, a multiple of 16 */
#define GUESSES 512     /* members of an event that are predicted */
#define GUESSES_AHEAD 4 /* members that may be left out before a name is looked up */
#define WINDOW ((size_t)64 << 10)

struct guess {
    uint8_t n, key_n; /* from the quote to the colon; of the name alone */
    uint32_t slot;
    char text[GUESS_TEXT];
};

struct json_decoder {
    struct decoder d;
    struct json_stack stack;
    struct guess *guesses;
    uint32_t n_guesses;
    uint32_t columns; /* of the batch for which the slots are right */
    struct value whole;
};

static int init(struct decoder *d, struct err *err)
{
    struct json_decoder *j = (struct json_decoder *)d;
    j->guesses = mem_alloc(GUESSES * sizeof(*j->guesses));
    return j->guesses ? 0 : err_set(err, -ENOMEM, "no memory for a decoder");
}

static void fini(struct decoder *d)
{
    struct json_decoder *j = (struct json_decoder *)d;
    json_stack_fini(&j->stack);
    mem_free(j->guesses);
}

static void begin(struct decoder *d)
{
    struct json_decoder *j = (struct json_decoder *)d;
    if (j->columns != d->fill.columns) {
        j->n_guesses = 0;
        j->columns = d->fill.columns;
    }
}

/* ---- names ---- */

static inline bool guess_fits(const struct guess *g, const char *at)
{
#if defined(__SSE2__)
    unsigned n = g->n;
    for (unsigned i = 0;; i += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(at + i)),
                y = _mm_loadu_si128((const __m128i *)(g->text + i));
        unsigned differ = ~(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, y));
        if (n - i <= 16) {
            return (differ & ((1u << (n - i)) - 1)) == 0;
        }
        if (differ & 0xffff) {
            return false;
        }
    }
#else
    return memcmp(at, g->text, g->n) == 0;
#endif
}

static void learn(struct json_decoder *j, uint32_t place, const char *from, const char *to,
                  struct str key, uint32_t slot)
{
    size_t n = (size_t)(to - from);
    bool escaped = key.p != from + 1;
    if (place >= GUESSES || n > GUESS_TEXT || escaped) {
        return;
    }
    struct guess *g = &j->guesses[place];
    *g = (struct guess){.n = (uint8_t)n, .key_n = (uint8_t)key.n, .slot = slot};
    memcpy(g->text, from, n);
    j->n_guesses = MAX_OF(j->n_guesses, place + 1);
}

/* `"name" :`, whose slot and text come back; *place is where it was expected, and is moved on. */
static const char *read_new_name(struct json_decoder *j, const char *at, uint32_t *place,
                                 uint32_t *ret_slot, struct str *ret_key)
{
    const char *from = at;
    at = *at == '"' ? json_read_string(at + 1, &j->d.fill.b->arena, ret_key) : NULL;
    at = at ? json_space(at) : NULL;
    if (!at || *at != ':') {
        return NULL;
    }
    *ret_slot = fill_slot(&j->d.fill, *ret_key);
    learn(j, *place, from, at + 1, *ret_key, *ret_slot);
    ++*place;
    return at + 1;
}

static inline const char *read_name(struct json_decoder *j, const char *at, uint32_t *place,
                                    uint32_t *ret_slot, struct str *ret_key)
{
    uint32_t end = MIN_OF(*place + GUESSES_AHEAD, j->n_guesses);
    for (uint32_t i = *place; i < end; i++) {
        const struct guess *g = &j->guesses[i];
        if (__builtin_expect(guess_fits(g, at), 1)) {
            *place = i + 1;
            *ret_slot = g->slot;
            *ret_key = str_n(at + 1, g->key_n);
            return at + g->n;
        }
    }
    return read_new_name(j, at, place, ret_slot, ret_key);
}

/* ---- values ---- */

static inline const char *read_value(struct json_decoder *j, const char *at, struct value *v)
{
    struct arena *a = &j->d.fill.b->arena;
    if (*at == '"') {
        struct str s;
        at = json_read_string(at + 1, a, &s);
        *v = value_string(s);
        return at;
    }
    if (*at == '-' || (unsigned char)(*at - '0') <= 9) {
        return json_read_number(at, v);
    }
    return *at == '{' || *at == '[' ? json_read(at, a, &j->stack, v) : json_read_word(at, v);
}

/* Members of the event whose brace stands before `at`, up to its closing one. *reached is where it
 * went wrong. */
static const char *read_members(struct json_decoder *j, const char *at, const char **reached)
{
    uint32_t place = 0, slot;
    struct str key;
    struct value v;
    bool whole = j->d.fill.b->whole != NULL;
    for (;;) {
        *reached = at = json_space(at);
        at = read_name(j, at, &place, &slot, &key);
        if (!at) {
            return NULL;
        }
        *reached = at = json_space(at);
        if (slot == FILL_NOWHERE && !whole) {
            at = json_skip(at);
        } else {
            at = read_value(j, at, &v);
        }
        if (!at) {
            return NULL;
        }
        if (slot != FILL_NOWHERE) {
            fill_value(&j->d.fill, slot, &v);
        }
        if (whole && !json_stack_push(&j->stack, key, &v)) {
            return NULL;
        }
        *reached = at = json_space(at);
        if (*at != ',') {
            return *at == '}' ? at + 1 : NULL;
        }
        at++;
    }
}

/* The event at `at`, into the next row, which is not yet ended. */
static const char *read_event(struct json_decoder *j, const char *at, const char **reached)
{
    fill_row(&j->d.fill);
    *reached = at;
    if (*at != '{') {
        return NULL;
    }
    *reached = at = json_space(at + 1);
    j->stack.n = 0;
    at = *at == '}' ? at + 1 : read_members(j, at, reached);
    if (at && j->d.fill.b->whole) {
        j->whole = json_stack_object(&j->stack, 0, &j->d.fill.b->arena);
    }
    return at;
}

/* ---- payloads ---- */

static void refuse(struct json_decoder *j, size_t at)
{
    struct err err;
    fill_drop_row(&j->d.fill);
    err_set(&err, -E_PARSE, "invalid JSON at byte %zu of %zu", at, j->d.payload->bytes.n);
    decoder_refuse(&j->d, &err);
}

/* The reason why an event could not be read: 0 = it is no JSON. */
static int broken(const struct json_decoder *j)
{
    return j->stack.failed ? -ENOMEM : arena_failed(&j->d.fill.b->arena) ? -E_LIMIT : 0;
}

/* A padded copy in the batch's arena. */
static const char *copy_text(struct json_decoder *j, const char *from, size_t n)
{
    char *text = arena_alloc(&j->d.fill.b->arena, n + JSON_PAD);
    if (text) {
        memcpy(text, from, n);
        memset(text + n, 0, 16);
    }
    return text;
}

static int decode_object(struct json_decoder *j, size_t offset)
{
    struct str bytes = j->d.payload->bytes;
    size_t n = bytes.n - offset;
    const char *text = copy_text(j, bytes.p + offset, n), *reached = text;
    if (!text) {
        return -E_LIMIT;
    }
    const char *at = read_event(j, text, &reached);
    if (at) {
        reached = at = json_space(at);
    }
    if (!at || at != text + n) {
        int rc = broken(j);
        refuse(j, offset + (size_t)(reached - text));
        return rc < 0 ? rc : 1;
    }
    int rc = decoder_end_row(&j->d, &j->whole);
    return rc < 0 ? rc : 1;
}

/* A part of the payload that is an array. */
struct window {
    const char *text;
    size_t offset, n; /* in the payload */
    bool cut;         /* more of the payload follows */
};

static bool open_window(struct json_decoder *j, size_t offset, size_t want, struct window *w)
{
    struct str bytes = j->d.payload->bytes;
    w->offset = offset;
    w->n = MIN_OF(bytes.n - offset, want);
    w->cut = w->n < bytes.n - offset;
    w->text = copy_text(j, bytes.p + offset, w->n);
    return w->text != NULL;
}

static bool only_space_behind(struct str bytes, size_t at)
{
    while (at < bytes.n && bytes.p[at] && strchr(" \n\r\t", bytes.p[at])) {
        at++;
    }
    return at == bytes.n;
}

enum step { STEP_EVENT, STEP_END, STEP_BROKEN };

/* One event of an array with the bracket or comma before it, or the closing bracket. */
static enum step read_item(struct json_decoder *j, const char **at, bool first,
                           const char **reached)
{
    const char *p = json_space(*at);
    *reached = p;
    if (*p == ']' && !first) {
        *at = p + 1;
        return STEP_END;
    }
    if (*p != (first ? '[' : ',')) {
        return STEP_BROKEN;
    }
    p = json_space(p + 1);
    if (*p == ']' && first) {
        *at = p + 1;
        return STEP_END;
    }
    p = read_event(j, p, reached);
    *at = p ? p : *at;
    return p ? STEP_EVENT : STEP_BROKEN;
}

static int end_array(struct json_decoder *j, size_t offset)
{
    if (!only_space_behind(j->d.payload->bytes, offset)) {
        refuse(j, offset);
    }
    return 1;
}

/* Goes on at `offset`: the opening bracket, or the place behind an event. */
static int decode_array(struct json_decoder *j, size_t offset, bool first)
{
    struct window w;
    size_t want = WINDOW;
    if (!open_window(j, offset, want, &w)) {
        return -E_LIMIT;
    }
    const char *at = w.text, *reached;
    while (!decoder_full(&j->d)) {
        size_t here = w.offset + (size_t)(at - w.text);
        enum step step = read_item(j, &at, first, &reached);
        if (step == STEP_END) {
            return end_array(j, w.offset + (size_t)(at - w.text));
        }
        int rc = step == STEP_EVENT ? decoder_end_row(&j->d, &j->whole) : broken(j);
        if (rc < 0) {
            fill_drop_row(&j->d.fill);
            j->d.inside = first ? 0 : here;
            return rc;
        }
        if (step == STEP_BROKEN && !w.cut) {
            refuse(j, w.offset + (size_t)(reached - w.text));
            return 1;
        }
        if (step == STEP_BROKEN) { /* perhaps only cut */
            fill_drop_row(&j->d.fill);
            want = here == w.offset ? want * 4 : WINDOW;
            if (!open_window(j, here, want, &w)) {
                j->d.inside = first ? 0 : here;
                return -E_LIMIT;
            }
            at = w.text;
            continue;
        }
        first = false;
    }
    j->d.inside = w.offset + (size_t)(at - w.text);
    return 0;
}

static int decode(struct decoder *d)
{
    struct json_decoder *j = (struct json_decoder *)d;
    struct str bytes = d->payload->bytes;
    j->stack.failed = false;
    if (d->inside) {
        return decode_array(j, d->inside, /* first= */ false);
    }
    size_t offset = 0;
    while (offset < bytes.n && bytes.p[offset] && strchr(" \n\r\t", bytes.p[offset])) {
        offset++;
    }
    if (offset < bytes.n && bytes.p[offset] == '[') {
        return decode_array(j, offset, /* first= */ true);
    }
    return decode_object(j, offset);
}

const struct decoder_ops decode_json = {
    .size = sizeof(struct json_decoder),
    .init = init,
    .fini = fini,
    .begin = begin,
    .decode = decode,
};
