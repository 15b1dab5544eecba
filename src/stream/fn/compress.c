/* SPDX-License-Identifier: Apache-2.0 */
/* zlib's and zstd's whole-buffer forms, bounded by the buffer. */
#include "compress.h"

#include <zlib.h>
#include <zstd.h>

#define STEP ((size_t)16 << 10) /* room that is made for output at a time */

int compress_method(struct str name, enum compress_method *ret, struct err *err)
{
    static const char *const names[] = {"zlib", "flate", "gzip", "zstd"};
    for (int i = 0; i < 4; i++) {
        if (str_is(name, names[i])) {
            *ret = (enum compress_method)i;
            return 0;
        }
    }
    return err_set(err, -E_INVAL, "unsupported compressor: " STR_FMT, STR_ARG(name));
}

static int no_room(const struct buf *out, struct err *err)
{
    return err_set(err, -E_LIMIT, "no room for more than %zu bytes", buf_len(out));
}

/* ---- zlib's forms ---- */

static int window_bits(enum compress_method m)
{
    return m == COMPRESS_ZLIB ? 15 : m == COMPRESS_GZIP ? 15 + 16 : -15;
}

typedef int z_step_fn(z_stream *z, int flush);

/* Runs until the stream ends; input is whole. */
static int run_zlib(z_stream *z, z_step_fn *step, struct buf *out, struct err *err)
{
    for (;;) {
        char *room = buf_reserve(out, STEP);
        if (!room) {
            return no_room(out, err);
        }
        z->next_out = (unsigned char *)room;
        z->avail_out = STEP;
        int rc = step(z, Z_FINISH);
        buf_commit(out, STEP - z->avail_out);
        if (rc == Z_STREAM_END) {
            return 0;
        }
        if (rc == Z_MEM_ERROR) {
            return -E_NOMEM;
        }
        if (rc != Z_OK && (rc != Z_BUF_ERROR || z->avail_out > 0)) {
            return err_set(err, -E_INVAL, "the compressed bytes are damaged or cut short");
        }
    }
}

/* ---- zstd ---- */

static int compress_zstd(struct buf *out, struct str in, struct err *err)
{
    size_t bound = ZSTD_compressBound(in.n);
    char *room = buf_reserve(out, bound);
    if (!room) {
        return no_room(out, err);
    }
    size_t n = ZSTD_compress(room, bound, in.p, in.n, ZSTD_CLEVEL_DEFAULT);
    if (ZSTD_isError(n)) {
        return -E_NOMEM;
    }
    buf_commit(out, n);
    return 0;
}

static int decompress_zstd(struct buf *out, struct str in, struct err *err)
{
    ZSTD_DStream *z = ZSTD_createDStream();
    ZSTD_inBuffer input = {in.p, in.n, 0};
    size_t left = 1;
    int rc = z ? 0 : -E_NOMEM;
    while (rc == 0 && left > 0) {
        char *room = buf_reserve(out, STEP);
        ZSTD_outBuffer output = {room, STEP, 0};
        if (!room) {
            rc = no_room(out, err);
            break;
        }
        left = ZSTD_decompressStream(z, &output, &input);
        buf_commit(out, ZSTD_isError(left) ? 0 : output.pos);
        if (ZSTD_isError(left) || (left > 0 && input.pos == input.size && output.pos < STEP)) {
            rc = err_set(err, -E_INVAL, "the compressed bytes are damaged or cut short");
        }
    }
    (void)ZSTD_freeDStream(z); /* always 0 */
    return rc;
}

/* ---- all ---- */

int compress_bytes(struct buf *out, enum compress_method m, struct str in, struct err *err)
{
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)in.p, .avail_in = (unsigned)in.n};
    if (in.n > INT32_MAX) {
        return err_set(err, -E_TOOBIG, "more than %d bytes cannot be compressed", INT32_MAX);
    }
    if (m == COMPRESS_ZSTD) {
        return compress_zstd(out, in, err);
    }
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, window_bits(m), 8,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        return -E_NOMEM;
    }
    int rc = run_zlib(&z, deflate, out, err);
    (void)deflateEnd(&z); /* frees, whatever it says */
    return rc;
}

int decompress_bytes(struct buf *out, enum compress_method m, struct str in, struct err *err)
{
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)in.p, .avail_in = (unsigned)in.n};
    if (in.n > INT32_MAX) {
        return err_set(err, -E_TOOBIG, "more than %d bytes cannot be decompressed", INT32_MAX);
    }
    if (m == COMPRESS_ZSTD) {
        return decompress_zstd(out, in, err);
    }
    if (inflateInit2(&z, window_bits(m)) != Z_OK) {
        return -E_NOMEM;
    }
    int rc = run_zlib(&z, inflate, out, err);
    (void)inflateEnd(&z); /* frees, whatever it says */
    return rc;
}
