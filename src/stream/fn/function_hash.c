/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes (FIPS 180-4, RFC 1321), CRC-32 (ISO-HDLC), base64 (RFC 4648) and compression (RFC 1950 to
 * 1952). */
#include <openssl/evp.h>
#include <stdio.h>
#include <zlib.h>

#include "base/encode.h"
#include "base/limits.h"
#include "family.h"
#include "stream/sql/ast.h"

static int check_string(const struct ast_expr *call, struct err *err)
{
    return function_expect_string(call, 0, err) ? 0 : -E_INVAL;
}

static int check_base64(const struct ast_expr *call, struct err *err)
{
    if (!function_expect_string(call, 0, err) || !function_expect_string(call, 1, err)) {
        return -E_INVAL;
    }
    const struct value *v = function_constant(call, 1);
    return !v || str_iis(value_text(v), "base64")
               ? 0
               : err_set(err, -E_INVAL, "Only base64 is supported for the 2nd parameter.");
}

/* ---- hashes ---- */

static int digest(struct eval *ev, const struct value *v, const EVP_MD *md, struct value *ret,
                  struct err *err)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    struct str text;
    int rc = function_text(ev->arena, v, &text, err);
    if (rc < 0) {
        return rc;
    }
    char *hex = arena_alloc(ev->arena, HEX_SIZE(EVP_MAX_MD_SIZE));
    if (!hex || EVP_Digest(text.p ? text.p : "", text.n, hash, &n, md, NULL) != 1) {
        return hex ? err_set(err, -E_INVAL, "the hash function is not available") : -ENOMEM;
    }
    hex_encode(hash, n, hex);
    *ret = value_string(str_of(hex));
    return 0;
}

#define HASH(name, md)                                                                           \
    static int name(struct eval *ev, const struct value *args, unsigned argc, struct value *ret, \
                    struct err *err)                                                             \
    {                                                                                            \
        (void)argc;                                                                              \
        return digest(ev, &args[0], md(), ret, err);                                             \
    }

HASH(eval_md5, EVP_md5)
HASH(eval_sha1, EVP_sha1)
HASH(eval_sha256, EVP_sha256)
HASH(eval_sha384, EVP_sha384)
HASH(eval_sha512, EVP_sha512)

static int eval_crc32(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                      struct err *err)
{
    struct str text;
    int rc = function_text(ev->arena, &args[0], &text, err);
    (void)argc;
    if (rc < 0) {
        return rc;
    }
    const char *hex = arena_printf(ev->arena, "%lx",
                                   (unsigned long)crc32(0, (const Bytef *)text.p, (uInt)text.n));
    *ret = value_string(str_of(hex));
    return hex ? 0 : -ENOMEM;
}

/* ---- base64 ---- */

static int eval_encode(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                       struct err *err)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    (void)argc;
    if (args[0].type != VALUE_STRING && args[0].type != VALUE_BYTES) {
        return err_set(err, -E_INVAL, "Only string type can be encoded.");
    }
    if (args[1].type != VALUE_STRING || !str_iis(value_text(&args[1]), "base64")) {
        return err_set(err, -E_INVAL, "Only base64 encoding is supported.");
    }
    if (base64_encode(&b, args[0].s, args[0].n) < 0) {
        return -ENOMEM;
    }
    const char *text = arena_strndup(ev->arena, buf_data(&b), buf_len(&b));
    *ret = value_string(str_n(text, buf_len(&b)));
    return text ? 0 : -ENOMEM;
}

static int to_bytes(struct eval *ev, const struct buf *b, struct value *ret)
{
    const char *text = arena_strndup(ev->arena, buf_data(b), buf_len(b));
    *ret = value_string(str_n(text, buf_len(b)));
    ret->type = VALUE_BYTES;
    return text ? 0 : -ENOMEM;
}

static int eval_decode(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                       struct err *err)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    (void)argc;
    if (args[0].type != VALUE_STRING) {
        return err_set(err, -E_INVAL, "Only string type can be decoded.");
    }
    if (args[1].type != VALUE_STRING || !str_iis(value_text(&args[1]), "base64")) {
        return err_set(err, -E_INVAL, "Only base64 decoding is supported.");
    }
    int rc = base64_decode(&b, value_text(&args[0]));
    if (rc < 0) {
        return rc == -ENOMEM ? rc : err_set(err, -E_INVAL, "fail to decode base64 string");
    }
    return to_bytes(ev, &b, ret);
}

/* ---- compression ---- */

/* Window bits of zlib for the name of a method; 0 = unknown. */
static int window_bits(const struct value *v)
{
    static const struct {
        const char *name;
        int bits;
    } methods[] = {{"zlib", 15}, {"gzip", 15 + 16}, {"flate", -15}, {"deflate", -15}};
    for (size_t i = 0; v->type == VALUE_STRING && i < ARRAY_SIZE(methods); i++) {
        if (str_iis(value_text(v), methods[i].name)) {
            return methods[i].bits;
        }
    }
    return 0;
}

static int check_method(const struct ast_expr *call, struct err *err)
{
    if (!function_expect_string(call, 1, err)) {
        return -E_INVAL;
    }
    const struct value *v = function_constant(call, 1);
    return !v || window_bits(v)
               ? 0
               : err_set(err, -E_INVAL,
                         "unsupported compressor: " STR_FMT " (zlib, gzip, flate are there)",
                         STR_ARG(value_text(v)));
}

/* Runs one of the two directions until its end; the output is bounded. */
static int pump(z_stream *z, int (*step)(z_stream *z, int flush), struct str in, struct buf *out)
{
    int rc = Z_OK;
    z->next_in = (Bytef *)(uintptr_t)in.p; /* zlib does not write there */
    z->avail_in = (uInt)in.n;
    while (rc == Z_OK) {
        char *room = buf_reserve(out, 16384);
        if (!room) {
            return Z_MEM_ERROR;
        }
        z->next_out = (Bytef *)room;
        z->avail_out = 16384;
        rc = step(z, Z_FINISH);
        buf_commit(out, 16384 - z->avail_out);
        if (rc == Z_BUF_ERROR && z->avail_out == 0) {
            rc = Z_OK; /* only the room was too small */
        }
        if (buf_len(out) > LIMIT_EVENT_BYTES) {
            return Z_MEM_ERROR;
        }
    }
    return rc;
}

static int method_of(const struct value *args, struct str *ret_text, int *ret_bits, struct err *err)
{
    if (args[0].type != VALUE_STRING && args[0].type != VALUE_BYTES) {
        return function_got(&args[0], "a string or bytea", err);
    }
    *ret_text = value_text(&args[0]);
    *ret_bits = window_bits(&args[1]);
    return *ret_bits ? 0 : err_set(err, -E_INVAL, "unsupported compressor");
}

static int eval_compress(struct eval *ev, const struct value *args, unsigned argc,
                         struct value *ret, struct err *err)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    z_stream z = {0};
    struct str text;
    int bits = 0;
    int rc = method_of(args, &text, &bits, err);
    (void)argc;
    if (rc < 0) {
        return rc;
    }
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        return -ENOMEM;
    }
    rc = pump(&z, deflate, text, &b);
    (void)deflateEnd(&z); /* says only whether data was left */
    return rc == Z_STREAM_END ? to_bytes(ev, &b, ret) : -ENOMEM;
}

static int eval_decompress(struct eval *ev, const struct value *args, unsigned argc,
                           struct value *ret, struct err *err)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    z_stream z = {0};
    struct str text;
    int bits = 0;
    int rc = method_of(args, &text, &bits, err);
    (void)argc;
    if (rc < 0) {
        return rc;
    }
    if (inflateInit2(&z, bits) != Z_OK) {
        return -ENOMEM;
    }
    rc = pump(&z, inflate, text, &b);
    (void)inflateEnd(&z); /* cannot fail after init */
    if (rc == Z_MEM_ERROR) {
        return err_set(err, -E_LIMIT, "the data is larger than %d bytes", LIMIT_EVENT_BYTES);
    }
    return rc == Z_STREAM_END ? to_bytes(ev, &b, ret)
                              : err_set(err, -E_INVAL, "the data is not compressed in that way");
}

static const struct function functions[] = {
    SCALAR("compress", 2, 2, FUNCTION_F_PURE, check_method, eval_compress,
           "Text or bytes compressed: compress(data, \"zlib\" | \"gzip\" | \"flate\")."),
    SCALAR("crc32", 1, 1, FUNCTION_F_PURE, check_string, eval_crc32,
           "The CRC-32 of a text in hex."),
    SCALAR("decode", 2, 2, FUNCTION_F_PURE, check_base64, eval_decode,
           "The bytes of a base64 text: decode(text, \"base64\")."),
    SCALAR("decompress", 2, 2, FUNCTION_F_PURE, check_method, eval_decompress,
           "The bytes that compress() made smaller."),
    SCALAR("encode", 2, 2, FUNCTION_F_PURE, check_base64, eval_encode,
           "The base64 of a text or of bytes: encode(data, \"base64\")."),
    SCALAR("md5", 1, 1, FUNCTION_F_PURE, check_string, eval_md5, "The MD5 hash of a text in hex."),
    SCALAR("sha1", 1, 1, FUNCTION_F_PURE, check_string, eval_sha1,
           "The SHA-1 hash of a text in hex."),
    SCALAR("sha256", 1, 1, FUNCTION_F_PURE, check_string, eval_sha256,
           "The SHA-256 hash of a text in hex."),
    SCALAR("sha384", 1, 1, FUNCTION_F_PURE, check_string, eval_sha384,
           "The SHA-384 hash of a text in hex."),
    SCALAR("sha512", 1, 1, FUNCTION_F_PURE, check_string, eval_sha512,
           "The SHA-512 hash of a text in hex."),
};

const struct function_family function_hash = {functions, ARRAY_SIZE(functions)};
