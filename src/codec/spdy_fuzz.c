/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: any bytes as a SPDY client's side of a connection. */
#include "base/mem.h"
#include "spdy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct spdy *session;

static void on_stream(void *arg, uint32_t id, const struct spdy_header *h, size_t n, bool fin)
{
    for (size_t i = 0; i < n; i++) {
        if (str_is(h[i].name, "streamtype") && str_is(h[i].value, "reset")) {
            spdy_reset(session, id, SPDY_REFUSED_STREAM);
            return;
        }
    }
    spdy_reply(session, id);
}

static void on_data(void *arg, uint32_t id, struct str data, bool fin)
{
    spdy_data(session, id, data, fin);
}

static void on_reset(void *arg, uint32_t id, uint32_t status)
{
    (void)arg;
}

static void on_goaway(void *arg)
{
    spdy_goaway(session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct spdy_ops ops = {on_stream, on_data, on_reset, on_goaway};
    session = spdy_new(&ops, NULL);
    if (session) {
        size_t half = size / 2;
        if (spdy_feed(session, str_n((const char *)data, half), NULL) == 0) {
            (void)spdy_feed(session, str_n((const char *)data + half, size - half),
                            NULL); /* any result */
        }
        spdy_free(session);
    }
    return 0;
}
