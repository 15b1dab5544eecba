/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 9110 section 12.5.1, without weights: Kubernetes' clients list what they want best first. */
#include "api/server_accept.h"

struct range {
    struct str type, as, group, version;
    bool refused; /* q=0 */
};

struct str media_type(struct str header)
{
    struct str type;
    (void)str_cut(header, ';', &type, &(struct str){0});
    return str_trim(type);
}

static void range_parse(struct str text, struct range *r)
{
    struct str rest, param;
    *r = (struct range){0};
    (void)str_cut(text, ';', &r->type, &rest);
    r->type = str_trim(r->type);
    while (rest.n) {
        struct str name, value;
        (void)str_cut(rest, ';', &param, &rest);
        (void)str_cut(str_trim(param), '=', &name, &value);
        if (str_is(name, "as")) {
            r->as = value;
        } else if (str_is(name, "g")) {
            r->group = value;
        } else if (str_is(name, "v")) {
            r->version = value;
        } else if (str_is(name, "q")) {
            r->refused = str_is(value, "0") || str_is(value, "0.0");
        }
    }
}

static bool range_serves(const struct range *r, enum accept_form *ret)
{
    bool json = str_iis(r->type, "application/json") || str_is(r->type, "*/*") ||
                str_is(r->type, "application/*");
    if (!json || r->refused) {
        return false;
    }
    if (r->as.n == 0) {
        *ret = ACCEPT_JSON;
        return true;
    }
    if (!str_is(r->group, "meta.k8s.io") || !str_is(r->version, "v1")) {
        return false;
    }
    if (str_is(r->as, "Table")) {
        *ret = ACCEPT_TABLE;
    } else if (str_is(r->as, "PartialObjectMetadata")) {
        *ret = ACCEPT_PARTIAL;
    } else if (str_is(r->as, "PartialObjectMetadataList")) {
        *ret = ACCEPT_PARTIAL_LIST;
    } else {
        return false;
    }
    return true;
}

int accept_choose(struct str header, enum accept_form *ret)
{
    if (str_trim(header).n == 0) {
        *ret = ACCEPT_JSON;
        return 0;
    }
    while (header.n) {
        struct str item;
        struct range r;
        (void)str_cut(header, ',', &item, &header);
        range_parse(item, &r);
        if (range_serves(&r, ret)) {
            return 0;
        }
    }
    return -E_NOTACCEPT;
}
