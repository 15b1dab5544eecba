/* SPDX-License-Identifier: Apache-2.0 */
/* Ports by number or name (apimachinery util/validation, IsValidPortName). */
#include "api/rules/port.h"

#include "api/rules/rules.h"

const char *rule_port_name_error(struct str s)
{
    bool letter = false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool lower = c >= 'a' && c <= 'z';
        letter |= lower;
        if (!lower && !(c >= '0' && c <= '9') && c != '-') {
            return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
        }
        if (c == '-' && i + 1 < s.n && s.p[i + 1] == '-') {
            return "must not contain consecutive hyphens";
        }
    }
    if (s.n > 15) {
        return "must be no more than 15 characters";
    }
    if (!letter) {
        return "must contain at least one letter (a-z)";
    }
    return s.p[0] == '-' || s.p[s.n - 1] == '-' ? "must not begin or end with a hyphen" : NULL;
}

void rule_port_or_name(struct field_errors *e, const char *path, const struct json *v)
{
    if (json_is(v, JSON_STRING)) {
        const char *why = rule_port_name_error(json_text(v));
        if (why) {
            field_error(e, FIELD_INVALID, path, v, why);
        }
    } else {
        rule_port(e, path, v);
    }
}
