/* SPDX-License-Identifier: Apache-2.0 */
/* The parameters of policies, and who may refer to them. */
#include "api/admission/lookup.h"
#include "api/admission/policy.h"
#include "api/object.h"
#include "api/selector.h"

static int one(struct json **found, struct json *param, struct json ***ret, size_t *ret_n)
{
    found[0] = param;
    *ret = found;
    *ret_n = 1;
    return 0;
}

/* Those that the reference's selector chooses. */
static int selected(struct admission *ad, const struct kind *k, const struct json *selector,
                    const char *ns, struct json ***ret, size_t *ret_n, struct err *err)
{
    struct arena *a = ad->op->arena;
    struct selector *labels = NULL;
    int rc = selector_from_json(a, selector, &labels, err);
    if (rc < 0) {
        return rc;
    }
    struct lookup l = lookup_all(ad->op->server, a, kind_storage(k), *ns ? ns : NULL, NULL);
    size_t n = 0;
    for (size_t i = 0; i < l.n; i++) {
        if (selector_match_labels(labels, json_path(l.v[i], "metadata.labels"))) {
            l.v[n++] = kind_to_served(a, k, l.v[i]);
        }
    }
    *ret = l.v;
    *ret_n = n;
    return 0;
}

/* The namespace in which parameters are looked for; "" for kinds of the cluster. */
static int param_namespace(const struct admission *ad, const struct kind *k, const char *named,
                           const char **ret, struct err *err)
{
    *ret = "";
    if (!k->namespaced) {
        return *named ? err_set(err, -E_INVAL,
                                "paramRef.namespace must not be provided for a cluster-scoped "
                                "`paramKind`")
                      : 0;
    }
    *ret = *named ? named : ad->op->ns;
    return **ret ? 0
                 : err_set(err, -E_INVAL,
                           "cannot use namespaced paramRef in policy binding that matches "
                           "cluster-scoped resources");
}

int policy_params(struct admission *ad, const struct policy *p, const struct policy_binding *b,
                  struct json ***ret, size_t *ret_n, struct err *err)
{
    struct arena *a = ad->op->arena;
    const struct json *kind = json_get(p->spec, "paramKind"), *ref = b->param_ref;
    struct json **found = arena_zalloc(a, sizeof(*found));
    if (!found) {
        return err_set(err, -E_NOMEM, "out of memory");
    }
    if (!kind || !ref) {
        return one(found, NULL, ret, ret_n);
    }
    const char *version = json_path_cstr(kind, "apiVersion", "");
    const char *name = json_path_cstr(kind, "kind", ""), *ns;
    const struct kind *k = kind_find_api(version, name);
    if (!k || !k->stored) {
        return err_set(err, -E_INVAL,
                       "paramKind kind `&ParamKind{APIVersion:%s,Kind:%s,}` not known", version,
                       name);
    }
    int rc = param_namespace(ad, k, json_path_cstr(ref, "namespace", ""), &ns, err);
    if (rc < 0) {
        return rc;
    }
    const char *named = json_path_cstr(ref, "name", "");
    if (*named) {
        struct json *param = admission_get(ad, k, ns, named);
        *ret_n = 0;
        rc = param ? one(found, param, ret, ret_n) : 0;
    } else {
        rc = selected(ad, k, json_get(ref, "selector"), ns, ret, ret_n, err);
    }
    if (rc == 0 && *ret_n == 0 &&
        cstr_eq(json_path_cstr(ref, "parameterNotFoundAction", ""), "Deny")) {
        return err_set(err, -E_INVAL,
                       "no params found for policy binding with `Deny` parameterNotFoundAction");
    }
    return rc;
}
