/* SPDX-License-Identifier: Apache-2.0 */
/* Characters of a text in UTF-8. A byte that is part of none counts as one and stays as it is. */
#ifndef STREAM_FN_RUNES_H
#define STREAM_FN_RUNES_H

#include <stdint.h>

#include "base/str.h"

#define RUNE_NONE UINT32_C(0x80000000) /* set in what stands for a byte that is no character */

/* The character at byte i, which takes *ret_n bytes. */
uint32_t text_rune(struct str s, size_t i, size_t *ret_n);
size_t text_runes(struct str s); /* how many there are */
/* The byte where character number `at` begins; s.n when there are fewer. */
size_t text_offset(struct str s, uint64_t at);

bool rune_is_space(uint32_t c);
/* Simple case mapping of the Latin, Greek, Cyrillic and Armenian letters. */
uint32_t rune_lower(uint32_t c);
uint32_t rune_upper(uint32_t c);

#endif
