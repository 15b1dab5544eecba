/* SPDX-License-Identifier: Apache-2.0 */
/* mosquitto's acl_file: lines to rules, and what they allow. */
#include "mqtt_acl.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "codec/mqtt_topic.h"

struct rule {
    struct list link;
    unsigned access; /* of enum mqtt_access; 0 = deny */
    struct str filter;
    char text[];
};

struct mqtt_acl {
    struct list anonymous; /* of struct rule, as the lists below */
    struct list patterns;
    struct map users; /* name to struct list */
    size_t len;
    struct buf expanded; /* a pattern with its names filled in */
};

static void rules_free(void *head)
{
    for (struct list *l; (l = list_pop_front(head));) {
        mem_free(CONTAINER_OF(l, struct rule, link));
    }
}

static void user_free(void *head)
{
    rules_free(head);
    mem_free(head);
}

/* The rules of a user, made when there are none. NULL when memory is short. */
static struct list *user_rules(struct mqtt_acl *a, struct str name)
{
    struct list *head = map_get(&a->users, name);
    if (!head && (head = mem_alloc(sizeof(*head)))) {
        list_init(head);
        if (map_put(&a->users, name, head, /* ret_old= */ NULL) < 0) {
            mem_free(head);
            return NULL;
        }
    }
    return head;
}

static bool access_of(struct str word, unsigned *ret)
{
    static const struct {
        const char *word;
        unsigned access;
    } words[] = {{"read", MQTT_READ},
                 {"write", MQTT_WRITE},
                 {"readwrite", MQTT_READ | MQTT_WRITE},
                 {"deny", 0}};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (str_is(word, words[i].word)) {
            *ret = words[i].access;
            return true;
        }
    }
    return false;
}

/* rest: what follows "topic" or "pattern". */
static int parse_rule(struct mqtt_acl *a, struct list *head, struct str rest, struct err *err)
{
    struct str word, filter;
    unsigned access = MQTT_READ | MQTT_WRITE;
    if (!str_cut(rest, ' ', &word, &filter)) {
        filter = rest;
    } else if (!access_of(word, &access)) {
        return err_set(err, -E_PARSE, "'" STR_FMT "' is none of read, write, readwrite, deny",
                       STR_ARG(word));
    }
    filter = str_trim(filter);
    if (!mqtt_filter_valid(filter)) {
        return err_set(err, -E_PARSE, "'" STR_FMT "' is no topic filter", STR_ARG(filter));
    }
    if (a->len++ >= LIMIT_BROKER_RULES) {
        return err_set(err, -E_LIMIT, "more than %d rules", LIMIT_BROKER_RULES);
    }
    struct rule *r = mem_alloc(sizeof(*r) + filter.n);
    if (!r) {
        return err_set(err, -E_NOMEM, "out of memory");
    }
    memcpy(r->text, filter.p, filter.n);
    r->filter = str_n(r->text, filter.n);
    r->access = access;
    list_push_back(head, &r->link);
    return 0;
}

static int parse_line(struct mqtt_acl *a, struct list **user, struct str line, struct err *err)
{
    struct str word, rest = STR_NULL;
    (void)str_cut(line, ' ', &word, &rest); /* without a blank the rest is empty */
    rest = str_trim(rest);
    if (str_is(word, "topic")) {
        return parse_rule(a, *user, rest, err);
    }
    if (str_is(word, "pattern")) {
        return parse_rule(a, &a->patterns, rest, err);
    }
    if (!str_is(word, "user")) {
        return err_set(err, -E_PARSE, "'" STR_FMT "' is none of user, topic, pattern",
                       STR_ARG(word));
    }
    if (rest.n == 0) {
        return err_set(err, -E_PARSE, "the name of the user is missing");
    }
    *user = user_rules(a, rest);
    return *user ? 0 : err_set(err, -E_NOMEM, "out of memory");
}

int mqtt_acl_parse(struct str text, const char *name, struct mqtt_acl **ret, struct err *err)
{
    struct mqtt_acl *a = mem_zalloc(sizeof(*a));
    if (!a) {
        return err_set(err, -E_NOMEM, "%s: out of memory", name);
    }
    list_init(&a->anonymous);
    list_init(&a->patterns);
    struct list *user = &a->anonymous;
    unsigned number = 0;
    for (bool more = true; more;) {
        struct str line;
        more = str_cut(text, '\n', &line, &text);
        number++;
        if (line.n > 0 && line.p[line.n - 1] == '\r') {
            line.n--;
        }
        line = str_trim(line);
        int code = line.n == 0 || line.p[0] == '#' ? 0 : parse_line(a, &user, line, err);
        if (code < 0) {
            mqtt_acl_free(a);
            return err_wrap(err, code, "%s:%u", name, number);
        }
    }
    *ret = a;
    return 0;
}

void mqtt_acl_free(struct mqtt_acl *a)
{
    if (a) {
        rules_free(&a->anonymous);
        rules_free(&a->patterns);
        map_fini(&a->users, user_free);
        buf_fini(&a->expanded);
        mem_free(a);
    }
}

/* A name that is more than one level, or a wildcard, may not stand in for a level. */
static bool name_usable(struct str s)
{
    return s.n > 0 && !memchr(s.p, '/', s.n) && !memchr(s.p, '+', s.n) && !memchr(s.p, '#', s.n);
}

/* Fills in the names. False when one is missing or unusable, or memory is short. */
static bool expand(struct mqtt_acl *a, struct str pattern, struct str user, struct str client)
{
    buf_clear(&a->expanded);
    for (bool more = true, first = true; more; first = false) {
        struct str level;
        more = str_cut(pattern, '/', &level, &pattern);
        bool is_user = str_is(level, "%u"), is_client = str_is(level, "%c");
        struct str name = is_user ? user : is_client ? client : level;
        if (((is_user || is_client) && !name_usable(name)) ||
            (!first && buf_putc(&a->expanded, '/') < 0) || buf_append_str(&a->expanded, name) < 0) {
            return false;
        }
    }
    return true;
}

static bool applies(const struct rule *r, struct str filter, struct str topic,
                    enum mqtt_access access)
{
    if (access != MQTT_SUBSCRIBE) {
        return (r->access == 0 || (r->access & access)) && mqtt_filter_matches(filter, topic);
    }
    if (r->access == 0) {
        return mqtt_filter_covers(filter, topic);
    }
    return (r->access & MQTT_READ) && mqtt_filter_overlaps(filter, topic);
}

enum verdict { SILENT, GRANTED, DENIED };

struct question {
    struct str user, client, topic;
    enum mqtt_access access;
};

static enum verdict ask(struct mqtt_acl *a, const struct list *rules, bool patterns,
                        const struct question *q)
{
    enum verdict v = SILENT;
    LIST_FOR_EACH (l, rules) {
        const struct rule *r = CONTAINER_OF(l, struct rule, link);
        struct str filter = r->filter;
        if (patterns) {
            if (!expand(a, filter, q->user, q->client)) {
                continue;
            }
            filter = buf_str(&a->expanded);
        }
        if (applies(r, filter, q->topic, q->access)) {
            if (r->access == 0) {
                return DENIED;
            }
            v = GRANTED;
        }
    }
    return v;
}

bool mqtt_acl_allows(struct mqtt_acl *a, struct str user, struct str client, struct str topic,
                     enum mqtt_access access)
{
    struct question q = {user, client, topic, access};
    if (access == MQTT_SUBSCRIBE) {
        q.topic = mqtt_filter_unshared(topic);
    }
    const struct list *own = user.n > 0 ? map_get(&a->users, user) : &a->anonymous;
    enum verdict mine = own ? ask(a, own, /* patterns= */ false, &q) : SILENT;
    if (mine == DENIED) {
        return false;
    }
    enum verdict all = ask(a, &a->patterns, /* patterns= */ true, &q);
    return all != DENIED && (mine == GRANTED || all == GRANTED);
}
