/* SPDX-License-Identifier: Apache-2.0 */
/* Environment, command and downward API of a container; see pod_env.h. */
#include "pod_env.h"

#include "api/object.h"
#include "api/quantity.h"
#include "base/encode.h"
#include "base/mem.h"

/* ---- $(VAR) ---- */

static const char *lookup(const char *const *env, const char *name, size_t n)
{
    for (size_t i = 0; env && env[i]; i++) {
        if (strncmp(env[i], name, n) == 0 && env[i][n] == '=') {
            return env[i] + n + 1;
        }
    }
    return NULL;
}

char *env_expand(struct arena *a, const char *text, const char *const *env)
{
    struct buf out = BUF_INIT;
    for (const char *p = text; *p; p++) {
        if (*p != '$' || !p[1]) {
            (void)buf_putc(&out, *p); /* sticky, here and below */
            continue;
        }
        const char *end = p[1] == '(' ? strchr(p + 2, ')') : NULL;
        if (end) {
            const char *value = lookup(env, p + 2, (size_t)(end - p - 2));
            (void)(value ? buf_puts(&out, value) : buf_append(&out, p, (size_t)(end - p + 1)));
            p = end;
        } else {
            (void)buf_putc(&out, '$');
            if (p[1] != '$') {
                (void)buf_putc(&out, p[1]);
            }
            p++;
        }
    }
    char *result = buf_failed(&out) ? NULL : arena_str(a, buf_str(&out));
    buf_fini(&out);
    return result;
}

/* ---- the growing list ---- */

struct env_list {
    struct arena *arena;
    const char **items; /* NULL-terminated */
    size_t n;
};

static void put(struct env_list *l, const char *name, struct str value)
{
    size_t name_n = strlen(name);
    char *item = arena_printf(l->arena, "%s=" STR_FMT, name, STR_ARG(value));
    for (size_t i = 0; item && i < l->n; i++) {
        if (strncmp(l->items[i], name, name_n) == 0 && l->items[i][name_n] == '=') {
            l->items[i] = item;
            return;
        }
    }
    size_t size = sizeof(*l->items);
    const char **items =
        item ? arena_grow(l->arena, l->items, (l->n + 1) * size, (l->n + 2) * size) : NULL;
    if (items) {
        items[l->n++] = item;
        items[l->n] = NULL;
        l->items = items;
    }
}

static bool name_ok(const char *name)
{
    return *name && !strchr(name, '=');
}

/* ---- objects ---- */

bool env_object_key(struct arena *a, const char *resource, const struct json *obj, const char *key,
                    struct str *ret)
{
    bool secret = cstr_eq(resource, "secrets");
    const struct json *plain = secret ? NULL : json_path(obj, "data");
    const struct json *coded = json_get(obj, secret ? "data" : "binaryData");
    const struct json *value = json_get(plain, key);
    if (json_is(value, JSON_STRING)) {
        *ret = json_text(value);
        return true;
    }
    value = json_get(coded, key);
    if (!json_is(value, JSON_STRING)) {
        return false;
    }
    struct buf out = BUF_INIT;
    bool ok = base64_decode(&out, json_text(value)) >= 0;
    char *copy = ok ? arena_str(a, buf_str(&out)) : NULL;
    if (copy) {
        *ret = str_n(copy, buf_len(&out));
    }
    buf_fini(&out);
    return copy != NULL;
}

static const char *kind_word(const char *resource)
{
    return cstr_eq(resource, "secrets") ? "Secret" : "ConfigMap";
}

static const char *small_word(const char *resource)
{
    return cstr_eq(resource, "secrets") ? "secret" : "configmap";
}

/* The object a reference names; 0 with *ret NULL when it is optional and absent. */
static int find(const struct env_input *in, struct arena *a, const char *resource,
                const struct json *ref, struct json **ret, struct err *err)
{
    const char *name = json_path_cstr(ref, "name", "");
    *ret = in->get(in->get_arg, a, resource, obj_ns(in->pod), name);
    if (!*ret && !json_path_true(ref, "optional", false)) {
        return err_set(err, -E_NOENT, "%s \"%s\" not found", small_word(resource), name);
    }
    return 0;
}

/* ---- envFrom ---- */

static int put_all(const struct env_input *in, struct env_list *l, const char *resource,
                   const struct json *ref, const char *prefix, struct err *err)
{
    struct json *obj = NULL;
    int rc = find(in, l->arena, resource, ref, &obj, err);
    JSON_FOR_EACH_MEMBER (m, json_get(obj, "data")) {
        struct str value;
        char *name = arena_printf(l->arena, "%s%s", prefix, m->key);
        if (name && name_ok(name) && env_object_key(l->arena, resource, obj, m->key, &value)) {
            put(l, name, value);
        }
    }
    return rc;
}

static int add_env_from(const struct env_input *in, struct env_list *l, struct err *err)
{
    int rc = 0;
    JSON_FOR_EACH (e, json_get(in->container, "envFrom")) {
        const char *prefix = json_path_cstr(e, "prefix", "");
        const struct json *config = json_get(e, "configMapRef"), *secret = json_get(e, "secretRef");
        rc = config   ? put_all(in, l, "configmaps", config, prefix, err)
             : secret ? put_all(in, l, "secrets", secret, prefix, err)
                      : 0;
        if (rc < 0) {
            break;
        }
    }
    return rc;
}

/* ---- fields and resources ---- */

/* "metadata.labels['x']" -> x, when path begins with `what`. */
static bool subscript(const char *path, const char *what, struct str *ret)
{
    struct str s = str_of(path);
    size_t n = strlen(what);
    if (!str_starts(s, what) || s.n < n + 4 || memcmp(path + n, "['", 2) != 0 ||
        !str_ends(s, "']")) {
        return false;
    }
    *ret = str_n(path + n + 2, s.n - n - 4);
    return true;
}

/* All labels or annotations as files of the downward API hold them: key="escaped". */
static const char *all_pairs(struct arena *a, const struct json *map)
{
    struct buf out = BUF_INIT;
    JSON_FOR_EACH_MEMBER (m, map) {
        (void)buf_printf(&out, "%s%s=", buf_len(&out) ? "\n" : "", m->key); /* sticky */
        (void)json_print_string(&out, json_text(m->value));
    }
    const char *text = buf_failed(&out) ? NULL : arena_str(a, buf_str(&out));
    buf_fini(&out);
    return text;
}

static const char *join_ips(struct arena *a, const char *const *ips)
{
    const char *text = "";
    for (size_t i = 0; ips && ips[i] && text; i++) {
        text = i ? arena_printf(a, "%s,%s", text, ips[i]) : ips[i];
    }
    return text;
}

int env_field(const struct env_input *in, struct arena *a, const char *path, const char **ret,
              struct err *err)
{
    static const char *const plain[] = {"metadata.name", "metadata.namespace", "metadata.uid",
                                        "spec.serviceAccountName"};
    struct str key;
    for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
        if (cstr_eq(path, plain[i])) {
            *ret = json_path_cstr(in->pod, path, "");
            return 0;
        }
    }
    if (subscript(path, "metadata.labels", &key)) {
        *ret = json_cstr(json_get_n(obj_labels(in->pod), key), "");
    } else if (subscript(path, "metadata.annotations", &key)) {
        *ret = json_cstr(json_get_n(obj_annotations(in->pod), key), "");
    } else if (cstr_eq(path, "metadata.labels")) {
        *ret = all_pairs(a, obj_labels(in->pod));
    } else if (cstr_eq(path, "metadata.annotations")) {
        *ret = all_pairs(a, obj_annotations(in->pod));
    } else if (cstr_eq(path, "spec.nodeName")) {
        *ret = in->node_name;
    } else if (cstr_eq(path, "status.hostIP") || cstr_eq(path, "status.hostIPs")) {
        *ret = in->host_ip;
    } else if (cstr_eq(path, "status.podIP")) {
        *ret = in->pod_ips && in->pod_ips[0] ? in->pod_ips[0] : "";
    } else if (cstr_eq(path, "status.podIPs")) {
        *ret = join_ips(a, in->pod_ips);
    } else {
        return err_set(err, -E_INVAL, "unsupported fieldPath: %s", path);
    }
    return *ret ? 0 : err_sys(err, -ENOMEM, "fieldPath %s", path);
}

int env_resource(const struct env_input *in, struct arena *a, const struct json *container,
                 const struct json *ref, const char **ret, struct err *err)
{
    struct str what = str_of(json_path_cstr(ref, "resource", "")), group, name;
    if (!str_cut(what, '.', &group, &name) ||
        (!str_is(group, "limits") && !str_is(group, "requests"))) {
        return err_set(err, -E_INVAL, "unsupported container resource : " STR_FMT, STR_ARG(what));
    }
    const struct json *value =
        json_get_n(json_get_n(json_get(container, "resources"), group), name);
    if (!value && str_is(group, "limits")) {
        value = json_get_n(in->allocatable, name);
    }
    struct quantity q = {0}, divisor = quantity_of(1, QUANTITY_DECIMAL_SI), given;
    if (value) {
        (void)quantity_from_json(value, &q, NULL); /* validated by the API server; 0 otherwise */
    }
    if (quantity_from_json(json_get(ref, "divisor"), &given, NULL) == 0 && given.nano > 0) {
        divisor = given;
    }
    __int128 n = (q.nano + divisor.nano - 1) / divisor.nano;
    *ret = arena_printf(a, "%lld", (long long)n);
    return *ret ? 0 : err_sys(err, -ENOMEM, "resource " STR_FMT, STR_ARG(what));
}

/* ---- env ---- */

static int put_key(const struct env_input *in, struct env_list *l, const char *name,
                   const char *resource, const struct json *ref, struct err *err)
{
    struct json *obj = NULL;
    struct str value;
    const char *key = json_path_cstr(ref, "key", "");
    int rc = find(in, l->arena, resource, ref, &obj, err);
    if (rc < 0 || !obj) {
        return rc;
    }
    if (!env_object_key(l->arena, resource, obj, key, &value)) {
        return json_path_true(ref, "optional", false)
                   ? 0
                   : err_set(err, -E_NOENT, "couldn't find key %s in %s %s/%s", key,
                             kind_word(resource), obj_ns(in->pod), json_path_cstr(ref, "name", ""));
    }
    put(l, name, value);
    return 0;
}

static int put_from(const struct env_input *in, struct env_list *l, const char *name,
                    const struct json *from, struct err *err)
{
    const char *text = NULL;
    const struct json *ref;
    int rc;
    if ((ref = json_get(from, "configMapKeyRef"))) {
        return put_key(in, l, name, "configmaps", ref, err);
    }
    if ((ref = json_get(from, "secretKeyRef"))) {
        return put_key(in, l, name, "secrets", ref, err);
    }
    if ((ref = json_get(from, "fieldRef"))) {
        rc = env_field(in, l->arena, json_path_cstr(ref, "fieldPath", ""), &text, err);
    } else if ((ref = json_get(from, "resourceFieldRef"))) {
        rc = env_resource(in, l->arena, in->container, ref, &text, err);
    } else {
        return err_set(err, -E_INVAL, "environment variable %s has no known source", name);
    }
    if (rc == 0) {
        put(l, name, str_of(text));
    }
    return rc;
}

static int add_env(const struct env_input *in, struct env_list *l, struct err *err)
{
    JSON_FOR_EACH (e, json_get(in->container, "env")) {
        const char *name = json_path_cstr(e, "name", "");
        const struct json *from = json_get(e, "valueFrom");
        if (!name_ok(name)) {
            continue;
        }
        if (!from) {
            put(l, name, str_of(env_expand(l->arena, json_path_cstr(e, "value", ""), l->items)));
            continue;
        }
        int rc = put_from(in, l, name, from, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* What the image sets and the pod does not; it comes last, for $(VAR) does not see it. */
static void add_image_env(const struct env_input *in, struct env_list *l)
{
    for (size_t i = 0; in->image_env && in->image_env[i]; i++) {
        struct str name, value;
        if (str_cut(str_of(in->image_env[i]), '=', &name, &value) && name.n &&
            !lookup(l->items, name.p, name.n)) {
            char *text = arena_str(l->arena, name);
            put(l, text ? text : "", value);
        }
    }
}

int env_build(const struct env_input *in, struct arena *a, const char *const **ret, struct err *err)
{
    struct env_list l = {.arena = a, .items = arena_zalloc(a, sizeof(char *))};
    int rc = add_env_from(in, &l, err);
    rc = rc < 0 ? rc : add_env(in, &l, err);
    if (in->hostname && !lookup(l.items, "HOSTNAME", 8)) {
        put(&l, "HOSTNAME", str_of(in->hostname));
    }
    add_image_env(in, &l);
    if (rc == 0 && arena_failed(a)) {
        rc = err_sys(err, -ENOMEM, "make the environment");
    }
    *ret = (const char *const *)l.items;
    return rc;
}

/* ---- argv ---- */

static size_t count(const char *const *list)
{
    size_t n = 0;
    while (list && list[n]) {
        n++;
    }
    return n;
}

static size_t append(struct arena *a, const char **out, size_t n, const struct json *own,
                     const char *const *image, const char *const *env)
{
    if (json_len(own) > 0) {
        JSON_FOR_EACH (item, own) {
            out[n++] = env_expand(a, json_cstr(item, ""), env);
        }
        return n;
    }
    for (size_t i = 0; image && image[i]; i++) {
        out[n++] = image[i];
    }
    return n;
}

int env_argv(struct arena *a, const struct json *container, const char *const *entrypoint,
             const char *const *cmd, const char *const *env, const char *const **ret,
             struct err *err)
{
    const struct json *command = json_get(container, "command"),
                      *args = json_get(container, "args");
    size_t room = json_len(command) + json_len(args) + count(entrypoint) + count(cmd) + 1;
    const char **out = arena_zalloc(a, room * sizeof(*out));
    if (!out) {
        return err_sys(err, -ENOMEM, "make the command line");
    }
    size_t n = append(a, out, 0, command, entrypoint, env);
    /* A command of its own leaves the image's arguments behind. */
    n = append(a, out, n, args, json_len(command) > 0 ? NULL : cmd, env);
    if (arena_failed(a)) {
        return err_sys(err, -ENOMEM, "make the command line");
    }
    if (n == 0) {
        return err_set(err, -E_INVAL, "no command specified");
    }
    *ret = (const char *const *)out;
    return 0;
}
