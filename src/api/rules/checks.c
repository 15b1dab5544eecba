/* SPDX-License-Identifier: Apache-2.0 */
/* Small checks that the rules of several kinds share: see rules.h. */
#include <arpa/inet.h>
#include <stdarg.h>
#include <string.h>

#include "api/object.h"
#include "api/quantity.h"
#include "api/rules/rules.h"
#include "api/selector.h"
#include "base/mem.h"

const char *rule_path(struct field_errors *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *s = arena_vprintf(e->arena, fmt, ap);
    va_end(ap);
    return s ? s : "";
}

bool rule_required(struct field_errors *e, const char *path, const struct json *o,
                   const char *member)
{
    if (json_text(json_get(o, member)).n > 0) {
        return true;
    }
    const char *sep = *path ? "." : "";
    field_error(e, FIELD_REQUIRED, rule_path(e, "%s%s%s", path, sep, member), NULL, NULL);
    return false;
}

void rule_name(struct field_errors *e, const char *path, const struct json *value,
               validate_name_fn *check)
{
    const char *why = check(json_text(value));
    if (why) {
        field_error_text(e, FIELD_INVALID, path, json_cstr(value, ""), why);
    }
}

void rule_port(struct field_errors *e, const char *path, const struct json *n)
{
    if (json_is(n, JSON_INT) && (n->i < 1 || n->i > 65535)) {
        field_error(e, FIELD_INVALID, path, n, "must be between 1 and 65535, inclusive");
    }
}

void rule_int_or_percent(struct field_errors *e, const char *path, const struct json *v,
                         bool at_most_100)
{
    if (!json_is(v, JSON_STRING)) {
        validate_not_negative(e, path, v);
        return;
    }
    struct str s = json_text(v);
    uint64_t n;
    if (!str_ends(s, "%") || str_u64(str_n(s.p, s.n - 1), &n) < 0) {
        field_error(e, FIELD_INVALID, path, v,
                    "a valid percent string must be a numeric string followed by an ending '%' "
                    "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')");
    } else if (at_most_100 && n > 100) {
        field_error(e, FIELD_INVALID, path, v, "must not be greater than 100%");
    }
}

bool rule_is_zero(const struct json *v)
{
    return json_is(v, JSON_INT) ? v->i == 0 : cstr_eq(json_cstr(v, NULL), "0%");
}

bool rule_is_ip(const char *s, bool *ret_v6)
{
    struct in6_addr a6;
    struct in_addr a4;
    bool v4 = inet_pton(AF_INET, s, &a4) == 1, v6 = !v4 && inet_pton(AF_INET6, s, &a6) == 1;
    if (ret_v6) {
        *ret_v6 = v6;
    }
    return v4 || v6;
}

bool rule_is_cidr(const char *s)
{
    char ip[INET6_ADDRSTRLEN];
    struct str head, bits;
    uint64_t n;
    bool v6;
    if (!str_cut(str_of(s), '/', &head, &bits) || head.n >= sizeof(ip) || str_u64(bits, &n) < 0) {
        return false;
    }
    memcpy(ip, head.p, head.n);
    ip[head.n] = '\0';
    return rule_is_ip(ip, &v6) && n <= (v6 ? 128 : 32);
}

void rule_selector(struct field_errors *e, const struct json *spec, const char *empty)
{
    const struct json *selector = json_get(spec, "selector");
    if (!selector) {
        field_error(e, FIELD_REQUIRED, "spec.selector", NULL, NULL);
        return;
    }
    validate_label_selector(e, "spec.selector", selector);
    if (json_len(json_get(selector, "matchLabels")) == 0 &&
        json_len(json_get(selector, "matchExpressions")) == 0) {
        field_error(e, FIELD_INVALID, "spec.selector", selector, empty);
    }
}

void rule_template(struct field_errors *e, const struct json *spec, bool always_restart)
{
    static const char *const always[] = {"Always", NULL};
    const struct json *selector = json_get(spec, "selector");
    const struct json *template = json_get(spec, "template");
    const struct json *labels = json_path(template, "metadata.labels");
    struct selector *parsed = NULL;
    if (selector && selector_from_json(e->arena, selector, &parsed, NULL) == 0 &&
        !selector_empty(parsed) && !selector_match_labels(parsed, labels)) {
        validate_refuse_labels(e, "spec.template.metadata.labels", labels,
                               "`selector` does not match template `labels`");
    }
    validate_labels(e, "spec.template.labels", labels);
    validate_pod_spec(e, "spec.template.spec", json_get(template, "spec"));
    if (always_restart) {
        validate_one_of(e, "spec.template.spec.restartPolicy",
                        json_path(template, "spec.restartPolicy"), always);
    }
}

void rule_amounts(struct field_errors *e, const char *path, const struct json *amounts)
{
    JSON_FOR_EACH_MEMBER (m, amounts) {
        struct quantity q;
        struct err err;
        const char *p = rule_path(e, "%s[%s]", path, m->key);
        if (quantity_from_json(m->value, &q, &err) < 0) {
            field_error(e, FIELD_INVALID, p, m->value, err.text);
        } else if (q.nano < 0) {
            field_error(e, FIELD_INVALID, p, m->value, "must be greater than or equal to 0");
        }
    }
}

void rule_status_reset(struct arena *a, struct json *obj)
{
    json_set(obj, "status", json_object(a));
}

void rule_keep(struct json *obj, const struct json *old, const char *member)
{
    struct json *v = json_get(old, member);
    if (v) {
        json_set(obj, member, v);
    } else {
        (void)json_del(obj, member);
    }
}
