/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data templates of sinks: the part of Go's text/template that rules of eKuiper use.
 *
 *   {{.}} {{.a.b}} {{json .}} {{toJson .a}} {{index . 0 "name"}} {{len .}} {{base64 .a}}
 *   {{if COND}}...{{else if COND}}...{{else}}...{{end}}   {{range .}}...{{else}}...{{end}}
 *   {{range $i, $v := .}}   {{with .a}}...{{end}}   {{$x := .a}}   {{- trim
 * -}} eq ne lt le gt ge and or not, print, printf with %s %d %v %f %.2f %q %t %%, pipelines: {{.a |
 * json}}
 *
 * Anything else is refused when it is compiled, with its position. The output is bounded
 * (LIMIT_EVENT_BYTES), and so are nesting and steps.
 */
#ifndef PART_DATA_TEMPLATE_H
#define PART_DATA_TEMPLATE_H

#include "stream/value.h"

struct template;

/* -E_PARSE "line 2: unexpected ...", -E_LIMIT, -E_NOMEM. */
int template_compile(struct str text, struct template **ret, struct err *err);
void template_free(struct template *t); /* NULL is fine */
/* Appends the text for a value (`.`). -E_INVAL: what it asks for cannot be done with this value. */
int template_run(const struct template *t, const struct value *dot, struct buf *out,
                 struct err *err);

#endif
