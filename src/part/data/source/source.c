/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of sources, their configuration, and the way of their events into the engine.
 *
 * A configuration is made of three layers, a later one over an earlier: the configuration that
 * CONF_KEY names (DIR/etc/sources/TYPE.yaml, as in eKuiper, where "default" is under every other),
 * the options of WITH (...) with their keys in lower case, and the JSON object of EXTRA.
 */
#include "source.h"

#include "base/log.h"
#include "base/mem.h"
#include "codec/yaml.h"
#include "part/data/data_private.h"
#include "io/file.h"
#include "part/data/placement.h"
#include "part/data/replay.h"
#include "source_inbox.h"
#include "stream/sql/sql.h"

#define CONF_FILE_MAX ((size_t)1 << 20)

static const struct source_ops *const kinds[] = {
    &source_file, &source_http_pull, &source_http_push, &source_memory,
    &source_mqtt, &source_simulator, &source_socket,
};

const struct source_ops *source_find(struct str type)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (str_iis(type, kinds[i]->type)) {
            return kinds[i];
        }
    }
    return NULL;
}

/* ---- configuration ---- */

static void merge(struct json *into, const struct json *from)
{
    JSON_FOR_EACH_MEMBER (m, from) {
        json_set_n(into, str_n(m->key, m->key_n), m->value);
    }
}

/* DIR/etc/sources/TYPE.yaml: {default: {...}, KEY: {...}}. Its absence is no error unless a key was
 * asked for. */
static int read_conf_key(struct source *s, struct str key, struct err *err)
{
    CLEANUP(mem_freep)
    char *path =
        s->data->dir ? mem_printf("%s/etc/sources/%s.yaml", s->data->dir, s->ops->type) : NULL;
    CLEANUP(mem_freep) char *text = NULL;
    size_t n = 0;
    struct json *all = NULL;
    if (!path || !file_exists(path)) {
        return key.n == 0 || str_is(key, "default")
                   ? 0
                   : err_set(err, -E_INVAL, "CONF_KEY '" STR_FMT "': there is no %s", STR_ARG(key),
                             path ? path : "configuration folder");
    }
    int rc = file_read(path, CONF_FILE_MAX, &text, &n, err);
    rc = rc < 0 ? rc : yaml_parse(&s->arena, str_n(text, n), &all, err);
    if (rc < 0) {
        return err_wrap(err, rc, "%s", path);
    }
    merge(s->conf, json_get(all, "default"));
    if (key.n > 0 && !str_is(key, "default")) {
        struct json *own = json_get_n(all, key);
        if (!own) {
            return err_set(err, -E_INVAL, "CONF_KEY '" STR_FMT "' is not in %s", STR_ARG(key),
                           path);
        }
        merge(s->conf, own);
    }
    return 0;
}

static char *lower(struct arena *a, struct str s)
{
    char *out = arena_str(a, s);
    for (size_t i = 0; out && i < s.n; i++) {
        out[i] = out[i] >= 'A' && out[i] <= 'Z' ? (char)(out[i] + 32) : out[i];
    }
    return out;
}

static int read_extra(struct source *s, struct str extra, struct err *err)
{
    struct json *j;
    int rc = json_parse(&s->arena, extra, NULL, &j, err);
    if (rc == 0 && !json_is(j, JSON_OBJECT)) {
        rc = err_set(err, -E_INVAL, "not an object");
    }
    if (rc < 0) {
        return err_wrap(err, rc, "EXTRA");
    }
    merge(s->conf, j);
    return 0;
}

static int read_conf(struct source *s, struct err *err)
{
    struct ast_statement *st;
    s->conf = json_object(&s->arena);
    int rc = read_conf_key(s, engine_stream_option(s->stream, "CONF_KEY"), err);
    rc = rc < 0 ? rc : sql_parse(&s->arena, str_of(engine_stream_ddl(s->stream)), &st, err);
    if (rc < 0) {
        return rc;
    }
    for (uint32_t i = 0; i < st->n_options; i++) {
        char *key = lower(&s->arena, st->options[i].key);
        json_set(s->conf, key ? key : "", json_string_n(&s->arena, st->options[i].value));
    }
    struct str extra = sql_option(st, "EXTRA");
    rc = extra.n > 0 ? read_extra(s, extra, err) : 0;
    s->datasource = json_cstr(json_get(s->conf, "datasource"), "");
    return rc == 0 && arena_failed(&s->arena) ? err_sys(err, -E_NOMEM, "read the options") : rc;
}

/* ---- life ---- */

static void free_source(struct source *s)
{
    inbox_close(s->inbox);
    arena_fini(&s->arena);
    mem_free(s->trouble);
    mem_free(s);
}

static bool wants_inbox(const struct source *s)
{
    const struct data_stream *ds = engine_stream_data(s->stream);
    return s->ops->kept && ds && ds->keepers > 0;
}

int source_open(struct data *d, struct engine_stream *stream, struct source **ret, struct err *err)
{
    struct str type = engine_stream_option(stream, "TYPE");
    const struct source_ops *ops = source_find(type.n > 0 ? type : STR_LIT("mqtt"));
    if (!ops) {
        return err_set(err, -E_INVAL, "stream %s: source type " STR_FMT " not found",
                       engine_stream_name(stream), STR_ARG(type));
    }
    struct source *s = mem_zalloc(ops->size);
    if (!s) {
        return err_sys(err, -E_NOMEM, "stream %s", engine_stream_name(stream));
    }
    s->ops = ops;
    s->data = d;
    s->loop = d->loop;
    s->stream = stream;
    s->name = engine_stream_name(stream);
    arena_init(&s->arena, 0);
    int rc = read_conf(s, err);
    rc = rc < 0 || !wants_inbox(s) ? rc : inbox_open(s, &s->inbox, err);
    rc = rc < 0 ? rc : ops->open(s, err);
    if (rc < 0) {
        rc = err_wrap(err, rc, "stream %s: %s", s->name, ops->type);
        free_source(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void source_close(struct source *s)
{
    if (s) {
        s->ops->close(s);
        free_source(s);
    }
}

/* ---- events ---- */

static bool on_shards(const struct source *s)
{
    const struct data_stream *ds = s->data->n_shards > 0 ? engine_stream_data(s->stream) : NULL;
    return ds && ds->shards > 0;
}

bool source_ready(struct source *s)
{
    s->waits = !s->inbox && on_shards(s) && !placement_room(engine_stream_data(s->stream));
    return !s->waits;
}

void source_deliver(struct source *s, const struct payload *payloads, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        s->bytes += payloads[i].bytes.n;
    }
    s->events += n;
    if (s->inbox) {
        inbox_take(s->inbox, payloads, n);
    } else {
        source_process(s, payloads, n);
    }
}

int source_synced(struct source *s)
{
    return s->inbox ? inbox_sync(s->inbox) : 0;
}

void source_process(struct source *s, const struct payload *payloads, uint32_t n)
{
    data_turn(s->data);
    for (uint32_t at = 0, part; at < n; at += part) {
        part = replay_part(s, at, n - at);
        if (on_shards(s)) {
            placement_deliver(s, engine_stream_data(s->stream), payloads + at, part);
        }
        if (engine_push(s->data->engine, s->stream, payloads + at, part) < 0) {
            s->errors += part;
            log_warn("stream %s: out of memory, %u events dropped", s->name, part);
        }
    }
    data_turn(s->data);
}

void source_deliver_values(struct source *s, const struct value *events, const struct value *meta,
                           uint32_t n)
{
    int64_t arrival[64];
    s->events += n;
    data_turn(s->data);
    for (uint32_t at = 0; at < n; at += ARRAY_SIZE(arrival)) {
        uint32_t part = MIN_OF(n - at, (uint32_t)ARRAY_SIZE(arrival));
        for (uint32_t i = 0; i < part; i++) {
            arrival[i] = engine_now(s->data->engine);
        }
        if (on_shards(s)) {
            placement_deliver_values(s, engine_stream_data(s->stream), events + at,
                                     meta ? meta + at : NULL, part);
        }
        if (engine_push_values(s->data->engine, s->stream, events + at, meta ? meta + at : NULL,
                               arrival, part) < 0) {
            s->errors += part;
            log_warn("stream %s: out of memory, %u events dropped", s->name, part);
        }
    }
    data_turn(s->data);
}

/* ---- places ---- */

bool source_can_go_back(const struct source *s)
{
    return s->inbox || s->ops->place;
}

void source_place(const struct source *s, struct source_place *ret)
{
    if (s->inbox) {
        inbox_place(s->inbox, ret);
    } else {
        s->ops->place(s, ret);
    }
}

int source_check(struct source *s, const struct source_place *p, struct err *err)
{
    return s->inbox ? inbox_check(s->inbox, p, err) : s->ops->check(s, p, err);
}

void source_seek(struct source *s, const struct source_place *to)
{
    if (s->inbox) {
        inbox_seek(s->inbox, to);
    } else {
        s->ops->seek(s, to);
    }
}

void source_covered(struct source *s, const struct source_place *upto)
{
    if (s->inbox) {
        inbox_covered(s->inbox, upto);
    } else if (s->ops->covered) {
        s->ops->covered(s, upto);
    }
}

int source_place_compare(const struct source_place *a, const struct source_place *b)
{
    int files = strcmp(a->file, b->file);
    return a->round != b->round   ? (a->round < b->round ? -1 : 1)
           : files != 0           ? files
           : a->event != b->event ? (a->event < b->event ? -1 : 1)
                                  : 0;
}

bool source_congested(const struct source *s)
{
    const struct data_stream *ds = engine_stream_data(s->stream);
    return ds && ((ds->keepers > 0 && replay_congested(ds)) ||
                  (ds->shards > 0 && !placement_room((struct data_stream *)ds)));
}

void source_told(struct source *s, bool connected, const char *why)
{
    if (s->connected == connected && cstr_eq(s->trouble, why)) {
        return;
    }
    mem_free(s->trouble);
    s->trouble = mem_strdup(why);
    s->connected = connected;
    if (!connected && why) {
        log_warn("stream %s: %s, trying again", s->name, why);
    }
}
