/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a statement and as an expression: what parses prints, and what is printed parses to
 * the same text again. */
#include <assert.h>
#include <stdint.h>

#include "base/mem.h"
#include "sql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_select(struct arena *a, const struct ast_select *s)
{
    CLEANUP(buf_finip) struct buf one = BUF_INIT;
    CLEANUP(buf_finip) struct buf two = BUF_INIT;
    struct ast_statement *again;
    struct err err;
    assert(sql_print_select(&one, s) == 0);
    int rc = sql_parse(a, buf_str(&one), &again, &err);
    assert(rc == 0 || rc == -E_LIMIT || rc == -ENOMEM); /* parentheses count as depth */
    if (rc == 0) {
        assert(sql_print_select(&two, again->select) == 0);
        assert(str_eq(buf_str(&one), buf_str(&two)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct ast_statement *s;
    struct ast_expr *e;
    struct str text = str_n((const char *)data, size);
    arena_init(&a, 0);
    if (sql_parse(&a, text, &s, NULL) == 0 && s->select) {
        check_select(&a, s->select);
    }
    (void)sql_parse_expr(&a, text, &e, NULL); /* whatever it is */
    arena_fini(&a);
    return 0;
}
