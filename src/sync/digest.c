/* SPDX-License-Identifier: Apache-2.0 */
/* Tags, references and the lines of the sync stream; see digest.h. */
#include "digest.h"

#include "base/limits.h"
#include "base/mem.h"
#include "placed.h"

#define HASH_DEPTH LIMIT_JSON_DEPTH

/* ---- hash: FNV-1a over texts, mixed so that members may come in any order ---- */

static uint64_t hash_text(uint64_t h, const void *p, size_t n)
{
    const unsigned char *at = p;
    for (size_t i = 0; i < n; i++) {
        h = (h ^ at[i]) * UINT64_C(0x100000001b3);
    }
    return h;
}

static uint64_t mix(uint64_t h)
{
    h ^= h >> 33;
    h *= UINT64_C(0xff51afd7ed558ccd);
    h ^= h >> 33;
    h *= UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ (h >> 33);
}

static uint64_t hash_number(const struct json *j)
{
    double d = json_double(j, 0);
    int64_t i = json_i64(j, INT64_MIN);
    return i != INT64_MIN ? hash_text(1, &i, sizeof(i)) : hash_text(2, &d, sizeof(d));
}

static uint64_t hash_value(const struct json *j, int depth)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) + (uint64_t)(j ? j->type : JSON_NULL);
    if (!j || depth > HASH_DEPTH) {
        return mix(h);
    }
    switch (j->type) {
    case JSON_BOOL:
        return mix(h + (j->b ? 17 : 31));
    case JSON_INT:
    case JSON_REAL:
        return mix(hash_number(j));
    case JSON_STRING:
        return mix(hash_text(h, j->s, j->n));
    case JSON_ARRAY: {
        JSON_FOR_EACH (item, j) {
            h = mix(h * 31 + hash_value(item, depth + 1));
        }
        return h;
    }
    case JSON_OBJECT: {
        uint64_t sum = 0;
        JSON_FOR_EACH_MEMBER (m, j) {
            if (m->value && m->value->type != JSON_NULL) {
                sum += mix(hash_text(h, m->key, m->key_n) ^ hash_value(m->value, depth + 1));
            }
        }
        return mix(h ^ sum);
    }
    case JSON_NULL:
        break;
    }
    return mix(h);
}

int64_t digest_hash(const struct json *j)
{
    int64_t v = (int64_t)(hash_value(j, 0) >> 1);
    return v ? v : 1;
}

/* ---- what travels ---- */

bool digest_owns_status(struct str key)
{
    return str_starts(key, "pods/") || str_starts(key, "nodes/") || placed_key(key);
}

int64_t digest_strip(struct json *obj)
{
    struct json *meta = json_get(obj, "metadata"), *status = json_get(obj, "status");
    (void)json_del(meta, "managedFields"); /* absent is fine, here and below */
    (void)json_del(meta, "resourceVersion");
    (void)json_del(obj, "status");
    int64_t tag = digest_hash(obj);
    json_set(obj, "status", status);
    return tag;
}

struct refs {
    struct arena *arena;
    const char *ns;
    digest_ref_fn *fn;
    void *arg;
};

static void ref(struct refs *r, const char *resource, const struct json *name)
{
    const char *text = json_cstr(name, "");
    char *key = *text ? arena_printf(r->arena, "%s/%s/%s", resource, r->ns, text) : NULL;
    if (key) {
        r->fn(r->arg, key);
    }
}

static void container_refs(struct refs *r, const struct json *containers)
{
    JSON_FOR_EACH (c, containers) {
        JSON_FOR_EACH (e, json_get(c, "env")) {
            ref(r, "configmaps", json_path(e, "valueFrom.configMapKeyRef.name"));
            ref(r, "secrets", json_path(e, "valueFrom.secretKeyRef.name"));
        }
        JSON_FOR_EACH (e, json_get(c, "envFrom")) {
            ref(r, "configmaps", json_path(e, "configMapRef.name"));
            ref(r, "secrets", json_path(e, "secretRef.name"));
        }
    }
}

static void volume_refs(struct refs *r, const struct json *volumes)
{
    JSON_FOR_EACH (v, volumes) {
        ref(r, "configmaps", json_path(v, "configMap.name"));
        ref(r, "secrets", json_path(v, "secret.secretName"));
        ref(r, "persistentvolumeclaims", json_path(v, "persistentVolumeClaim.claimName"));
        JSON_FOR_EACH (s, json_path(v, "projected.sources")) {
            ref(r, "configmaps", json_path(s, "configMap.name"));
            ref(r, "secrets", json_path(s, "secret.name"));
        }
    }
}

void digest_pod_refs(struct arena *a, const struct json *pod, digest_ref_fn *fn, void *arg)
{
    const struct json *spec = json_get(pod, "spec");
    struct refs r = {
        .arena = a, .ns = json_path_cstr(pod, "metadata.namespace", ""), .fn = fn, .arg = arg};
    char *ns = arena_printf(a, "namespaces//%s", r.ns);
    if (ns && *r.ns) {
        fn(arg, ns);
    }
    const char *class = json_path_cstr(spec, "runtimeClassName", "");
    char *class_key = *class ? arena_printf(a, "runtimeclasses.node.k8s.io//%s", class) : NULL;
    if (class_key) {
        fn(arg, class_key);
    }
    ref(&r, "serviceaccounts", json_get(spec, "serviceAccountName"));
    JSON_FOR_EACH (s, json_get(spec, "imagePullSecrets")) {
        ref(&r, "secrets", json_get(s, "name"));
    }
    volume_refs(&r, json_get(spec, "volumes"));
    container_refs(&r, json_get(spec, "initContainers"));
    container_refs(&r, json_get(spec, "containers"));
    container_refs(&r, json_get(spec, "ephemeralContainers"));
}

char *digest_claim_volume(struct arena *a, const struct json *claim)
{
    const char *name = json_path_cstr(claim, "spec.volumeName", "");
    return *name ? arena_printf(a, "persistentvolumes//%s", name) : NULL;
}

/* ---- the digest line ---- */

void digest_begin(struct buf *out)
{
    (void)buf_puts(out, "{\"objects\":{"); /* failures are sticky in the buffer, here and below */
}

void digest_add(struct buf *out, size_t count, const struct digest_entry *e)
{
    if (count > 0) {
        (void)buf_putc(out, ',');
    }
    (void)json_print_string(out, str_of(e->key));
    (void)buf_puts(out, ":[");
    (void)json_print_string(out, str_of(e->uid));
    (void)buf_printf(out, ",\"%lld\"", (long long)e->tag);
    if (e->status) {
        (void)buf_printf(out, ",\"%lld\"", (long long)e->status);
    }
    (void)buf_putc(out, ']');
}

void digest_end(struct buf *out)
{
    (void)buf_puts(out, "}}\n");
}

bool digest_key_valid(struct str key)
{
    struct str resource, ns, name;
    if (key.n > LIMIT_STORE_KEY || memchr(key.p ? key.p : "", '\0', key.n) ||
        !str_cut(key, '/', &resource, &ns) || !str_cut(ns, '/', &ns, &name)) {
        return false;
    }
    return resource.n > 0 && name.n > 0 && !memchr(name.p, '/', name.n);
}

static int parse_number(const struct json *j, int64_t *ret)
{
    return j ? str_i64(json_text(j), ret) : 0;
}

int digest_parse(struct arena *a, struct str line, struct digest_entry **ret, size_t *ret_n,
                 struct err *err)
{
    struct json *root = NULL;
    int rc = json_parse(a, line, NULL, &root, err);
    if (rc < 0) {
        return err_wrap(err, rc, "digest");
    }
    const struct json *objects = json_get(root, "objects");
    if (!json_is(objects, JSON_OBJECT)) {
        return err_set(err, -E_INVAL, "digest: no member 'objects'");
    }
    if (json_len(objects) > LIMIT_SYNC_OBJECTS) {
        return err_set(err, -E_LIMIT, "digest: more than %d objects", LIMIT_SYNC_OBJECTS);
    }
    size_t n = 0;
    struct digest_entry *list = arena_zalloc(a, (json_len(objects) + 1) * sizeof(*list));
    if (!list) {
        return err_sys(err, -ENOMEM, "digest");
    }
    JSON_FOR_EACH_MEMBER (m, objects) {
        struct digest_entry *e = &list[n++];
        e->key = m->key;
        e->uid = json_cstr(json_at(m->value, 0), "");
        if (!digest_key_valid(str_n(m->key, m->key_n)) ||
            parse_number(json_at(m->value, 1), &e->tag) < 0 ||
            parse_number(json_at(m->value, 2), &e->status) < 0) {
            return err_set(err, -E_INVAL, "digest: bad entry '%.200s'", m->key);
        }
    }
    *ret = list;
    *ret_n = n;
    return 0;
}

/* ---- event lines ---- */

static const char *const type_names[DIGEST_EVENT_NR] = {
    [DIGEST_ADDED] = "ADDED",   [DIGEST_MODIFIED] = "MODIFIED", [DIGEST_DELETED] = "DELETED",
    [DIGEST_STATUS] = "STATUS", [DIGEST_BOOKMARK] = "BOOKMARK",
};

static int find_type(const char *name)
{
    for (int i = 0; i < DIGEST_EVENT_NR; i++) {
        if (cstr_eq(type_names[i], name)) {
            return i;
        }
    }
    return -E_INVAL;
}

/* An object must be what its key says, else the store would hold lies. */
static bool object_fits(const char *key, const struct json *object)
{
    struct str resource, ns, name;
    const struct json *meta = json_get(object, "metadata");
    return str_cut(str_of(key), '/', &resource, &ns) && str_cut(ns, '/', &ns, &name) &&
           str_eq(ns, json_text(json_get(meta, "namespace"))) &&
           str_eq(name, json_text(json_get(meta, "name"))) &&
           json_text(json_get(meta, "uid")).n > 0;
}

int digest_event_parse(struct arena *a, struct str line, struct digest_event *ret, struct err *err)
{
    struct json *root = NULL;
    int rc = json_parse(a, line, NULL, &root, err);
    if (rc < 0) {
        return err_wrap(err, rc, "event");
    }
    int type = find_type(json_cstr(json_get(root, "type"), ""));
    if (type < 0) {
        return err_set(err, -E_INVAL, "event: unknown type '%.40s'",
                       json_cstr(json_get(root, "type"), ""));
    }
    struct digest_event e = {.type = (enum digest_event_type)type, .key = "", .uid = ""};
    if (e.type != DIGEST_BOOKMARK) {
        struct str key = json_text(json_get(root, "key"));
        e.key = json_cstr(json_get(root, "key"), "");
        e.uid = json_cstr(json_get(root, "uid"), "");
        if (!digest_key_valid(key) || key.n != strlen(e.key)) {
            return err_set(err, -E_INVAL, "event: bad key '%.200s'", e.key);
        }
    }
    if (e.type == DIGEST_ADDED || e.type == DIGEST_MODIFIED) {
        e.object = json_get(root, "object");
        e.uid = json_path_cstr(e.object, "metadata.uid", "");
        if (!object_fits(e.key, e.object) || parse_number(json_get(root, "tag"), &e.tag) < 0) {
            return err_set(err, -E_INVAL, "event: bad object for '%.200s'", e.key);
        }
    }
    *ret = e;
    return 0;
}

int digest_event_print(struct buf *out, const struct digest_event *e)
{
    (void)buf_printf(out, "{\"type\":\"%s\"", type_names[e->type]); /* sticky */
    if (e->type != DIGEST_BOOKMARK) {
        (void)buf_puts(out, ",\"key\":");
        (void)json_print_string(out, str_of(e->key));
    }
    if (e->type == DIGEST_DELETED || e->type == DIGEST_STATUS) {
        (void)buf_puts(out, ",\"uid\":");
        (void)json_print_string(out, str_of(e->uid));
    }
    if (e->type == DIGEST_ADDED || e->type == DIGEST_MODIFIED) {
        (void)buf_printf(out, ",\"tag\":\"%lld\",\"object\":", (long long)e->tag);
        (void)json_print(out, e->object);
    }
    (void)buf_puts(out, "}\n");
    return buf_failed(out) ? -ENOMEM : 0;
}
