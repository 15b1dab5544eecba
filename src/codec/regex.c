/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiler and matcher of regular expressions: Thompson's construction, run by Pike's machine.
 *
 * All threads of the machine step through the text together; a set of program counters holds each
 * at most once, so a step costs at most the size of the program whatever the pattern is. Threads
 * are kept in order of preference; the first that matches cuts those behind it, which gives Perl's
 * choice among the leftmost matches. When only yes or no is asked, no positions are recorded.
 */
#include "regex.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "regex_private.h"

enum op { OP_RUNE, OP_CLASS, OP_SPLIT, OP_JUMP, OP_SAVE, OP_ASSERT, OP_MATCH };

struct inst {
    enum op op;
    uint32_t x; /* rune, index of a class, preferred target, slot, assertion */
    uint32_t y; /* second target */
};

struct compiled_class {
    uint64_t ascii[2];
    struct rune_range *ranges; /* own memory */
    uint32_t n;
};

/* Program counters in order of preference, each once: sparse[pc] is its place in dense. */
struct threads {
    uint32_t *dense, *sparse;
    uint32_t n;
};

struct pending {
    uint32_t pc;
    uint32_t slot; /* with pc == PC_RESTORE: the slot that gets `value` back */
    size_t value;
};
#define PC_RESTORE UINT32_MAX

struct regex {
    struct inst *prog;
    struct compiled_class *classes;
    uint32_t n, cap, n_classes, cap_classes;
    unsigned groups, slots;
    bool first_byte[256]; /* bytes that may open a match */
    bool any_first;       /* ... or the empty text matches, so all may */
    /* working memory */
    struct threads lists[2];
    struct threads seen; /* all counters visited at one position */
    struct pending *stack;
    uint32_t *memory;
    size_t *caps[2]; /* slots of each thread; made by the first regex_find */
    size_t *now, *best;
};

/* ---- compiler ---- */

struct compiler {
    struct regex *re;
    uint32_t visits; /* of nodes: an empty group repeated a thousand times emits nothing */
    int rc;
};

static uint32_t emit(struct compiler *c, enum op op, uint32_t x, uint32_t y)
{
    struct regex *re = c->re;
    if (c->rc < 0) {
        return 0;
    }
    if (re->n >= LIMIT_REGEX_PROGRAM) {
        c->rc = -E_LIMIT;
        return 0;
    }
    if (re->n == re->cap) {
        uint32_t cap = re->cap ? re->cap * 2 : 32;
        struct inst *grown = mem_realloc(re->prog, cap * sizeof(*grown));
        if (!grown) {
            c->rc = -E_NOMEM;
            return 0;
        }
        re->prog = grown;
        re->cap = cap;
    }
    re->prog[re->n] = (struct inst){op, x, y};
    return re->n++;
}

static uint32_t add_class(struct compiler *c, const struct rune_class *class)
{
    struct regex *re = c->re;
    if (re->n_classes == re->cap_classes) {
        uint32_t cap = re->cap_classes ? re->cap_classes * 2 : 8;
        struct compiled_class *grown = mem_realloc(re->classes, cap * sizeof(*grown));
        if (!grown) {
            c->rc = -E_NOMEM;
            return 0;
        }
        re->classes = grown;
        re->cap_classes = cap;
    }
    struct compiled_class *out = &re->classes[re->n_classes];
    *out = (struct compiled_class){.n = class->n};
    out->ranges = mem_dup(class->ranges, class->n * sizeof(*class->ranges));
    if (!out->ranges && class->n) {
        c->rc = -E_NOMEM;
        return 0;
    }
    for (uint32_t i = 0; i < class->n; i++) {
        for (uint32_t r = class->ranges[i].lo; r <= class->ranges[i].hi && r < 128; r++) {
            out->ascii[r / 64] |= UINT64_C(1) << r % 64;
        }
    }
    return re->n_classes++;
}

static void compile_node(struct compiler *c, const struct regex_node *n);

static void compile_optional(struct compiler *c, const struct regex_node *n)
{
    uint32_t split = emit(c, OP_SPLIT, 0, 0);
    compile_node(c, n->child);
    if (c->rc == 0) {
        struct inst *i = &c->re->prog[split];
        i->x = n->greedy ? split + 1 : c->re->n;
        i->y = n->greedy ? c->re->n : split + 1;
    }
}

static void compile_star(struct compiler *c, const struct regex_node *n)
{
    uint32_t split = emit(c, OP_SPLIT, 0, 0);
    compile_node(c, n->child);
    emit(c, OP_JUMP, split, 0);
    if (c->rc == 0) {
        struct inst *i = &c->re->prog[split];
        i->x = n->greedy ? split + 1 : c->re->n;
        i->y = n->greedy ? c->re->n : split + 1;
    }
}

static void compile_repeat(struct compiler *c, const struct regex_node *n)
{
    uint32_t before = c->re->n;
    for (int i = 0; i < n->min && c->rc == 0; i++) {
        before = c->re->n;
        compile_node(c, n->child);
    }
    if (n->max == REPEAT_INFINITE && n->min > 0) {
        uint32_t split = emit(c, OP_SPLIT, n->greedy ? before : 0, n->greedy ? 0 : before);
        if (c->rc == 0) {
            *(n->greedy ? &c->re->prog[split].y : &c->re->prog[split].x) = c->re->n;
        }
    } else if (n->max == REPEAT_INFINITE) {
        compile_star(c, n);
    } else {
        for (int i = n->min; i < n->max && c->rc == 0; i++) {
            compile_optional(c, n);
        }
    }
}

static void compile_alternate(struct compiler *c, const struct regex_node *n)
{
    uint32_t jumps = UINT32_MAX; /* chained through x until the end is known */
    for (const struct regex_node *k = n->child; k && c->rc == 0; k = k->next) {
        if (!k->next) {
            compile_node(c, k);
            break;
        }
        uint32_t split = emit(c, OP_SPLIT, 0, 0);
        compile_node(c, k);
        jumps = emit(c, OP_JUMP, jumps, 0);
        if (c->rc == 0) {
            c->re->prog[split].x = split + 1;
            c->re->prog[split].y = c->re->n;
        }
    }
    while (c->rc == 0 && jumps != UINT32_MAX) {
        uint32_t next = c->re->prog[jumps].x;
        c->re->prog[jumps].x = c->re->n;
        jumps = next;
    }
}

/* Recursion follows the tree, whose depth the parser bounds. */
static void compile_node(struct compiler *c, const struct regex_node *n)
{
    if (c->rc == 0 && ++c->visits > 4 * LIMIT_REGEX_PROGRAM) {
        c->rc = -E_LIMIT;
    }
    if (c->rc < 0) {
        return;
    }
    switch (n->type) {
    case RE_EMPTY:
        break;
    case RE_RUNE:
        emit(c, OP_RUNE, n->rune, 0);
        break;
    case RE_CLASS:
        emit(c, OP_CLASS, add_class(c, &n->class), 0);
        break;
    case RE_ASSERT:
        emit(c, OP_ASSERT, n->assert, 0);
        break;
    case RE_CONCAT:
        for (const struct regex_node *k = n->child; k; k = k->next) {
            compile_node(c, k);
        }
        break;
    case RE_ALTERNATE:
        compile_alternate(c, n);
        break;
    case RE_REPEAT:
        compile_repeat(c, n);
        break;
    case RE_GROUP:
        if (n->group) {
            emit(c, OP_SAVE, n->group * 2, 0);
        }
        compile_node(c, n->child);
        if (n->group) {
            emit(c, OP_SAVE, n->group * 2 + 1, 0);
        }
        break;
    }
}

/* ---- sets of threads ---- */

static bool threads_has(const struct threads *t, uint32_t pc)
{
    return t->sparse[pc] < t->n && t->dense[t->sparse[pc]] == pc;
}

static uint32_t threads_add(struct threads *t, uint32_t pc)
{
    t->sparse[pc] = t->n;
    t->dense[t->n] = pc;
    return t->n++;
}

/* Which bytes can open a match: what is reachable from the start without reading. */
static void find_first_bytes(struct regex *re)
{
    struct pending *stack = re->stack;
    size_t depth = 0;
    re->seen.n = 0;
    stack[depth++].pc = 0;
    while (depth > 0) {
        uint32_t pc = stack[--depth].pc;
        if (threads_has(&re->seen, pc)) {
            continue;
        }
        threads_add(&re->seen, pc);
        const struct inst *i = &re->prog[pc];
        switch (i->op) {
        case OP_SPLIT:
            stack[depth++].pc = i->y;
            stack[depth++].pc = i->x;
            break;
        case OP_JUMP:
            stack[depth++].pc = i->x;
            break;
        case OP_SAVE:
        case OP_ASSERT:
            stack[depth++].pc = pc + 1;
            break;
        case OP_MATCH:
            re->any_first = true;
            break;
        case OP_RUNE:
            if (i->x < 0x80) {
                re->first_byte[i->x] = true;
            } else {
                memset(re->first_byte + 0x80, true, 0x80);
            }
            break;
        case OP_CLASS:
            for (unsigned b = 0; b < 0x80; b++) {
                re->first_byte[b] |= re->classes[i->x].ascii[b / 64] >> b % 64 & 1;
            }
            memset(re->first_byte + 0x80, true, 0x80);
            break;
        }
    }
}

static int make_memory(struct regex *re)
{
    size_t n = re->n;
    re->memory = mem_zalloc(6 * n * sizeof(*re->memory));
    re->stack = mem_alloc((3 * n + 2) * sizeof(*re->stack));
    if (!re->memory || !re->stack) {
        return -E_NOMEM;
    }
    struct threads *sets[] = {&re->lists[0], &re->lists[1], &re->seen};
    for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
        sets[i]->dense = re->memory + 2 * i * n;
        sets[i]->sparse = re->memory + (2 * i + 1) * n;
    }
    return 0;
}

int regex_compile(struct str pattern, struct regex **ret, struct err *err)
{
    struct arena a;
    struct regex_tree tree;
    CLEANUP(regex_freep) struct regex *re = mem_zalloc(sizeof(*re));
    arena_init(&a, 0);
    struct compiler c = {.re = re};
    int rc = re ? regex_parse(&a, pattern, &tree, err) : err_set(err, -E_NOMEM, "out of memory");
    if (rc == 0) {
        compile_node(&c, tree.root);
        emit(&c, OP_MATCH, 0, 0);
        rc = c.rc < 0 ? c.rc : make_memory(re);
        if (rc == -E_LIMIT) {
            err_set(err, rc, "error parsing regexp: expression too large");
        } else if (rc < 0) {
            err_set(err, rc, "out of memory");
        }
    }
    if (rc == 0) {
        re->groups = tree.groups;
        re->slots = 2 * (1 + MIN_OF(tree.groups, (unsigned)LIMIT_REGEX_GROUPS));
        find_first_bytes(re);
        *ret = TAKE_PTR(re);
    }
    arena_fini(&a);
    return rc;
}

void regex_free(struct regex *re)
{
    if (!re) {
        return;
    }
    for (uint32_t i = 0; i < re->n_classes; i++) {
        mem_free(re->classes[i].ranges);
    }
    mem_free(re->classes);
    mem_free(re->prog);
    mem_free(re->memory);
    mem_free(re->stack);
    mem_free(re->caps[0]);
    mem_free(re);
}

void regex_freep(struct regex **re)
{
    regex_free(*re);
}

unsigned regex_groups(const struct regex *re)
{
    return re->groups;
}

/* ---- matcher ---- */

/* One run over a text. */
struct run {
    struct regex *re;
    struct str text;
    size_t at;      /* the position that threads are being added for */
    unsigned slots; /* recorded slots; 0 = only yes or no */
};

static bool is_word(const struct run *r, size_t at)
{
    unsigned char c = (unsigned char)r->text.p[at];
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool assertion_holds(const struct run *r, enum regex_assert assert)
{
    bool start = r->at == 0, end = r->at == r->text.n;
    switch (assert) {
    case ASSERT_TEXT_START:
        return start;
    case ASSERT_TEXT_END:
        return end;
    case ASSERT_LINE_START:
        return start || r->text.p[r->at - 1] == '\n';
    case ASSERT_LINE_END:
        return end || r->text.p[r->at] == '\n';
    case ASSERT_WORD:
    case ASSERT_NOT_WORD:
        break;
    }
    bool boundary = (!start && is_word(r, r->at - 1)) != (!end && is_word(r, r->at));
    return boundary == (assert == ASSERT_WORD);
}

/* Adds pc and all that it reaches without reading, in order of preference, to a list. The captures
 * of the thread stand in re->now. */
static void add_thread(struct run *r, struct threads *to, size_t *to_caps, uint32_t start)
{
    struct regex *re = r->re;
    struct pending *stack = re->stack;
    size_t depth = 0;
    stack[depth++].pc = start;
    while (depth > 0) {
        struct pending top = stack[--depth];
        if (top.pc == PC_RESTORE) {
            re->now[top.slot] = top.value;
            continue;
        }
        if (threads_has(&re->seen, top.pc)) {
            continue;
        }
        threads_add(&re->seen, top.pc);
        const struct inst *i = &re->prog[top.pc];
        switch (i->op) {
        case OP_SPLIT:
            stack[depth++].pc = i->y;
            stack[depth++].pc = i->x;
            break;
        case OP_JUMP:
            stack[depth++].pc = i->x;
            break;
        case OP_SAVE:
            if (i->x < r->slots) {
                stack[depth++] = (struct pending){PC_RESTORE, i->x, re->now[i->x]};
                re->now[i->x] = r->at;
            }
            stack[depth++].pc = top.pc + 1;
            break;
        case OP_ASSERT:
            if (assertion_holds(r, (enum regex_assert)i->x)) {
                stack[depth++].pc = top.pc + 1;
            }
            break;
        case OP_RUNE:
        case OP_CLASS:
        case OP_MATCH: {
            uint32_t place = threads_add(to, top.pc);
            if (r->slots) {
                memcpy(to_caps + (size_t)place * re->slots, re->now, r->slots * sizeof(size_t));
            }
            break;
        }
        }
    }
}

static bool class_has(const struct compiled_class *c, uint32_t rune)
{
    if (rune < 128) {
        return c->ascii[rune / 64] >> rune % 64 & 1;
    }
    uint32_t lo = 0, hi = c->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (rune > c->ranges[mid].hi) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < c->n && c->ranges[lo].lo <= rune;
}

/* Lets every thread of `from` read the rune at r->at (n bytes; 0 at the end). Threads that go on
 * stand in `to` for the next position. True when one matched here. */
static bool step(struct run *r, struct threads *from, size_t *from_caps, struct threads *to,
                 size_t *to_caps, uint32_t rune, size_t n)
{
    struct regex *re = r->re;
    bool matched = false;
    size_t here = r->at;
    r->at = here + n;
    to->n = 0;
    re->seen.n = 0;
    for (uint32_t k = 0; k < from->n; k++) {
        const struct inst *i = &re->prog[from->dense[k]];
        const size_t *caps = from_caps ? from_caps + (size_t)k * re->slots : NULL;
        if (i->op == OP_MATCH) {
            if (r->slots) {
                memcpy(re->best, caps, r->slots * sizeof(size_t));
                re->best[1] = here;
            }
            matched = true;
            break;
        }
        if (n > 0 && (i->op == OP_RUNE ? rune == i->x : class_has(&re->classes[i->x], rune))) {
            if (r->slots) {
                memcpy(re->now, caps, r->slots * sizeof(size_t));
            }
            add_thread(r, to, to_caps, from->dense[k] + 1);
        }
    }
    r->at = here;
    return matched;
}

/* The first position at or after `at` where a match can open. */
static size_t skip(const struct regex *re, struct str text, size_t at)
{
    while (!re->any_first && at < text.n && !re->first_byte[(unsigned char)text.p[at]]) {
        at++;
    }
    return at;
}

/* When threads die out, the search skips ahead; when one matched, no new ones start. */
static bool run(struct run *r, size_t from)
{
    struct regex *re = r->re;
    int now = 0;
    bool matched = false;
    re->lists[0].n = 0;
    for (r->at = from;;) {
        struct threads *list = &re->lists[now];
        if (list->n == 0) {
            if (matched) {
                return true;
            }
            r->at = skip(re, r->text, r->at);
            re->seen.n = 0;
        }
        if (!matched) {
            for (unsigned i = 0; i < r->slots; i++) {
                re->now[i] = REGEX_NONE;
            }
            if (r->slots) {
                re->now[0] = r->at;
            }
            add_thread(r, list, re->caps[now], 0);
        }
        size_t n = 0;
        uint32_t rune = r->at < r->text.n ? regex_rune(r->text, r->at, &n) : 0;
        if (step(r, list, re->caps[now], &re->lists[!now], re->caps[!now], rune, n)) {
            matched = true;
            if (!r->slots) {
                return true;
            }
        }
        if (n == 0) {
            return matched;
        }
        r->at += n;
        now = !now;
    }
}

bool regex_match(struct regex *re, struct str text)
{
    struct run r = {.re = re, .text = text};
    return run(&r, 0);
}

static int make_captures(struct regex *re)
{
    size_t list = (size_t)re->n * re->slots;
    if (!re->caps[0]) {
        re->caps[0] = mem_alloc((2 * list + 2 * re->slots) * sizeof(size_t));
        if (!re->caps[0]) {
            return -E_NOMEM;
        }
        re->caps[1] = re->caps[0] + list;
        re->now = re->caps[1] + list;
        re->best = re->now + re->slots;
    }
    return 0;
}

int regex_find(struct regex *re, struct str text, size_t from, struct regex_span *spans,
               size_t n_spans)
{
    struct run r = {.re = re, .text = text};
    r.slots = (unsigned)MIN_OF((size_t)re->slots, n_spans * 2);
    if (make_captures(re) < 0) {
        return -E_NOMEM;
    }
    if (from > text.n || !run(&r, from)) {
        return 0;
    }
    for (size_t i = 0; i < n_spans; i++) {
        spans[i] = (struct regex_span){REGEX_NONE, REGEX_NONE};
        if (i * 2 < r.slots && re->best[i * 2 + 1] != REGEX_NONE) {
            spans[i] = (struct regex_span){re->best[i * 2], re->best[i * 2 + 1]};
        }
    }
    return 1;
}
