/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of topic filters: a tree of levels. A node has its children by name, one child for '+', and
 * says whether a filter ends here or ends with '#' below.
 */
#include "base/err.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "mqtt_topic.h"

struct node {
    struct map children;
    struct node *plus;
    bool ends, rest;   /* a filter ends here; a filter goes on with '#' */
    struct node *next; /* of all nodes, for the end */
};

struct mqtt_topic_set {
    struct node *root;
    struct node *all;
    size_t len;
};

static struct node *node_new(struct mqtt_topic_set *s)
{
    struct node *n = mem_zalloc(sizeof(*n));
    if (n) {
        n->next = s->all;
        s->all = n;
    }
    return n;
}

struct mqtt_topic_set *mqtt_topic_set_new(void)
{
    struct mqtt_topic_set *s = mem_zalloc(sizeof(*s));
    if (s && !(s->root = node_new(s))) {
        mem_free(s);
        return NULL;
    }
    return s;
}

void mqtt_topic_set_free(struct mqtt_topic_set *s)
{
    for (struct node *n = s ? s->all : NULL, *next; n; n = next) {
        next = n->next;
        map_fini(&n->children, /* free_fn= */ NULL);
        mem_free(n);
    }
    mem_free(s);
}

static struct node *child(struct mqtt_topic_set *s, struct node *n, struct str level)
{
    if (str_is(level, "+")) {
        return n->plus ? n->plus : (n->plus = node_new(s));
    }
    struct node *c = map_get(&n->children, level);
    if (!c) {
        c = node_new(s);
        if (c && map_put(&n->children, level, c, /* ret_old= */ NULL) < 0) {
            return NULL; /* the set owns c still */
        }
    }
    return c;
}

int mqtt_topic_set_add(struct mqtt_topic_set *s, struct str filter)
{
    if (!mqtt_filter_valid(filter)) {
        return -E_INVAL;
    }
    if (s->len >= LIMIT_MQTT_FILTERS) {
        return -E_LIMIT;
    }
    struct node *n = s->root;
    struct str rest = filter, level;
    size_t levels = 1;
    for (size_t i = 0; i < filter.n; i++) {
        levels += filter.p[i] == '/';
    }
    if (levels > LIMIT_MQTT_LEVELS) {
        return -E_LIMIT;
    }
    for (bool more = true; more;) {
        more = str_cut(rest, '/', &level, &rest);
        if (str_is(level, "#")) {
            s->len += !n->rest;
            n->rest = true;
            return 0;
        }
        n = child(s, n, level);
        if (!n) {
            return -E_NOMEM;
        }
    }
    s->len += !n->ends;
    n->ends = true;
    return 0;
}

/* Depth first, without recursion: a stack of (node, rest of the topic) where '+' branched off. What
 * is taken off pushes only deeper nodes, so one place a level is enough. */
#define BRANCHES LIMIT_MQTT_LEVELS

struct branch {
    const struct node *node;
    struct str rest;
    bool more;
};

/* Follows the names from b; pushes the '+' children that it passes. */
static bool follow(struct branch b, bool wild_ok, struct branch *stack, size_t *depth)
{
    const struct node *n = b.node;
    for (;;) {
        if (n->rest && wild_ok) {
            return true;
        }
        if (!b.more) {
            return n->ends;
        }
        struct str level;
        b.more = str_cut(b.rest, '/', &level, &b.rest);
        if (n->plus && wild_ok) {
            assert(*depth < BRANCHES);
            stack[(*depth)++] = (struct branch){n->plus, b.rest, b.more};
        }
        n = map_get(&n->children, level);
        if (!n) {
            return false;
        }
        wild_ok = true;
    }
}

bool mqtt_topic_set_matches(const struct mqtt_topic_set *s, struct str topic)
{
    struct branch stack[BRANCHES];
    size_t depth = 0;
    bool wild_ok = topic.n == 0 || topic.p[0] != '$';
    if (follow((struct branch){s->root, topic, /* more= */ true}, wild_ok, stack, &depth)) {
        return true;
    }
    while (depth > 0) {
        struct branch b = stack[--depth];
        if (follow(b, /* wild_ok= */ true, stack, &depth)) {
            return true;
        }
    }
    return false;
}

size_t mqtt_topic_set_len(const struct mqtt_topic_set *s)
{
    return s->len;
}
