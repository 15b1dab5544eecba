/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of this folder: a server and a client in one process, over each transport, with a
 * handler that knows a few paths.
 *
 *     /hello            "hello"
 *     /echo             the body, collected
 *     /late             "late", after 20 ms
 *     /stream?n=BYTES   that many bytes, with back-pressure
 *     /slow             reads the body in pieces with pauses; answers how many bytes came
 *     /never            no answer; counts when the peer goes away
 *     /up               an echoing byte stream, protocol "echo"
 *     /ws               an echoing WebSocket, subprotocol "a" when offered
 *     /peer             who the server thinks the client is
 */
#ifndef NET_LOOPBACK_FIXTURE_H
#define NET_LOOPBACK_FIXTURE_H

#include "base/buf.h"
#include "io/loop.h"
#include "io/tls.h"
#include "net/http_client.h"
#include "net/http_server.h"

enum transport { OVER_TCP, OVER_UNIX, OVER_TLS, OVER_H2, OVER_PAIR_H2, TRANSPORT_NR };

struct pki {
    char *ca_cert, *ca_key, *other_ca_cert, *other_ca_key;
    char *server_cert, *server_key;
    char *client_key, *client_cert, *expired_cert, *unknown_cert;
};

struct loopback {
    struct io_loop *loop;
    struct http_server *server;
    struct http_client *client;
    struct tls_ctx *server_tls, *client_tls;
    struct pki pki;
    uint16_t port;
    char path[64];
    enum transport transport;
    /* what the handler saw */
    int requests, lost, drained, upgraded_ended;
    size_t max_queued, received;
};

void loopback_open(struct loopback *b, enum transport t);
void loopback_close(struct loopback *b);
/* Turns the loop until *flag; fails the test after 20 s. */
void loopback_wait(struct loopback *b, const bool *flag);
void loopback_turn(struct loopback *b, int64_t ms); /* for so long */
void pki_make(struct pki *p);
void pki_free(struct pki *p);

/* One whole call. */
struct answer {
    bool done;
    int code, status;
    struct buf body;
    char error[256];
    char content_type[64];
};
void answer_free(struct answer *a);
struct http_fetch *fetch_start(struct loopback *b, struct answer *a, const char *method,
                               const char *path, struct str body);
void fetch(struct loopback *b, struct answer *a, const char *method, const char *path,
           struct str body);

#endif
