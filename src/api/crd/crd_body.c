/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A definition's content, compiled: names, schemas, rules, columns and subresources of its
 * versions, all in one arena; and how it gets into the kinds of the registry and out of them.
 *
 * The kinds themselves (shells) stay for good, so that whoever holds one may go on reading it; what
 * they point to changes in one go, between two turns of the loop.
 */
#include "api/crd/crd_private.h"

#include "api/object.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/jsonpath.h"

#define VERBS                                                                                \
    (KIND_CREATE | KIND_DELETE | KIND_DELETECOLLECTION | KIND_GET | KIND_LIST | KIND_PATCH | \
     KIND_UPDATE | KIND_WATCH)

static const char *const no_texts[] = {NULL};

/* What a retired kind points to: nothing is refused or changed by it. */
static const struct crd_schema any_schema = {.flags = CRD_F_PRESERVE};
static const struct crd_version no_version = {.name = "", .schema = &any_schema};

/* ---- texts ---- */

static const char *text_of(struct arena *a, const struct json *o, const char *name)
{
    const char *s = arena_strdup(a, json_cstr(json_get(o, name), ""));
    return s ? s : "";
}

static const char *const *list_of(struct arena *a, const struct json *list)
{
    size_t n = 0;
    const char **out = arena_zalloc(a, (json_len(list) + 1) * sizeof(char *));
    JSON_FOR_EACH (item, list) {
        const char *s = arena_strdup(a, json_cstr(item, ""));
        if (out && s) {
            out[n++] = s;
        }
    }
    return out ? out : no_texts;
}

/* ".spec.replicas" as "spec.replicas". */
static const char *plain_path(struct arena *a, const char *path)
{
    const char *s = arena_strdup(a, *path == '.' ? path + 1 : path);
    return s ? s : "";
}

static void read_names(struct crd_body *b, const struct json *spec)
{
    struct arena *a = &b->arena;
    const struct json *names = json_get(spec, "names");
    b->group = text_of(a, spec, "group");
    b->plural = text_of(a, names, "plural");
    b->singular = text_of(a, names, "singular");
    b->kind = text_of(a, names, "kind");
    b->list_kind = text_of(a, names, "listKind");
    b->short_names = list_of(a, json_get(names, "shortNames"));
    b->categories = list_of(a, json_get(names, "categories"));
    b->namespaced = cstr_eq(json_path_cstr(spec, "scope", ""), "Namespaced");
    b->conversion = json_clone(a, json_get(spec, "conversion"));
    b->webhook = cstr_eq(json_path_cstr(spec, "conversion.strategy", ""), "Webhook");
}

/* ---- one version ---- */

static void read_columns(struct crd_body *b, const struct json *list, struct kind *fresh)
{
    static const struct kind_column name = {.name = "Name",
                                            .type = "string",
                                            .format = "name",
                                            .doc = "Its name",
                                            .path = "metadata.name"};
    static const struct kind_column age = {.name = "Age",
                                           .type = "date",
                                           .format = "",
                                           .doc = "When it was created",
                                           .path = "metadata.creationTimestamp"};
    struct arena *a = &b->arena;
    size_t n = json_len(list);
    struct kind_column *out = arena_zalloc(a, (n + 2) * sizeof(*out));
    if (!out) {
        return;
    }
    fresh->columns = out;
    *out++ = name;
    if (n == 0) {
        *out++ = age;
    }
    JSON_FOR_EACH (c, list) {
        const char *path = json_cstr(json_get(c, "jsonPath"), "");
        *out = (struct kind_column){.name = text_of(a, c, "name"),
                                    .type = text_of(a, c, "type"),
                                    .format = text_of(a, c, "format"),
                                    .doc = text_of(a, c, "description"),
                                    .path = path,
                                    .priority = (int)json_i64(json_get(c, "priority"), 0)};
        /* A path that does not compile shows nothing; validation has refused it. */
        if (jsonpath_compile(a, str_of(path), &out->jsonpath, NULL) == 0) {
            out->path = text_of(a, c, "jsonPath");
            out++;
        }
    }
    fresh->columns_n = (size_t)(out - fresh->columns);
}

/* out: [0] status, [1] scale; whichever there is stands together at fresh->subs. */
static void read_subresources(struct crd_body *b, const struct json *subs, struct kind *fresh,
                              struct kind_subresource out[2])
{
    struct arena *a = &b->arena;
    const struct json *scale = json_get(subs, "scale");
    bool status = json_is(json_get(subs, "status"), JSON_OBJECT);
    const char *selector = json_path_cstr(scale, "labelSelectorPath", "");
    out[0] = (struct kind_subresource){.name = "status",
                                       .sub = KIND_SUB_STATUS,
                                       .verbs = KIND_GET | KIND_PATCH | KIND_UPDATE,
                                       .group = fresh->group,
                                       .version = fresh->version,
                                       .kind = b->kind,
                                       .body = fresh->type,
                                       .spec_replicas_path = "",
                                       .status_replicas_path = ""};
    out[1] = (struct kind_subresource){
        .name = "scale",
        .sub = KIND_SUB_SCALE,
        .verbs = KIND_GET | KIND_PATCH | KIND_UPDATE,
        .group = "autoscaling",
        .version = "v1",
        .kind = "Scale",
        .body = kind_body_type("autoscaling", "v1", "Scale"),
        .spec_replicas_path = plain_path(a, json_path_cstr(scale, "specReplicasPath", "")),
        .status_replicas_path = plain_path(a, json_path_cstr(scale, "statusReplicasPath", "")),
        .selector_path = *selector ? plain_path(a, selector) : NULL};
    fresh->subs = status ? &out[0] : &out[1];
    fresh->subs_n = (status ? 1u : 0u) + (json_is(scale, JSON_OBJECT) ? 1u : 0u);
}

static const char *const *read_selectable(struct crd_body *b, const struct json *list)
{
    size_t n = 0;
    const char **out = arena_zalloc(&b->arena, (json_len(list) + 1) * sizeof(char *));
    JSON_FOR_EACH (f, list) {
        if (out) {
            out[n++] = plain_path(&b->arena, json_path_cstr(f, "jsonPath", ""));
        }
    }
    return out ? out : no_texts;
}

static void read_kind(struct crd_body *b, const struct json *v, size_t i)
{
    struct kind *fresh = &b->fresh[i];
    struct crd_version *version = &b->versions[i];
    *fresh = *b->kinds[i];
    fresh->kind = b->kind;
    fresh->list_kind = b->list_kind;
    fresh->singular = b->singular;
    fresh->doc = "";
    fresh->short_names = b->short_names;
    fresh->categories = b->categories;
    fresh->namespaced = b->namespaced;
    fresh->stored = fresh->generation = true;
    fresh->type = schema_type_find("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    fresh->selectable = read_selectable(b, json_get(v, "selectableFields"));
    fresh->custom = version->schema;
    fresh->crd = version;
    read_columns(b, json_get(v, "additionalPrinterColumns"), fresh);
    read_subresources(b, json_get(v, "subresources"), fresh, b->subs[i]);
}

static const char *warning_of(struct crd_body *b, const struct json *v, const char *version)
{
    const char *said = json_path_cstr(v, "deprecationWarning", "");
    if (!json_path_true(v, "deprecated", false)) {
        return NULL;
    }
    return *said ? arena_strdup(&b->arena, said)
                 : arena_printf(&b->arena, "%s/%s %s is deprecated", b->group, version, b->kind);
}

static void ignore_problem(void *arg, const struct cel_problem *problem)
{
    (void)arg;
    (void)problem;
}

static int read_version(struct crd_body *b, struct crd *crd, const struct json *v, size_t i,
                        struct err *err)
{
    struct arena *a = &b->arena;
    struct crd_version *out = &b->versions[i];
    const struct json *schema = json_path(v, "schema.openAPIV3Schema");
    out->crd = crd;
    out->name = text_of(a, v, "name");
    out->served = json_path_true(v, "served", false);
    out->storage = json_path_true(v, "storage", false);
    out->has_status = json_is(json_path(v, "subresources.status"), JSON_OBJECT);
    out->warning = warning_of(b, v, out->name);
    b->kinds[i] = kind_shell(b->group, out->name, b->plural);
    if (!b->kinds[i]) {
        return -E_NOMEM;
    }
    int code = crd_schema_compile(a, schema, &b->regexes, &out->schema, err);
    if (code != 0 && code != -E_NOMEM) {
        log_warn("custom kind '%s': version=%s %s, its objects are not checked", crd->name,
                 out->name, err->text);
        out->schema = &any_schema;
        code = 0;
    }
    /* Rules that do not compile bind nobody. Validation refuses both when they come: this is only
     * for what another version of this program has accepted. */
    if (code == 0 && cel_rules_compile(schema, "", ignore_problem, NULL, &out->rules) == -E_NOMEM) {
        code = -E_NOMEM;
    }
    if (code == 0) {
        read_kind(b, v, i);
    }
    return code == 0 ? 0 : err_set(err, code, "out of memory");
}

/* ---- the whole ---- */

int crd_body_new(struct crd *crd, const struct json *obj, struct crd_body **ret, struct err *err)
{
    const struct json *spec = json_get(obj, "spec"), *versions = json_get(spec, "versions");
    struct crd_body *b = mem_zalloc(sizeof(*b));
    if (!b) {
        return err_set(err, -E_NOMEM, "out of memory");
    }
    arena_init(&b->arena, 0);
    read_names(b, spec);
    size_t n = json_len(versions);
    b->versions = arena_zalloc(&b->arena, (n + 1) * sizeof(*b->versions));
    b->kinds = arena_zalloc(&b->arena, (n + 1) * sizeof(*b->kinds));
    b->fresh = arena_zalloc(&b->arena, (n + 1) * sizeof(*b->fresh));
    b->subs = arena_zalloc(&b->arena, (n + 1) * sizeof(*b->subs));
    b->storage = SIZE_MAX;
    int code = arena_failed(&b->arena) ? -E_NOMEM : 0;
    JSON_FOR_EACH (v, versions) {
        b->n_read += code == 0; /* also a version that is read half */
        code = code < 0 ? code : read_version(b, crd, v, b->n, err);
        if (code == 0 && b->versions[b->n].storage) {
            b->storage = b->n;
        }
        b->n += code == 0;
    }
    if (code == 0 && (b->storage == SIZE_MAX || !*b->group || !*b->plural || !*b->kind)) {
        code = err_set(err, -E_INVALID, "it has no name or no storage version");
    }
    if (code < 0 || arena_failed(&b->arena)) {
        crd_body_free(b);
        return code < 0 ? code : err_set(err, -E_NOMEM, "out of memory");
    }
    *ret = b;
    return 0;
}

void crd_body_free(struct crd_body *b)
{
    if (!b) {
        return;
    }
    for (size_t i = 0; i < b->n_read; i++) {
        cel_rules_free(b->versions[i].rules);
    }
    crd_regexes_fini(&b->regexes);
    arena_fini(&b->arena);
    mem_free(b);
}

/* ---- into the registry and out of it ---- */

/* The version to watch: the storage version, or the first that is served. */
static size_t primary(const struct crd_body *b)
{
    size_t i = b->storage;
    if (!b->versions[i].served) {
        for (i = 0; i + 1 < b->n && !b->versions[i].served;) {
            i++;
        }
    }
    return i;
}

static void publish_one(struct crd_body *b, size_t i, bool terminating)
{
    struct kind *k = b->kinds[i];
    struct kind_subresource *subs = kind_shell_subs(k);
    bool status = b->fresh[i].subs == &b->subs[i][0];
    *k = b->fresh[i];
    subs[0] = b->subs[i][0];
    subs[1] = b->subs[i][1];
    k->subs = status ? &subs[0] : &subs[1];
    k->verbs = VERBS & ~(terminating ? (unsigned)KIND_CREATE : 0);
    k->storage = b->kinds[b->storage];
    k->secondary = i != primary(b);
    k->retired = false;
}

void crd_body_publish(struct crd_body *b, bool terminating)
{
    for (size_t i = 0; i < b->n; i++) {
        publish_one(b, i, terminating);
    }
}

static bool has_kind(const struct crd_body *b, const struct kind *k)
{
    for (size_t i = 0; b && i < b->n; i++) {
        if (b->kinds[i] == k) {
            return true;
        }
    }
    return false;
}

void crd_body_retire(struct crd_body *b, const struct crd_body *next)
{
    for (size_t i = 0; i < b->n; i++) {
        struct kind *k = b->kinds[i];
        struct kind_subresource *subs = kind_shell_subs(k);
        if (has_kind(next, k)) {
            continue;
        }
        k->kind = k->list_kind = k->singular = k->plural;
        k->doc = "";
        k->short_names = k->categories = k->selectable = no_texts;
        k->columns = NULL;
        k->columns_n = k->subs_n = 0;
        k->custom = &any_schema;
        k->crd = &no_version;
        k->storage = k;
        k->secondary = k->retired = true;
        for (size_t s = 0; s < 2; s++) {
            subs[s].kind = k->plural;
            subs[s].spec_replicas_path = subs[s].status_replicas_path = "";
            subs[s].selector_path = NULL;
        }
    }
}
