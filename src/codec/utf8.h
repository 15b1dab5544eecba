/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 (RFC 3629): shortest form only, no surrogates, up to U+10FFFF. */
#ifndef CODEC_UTF8_H
#define CODEC_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* Bytes of the valid sequence at p, 1 to 4; 0 when there is none. n > 0. */
size_t utf8_len(const char *p, size_t n);
bool utf8_valid(struct str s);
size_t utf8_put(char out[4], uint32_t rune); /* bytes written; rune must be a scalar value */

#endif
