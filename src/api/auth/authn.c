/* SPDX-License-Identifier: Apache-2.0 */
/* Authentication: see authn.h. */
#include "api/auth/authn.h"

#include <unistd.h>

#include "api/auth/jwt.h"
#include "api/auth/tokens.h"
#include "api/server_private.h"
#include "base/encode.h"
#include "base/limits.h"
#include "codec/json.h"
#include "io/tls.h"

static const char *const anonymous_groups[] = {"system:unauthenticated", NULL};
static const char *const root_groups[] = {"system:masters", "system:authenticated", NULL};
const struct api_user authn_anonymous = {"system:anonymous", anonymous_groups};

bool api_user_in(const struct api_user *u, const char *group)
{
    for (const char *const *g = u->groups; *g; g++) {
        if (strcmp(*g, group) == 0) {
            return true;
        }
    }
    return false;
}

const char *api_user_node(const struct api_user *u)
{
    static const char prefix[] = "system:node:";
    bool node = str_starts(str_of(u->name), prefix) && api_user_in(u, "system:nodes");
    return node && u->name[sizeof(prefix) - 1] ? u->name + sizeof(prefix) - 1 : NULL;
}

bool authn_is_anonymous(const struct api_user *u)
{
    return u->groups == anonymous_groups;
}

static bool same_secret(struct str a, struct str b)
{
    if (a.n != b.n) {
        return false;
    }
    unsigned char differ = 0;
    for (size_t i = 0; i < a.n; i++) {
        differ |= (unsigned char)(a.p[i] ^ b.p[i]);
    }
    return differ == 0;
}

/* The groups and system:authenticated. */
static const char *const *with_authenticated(struct arena *a, const char *const *groups, size_t n)
{
    const char **all = arena_zalloc(a, (n + 2) * sizeof(*all));
    for (size_t i = 0; all && i < n; i++) {
        all[i] = arena_strdup(a, groups[i]);
    }
    if (all) {
        all[n] = "system:authenticated";
    }
    return all;
}

/* ---- static tokens ---- */

/* One comma-separated field; a quoted one may hold commas. */
static struct str csv_field(struct str *line)
{
    struct str field;
    if (line->n && line->p[0] == '"') {
        struct str rest = str_n(line->p + 1, line->n - 1);
        (void)str_cut(rest, '"', &field, &rest);
        (void)str_cut(rest, ',', &(struct str){0}, line);
        return field;
    }
    (void)str_cut(*line, ',', &field, line);
    return field;
}

static int load_line(struct api_server *s, struct str line, struct err *err)
{
    struct arena *a = &s->arena;
    const char *groups[32];
    size_t n = 0;
    struct str token = csv_field(&line), user = csv_field(&line);
    (void)csv_field(&line); /* uid */
    struct str list = csv_field(&line);
    if (token.n < 8 || user.n == 0) {
        return err_set(err, -E_PARSE, "a token line needs a token of 8 or more letters and a user");
    }
    while (list.n && n < ARRAY_SIZE(groups)) {
        struct str g;
        (void)str_cut(list, ',', &g, &list);
        groups[n++] = arena_str(a, str_trim(g));
    }
    struct static_token *t =
        arena_grow(a, s->tokens, s->n_tokens * sizeof(*t), (s->n_tokens + 1) * sizeof(*t));
    if (!t) {
        return err_set(err, -E_NOMEM, "out of memory");
    }
    s->tokens = t;
    t[s->n_tokens++] = (struct static_token){
        arena_str(a, token), {arena_str(a, user), with_authenticated(a, groups, n)}};
    return arena_failed(a) ? err_set(err, -E_NOMEM, "out of memory") : 0;
}

int authn_load_csv(struct api_server *s, const char *csv, struct err *err)
{
    struct str rest = str_of(csv);
    while (rest.n) {
        struct str line;
        (void)str_cut(rest, '\n', &line, &rest);
        line = str_trim(line);
        if (line.n == 0 || line.p[0] == '#') {
            continue;
        }
        int code = load_line(s, line, err);
        if (code < 0) {
            return code;
        }
    }
    return 0;
}

/* ---- bootstrap tokens: Secret kube-system/bootstrap-token-ID ---- */

static bool bootstrap_shape(struct str t, struct str *id, struct str *secret)
{
    if (!str_cut(t, '.', id, secret) || id->n != 6 || secret->n != 16) {
        return false;
    }
    for (size_t i = 0; i < t.n; i++) {
        bool fine = (t.p[i] >= 'a' && t.p[i] <= 'z') || (t.p[i] >= '0' && t.p[i] <= '9');
        if (!fine && i != 6) {
            return false;
        }
    }
    return true;
}

static struct str data_text(struct arena *a, const struct json *secret, const char *key)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    const struct json *v = json_get(json_get(secret, "data"), key);
    if (!v || base64_decode(&b, json_text(v)) < 0) {
        return STR_NULL;
    }
    return str_n(arena_strndup(a, buf_data(&b), buf_len(&b)), buf_len(&b));
}

static bool expired(struct str text)
{
    struct wall t;
    return text.n && (time_parse(text, &t) < 0 || t.us < wall_now().us);
}

static int bootstrap_groups(struct arena *a, struct str extra, struct api_user *ret)
{
    const char *groups[16] = {"system:bootstrappers"};
    size_t n = 1;
    while (extra.n && n < ARRAY_SIZE(groups)) {
        struct str g;
        (void)str_cut(extra, ',', &g, &extra);
        if (str_starts(g, "system:bootstrappers:")) {
            groups[n++] = arena_str(a, g);
        }
    }
    ret->groups = with_authenticated(a, groups, n);
    return arena_failed(a) ? -E_NOMEM : 0;
}

static int bootstrap_token(struct api_server *s, struct arena *a, struct str id, struct str secret,
                           struct api_user *ret, struct err *err)
{
    const struct kind *k = kind_find("", "v1", "secrets");
    const char *name = arena_printf(a, "bootstrap-token-%.*s", (int)id.n, id.p);
    const char *key = api_key(a, k, "kube-system", name);
    struct store_item *it = key ? store_get(s->store, str_of(key)) : NULL;
    struct json *o = NULL;
    if (!it || json_parse(a, store_item_value(it), NULL, &o, NULL) < 0 ||
        !cstr_eq(json_path_cstr(o, "type", ""), "bootstrap.kubernetes.io/token") ||
        json_path(o, "metadata.deletionTimestamp") ||
        !same_secret(data_text(a, o, "token-secret"), secret)) {
        return err_set(err, -E_UNAUTHORIZED, "Unauthorized: the token is unknown");
    }
    if (expired(data_text(a, o, "expiration"))) {
        return err_set(err, -E_UNAUTHORIZED,
                       "Unauthorized: the bootstrap token \"%.*s\" has expired", (int)id.n, id.p);
    }
    if (!str_is(data_text(a, o, "usage-bootstrap-authentication"), "true")) {
        return err_set(err, -E_UNAUTHORIZED,
                       "Unauthorized: the bootstrap token \"%.*s\" is not for authentication",
                       (int)id.n, id.p);
    }
    ret->name = arena_printf(a, "system:bootstrap:%.*s", (int)id.n, id.p);
    return bootstrap_groups(a, data_text(a, o, "auth-extra-groups"), ret);
}

int authn_token(struct api_server *s, struct arena *a, struct str token,
                const char *const *audiences, struct api_user *ret,
                const char *const **ret_audiences, struct err *err)
{
    if (token.n > LIMIT_TOKEN) {
        return err_set(err, -E_UNAUTHORIZED, "Unauthorized: the token is too long");
    }
    if (ret_audiences) {
        *ret_audiences = NULL;
    }
    for (size_t i = 0; i < s->n_tokens; i++) {
        if (same_secret(str_of(s->tokens[i].token), token)) {
            *ret = s->tokens[i].user;
            return 0;
        }
    }
    if (jwt_shape(token)) {
        return tokens_verify(s->sa_tokens, a, token, audiences, ret, ret_audiences, err);
    }
    struct str id, secret;
    if (bootstrap_shape(token, &id, &secret)) {
        return bootstrap_token(s, a, id, secret, ret, err);
    }
    return err_set(err, -E_UNAUTHORIZED, "Unauthorized: the token is unknown");
}

/* ---- the connection ---- */

/* What a certificate leaves in reviews and in tokens' traces. */
static const struct json *credential_id(struct arena *a, const struct tls_peer *cert)
{
    struct json *extra = json_object(a);
    struct json *list = json_ensure_array(extra, "authentication.kubernetes.io/credential-id");
    json_push(list, json_printf(a, "X509SHA256=%s", cert->sha256));
    return extra;
}

static int certificate(struct arena *a, const struct tls_peer *cert, struct api_user *ret,
                       struct err *err)
{
    size_t n = 0;
    if (!cert->verified) {
        return err_set(err, -E_UNAUTHORIZED, "Unauthorized: client certificate: %s", cert->error);
    }
    if (!*cert->cn) {
        return err_set(err, -E_UNAUTHORIZED,
                       "Unauthorized: the client certificate names no user (CN is empty)");
    }
    while (cert->orgs && cert->orgs[n]) {
        n++;
    }
    ret->name = arena_strdup(a, cert->cn);
    ret->groups = with_authenticated(a, cert->orgs, n);
    ret->extra = credential_id(a, cert);
    return arena_failed(a) ? -E_NOMEM : 0;
}

int authn_exchange(struct api_server *s, struct http_exchange *x, struct api_user *ret,
                   struct err *err)
{
    struct arena *a = http_exchange_arena(x);
    struct http_peer peer;
    http_exchange_peer(x, &peer);
    if (peer.stream.cert) {
        return certificate(a, peer.stream.cert, ret, err);
    }
    struct str header = http_header_get(&http_exchange_request(x)->headers, "authorization");
    if (peer.stream.kind == STREAM_UNIX && !header.p &&
        (peer.stream.uid == 0 || peer.stream.uid == geteuid())) {
        *ret = (struct api_user){"system:admin", root_groups};
        return 0;
    }
    if (!header.p) {
        *ret = authn_anonymous;
        return 0;
    }
    struct str scheme, token;
    (void)str_cut(header, ' ', &scheme, &token);
    if (!str_iis(scheme, "bearer")) {
        return err_set(err, -E_UNAUTHORIZED,
                       "Unauthorized: only bearer tokens and client certificates are accepted");
    }
    return authn_token(s, a, str_trim(token), /* audiences= */ NULL, ret, NULL, err);
}
