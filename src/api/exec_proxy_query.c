/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a stream is asked for: the query of logs, exec, attach and port-forward, and the same as the
 * options (PodExecOptions ...) about which admission is asked and which it may change.
 */
#include "api/exec_proxy_private.h"

#define COMMAND_MAX 256

/* ---- the query ---- */

static bool fail(struct server_call *call, int code, const char *text)
{
    api_reply_error(call->x, code, text ? text : "out of memory");
    return false;
}

static bool read_bool(const char *value)
{
    bool b = false;
    return !*value || (str_bool(str_of(value), &b) == 0 && b);
}

static bool read_flag(const char *name, const char *value, struct node_stream_req *r)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {
        {"stdin", &r->in},
        {"stdout", &r->out},
        {"stderr", &r->err},
        {"tty", &r->tty},
        {"follow", &r->follow},
        {"previous", &r->previous},
        {"timestamps", &r->timestamps},
    };
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        if (cstr_eq(name, flags[i].name)) {
            *flags[i].flag = read_bool(value);
            return true;
        }
    }
    return false;
}

/* False when it has replied. */
static bool read_number(struct server_call *call, const char *name, const char *value,
                        struct node_stream_req *r)
{
    const struct {
        const char *name;
        int64_t *number;
        int64_t least;
    } numbers[] = {
        {"tailLines", &r->tail_lines, 0},
        {"limitBytes", &r->limit_bytes, 1},
        {"sinceSeconds", &r->since_seconds, 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        if (cstr_eq(name, numbers[i].name) && *value) {
            int64_t n;
            if (str_i64(str_of(value), &n) < 0 || n < numbers[i].least) {
                return fail(call, -E_INVAL,
                            arena_printf(http_exchange_arena(call->x),
                                         "%s: Invalid value: \"%.40s\": must be greater than or "
                                         "equal to %lld",
                                         name, value, (long long)numbers[i].least));
            }
            *numbers[i].number = n;
        }
    }
    return true;
}

bool exec_proxy_read_query(struct server_call *call, struct node_stream_req *r)
{
    struct arena *a = http_exchange_arena(call->x);
    struct str query = http_exchange_request(call->x)->query;
    const char **command = arena_zalloc(a, (COMMAND_MAX + 1) * sizeof(*command));
    const char *name, *value;
    size_t n = 0;
    *r = (struct node_stream_req){
        .tail_lines = -1, .limit_bytes = -1, .since_seconds = -1, .container = ""};
    if (!command) {
        return fail(call, -E_NOMEM, NULL);
    }
    while (http_query_next(a, &query, &name, &value)) {
        if (cstr_eq(name, "command")) {
            if (n == COMMAND_MAX) {
                return fail(call, -E_INVAL, "the command has too many arguments");
            }
            command[n++] = value;
        } else if (cstr_eq(name, "container")) {
            r->container = value;
        } else if (cstr_eq(name, "sinceTime") && *value) {
            struct wall t;
            if (time_parse(str_of(value), &t) < 0) {
                return fail(call, -E_INVAL, "sinceTime must be a time of RFC 3339");
            }
            r->since_time = value;
        } else if (!read_flag(name, value, r) && !read_number(call, name, value, r)) {
            return false;
        }
    }
    r->command = command;
    return true;
}

/* ---- options ---- */

static void set_flag(struct json *o, const char *name, bool value)
{
    if (value) {
        json_set_bool(o, name, true);
    }
}

static struct json *options_of_kind(struct arena *a, const char *kind)
{
    struct json *o = json_object(a);
    json_set_str(o, "kind", kind);
    json_set_str(o, "apiVersion", "v1");
    return o;
}

static struct json *portforward_options(struct arena *a, struct str query)
{
    struct json *o = options_of_kind(a, "PodPortForwardOptions"), *ports = NULL;
    const char *name, *value;
    while (http_query_next(a, &query, &name, &value)) {
        struct str rest = str_of(value), port;
        while (cstr_eq(name, "ports") && rest.n > 0) {
            int64_t n;
            (void)str_cut(rest, ',', &port, &rest);
            if (str_i64(port, &n) == 0) {
                ports = ports ? ports : json_set(o, "ports", json_array(a));
                json_push(ports, json_int(a, n));
            }
        }
    }
    return o;
}

static struct json *proxy_options(struct arena *a, const struct route *r)
{
    struct json *o = options_of_kind(a, arena_printf(a, "%sProxyOptions", r->kind->kind));
    if (r->tail.n > 0) { /* it begins with a slash */
        json_set(o, "path", json_string_n(a, r->tail));
    }
    return o;
}

struct json *exec_proxy_options(struct server_call *call, const struct node_stream_req *r)
{
    struct arena *a = http_exchange_arena(call->x);
    enum kind_sub sub = call->route.sub->sub;
    if (sub == KIND_SUB_PROXY) {
        return proxy_options(a, &call->route);
    }
    if (sub == KIND_SUB_PORTFORWARD) {
        return portforward_options(a, http_exchange_request(call->x)->query);
    }
    struct json *o =
        options_of_kind(a, sub == KIND_SUB_EXEC ? "PodExecOptions" : "PodAttachOptions");
    set_flag(o, "stdin", r->in);
    set_flag(o, "stdout", r->out);
    set_flag(o, "stderr", r->err);
    set_flag(o, "tty", r->tty);
    if (*r->container) {
        json_set_str(o, "container", r->container);
    }
    if (sub == KIND_SUB_EXEC) {
        struct json *command = json_set(o, "command", json_array(a));
        for (size_t i = 0; r->command[i]; i++) {
            json_push(command, json_string(a, r->command[i]));
        }
    }
    return o;
}

bool exec_proxy_read_options(struct server_call *call, const struct json *o,
                             struct node_stream_req *r)
{
    struct arena *a = http_exchange_arena(call->x);
    const struct json *command = json_get(o, "command");
    size_t n = MIN_OF(json_len(command), (size_t)COMMAND_MAX);
    const char **args = arena_zalloc(a, (n + 1) * sizeof(*args));
    if (!args) {
        return fail(call, -E_NOMEM, NULL);
    }
    for (size_t i = 0; i < n; i++) {
        args[i] = json_cstr(json_at(command, i), "");
    }
    r->in = json_path_true(o, "stdin", false);
    r->out = json_path_true(o, "stdout", false);
    r->err = json_path_true(o, "stderr", false);
    r->tty = json_path_true(o, "tty", false);
    r->container = json_path_cstr(o, "container", "");
    r->command = args;
    return true;
}
