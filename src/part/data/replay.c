/* SPDX-License-Identifier: Apache-2.0 */
/* Who has seen which events of a source that went back; see replay.h. */
#include "replay.h"

#include "base/log.h"
#include "base/mem.h"
#include "placement.h"
#include "part/data/sink/sink.h"

static bool can_go_back(const struct source *s)
{
    return s && source_can_go_back(s);
}

/* ---- a place as a value ---- */

static struct value place_value(const struct source_place *p, struct arena *a)
{
    struct value_member *m = arena_alloc(a, 5 * sizeof(*m));
    char *file = arena_strdup(a, p->file);
    if (!m || !file) {
        return VALUE_OF_NULL; /* the arena tells */
    }
    m[0] = (struct value_member){STR_LIT("round"), value_int((int64_t)p->round)};
    m[1] = (struct value_member){STR_LIT("file"), value_string(str_of(file))};
    m[2] = (struct value_member){STR_LIT("event"), value_int((int64_t)p->event)};
    m[3] = (struct value_member){STR_LIT("byte"), value_int((int64_t)p->byte)};
    m[4] = (struct value_member){STR_LIT("identity"), value_int((int64_t)p->identity)};
    return (struct value){.type = VALUE_OBJECT, .n = 5, .members = m};
}

static uint64_t number(const struct value *v, struct str name)
{
    const struct value *m = value_get(v, name);
    return m && m->type == VALUE_INT ? (uint64_t)m->i : 0;
}

static struct source_place *place_new(const struct value *v)
{
    struct source_place *p = v && v->type == VALUE_OBJECT ? mem_zalloc(sizeof(*p)) : NULL;
    if (p) {
        const struct value *file = value_get(v, STR_LIT("file"));
        p->round = number(v, STR_LIT("round"));
        p->event = number(v, STR_LIT("event"));
        p->byte = number(v, STR_LIT("byte"));
        p->identity = number(v, STR_LIT("identity"));
        if (file && file->type == VALUE_STRING && value_text(file).n < sizeof(p->file)) {
            memcpy(p->file, value_text(file).p, value_text(file).n);
        }
    }
    return p;
}

/* ---- in step, or passed by ---- */

static void pass_by(struct data_rule *r, struct rule_read *rd, const struct source_place *until)
{
    if (!rd->until) {
        rd->until = mem_alloc(sizeof(*until));
        if (!rd->until) {
            log_warn("rule %s: out of memory, it sees events of %s twice", r->id,
                     engine_stream_name(rd->stream->stream));
            return;
        }
        rd->stream->behind++;
    }
    *rd->until = *until;
    placement_skip(r, rd->stream, true);
}

static void in_step(struct data_rule *r, struct rule_read *rd)
{
    if (rd->until) {
        mem_free(TAKE_PTR(rd->until));
        rd->stream->behind--;
        placement_skip(r, rd->stream, false);
    }
}

static void each_reader(const struct data_stream *ds,
                        void (*fn)(void *arg, struct data_rule *r, struct rule_read *rd), void *arg)
{
    MAP_FOR_EACH (slot, &ds->data->rules) {
        struct data_rule *r = slot->value;
        for (uint32_t i = 0; i < r->n_reads; i++) {
            if (r->reads[i].stream == ds) {
                fn(arg, r, &r->reads[i]);
            }
        }
    }
}

/* ---- going back ---- */

struct search {
    struct source_place place;
    struct data_rule *except;
    bool found;
};

static void look_lowest(void *arg, struct data_rule *r, struct rule_read *rd)
{
    struct search *s = arg;
    if (!rd->until) {
        s->found = false; /* one is in step: the source stays */
        s->except = r;
    } else if (!s->except && (!s->found || source_place_compare(rd->until, &s->place) < 0)) {
        s->place = *rd->until;
        s->found = true;
    }
}

static void catch_up(void *arg, struct data_rule *r, struct rule_read *rd)
{
    const struct source_place *now = arg;
    if (rd->until && source_place_compare(rd->until, now) <= 0) {
        in_step(r, rd);
    }
}

/* When all readers wait for the source, it goes on to the first of them. */
static void skip_ahead(struct data_stream *ds)
{
    struct search s = {0};
    each_reader(ds, look_lowest, &s);
    if (s.found) {
        source_seek(ds->source, &s.place);
        each_reader(ds, catch_up, &s.place);
    }
}

static void let_wait(void *arg, struct data_rule *r, struct rule_read *rd)
{
    const struct search *s = arg;
    if (r != s->except && !rd->until) {
        pass_by(r, rd, &s->place);
    }
}

/* Whether the source still has this place; if not, it is told. */
static bool has(const struct data_rule *r, const struct data_stream *ds,
                const struct source_place *p)
{
    struct err err;
    if (source_check(ds->source, p, &err) < 0) {
        log_warn("rule %s: stream %s: %s: reading what there is", r->id,
                 engine_stream_name(ds->stream), err.text);
        return false;
    }
    return true;
}

/* Brings a rule that begins and its source together. want: where the rule goes on. */
static void meet(struct data_rule *r, struct rule_read *rd, const struct source_place *want)
{
    struct data_stream *ds = rd->stream;
    struct search now = {.except = r};
    if (!has(r, ds, want)) {
        return;
    }
    source_place(ds->source, &now.place);
    int order = source_place_compare(want, &now.place);
    if (order < 0) {
        source_seek(ds->source, want);
        each_reader(ds, let_wait, &now);
    } else if (order > 0) {
        pass_by(r, rd, want);
        skip_ahead(ds);
    }
}

static void keep_place(void *arg, struct data_rule *r, struct rule_read *rd)
{
    if (!rd->until) {
        pass_by(r, rd, arg);
    }
}

static void check_place(void *arg, struct data_rule *r, struct rule_read *rd)
{
    (void)arg;
    if (rd->until && !has(r, rd->stream, rd->until)) {
        in_step(r, rd);
    }
}

static void let_go(void *arg, struct data_rule *r, struct rule_read *rd)
{
    (void)arg;
    in_step(r, rd);
}

void replay_reopen(struct data_stream *ds)
{
    struct source_place now;
    if (can_go_back(ds->source)) {
        source_place(ds->source, &now);
        each_reader(ds, keep_place, &now);
    }
    source_close(TAKE_PTR(ds->source));
    data_stream_open(ds);
    if (can_go_back(ds->source)) {
        each_reader(ds, check_place, NULL);
        skip_ahead(ds);
    } else {
        each_reader(ds, let_go, NULL);
    }
}

/* ---- a rule begins and ends ---- */

int replay_before(struct data_rule *r)
{
    const char *name;
    uint32_t n = 0;
    while (rule_stream(r->rule, n)) {
        n++;
    }
    r->reads = mem_zalloc((n + 1) * sizeof(*r->reads));
    if (!r->reads) {
        return -E_NOMEM;
    }
    for (uint32_t i = 0; (name = rule_stream(r->rule, i)); i++) {
        struct data_stream *ds = map_get(&r->data->streams, str_of(name));
        if (ds && !engine_stream_is_table(ds->stream)) {
            r->reads[r->n_reads++].stream = ds;
            ds->keepers += r->saves;
            if (ds->source && ds->source->ops->kept && !ds->source->inbox && ds->keepers == 1) {
                replay_reopen(ds); /* it begins to keep what comes */
            }
        }
    }
    return 0;
}

void replay_begin(struct data_rule *r, const struct value *saved)
{
    for (uint32_t i = 0; i < r->n_reads; i++) {
        struct rule_read *rd = &r->reads[i];
        struct str name = str_of(engine_stream_name(rd->stream->stream));
        struct source_place *want = place_new(saved ? value_get(saved, name) : NULL);
        if (want && can_go_back(rd->stream->source)) {
            meet(r, rd, want);
        }
        rd->covered = want;
    }
}

void replay_end(struct data_rule *r)
{
    for (uint32_t i = 0; i < r->n_reads; i++) {
        in_step(r, &r->reads[i]);
        r->reads[i].stream->keepers -= r->saves;
        mem_free(r->reads[i].covered);
    }
    mem_free(TAKE_PTR(r->reads));
    r->n_reads = 0;
}

/* ---- events ---- */

struct passing {
    struct source_place place;
    uint32_t n;
};

static void look_part(void *arg, struct data_rule *r, struct rule_read *rd)
{
    struct passing *p = arg;
    if (!rd->until) {
        return;
    }
    if (source_place_compare(rd->until, &p->place) <= 0) {
        in_step(r, rd);
    } else if (rd->until->round == p->place.round && cstr_eq(rd->until->file, p->place.file)) {
        uint64_t distance = rd->until->event - p->place.event;
        p->n = distance < p->n ? (uint32_t)distance : p->n;
    }
}

uint32_t replay_part(struct source *s, uint32_t at, uint32_t n)
{
    struct data_stream *ds = engine_stream_data(s->stream);
    if (!ds || ds->behind == 0) {
        return n;
    }
    struct passing p = {.n = n};
    source_place(s, &p.place);
    p.place.event += at;
    each_reader(ds, look_part, &p);
    return p.n;
}

/* ---- checkpoints ---- */

struct value replay_value(const struct data_rule *r, struct arena *a)
{
    struct value_member *m = arena_alloc(a, (r->n_reads + 1) * sizeof(*m));
    uint32_t n = 0;
    for (uint32_t i = 0; m && i < r->n_reads; i++) {
        const struct rule_read *rd = &r->reads[i];
        struct source_place now;
        const struct source_place *p = rd->until ? rd->until : &now;
        if (!rd->until && can_go_back(rd->stream->source)) {
            source_place(rd->stream->source, &now);
        } else if (!rd->until) {
            p = rd->covered; /* of a source that could not be opened */
        }
        char *name = p ? arena_strdup(a, engine_stream_name(rd->stream->stream)) : NULL;
        if (name) {
            m[n++] = (struct value_member){str_of(name), place_value(p, a)};
        }
    }
    return (struct value){.type = VALUE_OBJECT, .n = n, .members = m};
}

static void look_covered(void *arg, struct data_rule *r, struct rule_read *rd)
{
    struct search *s = arg;
    if (!r->saves) {
        return;
    }
    if (!rd->covered) {
        s->except = r; /* one that has no checkpoint yet may need all */
    } else if (!s->found || source_place_compare(rd->covered, &s->place) < 0) {
        s->place = *rd->covered;
        s->found = true;
    }
}

void replay_covered(struct data_rule *r, const struct value *places)
{
    for (uint32_t i = 0; i < r->n_reads; i++) {
        struct rule_read *rd = &r->reads[i];
        struct str name = str_of(engine_stream_name(rd->stream->stream));
        struct source_place *p = place_new(value_get(places, name));
        struct search lowest = {0};
        if (!p) {
            continue; /* a source that cannot go back */
        }
        mem_free(rd->covered);
        rd->covered = p;
        each_reader(rd->stream, look_covered, &lowest);
        struct source *s = rd->stream->source;
        if (lowest.found && !lowest.except && can_go_back(s)) {
            source_covered(s, &lowest.place);
        }
    }
}

static void look_congested(void *arg, struct data_rule *r, struct rule_read *rd)
{
    bool *congested = arg;
    (void)rd;
    for (uint32_t i = 0; r->saves && !*congested && i < r->n_sinks; i++) {
        *congested = sink_congested(r->sinks[i]);
    }
}

static void take_checkpoint(void *arg, struct data_rule *r, struct rule_read *rd)
{
    (void)arg;
    (void)rd;
    checkpoint_hurry(r);
}

void replay_hurry(struct data_stream *ds)
{
    each_reader(ds, take_checkpoint, NULL);
}

bool replay_congested(const struct data_stream *ds)
{
    bool congested = false;
    each_reader(ds, look_congested, &congested);
    return congested;
}
