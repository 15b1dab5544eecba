/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSocket frames (RFC 6455), sans-I/O, both roles. No extensions.
 *
 * The decoder joins fragments: a message comes as a whole, bounded by LIMIT_WS_MESSAGE. Text is
 * checked to be UTF-8. Control frames come between the fragments. A server demands masked frames,
 * a client unmasked ones.
 */
#ifndef CODEC_WEBSOCKET_H
#define CODEC_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum websocket_op {
    WEBSOCKET_CONTINUATION = 0,
    WEBSOCKET_TEXT = 1,
    WEBSOCKET_BINARY = 2,
    WEBSOCKET_CLOSE = 8,
    WEBSOCKET_PING = 9,
    WEBSOCKET_PONG = 10,
};

/* Close codes of section 7.4.1 */
enum {
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_PROTOCOL_ERROR = 1002,
    WEBSOCKET_BAD_DATA = 1007,
    WEBSOCKET_POLICY = 1008,
    WEBSOCKET_TOO_BIG = 1009,
    WEBSOCKET_INTERNAL = 1011,
    WEBSOCKET_NO_STATUS = 1005, /* never on the wire: the close frame was empty */
};

struct websocket_decoder {
    /* private */
    bool server; /* we are the server: frames must be masked */
    uint8_t head[14];
    uint8_t head_n, head_want;
    uint8_t message_op; /* of the unfinished message, 0 = none */
    uint8_t mask[4];
    uint64_t left, at; /* payload bytes to come; position for the mask */
    bool in_payload, closed;
    struct buf message, control;
};

struct websocket_event {
    enum websocket_op op; /* TEXT, BINARY, CLOSE, PING or PONG */
    struct str data;      /* whole message or control payload; a close reason */
    int close_code;       /* CLOSE, or why decoding failed */
};

void websocket_decoder_init(struct websocket_decoder *d, bool server);
void websocket_decoder_fini(struct websocket_decoder *d);
/* 1: *ev is filled, its data is valid until the next call; 0: all input consumed; negative: broken,
 * ev->close_code says what to tell the peer. `in` shrinks by what was consumed. */
int websocket_next(struct websocket_decoder *d, struct str *in, struct websocket_event *ev);

/* Appends one frame; a client's is masked with fresh randomness. */
int websocket_put(struct buf *out, bool server, enum websocket_op op, const void *data, size_t n);
int websocket_put_close(struct buf *out, bool server, int code, const char *reason);

/* Sec-WebSocket-Accept for a key; 28 characters + 0. */
#define WEBSOCKET_ACCEPT_SIZE 29
void websocket_accept_key(struct str key, char out[WEBSOCKET_ACCEPT_SIZE]);
bool websocket_key_valid(struct str key); /* 16 bytes in base64 */
#define WEBSOCKET_KEY_SIZE 25
void websocket_make_key(char out[WEBSOCKET_KEY_SIZE]);

#endif
