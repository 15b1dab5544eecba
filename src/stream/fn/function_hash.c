/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes (FIPS 180-4, RFC 1321) and CRC-32 (ISO-HDLC), as hexadecimal text. */
#include <openssl/evp.h>
#include <stdio.h>
#include <zlib.h>

#include "base/encode.h"
#include "family.h"
#include "stream/sql/ast.h"

static int check_string(const struct ast_expr *call, struct err *err)
{
    return function_expect_string(call, 0, err) ? 0 : -E_INVAL;
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

static const struct function functions[] = {
    SCALAR("crc32", 1, 1, FUNCTION_F_PURE, check_string, eval_crc32,
           "The CRC-32 of a text in hex."),
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
