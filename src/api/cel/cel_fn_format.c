/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes' library of named formats: format.dns1123Label().validate(text) and its sisters. */
#include "api/name.h"
#include "base/encode.h"
#include "cel_fn.h"

static const char *check_dns_label(struct arena *a, struct str s)
{
    return name_check_dns_label(s);
}

static const char *check_subdomain(struct arena *a, struct str s)
{
    return name_check_dns_subdomain(s);
}

static const char *check_dns1035(struct arena *a, struct str s)
{
    return name_check_dns1035(s);
}

static const char *check_qualified(struct arena *a, struct str s)
{
    return name_check_qualified(s);
}

static const char *check_label_value(struct arena *a, struct str s)
{
    return name_check_label_value(s);
}

/* What may stand before a generated name: a dash at its end counts as a letter. */
static struct str mask_dash(struct arena *a, struct str s)
{
    if (s.n < 2 || s.p[s.n - 1] != '-') {
        return s;
    }
    char *text = arena_strndup(a, s.p, s.n - 1);
    if (!text) {
        return s;
    }
    text[s.n - 2] = 'a';
    return str_n(text, s.n - 1);
}

static const char *check_label_prefix(struct arena *a, struct str s)
{
    return name_check_dns_label(mask_dash(a, s));
}

static const char *check_subdomain_prefix(struct arena *a, struct str s)
{
    return name_check_dns_subdomain(mask_dash(a, s));
}

static const char *check_dns1035_prefix(struct arena *a, struct str s)
{
    return name_check_dns1035(mask_dash(a, s));
}

static const char *check_uri(struct arena *a, struct str s)
{
    struct cel_url u;
    const char *problem;
    return cel_url_parse(a, s, true, &u, &problem)
               ? NULL
               : arena_printf(a, "parse \"" STR_FMT "\": %s", STR_ARG(s), problem);
}

static const char *check_uuid(struct arena *a, struct str s)
{
    bool ok = s.n == 36;
    for (size_t i = 0; ok && i < s.n; i++) {
        char c = s.p[i];
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        ok = dash ? c == '-' : hex;
    }
    return ok ? NULL : "does not match the UUID format";
}

static const char *check_byte(struct arena *a, struct str s)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    return base64_decode(&out, s) < 0 ? "invalid base64" : NULL;
}

static const char *check_date(struct arena *a, struct str s)
{
    struct cel_value v;
    const char *full = arena_printf(a, STR_FMT "T00:00:00Z", STR_ARG(s));
    return s.n == 10 && full && cel_time_parse(str_of(full), &v) ? NULL : "invalid date";
}

static const char *check_datetime(struct arena *a, struct str s)
{
    struct cel_value v;
    return cel_time_parse(s, &v) ? NULL : "invalid datetime";
}

#define FORMATS                                                                        \
    FORMAT(dns1123_label, "dns1123Label", check_dns_label)                             \
    FORMAT(dns1123_subdomain, "dns1123Subdomain", check_subdomain)                     \
    FORMAT(dns1035_label, "dns1035Label", check_dns1035)                               \
    FORMAT(qualified_name, "qualifiedName", check_qualified)                           \
    FORMAT(dns1123_label_prefix, "dns1123LabelPrefix", check_label_prefix)             \
    FORMAT(dns1123_subdomain_prefix, "dns1123SubdomainPrefix", check_subdomain_prefix) \
    FORMAT(dns1035_label_prefix, "dns1035LabelPrefix", check_dns1035_prefix)           \
    FORMAT(label_value, "labelValue", check_label_value)                               \
    FORMAT(uri, "uri", check_uri)                                                      \
    FORMAT(uuid, "uuid", check_uuid)                                                   \
    FORMAT(byte, "byte", check_byte)                                                   \
    FORMAT(date, "date", check_date)                                                   \
    FORMAT(datetime, "datetime", check_datetime)

enum format_id {
#define FORMAT(id, name, check) FORMAT_##id,
    FORMATS
#undef FORMAT
        FORMAT_NR
};

static const struct cel_format formats[] = {
#define FORMAT(id, name, check) [FORMAT_##id] = {name, check},
    FORMATS
#undef FORMAT
};

#define FORMAT(id, name, check)                               \
    CEL_FN(format_##id)                                       \
    {                                                         \
        *ret = cel_opaque(CEL_FORMAT, &formats[FORMAT_##id]); \
        return true;                                          \
    }
FORMATS
#undef FORMAT

CEL_FN(format_named)
{
    *ret = cel_optional(r->a, NULL);
    for (size_t i = 0; i < FORMAT_NR; i++) {
        if (str_is(cel_text(&args[0]), formats[i].name)) {
            struct cel_value v = cel_opaque(CEL_FORMAT, &formats[i]);
            *ret = cel_optional(r->a, &v);
        }
    }
    return true;
}

CEL_FN(format_validate)
{
    const struct cel_format *f = args[0].opaque;
    const char *problem = f->check(r->a, cel_text(&args[1]));
    struct cel_value *text = arena_alloc(r->a, sizeof(*text));
    if (!text) {
        return cel_no_memory(r);
    }
    *text = cel_string(str_of(problem));
    struct cel_value list = cel_list_value(r->a, text, 1);
    *ret = cel_optional(r->a, problem ? &list : NULL);
    return true;
}
