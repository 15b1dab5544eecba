/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MQTT connections that sinks share; see mqtt_share.h. What a user has under way is remembered in
 * his flights, made by the first publish. Those of a user who left stay until the client has told
 * of them, or is closed.
 */
#include "mqtt_share.h"

#include "base/buf.h"
#include "base/mem.h"
#include "data_private.h"

struct share {
    struct list link; /* of the part */
    struct data *data;
    char *key; /* what tells connections apart; NULL: not shared */
    struct mqtt_client *client;
    struct list users;
    unsigned n_users; /* who are there; the others wait for their flights */
};

struct flight {
    struct mqtt_user *user;
    uint64_t sequence;
    struct flight *next; /* of those that are free */
};

struct mqtt_user {
    struct list link; /* of the share */
    struct share *share;
    mqtt_user_done_fn *done; /* NULL: the user has left */
    void *arg;
    struct flight *flights, *free; /* MQTT_USER_WINDOW of them; NULL until the first publish */
    unsigned under_way;
};

/* ---- connections ---- */

static void put_text(struct buf *b, const char *s)
{
    (void)buf_printf(b, "%zu:%s,", s ? strlen(s) : 0, s ? s : ""); /* sticky */
}

/* Heap; NULL when memory is short. */
static char *key_of(const struct mqtt_config *c)
{
    struct buf b = BUF_INIT;
    put_text(&b, c->host);
    put_text(&b, c->username);
    put_text(&b, c->password);
    put_text(&b, c->tls.ca_file);
    put_text(&b, c->tls.cert_file);
    put_text(&b, c->tls.key_file);
    (void)buf_printf(&b, "%u,%u,%d,%d", c->port, c->version, c->tls.on, c->tls.insecure);
    char *key = buf_take(&b, NULL);
    buf_fini(&b);
    return key;
}

static struct share *find_share(struct data *d, const char *key)
{
    LIST_FOR_EACH (at, &d->mqtt_shares) {
        struct share *s = CONTAINER_OF(at, struct share, link);
        if (s->key && cstr_eq(s->key, key)) {
            return s;
        }
    }
    return NULL;
}

static void free_user(struct mqtt_user *u)
{
    list_del(&u->link);
    mem_free(u->flights);
    mem_free(u);
}

static void free_share(struct share *s)
{
    mqtt_close(s->client); /* tells of no flight any more */
    while (!list_empty(&s->users)) {
        free_user(CONTAINER_OF(s->users.next, struct mqtt_user, link));
    }
    list_del(&s->link);
    mem_free(s->key);
    mem_free(s);
}

static int open_share(struct data *d, const struct mqtt_config *cfg, struct share **ret,
                      struct err *err)
{
    CLEANUP(mem_freep) char *key = cfg->client_id ? NULL : key_of(cfg);
    *ret = key ? find_share(d, key) : NULL;
    if (*ret) {
        return 0;
    }
    struct share *s = mem_zalloc(sizeof(*s));
    if (!s || (!key && !cfg->client_id)) {
        mem_free(s);
        return err_sys(err, -E_NOMEM, "open a connection");
    }
    s->data = d;
    s->key = TAKE_PTR(key);
    list_init(&s->users);
    list_push_back(&d->mqtt_shares, &s->link);
    int rc = mqtt_open(cfg, &s->client, err);
    if (rc < 0) {
        free_share(s);
        return rc;
    }
    *ret = s;
    return 0;
}

/* ---- users ---- */

int mqtt_user_open(struct data *d, const struct mqtt_config *cfg, mqtt_user_done_fn *done,
                   void *arg, struct mqtt_user **ret, struct err *err)
{
    struct share *s;
    int rc = open_share(d, cfg, &s, err);
    if (rc < 0) {
        return rc;
    }
    struct mqtt_user *u = mem_zalloc(sizeof(*u));
    if (!u) {
        if (s->n_users == 0) {
            free_share(s);
        }
        return err_sys(err, -E_NOMEM, "open a connection");
    }
    *u = (struct mqtt_user){.share = s, .done = done, .arg = arg};
    list_push_back(&s->users, &u->link);
    s->n_users++;
    *ret = u;
    return 0;
}

void mqtt_user_close(struct mqtt_user *u)
{
    if (!u) {
        return;
    }
    struct share *s = u->share;
    u->done = NULL;
    if (--s->n_users == 0) {
        free_share(s);
    } else if (u->under_way == 0) {
        free_user(u);
    }
}

bool mqtt_user_connected(const struct mqtt_user *u)
{
    return mqtt_connected(u->share->client);
}

/* ---- publishes ---- */

static void on_done(void *arg, int code)
{
    struct flight *f = arg;
    struct mqtt_user *u = f->user;
    f->next = u->free;
    u->free = f;
    u->under_way--;
    if (u->done) {
        u->done(u->arg, f->sequence, code); /* may close the user */
    } else if (u->under_way == 0) {
        free_user(u);
    }
}

static int make_flights(struct mqtt_user *u)
{
    u->flights = mem_zalloc(MQTT_USER_WINDOW * sizeof(*u->flights));
    for (size_t i = 0; u->flights && i < MQTT_USER_WINDOW; i++) {
        u->flights[i] = (struct flight){.user = u, .next = u->free};
        u->free = &u->flights[i];
    }
    return u->flights ? 0 : -E_NOMEM;
}

int mqtt_user_publish(struct mqtt_user *u, uint64_t sequence, const char *topic, struct str payload,
                      uint8_t qos, bool retain)
{
    if (!u->flights && make_flights(u) < 0) {
        return -E_NOMEM;
    }
    struct flight *f = u->free;
    assert(f); /* no more than the window */
    f->sequence = sequence;
    int rc = mqtt_publish(u->share->client, topic, payload, qos, retain, on_done, f);
    if (rc == 0) {
        u->free = f->next;
        u->under_way++;
    }
    return rc;
}
