/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints of a rule: {"sequences": {stream: next}, "pipelines": [{"of": signature, "analytic":
 * ..., "window": ..., "match": ..., "watermark": ...}]}.
 *
 * A signature is the text of what shapes the state of a pipeline: FROM, JOIN, WHERE, the window,
 * the groups, and the calls of functions with state. A pipeline takes back the state of the same
 * signature, so a rule that was edited elsewhere (names, columns, HAVING, ORDER BY) keeps it.
 */
#include "engine_private.h"
#include "stream/sql/sql.h"

/* ---- signatures ---- */

static bool print_call(void *arg, struct ast_expr *e)
{
    const struct function *f = e->kind == AST_CALL ? function_find(e->function) : NULL;
    if (f && f->state) {
        (void)buf_puts(arg, "; "); /* sticky, as below */
        (void)sql_print_expr(arg, e);
    }
    return true;
}

char *rule_signature(const struct ast_select *s)
{
    struct buf b = BUF_INIT;
    struct ast_select bare = *s;
    bare.n_fields = bare.n_order = bare.n_with = 0;
    bare.having = NULL;
    bare.union_all = NULL;
    bare.limit = -1;
    bare.distinct = false;
    (void)sql_print_select(&b, &bare); /* sticky */
    for (uint32_t i = 0; i < s->n_fields; i++) {
        sql_walk(s->fields[i].expr, print_call, &b);
    }
    if (s->having) {
        sql_walk(s->having, print_call, &b);
    }
    for (uint32_t i = 0; i < s->n_order; i++) {
        sql_walk(s->order[i].expr, print_call, &b);
    }
    struct str text = buf_str(&b);
    char *exact = buf_failed(&b) ? NULL : mem_strndup(text.p, text.n); /* it stays */
    buf_fini(&b);
    return exact;
}

/* ---- saving ---- */

static int save_pipeline(const struct pipeline *p, struct arena *a, struct value *ret)
{
    struct value_member *m = arena_alloc(a, 5 * sizeof(*m));
    char *of = arena_strdup(a, p->signature); /* the state outlives the rule */
    uint32_t n = 0;
    int rc = m && of ? 0 : -E_NOMEM;
    if (rc == 0) {
        m[n++] = (struct value_member){STR_LIT("of"), value_string(str_of(of))};
    }
    if (rc == 0 && p->analytics) {
        m[n].key = STR_LIT("analytic");
        rc = analytic_save(p->analytics, p->plan, a, &m[n++].value);
    }
    if (rc == 0 && p->window) {
        m[n].key = STR_LIT("window");
        rc = window_save(p->window, a, &m[n++].value);
    }
    if (rc == 0 && p->match) {
        m[n].key = STR_LIT("match");
        rc = match_save(p->match, a, &m[n++].value);
    }
    if (rc == 0 && p->watermark) {
        m[n].key = STR_LIT("watermark");
        rc = watermark_save(p->watermark, a, &m[n++].value);
    }
    *ret = (struct value){.type = VALUE_OBJECT, .n = n, .members = m};
    return rc;
}

static struct value save_sequences(const struct rule *r, struct arena *a)
{
    struct value_member *m = arena_alloc(a, (r->n_streams + 1) * sizeof(*m));
    uint32_t n = 0;
    for (uint32_t i = 0; m && i < r->n_streams; i++) {
        const struct engine_stream *s = engine_stream(r->engine, str_of(r->streams[i]));
        char *name = s ? arena_strdup(a, s->name) : NULL;
        if (name) { /* else the arena has failed, or the stream is gone */
            m[n++] = (struct value_member){str_of(name), value_int((int64_t)s->sequence)};
        }
    }
    return (struct value){.type = VALUE_OBJECT, .n = n, .members = m};
}

int rule_save(const struct rule *r, struct arena *a, struct value *ret)
{
    uint32_t count = 0, n = 0;
    int rc = 0;
    for (struct list *at = r->pipelines.next; at != &r->pipelines; at = at->next) {
        count++;
    }
    struct value *pipelines = arena_alloc(a, (count + 1) * sizeof(*pipelines));
    struct value_member *m = arena_alloc(a, 2 * sizeof(*m));
    if (!pipelines || !m) {
        return -E_NOMEM;
    }
    for (struct list *at = r->pipelines.next; rc == 0 && at != &r->pipelines; at = at->next) {
        rc = save_pipeline(CONTAINER_OF(at, struct pipeline, link), a, &pipelines[n++]);
    }
    m[0] = (struct value_member){STR_LIT("sequences"), save_sequences(r, a)};
    m[1] = (struct value_member){STR_LIT("pipelines"),
                                 {.type = VALUE_ARRAY, .n = n, .items = pipelines}};
    *ret = (struct value){.type = VALUE_OBJECT, .n = 2, .members = m};
    return rc < 0 || arena_failed(a) ? -E_NOMEM : 0;
}

/* ---- loading ---- */

static const struct value *saved_of(const struct value *saved, const struct pipeline *p)
{
    const struct value *list = value_get(saved, STR_LIT("pipelines"));
    for (uint32_t i = 0; list && list->type == VALUE_ARRAY && i < list->n; i++) {
        const struct value *of = value_get(&list->items[i], STR_LIT("of"));
        if (of && of->type == VALUE_STRING && str_is(value_text(of), p->signature)) {
            return &list->items[i];
        }
    }
    return NULL;
}

void rule_forget_saved(struct rule *r)
{
    if (r->saved) {
        arena_fini(&r->saved->arena);
        mem_free(TAKE_PTR(r->saved));
    }
}

int rule_load(struct rule *r, const struct value *saved, uint32_t *ret_kept, struct err *err)
{
    if (r->running) {
        return err_set(err, -E_BUSY, "rule %s runs", r->id);
    }
    rule_forget_saved(r);
    r->saved = mem_zalloc(sizeof(*r->saved));
    if (r->saved) {
        arena_init(&r->saved->arena, 0);
        r->saved->value = value_copy(&r->saved->arena, saved);
    }
    if (!r->saved || arena_failed(&r->saved->arena)) {
        rule_forget_saved(r);
        return err_sys(err, -E_NOMEM, "load the state of rule %s", r->id);
    }
    *ret_kept = 0;
    for (struct list *at = r->pipelines.next; at != &r->pipelines; at = at->next) {
        *ret_kept += saved_of(&r->saved->value, CONTAINER_OF(at, struct pipeline, link)) != NULL;
    }
    return 0;
}

int pipeline_restore(struct pipeline *p, struct err *err)
{
    const struct rule_state *saved = p->rule->saved;
    const struct value *state = saved ? saved_of(&saved->value, p) : NULL, *part;
    int rc = 0;
    if (!state) {
        return 0;
    }
    if (p->analytics && (part = value_get(state, STR_LIT("analytic")))) {
        rc = analytic_load(p->analytics, p->plan, part);
        rc = rc < 0 ? err_set(err, rc, "the saved state of an analytic function does not fit") : 0;
    }
    if (rc == 0 && p->window && (part = value_get(state, STR_LIT("window")))) {
        rc = window_load(p->window, part, err);
    }
    if (rc == 0 && p->match && (part = value_get(state, STR_LIT("match")))) {
        rc = match_load(p->match, part, err);
    }
    if (rc == 0 && p->watermark && (part = value_get(state, STR_LIT("watermark")))) {
        rc = watermark_load(p->watermark, part, err);
    }
    return rc;
}
