/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A B+ tree: rows lie in leaves, and each node has the sum (a fold) of all rows below it, made when
 * it is first asked for. Nodes on the right spine are never asked: they grow with every row, so a
 * query goes down them instead, which makes an append touch no node but the last leaf.
 *
 * Invariants
 * 1 Rows are ascending by time, those of one time in the order in which they came.
 * 2 `least` of a node is not after its rows and not before those of its left neighbours.
 * 3 A node whose sum is stale has only ancestors with stale sums, so marking stops at the first.
 * 4 All leaves have one depth. Nodes are split at their middle, on the right edge behind their
 *   end; only the left spine, from which rows leave, and the right one hold less than half.
 */
#include "finger.h"

#include "fold.h"

enum { LEAF = 16, ARITY = 8 };

struct node {
    struct node *parent;
    struct fold *sum; /* NULL = stale */
    int64_t least;
    uint32_t n;
    bool leaf;
    union {
        struct kept *rows;   /* LEAF */
        struct node **nodes; /* ARITY */
    };
};

struct finger {
    struct node *root, *last; /* last: the leaf at the right edge; both NULL = empty */
    int64_t told_us;          /* as finger_told() was told */
};

/* ---- life ---- */

bool finger_possible(const struct window_spec *s)
{
    if (s->kind != AST_WINDOW_SLIDING || !s->event_time || s->lateness <= 0) {
        return false;
    }
    for (uint32_t i = 0; i < s->n_aggregates; i++) {
        if (!s->aggregates[i].function->state->merge) {
            return false;
        }
    }
    return fold_reads_rows_only(s);
}

int finger_new(struct finger **ret)
{
    struct finger *t = mem_zalloc(sizeof(*t));
    if (!t) {
        return -ENOMEM;
    }
    t->told_us = INT64_MIN;
    *ret = t;
    return 0;
}

void finger_told(struct finger *t, int64_t until_us)
{
    t->told_us = MAX_OF(t->told_us, until_us);
}

static size_t node_bytes(bool leaf)
{
    return sizeof(struct node) +
           (leaf ? LEAF * sizeof(struct kept) : ARITY * sizeof(struct node *));
}

static struct node *node_new(struct window *w, bool leaf, int64_t least)
{
    struct node *n = mem_zalloc(node_bytes(leaf));
    if (n) {
        n->leaf = leaf;
        n->least = least;
        if (leaf) {
            n->rows = (struct kept *)(void *)(n + 1);
        } else {
            n->nodes = (struct node **)(void *)(n + 1);
        }
        w->bytes += node_bytes(leaf);
    }
    return n;
}

static void node_free(struct window *w, struct node *n)
{
    fold_free(w, n->sum);
    w->bytes -= node_bytes(n->leaf);
    mem_free(n);
}

static struct node *leftmost(struct node *n)
{
    while (!n->leaf) {
        n = n->nodes[0];
    }
    return n;
}

/* The emptied leaf at the left edge goes, and the nodes that it leaves empty. */
static void drop_leftmost(struct window *w, struct finger *t, struct node *n)
{
    struct node *up;
    for (; (up = n->parent) != NULL; n = up) {
        node_free(w, n);
        up->n--;
        memmove(up->nodes, up->nodes + 1, up->n * sizeof(struct node *));
        if (up->n > 0) {
            break;
        }
    }
    if (!up) {
        node_free(w, n);
        t->root = t->last = NULL;
        return;
    }
    while (!t->root->leaf && t->root->n == 1) {
        struct node *only = t->root->nodes[0];
        node_free(w, t->root);
        only->parent = NULL;
        t->root = only;
    }
}

void finger_free(struct window *w, struct finger *t)
{
    while (t && t->root) {
        drop_leftmost(w, t, leftmost(t->root));
    }
    mem_free(t);
}

static void mark_stale(struct window *w, struct node *n)
{
    for (; n && n->sum; n = n->parent) {
        fold_free(w, n->sum);
        n->sum = NULL;
    }
}

/* ---- rows in ---- */

/* The leaf for a row of time `us`: up from the right edge until it is below, and down. */
static struct node *leaf_for(const struct finger *t, int64_t us)
{
    struct node *n = t->last;
    while (us < n->least && n->parent) {
        n = n->parent;
    }
    while (!n->leaf) {
        uint32_t i = n->n - 1;
        while (i > 0 && us < n->nodes[i]->least) {
            i--;
        }
        n = n->nodes[i];
    }
    return n;
}

/* What of a full node goes to its new right neighbour: half of it, or nothing when the row comes
 * behind the end of all. */
static void share(struct node *n, struct node *right, bool append)
{
    uint32_t stay = append ? n->n : n->n / 2;
    right->n = n->n - stay;
    n->n = stay;
    if (right->n == 0) {
        return;
    }
    if (n->leaf) {
        memcpy(right->rows, n->rows + stay, right->n * sizeof(*n->rows));
        right->least = right->rows[0].row->time_us;
        return;
    }
    memcpy(right->nodes, n->nodes + stay, right->n * sizeof(struct node *));
    right->least = right->nodes[0]->least;
    for (uint32_t i = 0; i < right->n; i++) {
        right->nodes[i]->parent = right;
    }
}

/* Into a parent with room, behind its neighbour, or at the end when that is none of its. */
static void put_behind(struct node *parent, const struct node *neighbour, struct node *n)
{
    uint32_t at = parent->n;
    while (at > 0 && parent->nodes[at - 1] != neighbour) {
        at--;
    }
    at = at > 0 ? at : parent->n;
    memmove(parent->nodes + at + 1, parent->nodes + at, (parent->n - at) * sizeof(struct node *));
    parent->nodes[at] = n;
    parent->n++;
    n->parent = parent;
}

enum { DEPTH_MAX = 32 }; /* of 4^32 rows */

/* Nodes for a split: fresh[0] a leaf. All or none. */
static int get_nodes(struct window *w, struct node **fresh, uint32_t n, int64_t least)
{
    for (uint32_t i = 0; i < n; i++) {
        fresh[i] = node_new(w, i == 0, least);
        if (!fresh[i]) {
            while (i > 0) {
                node_free(w, fresh[--i]);
            }
            return -ENOMEM;
        }
    }
    return 0;
}

/* Splits a full leaf and, before it, the full nodes above, from the top down: the parent of what is
 * split has room. */
static int split(struct window *w, struct finger *t, struct node *leaf, int64_t us)
{
    struct node *path[DEPTH_MAX], *fresh[DEPTH_MAX + 1];
    uint32_t n = 0;
    bool append = leaf == t->last && us >= leaf->rows[leaf->n - 1].row->time_us;
    for (struct node *at = leaf; at && (at->leaf || at->n == ARITY); at = at->parent) {
        assert(n < DEPTH_MAX);
        path[n++] = at;
    }
    bool grows = !path[n - 1]->parent;
    if (get_nodes(w, fresh, n + grows, us) < 0) {
        return -ENOMEM;
    }
    mark_stale(w, leaf);
    if (grows) {
        fresh[n]->least = t->root->least;
        put_behind(fresh[n], NULL, t->root);
        t->root = fresh[n];
    }
    for (uint32_t i = n; i-- > 0;) {
        share(path[i], fresh[i], append);
        put_behind(append && i + 1 < n ? fresh[i + 1] : path[i]->parent, path[i], fresh[i]);
    }
    t->last = t->last == leaf ? fresh[0] : t->last;
    return 0;
}

int finger_insert(struct window *w, struct finger *t, const struct kept *k)
{
    int64_t us = k->row->time_us;
    if (!t->root) {
        t->root = t->last = node_new(w, true, us);
    }
    struct node *leaf = t->root ? leaf_for(t, us) : NULL;
    if (leaf && leaf->n == LEAF) {
        leaf = split(w, t, leaf, us) < 0 ? NULL : leaf_for(t, us);
    }
    if (!leaf) {
        return -ENOMEM;
    }
    uint32_t at = leaf->n;
    while (at > 0 && us < leaf->rows[at - 1].row->time_us) {
        at--;
    }
    memmove(leaf->rows + at + 1, leaf->rows + at, (leaf->n - at) * sizeof(*leaf->rows));
    leaf->rows[at] = *k;
    leaf->n++;
    mark_stale(w, leaf);
    for (struct node *n = leaf; n && us < n->least; n = n->parent) {
        n->least = us;
    }
    return 0;
}

/* ---- rows out ---- */

void finger_evict(struct window *w, struct finger *t, int64_t before_us)
{
    while (t->root) {
        struct node *leaf = leftmost(t->root);
        uint32_t n = 0;
        while (n < leaf->n && leaf->rows[n].row->time_us < before_us) {
            n++;
        }
        if (n == 0) {
            return;
        }
        mark_stale(w, leaf);
        leaf->n -= n;
        memmove(leaf->rows, leaf->rows + n, leaf->n * sizeof(*leaf->rows));
        if (leaf->n > 0) {
            return;
        }
        drop_leftmost(w, t, leaf);
    }
}

/* ---- sums ---- */

/* What a row fails to compute is told once, however often it is added. */
static int add_row(struct window *w, struct kept *k, struct fold *into)
{
    window_error_fn *error = w->error;
    bool told = k->told || (!k->late && k->row->time_us < w->fingers->told_us);
    w->error = told ? NULL : error;
    int rc = fold_add(w, into, k);
    w->error = error;
    k->told = true;
    return rc;
}

static int merge_node(struct window *w, struct node *n, struct fold *into);

static int make_sum(struct window *w, struct node *n)
{
    n->sum = fold_new(/* small= */ true);
    int rc = n->sum ? 0 : -ENOMEM;
    for (uint32_t i = 0; rc >= 0 && i < n->n; i++) {
        rc = n->leaf ? add_row(w, &n->rows[i], n->sum) : merge_node(w, n->nodes[i], n->sum);
    }
    return rc;
}

/* Adds the sum of a whole node. It is not kept when the limit of memory left a part of it out. As
 * deep as the tree. */
static int merge_node(struct window *w, struct node *n, struct fold *into)
{
    uint64_t refused = w->refused;
    int rc = n->sum ? 0 : make_sum(w, n);
    rc = rc < 0 ? rc : fold_merge(w, into, n->sum);
    if (rc < 0 || refused != w->refused) {
        fold_free(w, n->sum);
        n->sum = NULL;
    }
    return rc;
}

struct part { /* what is summed */
    int64_t from, until;
    struct fold *into;
};

/* until: no row of the node is after it; INT64_MAX on the right spine. As deep as the tree. */
static int sum_node(struct window *w, struct node *n, int64_t until, const struct part *p)
{
    int rc = 0;
    if (n->least >= p->from && until < p->until) {
        return merge_node(w, n, p->into);
    }
    for (uint32_t i = 0; rc >= 0 && i < n->n; i++) {
        if (n->leaf) {
            int64_t at = n->rows[i].row->time_us;
            rc = at >= p->from && at < p->until ? add_row(w, &n->rows[i], p->into) : 0;
            continue;
        }
        int64_t most = i + 1 < n->n ? n->nodes[i + 1]->least : until;
        if (most >= p->from && n->nodes[i]->least < p->until) {
            rc = sum_node(w, n->nodes[i], most, p);
        }
    }
    return rc;
}

int finger_sum(struct window *w, struct finger *t, int64_t from, int64_t until, struct fold *into)
{
    const struct part p = {from, until, into};
    return t->root ? sum_node(w, t->root, INT64_MAX, &p) : 0;
}
