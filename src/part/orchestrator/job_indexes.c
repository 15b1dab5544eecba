/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of completion indexes; the contract is in job_indexes.h. */
#include "job_indexes.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"

static int compare_span(const void *x, const void *y)
{
    const struct index_span *a = x, *b = y;
    return (a->first > b->first) - (a->first < b->first);
}

/* Sorts and joins what overlaps or touches. */
static void tidy(struct index_set *s)
{
    size_t n = 0;
    qsort(s->v, s->n, sizeof(*s->v), compare_span);
    for (size_t i = 0; i < s->n; i++) {
        if (n > 0 && s->v[i].first <= s->v[n - 1].last + 1) {
            s->v[n - 1].last = MAX_OF(s->v[n - 1].last, s->v[i].last);
        } else {
            s->v[n++] = s->v[i];
        }
    }
    s->n = n;
    s->total = 0;
    for (size_t i = 0; i < n; i++) {
        s->total += s->v[i].last - s->v[i].first + 1;
    }
}

static bool parse_span(struct str text, int64_t limit, struct index_span *ret)
{
    struct str first, last;
    bool range = str_cut(text, '-', &first, &last);
    if (str_i64(first, &ret->first) < 0 || str_i64(range ? last : first, &ret->last) < 0 ||
        ret->first < 0 || ret->last < ret->first || ret->first >= limit) {
        return false;
    }
    ret->last = MIN_OF(ret->last, limit - 1);
    return true;
}

bool index_set_parse(struct index_set *s, struct arena *a, struct str text, int64_t limit)
{
    size_t commas = 0;
    for (size_t i = 0; i < text.n; i++) {
        commas += text.p[i] == ',';
    }
    *s = (struct index_set){.v = arena_alloc(a, (commas + 1) * sizeof(*s->v))};
    if (!s->v) {
        return false;
    }
    struct str rest = text, part;
    for (size_t i = 0; i <= commas && text.n; i++) {
        (void)str_cut(rest, ',', &part, &rest); /* the last one has no comma */
        s->n += parse_span(part, limit, &s->v[s->n]);
    }
    tidy(s);
    return true;
}

bool index_set_has(const struct index_set *s, int64_t index)
{
    size_t low = 0, high = s->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (index > s->v[mid].last) {
            low = mid + 1;
        } else if (index < s->v[mid].first) {
            high = mid;
        } else {
            return true;
        }
    }
    return false;
}

static bool join(struct index_set *s, struct arena *a, const struct index_span *more, size_t n)
{
    struct index_span *v = arena_alloc(a, (s->n + n + 1) * sizeof(*v));
    if (!v) {
        return false;
    }
    for (size_t i = 0; i < s->n; i++) {
        v[i] = s->v[i];
    }
    for (size_t i = 0; i < n; i++) {
        v[s->n + i] = more[i];
    }
    s->v = v;
    s->n += n;
    tidy(s);
    return true;
}

bool index_set_join(struct index_set *s, struct arena *a, const struct index_set *other)
{
    return other->n == 0 || join(s, a, other->v, other->n);
}

static int compare_i64(const void *x, const void *y)
{
    int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return (a > b) - (a < b);
}

bool index_set_add(struct index_set *s, struct arena *a, int64_t *indexes, size_t n)
{
    struct index_span *v = arena_alloc(a, (n + 1) * sizeof(*v));
    size_t spans = 0;
    if (!v) {
        return false;
    }
    qsort(indexes, n, sizeof(*indexes), compare_i64);
    for (size_t i = 0; i < n; i++) {
        if (spans > 0 && indexes[i] <= v[spans - 1].last + 1) {
            v[spans - 1].last = indexes[i];
        } else {
            v[spans++] = (struct index_span){indexes[i], indexes[i]};
        }
    }
    return spans == 0 || join(s, a, v, spans);
}

const char *index_set_text(const struct index_set *s, struct arena *a)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    for (size_t i = 0; i < s->n; i++) {
        const struct index_span *span = &s->v[i];
        const char *comma = i ? "," : "";
        if (span->first == span->last) {
            (void)buf_printf(&out, "%s%lld", comma, (long long)span->first); /* asked below */
        } else if (span->last == span->first + 1) {
            (void)buf_printf(&out, "%s%lld,%lld", comma, (long long)span->first,
                             (long long)span->last);
        } else {
            (void)buf_printf(&out, "%s%lld-%lld", comma, (long long)span->first,
                             (long long)span->last);
        }
    }
    return buf_failed(&out) ? NULL : arena_str(a, buf_str(&out));
}

int64_t index_set_gap(const struct index_set *s, int64_t from)
{
    for (size_t i = 0; i < s->n && s->v[i].first <= from; i++) {
        if (from <= s->v[i].last) {
            from = s->v[i].last + 1;
        }
    }
    return from;
}
