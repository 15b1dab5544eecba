/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions with regular expressions, which are those of codec/regex.h. The compiled forms of the
 * patterns used last are kept, a few a thread.
 */
#include <pthread.h>

#include "base/limits.h"
#include "codec/regex.h"
#include "family.h"
#include "runes.h"
#include "stream/sql/ast.h"

#define PURE FUNCTION_F_PURE
#define NULLS (FUNCTION_F_PURE | FUNCTION_F_NULLS)

struct pattern {
    char *text;
    size_t n;
    struct regex *regex;
};

enum { PATTERNS = 16 };

struct patterns { /* of one thread */
    struct pattern kept[PATTERNS];
    unsigned next;
};

static pthread_key_t patterns_key;
static pthread_once_t patterns_once = PTHREAD_ONCE_INIT;

static void patterns_free(void *arg)
{
    struct patterns *p = arg;
    for (size_t i = 0; i < PATTERNS; i++) {
        regex_free(p->kept[i].regex);
        mem_free(p->kept[i].text);
    }
    mem_free(p);
}

static void patterns_key_make(void)
{
    int rc = pthread_key_create(&patterns_key, patterns_free);
    assert(rc == 0);
    (void)rc; /* without asserts it is not read */
}

static int pattern_make(struct patterns *p, struct str text, struct regex **ret, struct err *err)
{
    struct pattern *slot = &p->kept[p->next];
    char *copy = mem_strndup(text.p ? text.p : "", text.n);
    struct regex *regex = NULL;
    int rc = copy ? regex_compile(text, &regex, err) : -ENOMEM;
    if (rc < 0) {
        mem_free(copy);
        return rc;
    }
    p->next = (p->next + 1) % PATTERNS;
    regex_free(slot->regex);
    mem_free(slot->text);
    *slot = (struct pattern){copy, text.n, regex};
    *ret = regex;
    return 0;
}

static int pattern_of(struct str text, struct regex **ret, struct err *err)
{
    (void)pthread_once(&patterns_once, patterns_key_make); /* cannot fail */
    struct patterns *p = pthread_getspecific(patterns_key);
    if (!p) {
        p = mem_zalloc(sizeof(*p));
        if (!p || pthread_setspecific(patterns_key, p) != 0) {
            mem_free(p);
            return -ENOMEM;
        }
    }
    for (size_t i = 0; i < PATTERNS; i++) {
        if (p->kept[i].regex && str_eq(str_n(p->kept[i].text, p->kept[i].n), text)) {
            *ret = p->kept[i].regex;
            return 0;
        }
    }
    return pattern_make(p, text, ret, err);
}

static int eval_matches(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                        struct err *err)
{
    struct str s, pattern;
    struct regex *re;
    int rc = function_two_texts(ev, args, &s, &pattern, err);
    (void)argc;
    *ret = value_bool(false);
    if (rc != 0 || (rc = pattern_of(pattern, &re, err)) < 0) {
        return rc < 0 ? rc : 0;
    }
    *ret = value_bool(regex_match(re, s));
    return 0;
}

static int eval_substr(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                       struct err *err)
{
    struct str s, pattern;
    struct regex *re;
    struct regex_span span = {0, 0};
    int rc = function_two_texts(ev, args, &s, &pattern, err);
    (void)argc;
    if (rc < 0 || (rc = pattern_of(pattern, &re, err)) < 0 ||
        (rc = regex_find(re, s, 0, &span, 1)) < 0) {
        return rc;
    }
    return function_text_result(
        ev->arena, rc ? str_n(s.p + span.start, span.end - span.start) : STR_LIT(""), ret);
}

/* What $name or ${name} at the start of s is: its length, 0 = a plain '$'. A number is a group. */
static size_t reference(struct str s, int64_t *ret_group)
{
    bool brace = s.n > 1 && s.p[1] == '{';
    size_t from = brace ? 2 : 1, end = from;
    while (end < s.n &&
           ((s.p[end] >= '0' && s.p[end] <= '9') || s.p[end] == '_' ||
            (s.p[end] >= 'a' && s.p[end] <= 'z') || (s.p[end] >= 'A' && s.p[end] <= 'Z'))) {
        end++;
    }
    if (end == from || (brace && (end == s.n || s.p[end] != '}'))) {
        return 0;
    }
    if (str_i64(str_n(s.p + from, end - from), ret_group) < 0) {
        *ret_group = -1;
    }
    return end + brace;
}

static void expand(struct buf *out, struct str with, struct str s, const struct regex_span *spans)
{
    for (size_t i = 0; i < with.n;) {
        struct str rest = str_n(with.p + i, with.n - i);
        int64_t group = -1;
        if (rest.p[0] != '$') {
            (void)buf_putc(out, rest.p[0]); /* sticky */
            i++;
            continue;
        }
        size_t n = rest.n > 1 && rest.p[1] == '$' ? 0 : reference(rest, &group);
        if (n == 0) {
            (void)buf_putc(out, '$');
            i += rest.n > 1 && rest.p[1] == '$' ? 2 : 1;
            continue;
        }
        if (group >= 0 && group <= LIMIT_REGEX_GROUPS && spans[group].start != REGEX_NONE) {
            (void)buf_append(out, s.p + spans[group].start, spans[group].end - spans[group].start);
        }
        i += n;
    }
}

/* Every match, from left to right; an empty one not where the last one ended. */
static int replace_all(struct regex *re, struct str s, struct str with, struct buf *out)
{
    struct regex_span spans[LIMIT_REGEX_GROUPS + 1];
    size_t done = 0, from = 0, size;
    bool first = true;
    while (from <= s.n) {
        int rc = regex_find(re, s, from, spans, ARRAY_SIZE(spans));
        if (rc < 0) {
            return rc;
        }
        if (rc == 0) {
            break;
        }
        bool empty = spans[0].start == spans[0].end;
        if (!empty || first || spans[0].start > done) {
            (void)buf_append(out, s.p + done, spans[0].start - done);
            expand(out, with, s, spans);
            done = spans[0].end;
            first = false;
        }
        from = spans[0].end;
        if (empty) {
            size = 1;
            if (from < s.n) {
                (void)text_rune(s, from, &size);
            }
            from += size;
        }
    }
    (void)buf_append(out, s.p + done, s.n - done);
    return buf_failed(out) ? -ENOMEM : 0;
}

static int eval_replace(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                        struct err *err)
{
    struct str s, pattern, with;
    struct regex *re;
    int rc = function_two_texts(ev, args, &s, &pattern, err);
    (void)argc;
    if (rc < 0 || (rc = function_text(ev->arena, &args[2], &with, err)) < 0 ||
        (rc = pattern_of(pattern, &re, err)) < 0) {
        return rc;
    }
    if (!s.p) {
        s = STR_LIT("");
    }
    struct buf b;
    buf_init(&b, LIMIT_EVENT_BYTES);
    if (replace_all(re, s, with, &b) < 0) {
        buf_fini(&b);
        return -ENOMEM;
    }
    return function_take_text(ev, &b, ret);
}

static const struct function functions[] = {
    SCALAR("regexp_matches", 2, 2, NULLS, function_check_strings, eval_matches,
           "Whether the regular expression matches somewhere in the text."),
    SCALAR(
        "regexp_replace", 3, 3, PURE, function_check_strings, eval_replace,
        "The text with all matches replaced; $1 stands for a group: regexp_replace(text, regex, with)."),
    SCALAR("regexp_substr", 2, 2, PURE, function_check_strings, eval_substr,
           "The first match of the regular expression, or an empty text."),
    SCALAR("regexp_substring", 2, 2, PURE, function_check_strings, eval_substr,
           "The same as regexp_substr."),
};

const struct function_family function_regex = {functions, ARRAY_SIZE(functions)};
