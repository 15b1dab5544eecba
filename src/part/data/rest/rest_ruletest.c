/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /ruletest: trial runs. A trial rule runs in an engine of its own over events that the request
 * gives (mockSource), so that it touches nothing; without mocks it runs over the real streams. Its
 * results go to whoever listens on the WebSocket /test/ID. It ends by itself after ten minutes.
 */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/ws.h"
#include "rest_private.h"
#include "part/data/schemas.h"
#include "part/data/sink/sink.h"

#define TRIAL_MS (10 * 60 * 1000)
#define TRIALS_MAX 64
#define LISTENERS_MAX 16
#define WS_BEHIND ((ssize_t)1 << 20)

struct mock {
    struct rule_test *test;
    struct engine_stream *stream;
    const struct json *data;
    int64_t interval_ms;
    size_t at;
    bool loop;
    struct io_timer timer;
};

struct rule_test {
    struct data *data;
    char *id;
    struct arena arena;    /* of the request */
    struct engine *engine; /* own: with mocks; else the part's */
    bool mocked;
    struct rule *rule;
    struct sink *sink;
    struct mock *mocks;
    uint32_t n_mocks;
    struct ws *listeners[LISTENERS_MAX];
    uint32_t n_listeners;
    struct io_timer clock, end;
};

static void free_test(void *p)
{
    struct rule_test *t = p;
    if (!t) {
        return;
    }
    io_timer_stop(&t->clock);
    io_timer_stop(&t->end);
    for (uint32_t i = 0; i < t->n_mocks; i++) {
        io_timer_stop(&t->mocks[i].timer);
    }
    rule_free(t->rule);
    sink_close(t->sink);
    if (t->mocked) {
        engine_free(t->engine);
    }
    for (uint32_t i = 0; i < t->n_listeners; i++) {
        ws_abort(t->listeners[i]);
    }
    arena_fini(&t->arena);
    mem_free(t->mocks);
    mem_free(t->id);
    mem_free(t);
}

void rest_tests_free(struct data *d)
{
    map_fini(&d->tests, free_test);
}

/* ---- results: a sink to the listeners ---- */

static void trial_send(struct sink *s, const struct sink_message *m)
{
    struct rule_test *t = map_get(&s->data->tests, str_of(s->rule));
    for (uint32_t i = 0; t && i < t->n_listeners; i++) {
        if (ws_send(t->listeners[i], false, m->bytes) > WS_BEHIND) {
            ws_close(t->listeners[i], 1008, "too slow");
        }
    }
    sink_done(s, m->sequence, 0, NULL);
}

static int trial_open(struct sink *s, struct err *err)
{
    (void)s;
    (void)err;
    return 0;
}

static void trial_close(struct sink *s)
{
    (void)s; /* it owns nothing */
}

static const struct sink_ops trial_sink = {.type = "trial",
                                           .size = sizeof(struct sink),
                                           .open = trial_open,
                                           .close = trial_close,
                                           .send = trial_send};

static void on_result(void *arg, struct rule *rule, struct batch *results, bool single,
                      const struct window_range *range)
{
    struct rule_test *t = arg;
    (void)rule;
    (void)range;
    sink_take(t->sink, results, single, false);
}

static void on_error(void *arg, struct rule *rule, const struct err *err)
{
    struct rule_test *t = arg;
    struct buf b = BUF_INIT;
    (void)rule;
    (void)buf_puts(&b, "{\"error\":"); /* sticky */
    (void)json_print_string(&b, str_of(err->text));
    (void)buf_putc(&b, '}');
    for (uint32_t i = 0; i < t->n_listeners; i++) {
        (void)ws_send(t->listeners[i], false, buf_str(&b)); /* a dead one is told by on_close */
    }
    buf_fini(&b);
}

/* ---- events ---- */

static void turn(struct rule_test *t)
{
    int64_t now = wall_now().us;
    (void)engine_advance(t->engine, now); /* out of memory: told by on_error */
    int64_t next = engine_next(t->engine);
    if (next != INT64_MAX) {
        io_timer_start(&t->clock, MIN_OF(MAX_OF((next - now + 999) / 1000, 1), TRIAL_MS), 0);
    }
}

static void on_clock(void *arg)
{
    turn(arg);
}

static void on_mock(void *arg)
{
    struct mock *m = arg;
    struct arena a;
    int64_t now = wall_now().us;
    arena_init(&a, 0);
    struct value event = value_from_json(&a, json_at(m->data, m->at));
    turn(m->test);
    (void)engine_push_values(m->test->engine, m->stream, &event, NULL, &now, 1); /* told */
    turn(m->test);
    arena_fini(&a);
    m->at++;
    if (m->at == json_len(m->data) && m->loop) {
        m->at = 0;
    }
    if (m->at < json_len(m->data)) {
        io_timer_start(&m->timer, m->interval_ms, 0);
    }
}

/* ---- creation ---- */

/* The stream in the trial's engine, by the definition of the real one; unknown ones are schemaless.
 */
static int add_mock(struct rule_test *t, const char *name, const struct json *j, struct err *err)
{
    struct engine_stream *real = engine_stream(t->data->engine, str_of(name));
    CLEANUP(mem_freep)
    char *ddl = real ? mem_strdup(engine_stream_ddl(real))
                     : mem_printf("CREATE STREAM `%s` () WITH (DATASOURCE=\"%s\", FORMAT=\"json\")",
                                  name, name);
    int rc = ddl ? engine_define(t->engine, str_of(ddl), false, err)
                 : err_sys(err, -E_NOMEM, "trial run");
    if (rc < 0) {
        return rc;
    }
    struct mock *m = &t->mocks[t->n_mocks++];
    *m = (struct mock){.test = t,
                       .stream = engine_stream(t->engine, str_of(name)),
                       .data = json_get(j, "data"),
                       .interval_ms =
                           MIN_OF(MAX_OF(json_i64(json_get(j, "interval"), 1000), 1), TRIAL_MS),
                       .loop = json_true(json_get(j, "loop"), false)};
    io_timer_init(t->data->loop, &m->timer, on_mock, m);
    return json_is(m->data, JSON_ARRAY) && json_len(m->data) > 0
               ? 0
               : err_set(err, -E_INVAL, "mockSource %s: data must be a list of events", name);
}

static int set_up_engine(struct rule_test *t, const struct json *mocks, struct err *err)
{
    const struct engine_options opts = {.zone = t->data->zone,
                                        .on_error = on_error,
                                        .arg = t,
                                        .find_schema = schemas_find,
                                        .schema_arg = t->data};
    t->mocked = json_len(mocks) > 0;
    if (!t->mocked) {
        t->engine = t->data->engine;
        return 0;
    }
    t->mocks = mem_zalloc(json_len(mocks) * sizeof(*t->mocks));
    int rc = t->mocks ? engine_new(&opts, wall_now().us, &t->engine, err)
                      : err_sys(err, -E_NOMEM, "trial run");
    if (rc < 0) {
        t->mocked = false; /* there is no engine to free */
        return rc;
    }
    JSON_FOR_EACH_MEMBER (m, mocks) {
        rc = add_mock(t, m->key, m->value, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static void on_end(void *arg)
{
    struct rule_test *t = arg;
    free_test(map_del(&t->data->tests, str_of(t->id)));
}

static int set_up(struct rule_test *t, struct json *body, struct err *err)
{
    struct rule_options opts;
    int rc = data_rule_options(json_get(body, "options"), &opts, err);
    rc = rc < 0 ? rc : set_up_engine(t, json_get(body, "mockSource"), err);
    rc = rc < 0 ? rc
                : rule_new(t->engine, str_of(t->id), json_text(json_get(body, "sql")), &opts,
                           on_result, t, &t->rule, err);
    return rc < 0 ? rc
                  : sink_open_with(t->data, &trial_sink, t->id, 0, json_get(body, "sinkProps"),
                                   /* qos= */ 0, &t->sink, err);
}

void rest_test_create(struct rest_call *c)
{
    struct json *body = rest_body(c);
    struct data *d = c->data;
    struct err err;
    if (!body) {
        return;
    }
    struct str id = json_text(json_get(body, "id"));
    free_test(map_del(&d->tests, id)); /* as in eKuiper, a second of this name replaces the first */
    struct rule_test *t = mem_zalloc(sizeof(*t));
    int rc = t ? 0 : err_sys(&err, -E_NOMEM, "trial run");
    if (rc == 0) {
        t->data = d;
        t->id = mem_strndup(id.p, id.n);
        arena_init(&t->arena, 0);
        io_timer_init(d->loop, &t->clock, on_clock, t);
        io_timer_init(d->loop, &t->end, on_end, t);
        rc = id.n == 0 ? err_set(&err, -E_INVAL, "missing id")
             : map_len(&d->tests) >= TRIALS_MAX
                 ? err_set(&err, -E_TOOMANY, "%d trial runs are there already", TRIALS_MAX)
                 : set_up(t, json_clone(&t->arena, body), &err);
    }
    if (rc == 0 && (!t->id || map_put(&d->tests, id, t, NULL) < 0)) {
        rc = err_sys(&err, -E_NOMEM, "trial run");
    }
    if (rc < 0) {
        free_test(t);
        rest_error(c, NULL, &err);
        return;
    }
    io_timer_start(&t->end, TRIAL_MS, 0);
    struct json *o = json_object(c->arena);
    json_set_str(o, "id", t->id);
    json_set_int(o, "port", d->port);
    rest_json(c, 200, o);
}

/* ---- life ---- */

static struct rule_test *find(struct rest_call *c)
{
    struct rule_test *t = map_get(&c->data->tests, c->name);
    struct err err;
    if (!t) {
        (void)err_set(&err, -E_NOENT, "test rule " STR_FMT " not found", STR_ARG(c->name));
        rest_error(c, NULL, &err);
    }
    return t;
}

void rest_test_start(struct rest_call *c)
{
    struct rule_test *t = find(c);
    struct err err;
    if (!t) {
        return;
    }
    if (rule_start(t->rule, &err) < 0) {
        rest_error(c, "start rule error", &err);
        return;
    }
    for (uint32_t i = 0; i < t->n_mocks; i++) {
        io_timer_start(&t->mocks[i].timer, t->mocks[i].interval_ms, 0);
    }
    rest_text(c, 200, "Test rule %s was started", t->id);
}

void rest_test_delete(struct rest_call *c)
{
    free_test(map_del(&c->data->tests, c->name));
    rest_text(c, 200, "Test rule " STR_FMT " was stopped.", STR_ARG(c->name));
}

/* ---- listeners ---- */

static void on_message(struct ws *w, void *arg, bool binary, struct str data)
{
    (void)w; /* a listener has nothing to say */
    (void)arg;
    (void)binary;
    (void)data;
}

static void on_close(struct ws *w, void *arg, int code, struct str reason)
{
    struct rule_test *t = arg;
    (void)code;
    (void)reason;
    for (uint32_t i = 0; i < t->n_listeners; i++) {
        if (t->listeners[i] == w) {
            t->listeners[i] = t->listeners[--t->n_listeners];
            return;
        }
    }
}

void rest_test_watch(struct rest_call *c)
{
    static const struct ws_events events = {.on_message = on_message, .on_close = on_close};
    struct rule_test *t = find(c);
    if (!t) {
        return;
    }
    if (!ws_wanted(c->x) || t->n_listeners == LISTENERS_MAX) {
        rest_text(c, t->n_listeners == LISTENERS_MAX ? 429 : 426, "a WebSocket is expected here");
        return;
    }
    http_exchange_on_close(c->x, NULL, NULL);
    struct ws *w = ws_accept(c->x, NULL, &events, t);
    if (!w) {
        rest_text(c, 503, "out of memory");
        return;
    }
    t->listeners[t->n_listeners++] = w;
    rest_done(c);
}
