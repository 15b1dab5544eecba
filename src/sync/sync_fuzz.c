/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of the sync stream from an untrusted side: the first byte chooses digest, event, a
 * node's report of a rule, or the request of a stream through the tunnel.
 */
#include <assert.h>
#include <stddef.h>

#include "base/mem.h"
#include "digest.h"
#include "placed.h"
#include "tunnel_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_event(struct arena *a, struct str line)
{
    struct digest_event e, again;
    struct buf out = BUF_INIT;
    if (digest_event_parse(a, line, &e, NULL) == 0 && digest_event_print(&out, &e) == 0) {
        struct str text = buf_str(&out);
        assert(digest_event_parse(a, str_n(text.p, text.n - 1), &again, NULL) == 0);
        assert(again.type == e.type && again.tag == e.tag);
        assert(cstr_eq(again.key, e.key) && digest_hash(again.object) == digest_hash(e.object));
    }
    buf_fini(&out);
}

/* What was cleaned once is clean, and any spec is matched without harm. */
static void try_report(struct arena *a, struct str line)
{
    struct json *j = NULL;
    struct placed_where w;
    if (json_parse(a, line, NULL, &j, NULL) < 0) {
        return;
    }
    struct json *entry = placed_clean(a, j, "n1", NULL);
    if (entry) {
        assert(digest_hash(placed_clean(a, entry, "n1", NULL)) == digest_hash(entry));
        const struct json *status = placed_status(a, &entry, 1, 1, 1, j);
        assert(digest_hash(placed_entry(status, "n1")) == digest_hash(entry));
    }
    if (placed_where_read(&w, j) == 0) {
        assert(!w.node ? placed_matches(&w, "n1", w.selector)
                       : placed_matches(&w, w.node, w.selector));
        placed_where_fini(&w);
    }
}

static void drop_ref(void *arg, const char *key)
{
    (void)arg;
    assert(key && *key);
}

static void try_request(struct arena *a, struct str line)
{
    struct json *j = NULL;
    struct node_stream_req req;
    if (json_parse(a, line, NULL, &j, NULL) == 0) {
        digest_pod_refs(a, j, drop_ref, NULL);
        (void)digest_strip(j); /* any value */
        if (tunnel_stream_decode(a, j, &req, NULL) == 0) {
            (void)tunnel_stream_encode(a, &req); /* must not fail on what it read */
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct digest_entry *list;
    size_t n;
    if (size == 0) {
        return 0;
    }
    struct str line = str_n((const char *)data + 1, size - 1);
    arena_init(&a, 0);
    switch (data[0]) {
    case 'd':
        (void)digest_parse(&a, line, &list, &n, NULL); /* only its safety is of interest */
        break;
    case 'e':
        try_event(&a, line);
        break;
    case 'r':
        try_report(&a, line);
        break;
    default:
        try_request(&a, line);
        break;
    }
    arena_fini(&a);
    return 0;
}
