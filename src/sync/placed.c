/* SPDX-License-Identifier: Apache-2.0 */
/* Who has a stream, table or rule, and what all of them say together; see placed.h. */
#include "placed.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"

#define TEXT_MAX 1024 /* bytes of a message */

const char *const placed_prefixes[PLACED_KINDS] = {
    "streams.data.selvedge.dev/", "tables.data.selvedge.dev/", "rules.data.selvedge.dev/"};

bool placed_key(struct str key)
{
    for (size_t i = 0; i < PLACED_KINDS; i++) {
        if (str_starts(key, placed_prefixes[i])) {
            return true;
        }
    }
    return false;
}

/* ---- where ---- */

char *placed_labels(const struct json *map)
{
    struct buf b = BUF_INIT;
    JSON_FOR_EACH_MEMBER (m, map) {
        const char *value = json_cstr(m->value, "");
        (void)buf_append(&b, m->key, strlen(m->key) + 1); /* sticky, asked by buf_take() */
        (void)buf_append(&b, value, strlen(value) + 1);
    }
    (void)buf_putc(&b, '\0');
    char *labels = buf_take(&b, NULL);
    buf_fini(&b);
    return labels;
}

/* The pair after this one; labels end with an empty key. */
static const char *next_pair(const char *pair)
{
    const char *value = pair + strlen(pair) + 1;
    return value + strlen(value) + 1;
}

static const char *label_value(const char *labels, const char *key)
{
    for (const char *at = labels; *at; at = next_pair(at)) {
        if (cstr_eq(at, key)) {
            return at + strlen(at) + 1;
        }
    }
    return NULL;
}

static bool has_all(const char *labels, const char *selector)
{
    for (const char *at = selector; *at; at = next_pair(at)) {
        const char *value = label_value(labels, at);
        if (!value || !cstr_eq(value, at + strlen(at) + 1)) {
            return false;
        }
    }
    return true;
}

bool placed_labels_equal(const char *a, const char *b)
{
    return has_all(a, b) && has_all(b, a);
}

int placed_where_read(struct placed_where *ret, const struct json *object)
{
    const char *node = json_path_cstr(object, "spec.nodeName", "");
    *ret = (struct placed_where){.node = *node ? mem_strdup(node) : NULL,
                                 .selector = placed_labels(json_path(object, "spec.nodeSelector"))};
    if (!ret->selector || (*node && !ret->node)) {
        placed_where_fini(ret);
        return -ENOMEM;
    }
    return 0;
}

void placed_where_fini(struct placed_where *w)
{
    mem_free(TAKE_PTR(w->node));
    mem_free(TAKE_PTR(w->selector));
}

bool placed_matches(const struct placed_where *w, const char *node, const char *labels)
{
    return (!w->node || cstr_eq(w->node, node)) && has_all(labels, w->selector);
}

/* ---- one node's word ---- */

struct json *placed_entry(const struct json *status, const char *node)
{
    JSON_FOR_EACH (entry, json_get(status, "nodes")) {
        if (cstr_eq(json_cstr(json_get(entry, "name"), ""), node)) {
            return entry;
        }
    }
    return NULL;
}

static const char *state_of(const struct json *entry)
{
    return json_cstr(json_get(entry, "state"), "");
}

static bool is_state(const struct json *entry, const char *state)
{
    return cstr_eq(state_of(entry), state);
}

static void copy_text(struct arena *a, struct json *to, const struct json *from, const char *member)
{
    struct str text = json_text(json_get(from, member));
    if (text.n > 0) { /* a cut may not leave half a character */
        size_t n = MIN_OF(text.n, (size_t)TEXT_MAX);
        while (n < text.n && n > 0 && ((unsigned char)text.p[n] & 0xc0) == 0x80) {
            n--;
        }
        json_set(to, member, n > 0 ? json_string_n(a, str_n(text.p, n)) : NULL);
    }
}

static void copy_number(struct json *to, const struct json *from, const char *member)
{
    int64_t n = json_i64(json_get(from, member), 0);
    if (n > 0) {
        json_set_int(to, member, n);
    }
}

struct json *placed_clean(struct arena *a, const struct json *report, const char *node,
                          struct err *err)
{
    static const char *const numbers[] = {"observedGeneration", "results", "errors", "checkpoints"};
    if (!is_state(report, "Running") && !is_state(report, "Stopped") &&
        !is_state(report, "Defined") && !is_state(report, "Waiting") &&
        !is_state(report, "Failed")) {
        (void)err_set(err, -E_INVAL, "state '%.40s' is none of a stream, table or rule",
                      state_of(report));
        return NULL;
    }
    struct json *entry = json_object(a);
    json_set_str(entry, "name", node);
    copy_text(a, entry, report, "state");
    copy_text(a, entry, report, "message");
    copy_text(a, entry, report, "lastError");
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        copy_number(entry, report, numbers[i]);
    }
    return entry;
}

/* ---- all nodes' word ---- */

struct tally {
    size_t desired, ready, running, failed;
    int64_t generation;
    const struct json *first_failed, *first_ready;
};

static int by_need(const void *a, const void *b)
{
    const struct json *const *x = a, *const *y = b;
    int order = is_state(*y, "Failed") - is_state(*x, "Failed");
    return order ? order
                 : strcmp(json_cstr(json_get(*x, "name"), ""), json_cstr(json_get(*y, "name"), ""));
}

static void count(struct tally *t, const struct json *entry)
{
    if (json_i64(json_get(entry, "observedGeneration"), 0) != t->generation) {
        return; /* it speaks of another spec */
    }
    if (is_state(entry, "Failed")) {
        t->failed++;
        t->first_failed = t->first_failed ? t->first_failed : entry;
        return;
    }
    t->ready++;
    t->running += is_state(entry, "Running");
    t->first_ready = t->first_ready ? t->first_ready : entry;
}

static const char *verdict(const struct tally *t)
{
    return t->desired == 0         ? "NoNode"
           : t->failed > 0         ? "Failed"
           : t->ready < t->desired ? "Pending"
           : t->running > 0        ? "Running"
                                   : state_of(t->first_ready);
}

static struct json *sentence(struct arena *a, const struct tally *t)
{
    if (t->desired == 0) {
        return json_string(a, "no node has the name and the labels that the spec wants");
    }
    if (t->failed > 0) {
        const struct json *f = t->first_failed;
        struct json *first = json_printf(a, "%s: %s", json_cstr(json_get(f, "name"), ""),
                                         json_cstr(json_get(f, "message"), ""));
        return t->failed == 1
                   ? first
                   : json_printf(a, "%s (and %zu nodes more)", json_cstr(first, ""), t->failed - 1);
    }
    return t->ready < t->desired
               ? json_printf(a, "%zu of %zu nodes have not told yet that they have generation %lld",
                             t->desired - t->ready, t->desired, (long long)t->generation)
               : json_printf(a, "%zu nodes have it", t->desired);
}

static struct json *ready_condition(struct arena *a, const struct tally *t,
                                    const struct json *before)
{
    bool ready = t->desired > 0 && t->ready >= t->desired;
    const struct json *old = json_at(json_get(before, "conditions"), 0);
    const char *status = ready ? "True" : "False";
    const char *since = json_cstr(json_get(old, "lastTransitionTime"), "");
    char now[TIME_TEXT_SIZE];
    bool same = cstr_eq(json_cstr(json_get(old, "status"), ""), status) && *since;
    struct json *c = json_object(a);
    json_set_str(c, "type", "Ready");
    json_set_str(c, "status", status);
    json_set_int(c, "observedGeneration", t->generation);
    json_set_str(c, "lastTransitionTime", same ? since : time_text(wall_now(), now));
    json_set_str(c, "reason", verdict(t));
    json_set(c, "message", sentence(a, t));
    return c;
}

struct json *placed_status(struct arena *a, struct json **entries, size_t n, size_t desired,
                           int64_t generation, const struct json *before)
{
    struct tally t = {.desired = desired, .generation = generation};
    if (n > 0) {
        qsort(entries, n, sizeof(*entries), by_need);
    }
    for (size_t i = 0; i < n; i++) {
        count(&t, entries[i]);
    }
    struct json *status = json_object(a), *summary = json_ensure_object(status, "summary");
    json_set_str(status, "state", verdict(&t));
    json_set_int(summary, "desired", (int64_t)t.desired);
    json_set_int(summary, "ready", (int64_t)t.ready);
    if (t.running > 0) {
        json_set_int(summary, "running", (int64_t)t.running);
    }
    if (t.failed > 0) {
        json_set_int(summary, "failed", (int64_t)t.failed);
    }
    struct json *nodes = json_ensure_array(status, "nodes");
    for (size_t i = 0; i < n && i < LIMIT_PLACED_NODES; i++) {
        json_push(nodes, json_clone(a, entries[i]));
    }
    json_push(json_ensure_array(status, "conditions"), ready_condition(a, &t, before));
    return status;
}
