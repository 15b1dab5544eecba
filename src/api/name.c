/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes' rules for names; the messages are those of apimachinery's validation package. */
#include "name.h"

#include <stddef.h>

#define DNS_LABEL_TEXT                                                                                          \
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and " \
    "end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "          \
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
#define DNS_SUBDOMAIN_TEXT                                                                                     \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must " \
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "          \
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
#define DNS1035_TEXT                                                                                        \
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic " \
    "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for "     \
    "validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
#define QUALIFIED_TEXT                                                                                    \
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an " \
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "  \
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
#define QUALIFIED_PARTS_TEXT                                                                                     \
    "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an " \
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "         \
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. "           \
    "'example.com/MyName')"
#define LABEL_VALUE_TEXT                                                                                         \
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "    \
    "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for " \
    "validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool dns_label_ok(struct str s)
{
    if (s.n == 0 || !is_lower_alnum(s.p[0]) || !is_lower_alnum(s.p[s.n - 1])) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (!is_lower_alnum(s.p[i]) && s.p[i] != '-') {
            return false;
        }
    }
    return true;
}

static bool qualified_part_ok(struct str s)
{
    if (s.n == 0 || !is_alnum(s.p[0]) || !is_alnum(s.p[s.n - 1])) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!is_alnum(c) && c != '-' && c != '_' && c != '.') {
            return false;
        }
    }
    return true;
}

const char *name_check_dns_label(struct str s)
{
    if (s.n > 63) {
        return "must be no more than 63 characters";
    }
    return dns_label_ok(s) ? NULL : DNS_LABEL_TEXT;
}

const char *name_check_dns_subdomain(struct str s)
{
    if (s.n > 253) {
        return "must be no more than 253 characters";
    }
    bool more = true;
    while (more) {
        struct str label;
        more = str_cut(s, '.', &label, &s);
        if (!dns_label_ok(label)) {
            return DNS_SUBDOMAIN_TEXT;
        }
    }
    return NULL;
}

const char *name_check_dns1035(struct str s)
{
    if (s.n > 63) {
        return "must be no more than 63 characters";
    }
    return dns_label_ok(s) && s.p[0] >= 'a' ? NULL : DNS1035_TEXT;
}

const char *name_check_qualified(struct str s)
{
    struct str prefix, name;
    if (str_cut(s, '/', &prefix, &name)) {
        if (prefix.n == 0) {
            return "prefix part must be non-empty";
        }
        if (prefix.n > 253) {
            return "prefix part must be no more than 253 characters";
        }
        if (name_check_dns_subdomain(prefix)) {
            return "prefix part " DNS_SUBDOMAIN_TEXT;
        }
        struct str more;
        if (str_cut(name, '/', &more, &more)) {
            return QUALIFIED_PARTS_TEXT;
        }
    } else {
        name = s;
    }
    if (name.n == 0) {
        return "name part must be non-empty";
    }
    if (name.n > 63) {
        return "name part must be no more than 63 characters";
    }
    return qualified_part_ok(name) ? NULL : QUALIFIED_TEXT;
}

const char *name_check_label_value(struct str s)
{
    if (s.n > 63) {
        return "must be no more than 63 characters";
    }
    return s.n == 0 || qualified_part_ok(s) ? NULL : LABEL_VALUE_TEXT;
}

const char *name_check_path_segment(struct str s)
{
    if (str_is(s, ".")) {
        return "may not be '.'";
    }
    if (str_is(s, "..")) {
        return "may not be '..'";
    }
    if (memchr(s.p ? s.p : "", '/', s.n)) {
        return "may not contain '/'";
    }
    return memchr(s.p ? s.p : "", '%', s.n) ? "may not contain '%'" : NULL;
}
