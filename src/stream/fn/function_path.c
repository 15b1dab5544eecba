/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of JSON paths (path.h). A text is read as JSON first. */
#include "family.h"
#include "path.h"
#include "stream/sql/ast.h"

static int check_path(const struct ast_expr *call, struct err *err)
{
    const struct value *text = function_constant(call, 1);
    const struct path *p;
    struct arena a;
    if (!function_expect_string(call, 1, err)) {
        return -E_INVAL;
    }
    arena_init(&a, 0);
    int rc = text ? path_parse(&a, value_text(text), &p, err) : 0;
    arena_fini(&a);
    return rc;
}

/* *ret_path is set when the path itself is sound. */
static int query(struct eval *ev, const struct value *args, const struct path **ret_path,
                 struct value *ret, struct err *err)
{
    struct value v = args[0];
    *ret_path = NULL;
    if (args[1].type != VALUE_STRING) {
        struct buf b = BUF_INIT;
        (void)value_print_text(&b, &args[1]); /* sticky */
        (void)err_set(err, -E_INVAL, "invalid jsonPath, must be a string but got " STR_FMT,
                      STR_ARG(buf_str(&b)));
        buf_fini(&b);
        return -E_INVAL;
    }
    if (v.type == VALUE_STRING || v.type == VALUE_BYTES) {
        struct json *tree;
        int rc = json_parse(ev->arena, value_text(&v), NULL, &tree, err);
        if (rc < 0) {
            return err_wrap(err, rc == -E_PARSE ? -E_INVAL : rc, "json path");
        }
        v = value_from_json(ev->arena, tree);
    }
    int rc = path_parse(ev->arena, value_text(&args[1]), ret_path, err);
    if (rc < 0) {
        *ret_path = NULL;
        return rc;
    }
    return path_eval(*ret_path, ev->arena, &v, ret, err);
}

static int json_path_query(struct eval *ev, const struct value *args, unsigned argc,
                           struct value *ret, struct err *err)
{
    const struct path *p;
    int rc = query(ev, args, &p, ret, err);
    (void)argc;
    return rc == -E_NOENT ? -E_INVAL : rc;
}

static int json_path_query_first(struct eval *ev, const struct value *args, unsigned argc,
                                 struct value *ret, struct err *err)
{
    struct value found;
    int rc = json_path_query(ev, args, argc, &found, err);
    if (rc < 0) {
        return rc;
    }
    if (found.type != VALUE_ARRAY) {
        struct buf b = BUF_INIT;
        (void)value_print_text(&b, &found); /* sticky */
        (void)err_set(err, -E_INVAL, "query result (" STR_FMT ") is not an array",
                      STR_ARG(buf_str(&b)));
        buf_fini(&b);
        return -E_INVAL;
    }
    *ret = found.n > 0 ? found.items[0] : VALUE_OF_NULL;
    return 0;
}

static int json_path_exists(struct eval *ev, const struct value *args, unsigned argc,
                            struct value *ret, struct err *err)
{
    const struct path *p;
    struct value found = VALUE_OF_NULL;
    int rc = query(ev, args, &p, &found, err);
    (void)argc;
    if (rc < 0 && rc != -E_NOENT && rc != -E_INVAL) {
        return rc;
    }
    *ret =
        value_bool(rc == 0 && !value_is_null(&found) && (found.type != VALUE_ARRAY || found.n > 0));
    return 0;
}

static const struct function functions[] = {
    SCALAR("json_path_exists", 2, 2, FUNCTION_F_PURE | FUNCTION_F_NULLS, check_path,
           json_path_exists, "Whether a JSON path leads to anything."),
    SCALAR("json_path_query", 2, 2, FUNCTION_F_PURE, check_path, json_path_query,
           "What a JSON path leads to."),
    SCALAR("json_path_query_first", 2, 2, FUNCTION_F_PURE, check_path, json_path_query_first,
           "The first that a JSON path leads to."),
};

const struct function_family function_path = {functions, ARRAY_SIZE(functions)};
