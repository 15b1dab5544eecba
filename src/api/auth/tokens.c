/* SPDX-License-Identifier: Apache-2.0 */
/* Issuing and verifying tokens of service accounts: see tokens.h. */
#include "api/auth/tokens.h"

#include "api/auth/jwt.h"
#include "api/handler.h"
#include "api/server_private.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/limits.h"
#include "base/map.h"

#define KEYS_MAX 16
#define CACHE 1024 /* a power of two */
#define LEGACY_ISSUER "kubernetes/serviceaccount"
#define PRIVATE "kubernetes.io/serviceaccount/"
#define EXTRA "authentication.kubernetes.io/"
#define US_PER_S INT64_C(1000000)

/* The claims of a token whose signature was good; one block with its texts. */
struct known_token {
    struct str text;
    const char *ns, *name, *uid, *jti;
    struct token_binding pod, secret, node;
    const char *const *audiences;
    int64_t not_before, end; /* seconds since 1970; end 0 = none */
    bool legacy;
};

struct tokens {
    struct api_server *server;
    struct jws_key *keys[KEYS_MAX];
    size_t n_keys;
    char *root_ca;
    struct known_token *known[CACHE];
};

/* ---- lifetime ---- */

int tokens_new(struct api_server *s, const struct api_server_opts *o, struct tokens **ret,
               struct err *err)
{
    struct tokens *t = mem_zalloc(sizeof(*t));
    int rc = 0;
    if (!t) {
        return err_sys(err, -ENOMEM, "read the keys of tokens");
    }
    t->server = s;
    t->root_ca = mem_strdup(o->root_ca ? o->root_ca : "");
    for (const char *const *k = o->token_keys; rc == 0 && k && *k && t->n_keys < KEYS_MAX; k++) {
        rc = jws_key_load(str_of(*k), &t->keys[t->n_keys], err);
        t->n_keys += rc == 0;
    }
    if (rc == 0 && !t->root_ca) {
        rc = err_sys(err, -ENOMEM, "read the keys of tokens");
    }
    if (rc == 0 && t->n_keys && !jws_key_signs(t->keys[0])) {
        rc = err_set(err, -E_CERT, "the first key of tokens must be a private one");
    }
    if (rc < 0) {
        tokens_free(t);
        return rc;
    }
    *ret = t;
    return 0;
}

void tokens_free(struct tokens *t)
{
    if (!t) {
        return;
    }
    for (size_t i = 0; i < t->n_keys; i++) {
        jws_key_free(t->keys[i]);
    }
    for (size_t i = 0; i < CACHE; i++) {
        mem_free(t->known[i]);
    }
    mem_free(t->root_ca);
    mem_free(t);
}

bool tokens_can_sign(const struct tokens *t)
{
    return t->n_keys > 0;
}

const char *tokens_root_ca(const struct tokens *t)
{
    return t->root_ca;
}

/* ---- issuing ---- */

static void put_binding(struct json *private, const char *what, const struct token_binding *b)
{
    if (b->name) {
        struct json *o = json_ensure_object(private, what);
        json_set_str(o, "name", b->name);
        json_set_str(o, "uid", b->uid);
    }
}

static struct json *claims_of(struct arena *a, const struct token_request *r, int64_t now)
{
    char id[UUID_TEXT_SIZE];
    struct json *c = json_object(a);
    struct json *aud = json_ensure_array(c, "aud");
    for (const char *const *one = r->audiences; *one; one++) {
        json_push(aud, json_string(a, *one));
    }
    uuid_make(id);
    json_set_int(c, "exp", now + r->seconds);
    json_set_int(c, "iat", now);
    json_set_str(c, "iss", TOKENS_ISSUER);
    json_set_str(c, "jti", id);
    struct json *private = json_set(c, "kubernetes.io", json_object(a));
    json_set_str(private, "namespace", r->ns);
    put_binding(private, "node", &r->node);
    put_binding(private, "pod", &r->pod);
    put_binding(private, "secret", &r->secret);
    put_binding(private, "serviceaccount", &(struct token_binding){r->name, r->uid});
    if (r->warn_seconds) {
        json_set_int(private, "warnafter", now + r->warn_seconds);
    }
    json_set_int(c, "nbf", now);
    json_set(c, "sub", json_printf(a, "system:serviceaccount:%s:%s", r->ns, r->name));
    return c;
}

static int sign(struct tokens *t, struct arena *a, const struct json *claims, const char **ret)
{
    if (t->n_keys == 0) {
        return -E_NOTSUP;
    }
    *ret = jwt_sign(a, t->keys[0], claims);
    return *ret ? 0 : -E_NOMEM;
}

int tokens_issue(struct tokens *t, struct arena *a, const struct token_request *r,
                 const char **ret_token, struct wall *ret_end)
{
    int64_t now = wall_now().us / US_PER_S;
    int rc = sign(t, a, claims_of(a, r, now), ret_token);
    if (rc == 0) {
        ret_end->us = (now + r->seconds) * US_PER_S;
    }
    return rc;
}

int tokens_issue_legacy(struct tokens *t, struct arena *a, const char *ns, const char *account,
                        const char *uid, const char *secret, const char **ret_token)
{
    struct json *c = json_object(a);
    json_set_str(c, "iss", LEGACY_ISSUER);
    json_set_str(c, PRIVATE "namespace", ns);
    json_set_str(c, PRIVATE "secret.name", secret);
    json_set_str(c, PRIVATE "service-account.name", account);
    json_set_str(c, PRIVATE "service-account.uid", uid);
    json_set(c, "sub", json_printf(a, "system:serviceaccount:%s:%s", ns, account));
    return sign(t, a, c, ret_token);
}

/* ---- reading claims ---- */

static int refuse(struct err *err, const char *why)
{
    return err_set(err, -E_UNAUTHORIZED, "Unauthorized: %s", why);
}

static struct token_binding binding_of(const struct json *private, const char *what)
{
    const struct json *o = json_get(private, what);
    return (struct token_binding){json_path_cstr(o, "name", NULL), json_path_cstr(o, "uid", "")};
}

static const char *const *audiences_of(struct arena *a, const struct json *aud)
{
    size_t n = 0;
    const char **list = arena_zalloc(a, (LIMIT_TOKEN_AUDIENCES + 1) * sizeof(*list));
    if (list && json_is(aud, JSON_STRING)) {
        list[n++] = json_cstr(aud, "");
    }
    JSON_FOR_EACH (one, list ? aud : NULL) {
        if (n < LIMIT_TOKEN_AUDIENCES) {
            list[n++] = json_cstr(one, "");
        }
    }
    return list;
}

static void read_legacy(struct known_token *k, const struct json *c)
{
    k->legacy = true;
    k->ns = json_cstr(json_get(c, PRIVATE "namespace"), "");
    k->name = json_cstr(json_get(c, PRIVATE "service-account.name"), "");
    k->uid = json_cstr(json_get(c, PRIVATE "service-account.uid"), "");
    k->secret.name = json_cstr(json_get(c, PRIVATE "secret.name"), "");
    k->jti = "";
}

static void read_bound(struct known_token *k, const struct json *c)
{
    const struct json *private = json_get(c, "kubernetes.io");
    struct token_binding account = binding_of(private, "serviceaccount");
    k->ns = json_path_cstr(private, "namespace", "");
    k->name = account.name ? account.name : "";
    k->uid = account.uid;
    k->pod = binding_of(private, "pod");
    k->secret = binding_of(private, "secret");
    k->node = binding_of(private, "node");
    k->jti = json_path_cstr(c, "jti", "");
    k->end = json_path_i64(c, "exp", 1);
    k->not_before = json_path_i64(c, "nbf", 0);
}

/* The token that was named in the claims must be that of its subject. */
static bool consistent(struct arena *a, const struct known_token *k, const struct json *c)
{
    const char *sub = arena_printf(a, "system:serviceaccount:%s:%s", k->ns, k->name);
    return sub && *k->ns && *k->name && *k->uid && cstr_eq(json_path_cstr(c, "sub", ""), sub);
}

static const struct jws_key *find_key(const struct tokens *t, const struct jwt *j)
{
    for (size_t i = 0; i < t->n_keys; i++) {
        if (cstr_eq(jws_key_id(t->keys[i]), j->kid) && cstr_eq(jws_key_alg(t->keys[i]), j->alg)) {
            return t->keys[i];
        }
    }
    return NULL;
}

static int read_claims(const struct tokens *t, struct arena *a, struct known_token *k,
                       struct str text, struct err *err)
{
    struct jwt j;
    int rc = jwt_parse(a, text, &j);
    if (rc < 0) {
        return rc == -E_NOMEM ? rc : refuse(err, "the token is malformed");
    }
    const struct jws_key *key = find_key(t, &j);
    if (!key || !jws_verify(key, j.signed_part, j.signature)) {
        return refuse(err, "the token's signature is not of this cluster");
    }
    if (cstr_eq(json_path_cstr(j.claims, "iss", ""), LEGACY_ISSUER)) {
        read_legacy(k, j.claims);
    } else if (cstr_eq(json_path_cstr(j.claims, "iss", ""), TOKENS_ISSUER)) {
        read_bound(k, j.claims);
    } else {
        return refuse(err, "the token is of another issuer");
    }
    k->audiences = audiences_of(a, json_get(j.claims, "aud"));
    if (!consistent(a, k, j.claims)) {
        return arena_failed(a) ? -E_NOMEM : refuse(err, "the token's claims contradict each other");
    }
    return arena_failed(a) ? -E_NOMEM : 0;
}

/* ---- remembering ---- */

/* The texts of a token, in the order in which they lie in its block; NULL stays NULL. */
#define KNOWN_TEXTS 10
static void texts_of(struct known_token *k, const char **ret[KNOWN_TEXTS])
{
    const char **const all[KNOWN_TEXTS] = {
        &k->ns,      &k->name,        &k->uid,        &k->jti,       &k->pod.name,
        &k->pod.uid, &k->secret.name, &k->secret.uid, &k->node.name, &k->node.uid};
    memcpy(ret, all, sizeof(all));
}

static size_t text_bytes(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static const char *keep(char **at, const char *text)
{
    size_t n = text_bytes(text);
    char *copy = n ? memcpy(*at, text, n) : NULL;
    *at += n;
    return copy;
}

/* A copy in one block: there may be a thousand of them. */
static struct known_token *pack(const struct known_token *from, struct str text)
{
    struct known_token k = *from;
    const char **texts[KNOWN_TEXTS];
    size_t n_audiences = 0, bytes = text.n;
    texts_of(&k, texts);
    for (size_t i = 0; i < KNOWN_TEXTS; i++) {
        bytes += text_bytes(*texts[i]);
    }
    for (; k.audiences[n_audiences]; n_audiences++) {
        bytes += text_bytes(k.audiences[n_audiences]);
    }
    size_t head = sizeof(k) + (n_audiences + 1) * sizeof(char *);
    char *block = mem_alloc(head + bytes);
    if (!block) {
        return NULL;
    }
    char *at = block + head;
    const char **audiences = (const char **)(void *)(block + sizeof(k));
    for (size_t i = 0; i < KNOWN_TEXTS; i++) {
        *texts[i] = keep(&at, *texts[i]);
    }
    for (size_t i = 0; i < n_audiences; i++) {
        audiences[i] = keep(&at, k.audiences[i]);
    }
    audiences[n_audiences] = NULL;
    k.audiences = audiences;
    memcpy(at, text.p, text.n);
    k.text = str_n(at, text.n);
    return memcpy(block, &k, sizeof(k));
}

/* The token with its claims, from memory or by checking its signature. */
static int know(struct tokens *t, struct str text, struct known_token **ret, struct err *err)
{
    struct known_token **slot = &t->known[hash_bytes(text.p, text.n) % CACHE];
    if (*slot && str_eq((*slot)->text, text)) {
        *ret = *slot;
        return 0;
    }
    struct arena a;
    struct known_token read = {0}, *k = NULL;
    arena_init(&a, 0);
    int rc = read_claims(t, &a, &read, text, err);
    k = rc < 0 ? NULL : pack(&read, text);
    arena_fini(&a);
    if (!k) {
        return rc < 0 ? rc : -E_NOMEM;
    }
    mem_free(*slot);
    *slot = *ret = k;
    return 0;
}

/* ---- is what it names still there? ---- */

static struct store_item *find(struct tokens *t, struct arena *a, const char *plural,
                               const char *ns, const char *name)
{
    const char *key = api_key(a, kind_find("", "v1", plural), ns, name);
    return key ? store_get(t->server->store, str_of(key)) : NULL;
}

static bool lives(struct tokens *t, struct arena *a, const char *plural, const char *ns,
                  const struct token_binding *b)
{
    if (!b->name) {
        return true;
    }
    struct store_item *it = find(t, a, plural, ns, b->name);
    return it && cstr_eq(server_item_uid(it), b->uid);
}

/* The Secret of an old token must hold that very token. */
static bool legacy_lives(struct tokens *t, struct arena *a, const struct known_token *k)
{
    const struct kind *secrets = kind_find("", "v1", "secrets");
    struct store_item *it = find(t, a, "secrets", k->ns, k->secret.name);
    struct json *secret = it ? handler_item_tree(a, secrets, it) : NULL;
    CLEANUP(buf_finip) struct buf token = BUF_INIT;
    return secret && base64_decode(&token, json_text(json_path(secret, "data.token"))) == 0 &&
           str_eq(buf_str(&token), k->text);
}

static int check_alive(struct tokens *t, struct arena *a, const struct known_token *k,
                       struct err *err)
{
    int64_t now = wall_now().us / US_PER_S;
    struct token_binding account = {k->name, k->uid};
    if (k->end && now >= k->end) {
        return refuse(err, "the token has expired");
    }
    if (now < k->not_before - 60) {
        return refuse(err, "the token is not valid yet");
    }
    if (!lives(t, a, "serviceaccounts", k->ns, &account)) {
        return refuse(err, "the service account of the token has been deleted");
    }
    if (!lives(t, a, "pods", k->ns, &k->pod) ||
        (!k->pod.name && !lives(t, a, "nodes", "", &k->node)) ||
        (k->legacy ? !legacy_lives(t, a, k) : !lives(t, a, "secrets", k->ns, &k->secret))) {
        return refuse(err, "what the token is bound to has been deleted");
    }
    return 0;
}

/* ---- who it is ---- */

static void put_extra(struct json *extra, const char *key, const char *value)
{
    if (value && *value) {
        json_push(json_ensure_array(extra, key), json_string(extra ? extra->arena : NULL, value));
    }
}

static int make_user(struct arena *a, const struct known_token *k, struct api_user *ret)
{
    const char **groups = arena_zalloc(a, 4 * sizeof(*groups));
    struct json *extra = json_object(a);
    if (!groups || !extra) {
        return -E_NOMEM;
    }
    groups[0] = "system:serviceaccounts";
    groups[1] = arena_printf(a, "system:serviceaccounts:%s", k->ns);
    groups[2] = "system:authenticated";
    put_extra(extra, EXTRA "credential-id", *k->jti ? arena_printf(a, "JTI=%s", k->jti) : NULL);
    put_extra(extra, EXTRA "node-name", k->node.name);
    put_extra(extra, EXTRA "node-uid", k->node.name ? k->node.uid : NULL);
    put_extra(extra, EXTRA "pod-name", k->pod.name);
    put_extra(extra, EXTRA "pod-uid", k->pod.name ? k->pod.uid : NULL);
    *ret = (struct api_user){.name = arena_printf(a, "system:serviceaccount:%s:%s", k->ns, k->name),
                             .groups = groups,
                             .uid = arena_strdup(a, k->uid),
                             .extra = json_len(extra) ? extra : NULL};
    return arena_failed(a) ? -E_NOMEM : 0;
}

/* Those of the wanted audiences that the token has; a token of the old kind is for this server. */
static const char *const *common_audiences(struct arena *a, const struct known_token *k,
                                           const char *const *wanted)
{
    static const char *const own[] = {TOKENS_ISSUER, NULL};
    const char *const *has = k->legacy ? own : k->audiences;
    const char **list = arena_zalloc(a, (LIMIT_TOKEN_AUDIENCES + 1) * sizeof(*list));
    size_t n = 0;
    for (const char *const *w = wanted ? wanted : own; list && *w; w++) {
        for (const char *const *h = has; *h && n < LIMIT_TOKEN_AUDIENCES; h++) {
            if (cstr_eq(*w, *h)) {
                list[n++] = arena_strdup(a, *w);
                break;
            }
        }
    }
    return list;
}

int tokens_verify(struct tokens *t, struct arena *a, struct str token, const char *const *audiences,
                  struct api_user *ret, const char *const **ret_audiences, struct err *err)
{
    struct known_token *k = NULL;
    if (t->n_keys == 0) {
        return refuse(err, "the token is unknown");
    }
    int rc = know(t, token, &k, err);
    rc = rc < 0 ? rc : check_alive(t, a, k, err);
    if (rc < 0) {
        return rc == -E_NOMEM ? err_set(err, rc, "out of memory") : rc;
    }
    const char *const *common = common_audiences(a, k, audiences);
    if (!common || make_user(a, k, ret) < 0) {
        return err_set(err, -E_NOMEM, "out of memory");
    }
    if (!*common) {
        return refuse(err, "the token is meant for other audiences");
    }
    if (ret_audiences) {
        *ret_audiences = common;
    }
    return 0;
}

/* ---- what others need to verify ---- */

static struct json *base64url_text(struct arena *a, const struct buf *raw)
{
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    return base64url_encode(&text, buf_data(raw), buf_len(raw)) < 0
               ? NULL
               : json_string_n(a, buf_str(&text));
}

static void put_key(struct arena *a, struct json *keys, const struct jws_key *k)
{
    CLEANUP(buf_finip) struct buf first = BUF_INIT;
    CLEANUP(buf_finip) struct buf second = BUF_INIT;
    bool ec = cstr_eq(jws_key_alg(k), "ES256");
    if (jws_key_public(k, &first, &second) < 0) {
        return; /* memory was short: the others are still useful */
    }
    struct json *o = json_push(keys, json_object(a));
    json_set_str(o, "use", "sig");
    json_set_str(o, "kty", ec ? "EC" : "RSA");
    json_set_str(o, "kid", jws_key_id(k));
    json_set_str(o, "crv", ec ? "P-256" : NULL);
    json_set_str(o, "alg", jws_key_alg(k));
    json_set(o, ec ? "x" : "n", base64url_text(a, &first));
    json_set(o, ec ? "y" : "e", base64url_text(a, &second));
}

struct json *tokens_jwks(struct tokens *t, struct arena *a)
{
    struct json *o = json_object(a);
    struct json *keys = json_ensure_array(o, "keys");
    for (size_t i = 0; i < t->n_keys; i++) {
        put_key(a, keys, t->keys[i]);
    }
    return o;
}

struct json *tokens_discovery(struct tokens *t, struct arena *a, const char *base)
{
    struct json *o = json_object(a);
    json_set_str(o, "issuer", TOKENS_ISSUER);
    json_set(o, "jwks_uri", json_printf(a, "%s/openid/v1/jwks", base));
    json_push(json_ensure_array(o, "response_types_supported"), json_string(a, "id_token"));
    json_push(json_ensure_array(o, "subject_types_supported"), json_string(a, "public"));
    struct json *algs = json_ensure_array(o, "id_token_signing_alg_values_supported");
    for (size_t i = 0; i < t->n_keys; i++) {
        bool told = false;
        JSON_FOR_EACH (alg, algs) {
            told |= cstr_eq(json_cstr(alg, ""), jws_key_alg(t->keys[i]));
        }
        if (!told) {
            json_push(algs, json_string(a, jws_key_alg(t->keys[i])));
        }
    }
    return o;
}
