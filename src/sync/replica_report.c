/* SPDX-License-Identifier: Apache-2.0 */
/* What the program `data` tells of streams, tables and rules: their status here, and upwards. */
#include "api/object.h"
#include "api/server.h"
#include "base/limits.h"
#include "net/http_server.h"
#include "placed.h"
#include "replica.h"

/* "rules.data.selvedge.dev/default/hot" into its parts, in the arena. */
static int cut_key(struct arena *a, const char *key, const char **ret_resource, const char **ret_ns,
                   const char **ret_name, struct err *err)
{
    struct str resource, ns, name;
    if (!placed_key(str_of(key)) || !digest_key_valid(str_of(key))) {
        return err_set(err, -E_INVAL, "'%.200s' is no stream, table or rule", key);
    }
    (void)str_cut(str_of(key), '/', &resource, &ns); /* it is valid */
    (void)str_cut(ns, '/', &ns, &name);
    *ret_resource = arena_str(a, resource);
    *ret_ns = arena_str(a, ns);
    *ret_name = arena_str(a, name);
    return *ret_resource && *ret_ns && *ret_name ? 0 : err_sys(err, -ENOMEM, "read a report");
}

static int take_report(struct replica *r, struct arena *a, const struct json *body, struct err *err)
{
    const char *uid = json_cstr(json_get(body, "uid"), "");
    const char *resource = NULL, *ns = NULL, *name = NULL;
    int rc = cut_key(a, json_cstr(json_get(body, "key"), ""), &resource, &ns, &name, err);
    if (rc < 0) {
        return rc;
    }
    const struct json *object = replica_get(r, a, resource, ns, name);
    struct json *entry = placed_clean(a, json_get(body, "entry"), replica_node(r), err);
    if (!object) {
        return err_set(err, -E_NOENT, "%s %s/%s is gone", resource, ns, name);
    }
    if (!entry) {
        return err->code;
    }
    struct json *status =
        placed_status(a, &entry, 1, 1, json_path_i64(object, "metadata.generation", 0),
                      json_get(object, "status"));
    return arena_failed(a) ? err_sys(err, -ENOMEM, "take a report")
                           : replica_set_status(r, resource, ns, name, uid, status, err);
}

static void on_report(struct http_exchange *x, struct str text, void *arg)
{
    struct arena *a = http_exchange_arena(x);
    struct json *body = NULL;
    struct err err;
    int rc = json_parse(a, text, NULL, &body, &err);
    rc = rc < 0 ? rc : take_report(arg, a, body, &err);
    if (rc < 0) {
        api_reply_error(x, rc, err.text);
    } else {
        api_reply_json(x, 200, json_object(a));
    }
}

void replica_report_route(void *arg, struct http_exchange *x, const struct api_user *user)
{
    if (!api_user_in(user, "system:masters")) {
        api_reply_error(x, -E_ACCESS, "only the node itself tells what runs on it");
        return;
    }
    http_exchange_collect_body(x, LIMIT_PLACED_REPORT, on_report, arg);
}
