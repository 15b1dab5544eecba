/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C (Castagnoli, RFC 3720 appendix B.4): the checksum of records on disk and of frames. */
#ifndef BASE_CRC_H
#define BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of p after a part whose checksum is crc; begin with 0. By the processor's
 * instruction where it has one. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);
/* The same without the instruction: what other processors run. */
uint32_t crc32c_portable(uint32_t crc, const void *p, size_t n);

#endif
