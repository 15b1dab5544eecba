/* SPDX-License-Identifier: Apache-2.0 */
/* The part itself: start, the clock of the engine, stop. */
#include "data.h"

#include "data_private.h"

#include "base/log.h"
#include "base/mem.h"
#include "part/data/broker/broker.h"
#include "io/file.h"
#include "placement.h"
#include "objects.h"
#include "part/data/rest/rest.h"
#include "schemas.h"
#include "part/data/sink/sink.h"
#include "part/data/source/source_http_push.h"
#include "part/data/source/source_mqtt.h"
#include "topics.h"

#define CLOCK_MIN_MS 1
#define CLOCK_MAX_MS (60 * 1000)

/* ---- the clock ---- */

void data_turn(struct data *d)
{
    int64_t now = wall_now().us;
    (void)engine_advance(d->engine, now); /* out of memory: what was due is told by on_error */
    int64_t next = engine_next(d->engine);
    if (next == INT64_MAX) {
        io_timer_stop(&d->clock);
        return;
    }
    int64_t ms = (next - now + 999) / 1000;
    io_timer_start(&d->clock, MAX_OF(CLOCK_MIN_MS, MIN_OF(ms, CLOCK_MAX_MS)), 0);
}

static void on_clock(void *arg)
{
    data_turn(arg);
}

/* ---- start ---- */

static void on_rule_error(void *arg, struct rule *rule, const struct err *err)
{
    data_rule_failed(arg, str_of(rule_id(rule)), rule, err->text);
}

static void on_late(void *arg, struct rule *rule, const struct value *event)
{
    const struct data *d = arg;
    (void)topics_publish(d->topics, rule_late_topic(rule), event); /* what it drops it counts */
}

static void on_use(void *arg, struct engine_stream *s, bool used)
{
    data_stream_used(arg, s, used);
}

static int open_store(struct data *d, struct err *err)
{
    CLEANUP(mem_freep) char *path = d->dir ? mem_printf("%s/data.db", d->dir) : NULL;
    if (d->dir && !path) {
        return err_sys(err, -E_NOMEM, "open the store");
    }
    int rc =
        d->dir ? dir_make(d->dir, 0711, err) /* the broker is another user and lives below */ : 0;
    const struct store_opts opts = {.path = path, .history_count = 16, .history_bytes = 64 << 10};
    return rc < 0 ? rc : store_open(d->loop, &opts, &d->store, err);
}

static int open_engine(struct data *d, struct err *err)
{
    const struct engine_options opts = {.zone = d->zone,
                                        .on_error = on_rule_error,
                                        .on_late = on_late,
                                        .on_use = on_use,
                                        .arg = d,
                                        .find_schema = schemas_find,
                                        .schema_arg = d};
    return engine_new(&opts, wall_now().us, &d->engine, err);
}

static void on_broker_state(void *arg)
{
    struct data *d = arg;
    struct broker_status st;
    broker_status(d->broker, &st);
    if (st.state == BROKER_RUNNING) {
        log_info("the broker runs pid=%d restarts=%u", st.pid, st.restarts);
    } else if (st.state == BROKER_WAITING) {
        log_warn("the broker ended: %s, starting it again", st.why ? st.why : "");
    }
}

static int open_broker(struct data *d, const struct broker_config *given, struct err *err)
{
    if (!given) {
        return 0;
    }
    if (!d->dir) {
        return err_set(err, -E_INVAL, "a broker needs a state folder");
    }
    CLEANUP(mem_freep) char *dir = mem_printf("%s/broker", d->dir);
    struct broker_config cfg = *given;
    cfg.loop = d->loop;
    cfg.dir = dir;
    cfg.on_events = mqtt_sources_take;
    cfg.ready = mqtt_sources_ready;
    cfg.on_state = on_broker_state;
    cfg.arg = d;
    return dir ? broker_start(&cfg, &d->broker, err) : err_sys(err, -E_NOMEM, "start the broker");
}

static int copy_texts(struct data *d, const struct data_config *cfg)
{
    d->dir = mem_strdup(cfg->dir);
    d->zone = mem_strdup(cfg->zone);
    return (cfg->dir && !d->dir) || (cfg->zone && !d->zone) ? -E_NOMEM : 0;
}

static void free_parts(struct data *d)
{
    io_timer_stop(&d->clock);
    rest_tests_free(d);
    data_rules_free(d);
    data_streams_free(d);
    placement_close(d);
    engine_free(TAKE_PTR(d->engine));
    schemas_free(d);
    topics_free(TAKE_PTR(d->topics));
}

static void free_data(struct data *d)
{
    mem_free(d->dir);
    mem_free(d->zone);
    mem_free(d);
}

int data_start(const struct data_config *cfg, struct data **ret, struct err *err)
{
    struct data *d = mem_zalloc(sizeof(*d));
    if (!d) {
        return err_sys(err, -E_NOMEM, "start the rules");
    }
    d->loop = cfg->loop;
    d->started = wall_now();
    d->port = cfg->port;
    io_timer_init(d->loop, &d->clock, on_clock, d);
    list_init(&d->mqtt_sources);
    list_init(&d->mqtt_shares);
    list_init(&d->http_sources);
    int rc = copy_texts(d, cfg);
    rc = rc < 0 ? err_sys(err, rc, "start the rules") : open_store(d, err);
    rc = rc < 0 ? rc : open_engine(d, err);
    rc = rc < 0 ? rc : placement_open(d, cfg->threads, err);
    rc = rc < 0 ? rc : open_broker(d, cfg->broker, err);
    if (rc == 0) {
        d->topics = topics_new(d->loop);
        rc = d->topics ? 0 : err_sys(err, -E_NOMEM, "start the rules");
    }
    *ret = d;
    if (rc < 0) {
        return rc;
    }
    schemas_load(d);
    data_streams_load(d);
    data_rules_load(d);
    data_turn(d);
    return cfg->api ? objects_start(d, cfg->api, err) : 0;
}

/* ---- stop: rules first, then what waits in the sinks, the store last ---- */

static void on_store_closed(void *arg, int code)
{
    struct data *d = arg;
    if (code < 0) {
        log_error("close the store: %s", err_text(code));
    }
    void (*stopped)(void *) = d->stopped;
    void *stopped_arg = d->stopped_arg;
    free_data(d);
    if (stopped) {
        stopped(stopped_arg);
    }
}

static void on_broker_stopped(void *arg)
{
    struct data *d = arg;
    if (d->store) {
        store_close(TAKE_PTR(d->store), on_store_closed, d);
    } else {
        on_store_closed(d, 0);
    }
}

static void on_flushed(void *arg)
{
    struct data *d = arg;
    if (--d->flushing > 0) {
        return;
    }
    free_parts(d);
    if (d->broker) {
        broker_stop(TAKE_PTR(d->broker), on_broker_stopped, d);
    } else {
        on_broker_stopped(d);
    }
}

void data_stop(struct data *d, int64_t grace_ms, void (*done)(void *arg), void *arg)
{
    d->stopping = true;
    objects_stop(TAKE_PTR(d->objects));
    d->stopped = done;
    d->stopped_arg = arg;
    d->flushing = 1;
    MAP_FOR_EACH (slot, &d->rules) {
        struct data_rule *r = slot->value;
        data_rule_save(r);
        if (r->live) {
            placement_hold(r);
            rule_stop(r->live);
            placement_release(r);
        }
        for (uint32_t i = 0; i < r->n_sinks; i++) {
            d->flushing++;
            sink_flush(r->sinks[i], grace_ms, on_flushed, d);
        }
    }
    on_flushed(d);
}

void data_handle(struct data *d, struct http_exchange *x)
{
    if (!http_push_handle(d, x)) {
        rest_handle(d, x);
    }
}
