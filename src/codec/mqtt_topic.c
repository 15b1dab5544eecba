/* SPDX-License-Identifier: Apache-2.0 */
/* Topic filters one at a time; sets of them are in mqtt_topic_set.c. */
#include "mqtt_topic.h"

#include "utf8.h"

static bool text_valid(struct str s)
{
    return s.n > 0 && s.n <= UINT16_MAX && !memchr(s.p, 0, s.n) && utf8_valid(s);
}

bool mqtt_filter_valid(struct str filter)
{
    if (!text_valid(filter)) {
        return false;
    }
    struct str rest = filter, level;
    bool more = true;
    while (more) {
        more = str_cut(rest, '/', &level, &rest);
        bool wild = level.n > 0 && (memchr(level.p, '+', level.n) || memchr(level.p, '#', level.n));
        if (wild && (level.n > 1 || (level.p[0] == '#' && more))) {
            return false;
        }
    }
    return true;
}

bool mqtt_topic_valid(struct str topic)
{
    return text_valid(topic) && !memchr(topic.p, '+', topic.n) && !memchr(topic.p, '#', topic.n);
}

static bool dollar(struct str s)
{
    return s.n > 0 && s.p[0] == '$';
}

/* A first level that is a wildcard is about topics without '$' alone. */
static bool first_apart(struct str a, struct str b)
{
    return (dollar(a) && (str_is(b, "+") || str_is(b, "#"))) ||
           (dollar(b) && (str_is(a, "+") || str_is(a, "#")));
}

bool mqtt_filter_matches(struct str filter, struct str topic)
{
    return mqtt_filter_covers(filter, topic);
}

bool mqtt_filter_covers(struct str a, struct str b)
{
    struct str la, lb;
    bool more_a = str_cut(a, '/', &la, &a), more_b = str_cut(b, '/', &lb, &b);
    if (first_apart(la, lb)) {
        return false;
    }
    for (;;) {
        if (str_is(la, "#")) {
            return true;
        }
        if (str_is(lb, "#") || (!str_is(la, "+") && !str_eq(la, lb))) {
            return false;
        }
        if (!more_a || !more_b) {
            return (!more_a && !more_b) || (!more_b && str_is(a, "#"));
        }
        more_a = str_cut(a, '/', &la, &a);
        more_b = str_cut(b, '/', &lb, &b);
    }
}

bool mqtt_filter_overlaps(struct str a, struct str b)
{
    struct str la, lb;
    bool more_a = str_cut(a, '/', &la, &a), more_b = str_cut(b, '/', &lb, &b);
    if (first_apart(la, lb)) {
        return false;
    }
    for (;;) {
        if (str_is(la, "#") || str_is(lb, "#")) {
            return true;
        }
        if (!str_is(la, "+") && !str_is(lb, "+") && !str_eq(la, lb)) {
            return false;
        }
        if (!more_a || !more_b) {
            return (!more_a && !more_b) || (!more_b && str_is(a, "#")) ||
                   (!more_a && str_is(b, "#"));
        }
        more_a = str_cut(a, '/', &la, &a);
        more_b = str_cut(b, '/', &lb, &b);
    }
}

struct str mqtt_filter_unshared(struct str filter)
{
    struct str first, group, rest;
    if (str_cut(filter, '/', &first, &rest) && str_is(first, "$share") &&
        str_cut(rest, '/', &group, &rest) && group.n > 0 && rest.n > 0) {
        return rest;
    }
    return filter;
}
