/* SPDX-License-Identifier: Apache-2.0 */
/* The compression dictionary of SPDY/3 header blocks (draft-mbelshe-httpbis-spdy-00
 * section 2.6.10.1). */
#ifndef CODEC_SPDY_PRIVATE_H
#define CODEC_SPDY_PRIVATE_H

#define SPDY_DICTIONARY_SIZE 1423
#define SPDY_DICTIONARY_ADLER 0xe3c6a7c2u /* its identifier in zlib streams */

extern const unsigned char spdy_dictionary[SPDY_DICTIONARY_SIZE];

#endif
