/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Test helper: reads protobuf bodies from standard input, one a line in hexadecimal, and prints
 * each as a line of JSON, checked against the schema; or "error: " and why not. With an argument
 * the defaults are set, too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/defaults.h"
#include "api/kind.h"
#include "api/protobuf.h"
#include "api/schema_check.h"
#include "base/encode.h"
#include "base/mem.h"

static int decode(struct arena *a, struct str body, bool defaults, struct buf *out, struct err *err)
{
    struct json *obj;
    int rc = protobuf_decode(a, body, &obj, err);
    if (rc < 0) {
        return rc;
    }
    const struct kind *k =
        kind_find_api(json_path_cstr(obj, "apiVersion", ""), json_path_cstr(obj, "kind", ""));
    if (k) {
        rc = schema_check_object(a, k->type, obj, /* report= */ NULL, err);
        if (rc == 0 && defaults) {
            schema_defaults(a, k->type, obj);
        }
    }
    return rc < 0 ? rc : json_print(out, obj);
}

int main(int argc, char **argv)
{
    (void)argv;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    while ((n = getline(&line, &cap, stdin)) > 0) {
        struct arena a;
        struct err err = {0};
        CLEANUP(buf_finip) struct buf out = BUF_INIT;
        arena_init(&a, 0);
        size_t digits = strcspn(line, "\r\n");
        char *bytes = arena_alloc(&a, digits / 2 + 1);
        int len = hex_decode(str_n(line, digits), bytes, digits / 2 + 1);
        int rc = len < 0 ? len : decode(&a, str_n(bytes, (size_t)len), argc > 1, &out, &err);
        if (rc < 0) {
            printf("error: %s\n", err.text);
        } else {
            printf(STR_FMT "\n", STR_ARG(buf_str(&out)));
        }
        arena_fini(&a);
    }
    free(line); /* getline's memory comes from malloc */
    return 0;
}
