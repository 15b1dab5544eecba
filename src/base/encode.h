/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Randomness, hex, base64 (RFC 4648 section 4, padded), percent-encoding (RFC 3986) and UUIDs (RFC
 * 9562 v4). Decoders are strict: any byte outside the alphabet is -EINVAL.
 */
#ifndef BASE_ENCODE_H
#define BASE_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "buf.h"
#include "str.h"

void random_bytes(
    void *p, size_t n); /* from the kernel; aborts only if the kernel has none, which is a bug */
uint64_t random_below(uint64_t bound);
/* n letters of the alphabet that Kubernetes uses for generated names; out gets n + 1 bytes. */
void random_name(char *out, size_t n);
#define UUID_TEXT_SIZE 37
void uuid_make(char out[UUID_TEXT_SIZE]);

#define HEX_SIZE(n) ((n)*2 + 1)
void hex_encode(const void *p, size_t n, char *out);  /* lower case, HEX_SIZE(n) bytes */
int hex_decode(struct str s, void *out, size_t size); /* number of bytes or -EINVAL / -ERANGE */

int base64_encode(struct buf *out, const void *p, size_t n);
int base64_decode(struct buf *out,
                  struct str s); /* padding required; line breaks are not accepted */
/* base64url without padding (RFC 7515), as join tokens and JWTs use it. */
int base64url_encode(struct buf *out, const void *p, size_t n);
int base64url_decode(struct buf *out, struct str s);

/* plus_is_space for query strings. Returns arena text, 0-terminated; NULL on bad escapes, NUL or
 * arena failure. */
char *percent_decode(struct arena *a, struct str s, bool plus_is_space);
int percent_encode(struct buf *out, struct str s); /* all but unreserved characters */

#endif
