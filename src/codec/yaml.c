/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML events (libyaml) to JSON trees, with a stack of our own: no recursion on input.
 *
 * An alias is expanded into a copy, so that the tree stays a tree. What an expansion costs is known
 * before it is made: every anchor remembers how many values and how many levels it holds.
 *
 * Invariants:
 *  1. values <= LIMIT_JSON_VALUES counts every node of the result, copies included.
 *  2. the height of any node plus its depth is <= LIMIT_YAML_DEPTH.
 */
#include "yaml.h"

#include <string.h>

#include <yaml.h>

#include "base/limits.h"
#include "base/mem.h"
#include "yaml_scalar.h"

struct anchor {
    const char *name;
    struct json *node;
    size_t values;
    int height;
};

struct frame {
    struct json *node; /* an array or an object */
    struct json *key;  /* of the member to come; a string */
    bool merge;        /* that key is "<<" */
    char *anchor;      /* of this container; NULL for none */
    size_t values;     /* parser's count before it */
    int height;        /* of what is in it so far */
};

struct parser {
    yaml_parser_t yaml;
    struct arena *arena;
    struct err *err;
    struct frame stack[LIMIT_YAML_DEPTH];
    int depth;
    struct anchor *anchors;
    size_t anchors_n, anchors_cap;
    size_t values;
    struct json *root; /* of the document that is read */
};

static int no_memory(struct parser *p)
{
    return err_set(p->err, -E_NOMEM, "out of memory");
}

static int fail_at(struct parser *p, const yaml_event_t *ev, int code, const char *what)
{
    return err_set(p->err, code, "yaml: line %zu, column %zu: %s", ev->start_mark.line + 1,
                   ev->start_mark.column + 1, what);
}

static int next_event(struct parser *p, yaml_event_t *ev)
{
    if (yaml_parser_parse(&p->yaml, ev)) {
        return 0;
    }
    if (p->yaml.error == YAML_MEMORY_ERROR) {
        return no_memory(p);
    }
    const yaml_mark_t *at = &p->yaml.problem_mark;
    return err_set(p->err, -E_PARSE, "yaml: line %zu, column %zu: %s", at->line + 1, at->column + 1,
                   p->yaml.problem ? p->yaml.problem : "cannot be read");
}

/* ---- anchors ---- */

static struct anchor *find_anchor(struct parser *p, const char *name)
{
    for (size_t i = 0; i < p->anchors_n; i++) {
        if (strcmp(p->anchors[i].name, name) == 0) {
            return &p->anchors[i];
        }
    }
    return NULL;
}

static int put_anchor(struct parser *p, const char *name, struct json *node, size_t values,
                      int height)
{
    struct anchor *a = find_anchor(p, name);
    if (!a) {
        if (p->anchors_n == LIMIT_YAML_ANCHORS) {
            return err_set(p->err, -E_LIMIT, "yaml: more than %d anchors", LIMIT_YAML_ANCHORS);
        }
        if (p->anchors_n == p->anchors_cap) {
            size_t cap = p->anchors_cap ? p->anchors_cap * 2 : 8;
            struct anchor *grown = arena_grow(p->arena, p->anchors, p->anchors_n * sizeof(*grown),
                                              cap * sizeof(*grown));
            if (!grown) {
                return no_memory(p);
            }
            p->anchors = grown;
            p->anchors_cap = cap;
        }
        a = &p->anchors[p->anchors_n++];
    }
    *a = (struct anchor){arena_strdup(p->arena, name), node, values, height};
    return a->name ? 0 : no_memory(p);
}

/* ---- putting nodes where they belong ---- */

/* "<<": members of the mapping, or of all mappings of a list, that are not there yet. */
static int merge(struct parser *p, const yaml_event_t *ev, struct json *into, struct json *from)
{
    if (json_is(from, JSON_ARRAY)) {
        JSON_FOR_EACH (item, from) {
            if (!json_is(item, JSON_OBJECT)) {
                return fail_at(p, ev, -E_PARSE, "a merge needs mappings");
            }
            int rc = merge(p, ev, into, item); /* an object: no deeper */
            if (rc < 0) {
                return rc;
            }
        }
        return 0;
    }
    if (!json_is(from, JSON_OBJECT)) {
        return fail_at(p, ev, -E_PARSE, "a merge needs a mapping");
    }
    JSON_FOR_EACH_MEMBER (m, from) {
        struct str key = str_n(m->key, m->key_n);
        if (!json_get_n(into, key)) {
            json_set_n(into, key, m->value);
        }
    }
    return 0;
}

static int attach(struct parser *p, const yaml_event_t *ev, struct json *node, int height)
{
    if (!node) {
        return no_memory(p);
    }
    if (p->depth == 0) {
        p->root = node;
        return 0;
    }
    struct frame *f = &p->stack[p->depth - 1];
    f->height = MAX_OF(f->height, height + 1);
    if (f->node->type == JSON_ARRAY) {
        return json_push(f->node, node) ? 0 : no_memory(p);
    }
    struct str key = json_text(f->key);
    f->key = NULL;
    if (f->merge) {
        f->merge = false;
        return merge(p, ev, f->node, node);
    }
    return json_set_n(f->node, key, node) ? 0 : no_memory(p);
}

static bool wants_key(const struct parser *p)
{
    const struct frame *f = p->depth ? &p->stack[p->depth - 1] : NULL;
    return f && f->node->type == JSON_OBJECT && !f->key;
}

/* ---- events ---- */

static int on_key(struct parser *p, const yaml_event_t *ev, struct json *scalar)
{
    struct frame *f = &p->stack[p->depth - 1];
    f->merge = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && str_is(json_text(scalar), "<<");
    f->key = yaml_key_text(p->arena, scalar);
    return f->key ? 0 : fail_at(p, ev, -E_PARSE, "null cannot be a key");
}

static int on_scalar(struct parser *p, const yaml_event_t *ev)
{
    struct json *node;
    if (p->values++ >= LIMIT_JSON_VALUES) {
        return fail_at(p, ev, -E_LIMIT, "too many values");
    }
    struct str text = str_n((const char *)ev->data.scalar.value, ev->data.scalar.length);
    bool plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    const char *what = yaml_scalar(p->arena, text, plain, (const char *)ev->data.scalar.tag, &node);
    if (what) {
        return fail_at(p, ev, -E_PARSE, what);
    }
    if (!node) {
        return no_memory(p);
    }
    if (ev->data.scalar.anchor) {
        int rc = put_anchor(p, (const char *)ev->data.scalar.anchor, node, /* values= */ 1,
                            /* height= */ 0);
        if (rc < 0) {
            return rc;
        }
    }
    return wants_key(p) ? on_key(p, ev, node) : attach(p, ev, node, /* height= */ 0);
}

static int on_alias(struct parser *p, const yaml_event_t *ev)
{
    const struct anchor *a = find_anchor(p, (const char *)ev->data.alias.anchor);
    if (!a) {
        return fail_at(p, ev, -E_PARSE, "unknown anchor");
    }
    if (a->values > LIMIT_JSON_VALUES - p->values) {
        return fail_at(p, ev, -E_LIMIT, "aliases expand to too many values");
    }
    if (a->height + p->depth >= LIMIT_YAML_DEPTH) {
        return fail_at(p, ev, -E_LIMIT, "nested too deep");
    }
    p->values += a->values;
    struct json *copy = json_clone(p->arena, a->node);
    if (!wants_key(p)) {
        return attach(p, ev, copy, a->height);
    }
    if (!copy || copy->type == JSON_ARRAY || copy->type == JSON_OBJECT) {
        return copy ? fail_at(p, ev, -E_PARSE, "a key must be a scalar") : no_memory(p);
    }
    struct frame *f = &p->stack[p->depth - 1];
    f->key = yaml_key_text(p->arena, copy);
    return f->key ? 0 : fail_at(p, ev, -E_PARSE, "null cannot be a key");
}

static int on_start(struct parser *p, const yaml_event_t *ev, bool sequence)
{
    const char *tag =
        (const char *)(sequence ? ev->data.sequence_start.tag : ev->data.mapping_start.tag);
    const char *anchor =
        (const char *)(sequence ? ev->data.sequence_start.anchor : ev->data.mapping_start.anchor);
    if (tag && strcmp(tag, sequence ? YAML_SEQ_TAG : YAML_MAP_TAG) != 0) {
        return fail_at(p, ev, -E_PARSE, "tags are not supported");
    }
    if (wants_key(p)) {
        return fail_at(p, ev, -E_PARSE, "a key must be a scalar");
    }
    if (p->depth == LIMIT_YAML_DEPTH) {
        return fail_at(p, ev, -E_LIMIT, "nested too deep");
    }
    if (p->values++ >= LIMIT_JSON_VALUES) {
        return fail_at(p, ev, -E_LIMIT, "too many values");
    }
    struct frame *f = &p->stack[p->depth];
    *f = (struct frame){
        .node = sequence ? json_array(p->arena) : json_object(p->arena),
        .anchor = arena_strdup(p->arena, anchor),
        .values = p->values - 1,
    };
    if (!f->node || (anchor && !f->anchor)) {
        return no_memory(p);
    }
    p->depth++;
    return 0;
}

static int on_end(struct parser *p, const yaml_event_t *ev)
{
    struct frame done = p->stack[--p->depth];
    if (done.anchor) {
        int rc = put_anchor(p, done.anchor, done.node, p->values - done.values, done.height);
        if (rc < 0) {
            return rc;
        }
    }
    return attach(p, ev, done.node, done.height);
}

static int on_event(struct parser *p, const yaml_event_t *ev)
{
    switch (ev->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(p, ev);
    case YAML_ALIAS_EVENT:
        return on_alias(p, ev);
    case YAML_SEQUENCE_START_EVENT:
        return on_start(p, ev, true);
    case YAML_MAPPING_START_EVENT:
        return on_start(p, ev, false);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_end(p, ev);
    case YAML_DOCUMENT_START_EVENT:
        p->root = NULL;
        p->anchors_n = 0;
        p->values = 0;
        return 0;
    default:
        return 0;
    }
}

/* Reads events until a document or the stream has ended: 1 = p->root is a document, 0 = the end. */
static int next_document(struct parser *p)
{
    for (;;) {
        yaml_event_t ev;
        int rc = next_event(p, &ev);
        if (rc < 0) {
            return rc;
        }
        yaml_event_type_t type = ev.type;
        rc = on_event(p, &ev);
        yaml_event_delete(&ev);
        if (rc < 0) {
            return rc;
        }
        if (type == YAML_DOCUMENT_END_EVENT) {
            return 1;
        }
        if (type == YAML_STREAM_END_EVENT || type == YAML_NO_EVENT) {
            return 0;
        }
    }
}

static int open_parser(struct parser *p, struct arena *a, struct str text, struct err *err)
{
    memset(p, 0, sizeof(*p));
    p->arena = a;
    p->err = err;
    if (!yaml_parser_initialize(&p->yaml)) {
        return no_memory(p);
    }
    yaml_parser_set_encoding(&p->yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&p->yaml, (const unsigned char *)(text.p ? text.p : ""), text.n);
    return 0;
}

int yaml_parse(struct arena *a, struct str text, struct json **ret, struct err *err)
{
    struct parser p;
    int rc = open_parser(&p, a, text, err);
    if (rc < 0) {
        return rc;
    }
    rc = next_document(&p);
    yaml_parser_delete(&p.yaml);
    if (rc < 0) {
        return rc;
    }
    struct json *root = rc == 1 ? p.root : json_null(a);
    if (!root || arena_failed(a)) {
        return err_set(err, -E_NOMEM, "out of memory");
    }
    *ret = root;
    return 0;
}

int yaml_parse_all(struct arena *a, struct str text, yaml_document_fn *fn, void *arg,
                   struct err *err)
{
    struct parser p;
    int rc = open_parser(&p, a, text, err);
    if (rc < 0) {
        return rc;
    }
    while ((rc = next_document(&p)) == 1) {
        if (arena_failed(a)) {
            rc = no_memory(&p);
            break;
        }
        rc = p.root && p.root->type != JSON_NULL ? fn(arg, p.root, err) : 0;
        if (rc != 0) {
            break;
        }
    }
    yaml_parser_delete(&p.yaml);
    return rc;
}
