/* SPDX-License-Identifier: Apache-2.0 */
/* mosquitto_passwd's file: lines to salted hashes, and the check of a password. */
#include "mqtt_users.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/buf.h"
#include "base/encode.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"

#define HASH_SIZE 64 /* SHA-512 */
#define SALT_MAX 64

struct user {
    int iterations; /* 0 = one SHA-512 */
    size_t n_salt;
    uint8_t salt[SALT_MAX];
    uint8_t hash[HASH_SIZE];
};

struct mqtt_users {
    struct map map; /* name to struct user */
};

/* Bytes, or a negative code when it is no base64 or does not fit. */
static int decode(struct str s, uint8_t *out, size_t size)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    if (base64_decode(&b, s) < 0 || buf_len(&b) > size || buf_len(&b) == 0) {
        return -E_INVAL;
    }
    memcpy(out, buf_data(&b), buf_len(&b));
    return (int)buf_len(&b);
}

/* "$7$ITERATIONS$SALT$HASH" or "$6$SALT$HASH". What is wrong, or NULL. */
static const char *parse_hash(struct str s, struct user *ret)
{
    struct str empty, type, salt, hash;
    if (!str_cut(s, '$', &empty, &s) || empty.n > 0 || !str_cut(s, '$', &type, &s)) {
        return "the password is not hashed: use mosquitto_passwd";
    }
    ret->iterations = 0;
    if (str_is(type, "7")) {
        struct str number;
        uint64_t n = 0;
        if (!str_cut(s, '$', &number, &s) || str_u64(number, &n) < 0 || n < 1) {
            return "the number of iterations is wrong";
        }
        if (n > MQTT_USERS_ITERATIONS) {
            return "more than 50000 iterations would hold up the broker";
        }
        ret->iterations = (int)n;
    } else if (!str_is(type, "6")) {
        return "the hash is neither $6$ nor $7$";
    }
    if (!str_cut(s, '$', &salt, &hash)) {
        return "the hash is missing";
    }
    int n_salt = decode(salt, ret->salt, SALT_MAX);
    if (n_salt < 0) {
        return "the salt is no base64, or longer than 64 bytes";
    }
    ret->n_salt = (size_t)n_salt;
    return decode(hash, ret->hash, HASH_SIZE) == HASH_SIZE ? NULL
                                                           : "the hash is not 64 bytes in base64";
}

static int parse_line(struct mqtt_users *u, struct str line, struct err *err)
{
    struct str name, hash;
    if (!str_cut(line, ':', &name, &hash) || name.n == 0) {
        return err_set(err, -E_PARSE, "this is not NAME:HASH");
    }
    if (map_len(&u->map) >= LIMIT_BROKER_RULES) {
        return err_set(err, -E_LIMIT, "more than %d users", LIMIT_BROKER_RULES);
    }
    struct user user;
    const char *wrong = parse_hash(hash, &user);
    if (wrong) {
        return err_set(err, -E_PARSE, "user '" STR_FMT "': %s", STR_ARG(name), wrong);
    }
    struct user *copy = mem_dup(&user, sizeof(user));
    void *old = NULL;
    if (!copy || map_put(&u->map, name, copy, &old) < 0) {
        mem_free(copy);
        return err_set(err, -E_NOMEM, "out of memory");
    }
    mem_free(old); /* the last line of a name counts, as in mosquitto */
    return 0;
}

int mqtt_users_parse(struct str text, const char *name, struct mqtt_users **ret, struct err *err)
{
    struct mqtt_users *u = mem_zalloc(sizeof(*u));
    if (!u) {
        return err_set(err, -E_NOMEM, "%s: out of memory", name);
    }
    unsigned number = 0;
    for (bool more = true; more;) {
        struct str line;
        more = str_cut(text, '\n', &line, &text);
        number++;
        if (line.n > 0 && line.p[line.n - 1] == '\r') {
            line.n--;
        }
        int code = line.n == 0 || line.p[0] == '#' ? 0 : parse_line(u, line, err);
        if (code < 0) {
            mqtt_users_free(u);
            return err_wrap(err, code, "%s:%u", name, number);
        }
    }
    *ret = u;
    return 0;
}

void mqtt_users_free(struct mqtt_users *u)
{
    if (u) {
        map_fini(&u->map, mem_free);
        mem_free(u);
    }
}

size_t mqtt_users_len(const struct mqtt_users *u)
{
    return map_len(&u->map);
}

static bool hash_of(const struct user *user, struct str password, uint8_t out[HASH_SIZE])
{
    if (user->iterations > 0) {
        return PKCS5_PBKDF2_HMAC(password.p ? password.p : "", (int)password.n, user->salt,
                                 (int)user->n_salt, user->iterations, EVP_sha512(), HASH_SIZE,
                                 out) == 1;
    }
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    unsigned n = 0;
    bool ok = md && EVP_DigestInit_ex(md, EVP_sha512(), NULL) == 1 &&
              EVP_DigestUpdate(md, password.p, password.n) == 1 &&
              EVP_DigestUpdate(md, user->salt, user->n_salt) == 1 &&
              EVP_DigestFinal_ex(md, out, &n) == 1;
    EVP_MD_CTX_free(md);
    return ok;
}

bool mqtt_users_check(const struct mqtt_users *u, struct str name, struct str password)
{
    static const struct user nobody = {.iterations = 101, .n_salt = 12};
    const struct user *user = map_get(&u->map, name);
    uint8_t out[HASH_SIZE];
    if (password.n > UINT16_MAX || !hash_of(user ? user : &nobody, password, out)) {
        return false;
    }
    bool same = CRYPTO_memcmp(out, user ? user->hash : nobody.hash, HASH_SIZE) == 0;
    return same && user != NULL;
}
