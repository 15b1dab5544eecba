/* SPDX-License-Identifier: Apache-2.0 */
/* Request bodies: JSON, YAML and Kubernetes' protobuf become one kind of tree. */
#include "api/protobuf.h"
#include "api/server_http.h"
#include "base/mem.h"
#include "codec/yaml.h"

#define PROBLEMS_MAX 32

struct problems {
    struct arena *arena;
    struct json *list;
};

static void on_duplicate(void *arg, const char *path)
{
    struct problems *p = arg;
    if (!p->list) {
        p->list = json_array(p->arena);
    }
    if (json_len(p->list) < PROBLEMS_MAX) {
        json_push(p->list, json_printf(p->arena, "duplicate field \"%s\"", path));
    }
}

static int body_json(struct arena *a, struct str body, struct json **ret,
                     struct json **ret_problems, struct err *err)
{
    struct problems p = {.arena = a};
    struct json_parse_opts opts = {.on_duplicate = on_duplicate, .arg = &p};
    int code = json_parse(a, body, &opts, ret, err);
    if (code == -E_PARSE) {
        return err_wrap(err, -E_INVAL, "the body of the request is no valid JSON");
    }
    *ret_problems = p.list;
    return code;
}

int server_body(struct arena *a, struct str content_type, struct str body, struct json **ret,
                struct json **ret_problems, struct err *err)
{
    struct str type = media_type(content_type);
    *ret_problems = NULL;
    if (body.n == 0) {
        return err_set(err, -E_INVAL, "the request needs a body");
    }
    if (type.n == 0 || str_iis(type, "application/json")) {
        return body_json(a, body, ret, ret_problems, err);
    }
    if (str_iis(type, "application/vnd.kubernetes.protobuf")) {
        return protobuf_decode(a, body, ret, err);
    }
    if (str_iis(type, "application/yaml") || str_iis(type, "application/x-yaml")) {
        return yaml_parse(a, body, ret, err);
    }
    return err_set(err, -E_MEDIATYPE,
                   "the body of the request was in an unknown format - accepted media types "
                   "include: application/json, application/yaml, "
                   "application/vnd.kubernetes.protobuf");
}
