/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C; see crc.h. */
#include "crc.h"

#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#define HWCAP_CRC32_BIT (1u << 7)
#endif

/* Reflected polynomial 0x82F63B78, four bits at a time: small, for processors without help. */
static const uint32_t nibbles[16] = {
    0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3, 0x61C69362, 0x7198540D,
    0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9, 0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75,
};

static uint32_t portable(uint32_t crc, const unsigned char *p, size_t n)
{
    for (; n > 0; n--, p++) {
        crc ^= *p;
        crc = crc >> 4 ^ nibbles[crc & 15];
        crc = crc >> 4 ^ nibbles[crc & 15];
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t quick(uint32_t crc, const unsigned char *p,
                                                        size_t n)
{
    uint64_t c = crc, word;
    for (; n >= 8; n -= 8, p += 8) {
        memcpy(&word, p, 8);
        c = _mm_crc32_u64(c, word);
    }
    crc = (uint32_t)c;
    for (; n > 0; n--, p++) {
        crc = _mm_crc32_u8(crc, *p);
    }
    return crc;
}

static int has_quick(void)
{
    return __builtin_cpu_supports("sse4.2");
}
#elif defined(__aarch64__)
__attribute__((target("+crc"))) static uint32_t quick(uint32_t crc, const unsigned char *p,
                                                      size_t n)
{
    uint64_t word;
    for (; n >= 8; n -= 8, p += 8) {
        memcpy(&word, p, 8);
        crc = __crc32cd(crc, word);
    }
    for (; n > 0; n--, p++) {
        crc = __crc32cb(crc, *p);
    }
    return crc;
}

static int has_quick(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_CRC32_BIT) != 0;
}
#else
#define quick portable
static int has_quick(void)
{
    return 0;
}
#endif

uint32_t crc32c_portable(uint32_t crc, const void *p, size_t n)
{
    return ~portable(~crc, p, n);
}

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
    crc = ~crc;
    crc = has_quick() ? quick(crc, p, n) : portable(crc, p, n);
    return ~crc;
}
