/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens of projected volumes; see pod_tokens.h.
 *
 *     store: tokens/<pod uid>/<hash of audience and seconds>
 *            {"token","issued","end"}   times in microseconds since 1970, as texts
 */
#include "pod_tokens.h"

#include "api/object.h"
#include "base/clock.h"
#include "infra_private.h"
#include "sync/child_token.h"

#define PREFIX "tokens/"
#define ROOT_CA "kube-root-ca.crt"
#define FIRST_WAIT_US 2000000 /* what a starting pod gives the parent */
#define FIRST_RETRY_US 250000 /* meanwhile: an account may be younger than its pod */
#define UNREACHED_US 3000000
#define REFUSED_US 30000000
#define SECONDS_DEFAULT 3600
#define RENEW_LATEST_US (INT64_C(24) * 3600 * 1000000)

struct pod_token {
    struct list link;
    struct pod *pod;
    char *audience;
    int64_t seconds;
    char *text;                 /* NULL: none yet */
    int64_t issued_us, end_us;  /* wall time */
    struct child_token *asking; /* NULL: not under way */
    struct mono retry_at;
    struct store_req save;
    bool saving;
    char told[160]; /* the last failure of which an event told */
};

/* ---- the store ---- */

static char *store_key(struct arena *a, const struct pod_token *t)
{
    struct json *what = json_array(a);
    json_push(what, json_string(a, t->audience));
    json_push(what, json_int(a, t->seconds));
    return arena_printf(a, PREFIX "%s/%llx", t->pod->uid, (unsigned long long)digest_hash(what));
}

static void take_text(struct pod_token *t, const char *text, int64_t issued, int64_t end)
{
    char *copy = mem_strdup(text);
    if (!copy) {
        return; /* the old one serves; it is asked for again */
    }
    mem_free(t->text);
    t->text = copy;
    t->issued_us = issued;
    t->end_us = end;
}

static void load(struct pod_token *t)
{
    struct arena a;
    struct json *o = NULL;
    int64_t issued, end;
    arena_init(&a, 0);
    char *key = store_key(&a, t);
    struct store_item *it =
        key ? store_get(replica_store(t->pod->inf->replica), str_of(key)) : NULL;
    if (it && json_parse(&a, store_item_value(it), NULL, &o, NULL) == 0 &&
        str_i64(json_text(json_get(o, "issued")), &issued) == 0 &&
        str_i64(json_text(json_get(o, "end")), &end) == 0 && *json_path_cstr(o, "token", "")) {
        take_text(t, json_path_cstr(o, "token", ""), issued, end);
    }
    arena_fini(&a);
}

static void saved(struct store_req *req, int code, const char *text)
{
    struct pod_token *t = req->arg;
    t->saving = false;
    if (code < 0) {
        log_warn("keep a token of pod %s/%s: %s, ignoring until it is renewed", t->pod->ns,
                 t->pod->name, text ? text : err_text(code));
    }
}

static void save(struct pod_token *t)
{
    struct arena a;
    CLEANUP(buf_finip) struct buf value = BUF_INIT;
    if (t->saving) {
        return; /* it is renewed long after that has ended */
    }
    arena_init(&a, 0);
    char *key = store_key(&a, t);
    struct json *o = json_object(&a);
    json_set_str(o, "token", t->text);
    json_set(o, "issued", json_printf(&a, "%lld", (long long)t->issued_us));
    json_set(o, "end", json_printf(&a, "%lld", (long long)t->end_us));
    t->save = (struct store_req){.done = saved, .arg = t};
    struct store *store = replica_store(t->pod->inf->replica);
    int rc = key && json_print(&value, o) == 0
                 ? store_put(store, &t->save, str_of(key), buf_str(&value), NULL)
                 : -E_NOMEM;
    t->saving = rc == 0;
    if (rc < 0) {
        log_warn("keep a token of pod %s/%s: %s, ignoring until it is renewed", t->pod->ns,
                 t->pod->name, err_text(rc));
    }
    arena_fini(&a);
}

/* Deletes whose end nobody waits for. */
static void erased(struct store_req *req, int code, const char *text)
{
    (void)code; /* what stays is swept at the next start */
    (void)text;
    mem_free(req);
}

static void erase(struct store *store, struct str key)
{
    struct store_req *req = mem_zalloc(sizeof(*req));
    if (!req) {
        return;
    }
    req->done = erased;
    if (store_delete(store, req, key, STR_LIT("{}"), NULL) < 0) {
        mem_free(req);
    }
}

static void erase_all(struct infra *inf, const char *prefix, bool unknown_only)
{
    struct store *store = replica_store(inf->replica);
    struct store_list l = {0};
    if (store_list(store, &(struct store_list_opts){.prefix = str_of(prefix)}, &l) < 0) {
        return;
    }
    for (size_t i = 0; i < l.n; i++) {
        struct str key = store_item_key(l.items[i]), uid, rest;
        (void)str_cut(key, '/', NULL, &rest); /* our own keys: PREFIX uid / hash */
        (void)str_cut(rest, '/', &uid, NULL);
        if (!unknown_only || !map_get(&inf->pods, uid)) {
            erase(store, key);
        }
    }
    store_list_fini(&l);
}

void pod_tokens_sweep(struct infra *inf)
{
    erase_all(inf, PREFIX, /* unknown_only= */ true);
}

/* ---- asking ---- */

static void tell(struct pod_token *t, const char *why)
{
    if (!cstr_eq(t->told, why)) {
        (void)cstr_copy(t->told, sizeof(t->told), why); /* a cut text is fine */
        pod_event(t->pod, NULL, "Warning", "FailedMount", "%s", why);
    }
}

/* The pod's start gives the parent its first moment. */
static bool waits(const struct pod *p)
{
    return p->tokens_until.us > mono_now().us;
}

static void answered(void *arg, int code, const char *token, int64_t end_us, const struct err *err)
{
    struct pod_token *t = arg;
    t->asking = NULL;
    if (code == 0) {
        take_text(t, token, wall_now().us, end_us);
        save(t);
        t->told[0] = '\0';
        t->pod->refresh = true;
    } else {
        bool refused = code == -E_NOENT || code == -E_ACCESS || code == -E_INVALID;
        bool first = waits(t->pod);
        int64_t later = first ? FIRST_RETRY_US : refused ? REFUSED_US : UNREACHED_US;
        t->retry_at = (struct mono){mono_now().us + later};
        if (refused && !first) {
            tell(t, err->text);
        }
    }
    pod_wake(t->pod);
}

static void ask(struct pod_token *t)
{
    struct pod *p = t->pod;
    struct child_token_ask what = {.ns = p->ns,
                                   .account =
                                       json_path_cstr(p->obj, "spec.serviceAccountName", "default"),
                                   .pod = p->name,
                                   .uid = p->uid,
                                   .audience = t->audience,
                                   .seconds = t->seconds};
    t->asking = child_token_start(p->inf->parent, &what, answered, t);
    if (!t->asking) {
        t->retry_at = (struct mono){mono_now().us + UNREACHED_US};
    }
}

/* When it should be exchanged: at four fifths of its life, or after a day. */
static int64_t renew_at(const struct pod_token *t)
{
    int64_t life = t->end_us - t->issued_us;
    return t->issued_us + MIN_OF(life / 5 * 4, RENEW_LATEST_US);
}

static void look(struct pod_token *t)
{
    struct mono now = mono_now();
    if (t->asking) {
        return;
    }
    int64_t wait = t->text ? renew_at(t) - wall_now().us : 0;
    wait = MAX_OF(wait, t->retry_at.us - now.us);
    if (wait > 0) {
        pod_wake_at(t->pod, (struct mono){now.us + wait});
        return;
    }
    ask(t);
    if (!t->asking) {
        pod_wake_at(t->pod, t->retry_at);
    }
}

/* ---- which ones ---- */

static struct pod_token *find(struct pod *p, const char *audience, int64_t seconds)
{
    LIST_FOR_EACH (l, &p->tokens) {
        struct pod_token *t = CONTAINER_OF(l, struct pod_token, link);
        if (t->seconds == seconds && cstr_eq(t->audience, audience)) {
            return t;
        }
    }
    return NULL;
}

static void want(struct pod *p, const struct json *source)
{
    const char *audience = json_path_cstr(source, "audience", "");
    int64_t seconds = json_path_i64(source, "expirationSeconds", SECONDS_DEFAULT);
    if (find(p, audience, seconds)) {
        return;
    }
    struct pod_token *t = mem_zalloc(sizeof(*t));
    char *copy = mem_strdup(audience);
    if (!t || !copy) {
        mem_free(t);
        mem_free(copy);
        return; /* the next step tries again */
    }
    *t = (struct pod_token){.pod = p, .audience = copy, .seconds = seconds};
    list_push_back(&p->tokens, &t->link);
    load(t);
}

static void want_all(struct pod *p)
{
    JSON_FOR_EACH (v, json_path(p->obj, "spec.volumes")) {
        JSON_FOR_EACH (s, json_path(v, "projected.sources")) {
            const struct json *token = json_get(s, "serviceAccountToken");
            if (token) {
                want(p, token);
            }
        }
    }
}

void pod_tokens_step(struct pod *p)
{
    if (!p->tokens_known) {
        want_all(p); /* volumes of a pod never change */
        p->tokens_known = true;
    }
    LIST_FOR_EACH (l, &p->tokens) {
        look(CONTAINER_OF(l, struct pod_token, link));
    }
}

static bool lacks_root_ca(struct pod *p)
{
    struct arena a;
    arena_init(&a, 0);
    char *key = arena_printf(&a, "configmaps/%s/" ROOT_CA, p->ns);
    bool lacks =
        key && pod_uses(p, key) && !replica_get(p->inf->replica, &a, "configmaps", p->ns, ROOT_CA);
    arena_fini(&a);
    return lacks;
}

bool pod_tokens_wait(struct pod *p)
{
    struct mono now = mono_now();
    bool wait = lacks_root_ca(p);
    LIST_FOR_EACH (l, &p->tokens) {
        const struct pod_token *t = CONTAINER_OF(l, struct pod_token, link);
        wait |= !t->text;
    }
    if (!wait || !child_token_possible(p->inf->parent)) {
        return false;
    }
    if (p->tokens_until.us == 0) {
        p->tokens_until = (struct mono){now.us + FIRST_WAIT_US};
    }
    if (!waits(p)) {
        return false;
    }
    pod_wake_at(p, p->tokens_until);
    return true;
}

const char *pod_tokens_get(struct pod *p, const char *audience, int64_t seconds)
{
    const struct pod_token *t = find(p, audience, seconds);
    return t ? t->text : NULL;
}

void pod_tokens_free(struct pod *p, bool erase_them)
{
    while (!list_empty(&p->tokens)) {
        struct pod_token *t = CONTAINER_OF(list_pop_front(&p->tokens), struct pod_token, link);
        child_token_cancel(t->asking);
        if (t->saving) {
            store_req_cancel(&t->save);
        }
        mem_free(t->audience);
        mem_free(t->text);
        mem_free(t);
    }
    if (erase_them) {
        struct arena a;
        arena_init(&a, 0);
        char *prefix = arena_printf(&a, PREFIX "%s/", p->uid);
        if (prefix) {
            erase_all(p->inf, prefix, /* unknown_only= */ false);
        }
        arena_fini(&a);
    }
}
