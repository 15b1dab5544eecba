/* SPDX-License-Identifier: Apache-2.0 */
/* Compact tokens: see jwt.h. */
#include "api/auth/jwt.h"

#include "base/encode.h"
#include "base/limits.h"
#include "base/mem.h"

bool jwt_shape(struct str token)
{
    struct str head, claims, sig;
    return str_starts(token, "ey") && str_cut(token, '.', &head, &claims) &&
           str_cut(claims, '.', &claims, &sig) && claims.n && sig.n && !memchr(sig.p, '.', sig.n);
}

static int parse_object(struct arena *a, struct str text, struct json **ret)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    if (base64url_decode(&b, text) < 0) {
        return -E_PARSE;
    }
    int rc = json_parse(a, buf_str(&b), NULL, ret, NULL);
    return rc == 0 && !json_is(*ret, JSON_OBJECT) ? -E_PARSE : rc;
}

int jwt_parse(struct arena *a, struct str token, struct jwt *ret)
{
    struct str head, claims, sig;
    struct json *header = NULL;
    struct jwt t = {0};
    CLEANUP(buf_finip) struct buf raw = BUF_INIT;
    if (token.n > LIMIT_TOKEN) {
        return -E_LIMIT;
    }
    if (!str_cut(token, '.', &head, &claims) || !str_cut(claims, '.', &claims, &sig)) {
        return -E_PARSE;
    }
    t.signed_part = str_n(token.p, head.n + 1 + claims.n);
    int rc = parse_object(a, head, &header);
    rc = rc < 0 ? rc : parse_object(a, claims, &t.claims);
    if (rc == 0 && base64url_decode(&raw, sig) < 0) {
        rc = -E_PARSE;
    }
    if (rc < 0) {
        return rc;
    }
    t.alg = json_path_cstr(header, "alg", "");
    t.kid = json_path_cstr(header, "kid", "");
    t.signature = str_n(arena_dup(a, buf_data(&raw), buf_len(&raw)), buf_len(&raw));
    if (arena_failed(a)) {
        return -E_NOMEM;
    }
    *ret = t;
    return 0;
}

static int put_json(struct buf *out, const struct json *j)
{
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    int rc = j ? json_print(&text, j) : -E_NOMEM;
    return rc < 0 ? rc : base64url_encode(out, buf_data(&text), buf_len(&text));
}

const char *jwt_sign(struct arena *a, const struct jws_key *key, const struct json *claims)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    CLEANUP(buf_finip) struct buf sig = BUF_INIT;
    struct json *header = json_object(a);
    json_set_str(header, "alg", jws_key_alg(key));
    json_set_str(header, "kid", jws_key_id(key));
    if (put_json(&out, header) < 0 || buf_putc(&out, '.') < 0 || put_json(&out, claims) < 0 ||
        jws_sign(key, buf_str(&out), &sig) < 0 || buf_putc(&out, '.') < 0 ||
        base64url_encode(&out, buf_data(&sig), buf_len(&sig)) < 0) {
        return NULL;
    }
    return arena_str(a, buf_str(&out));
}
