/* SPDX-License-Identifier: Apache-2.0 */
/* CertificateSigningRequests (pkg/apis/certificates/validation). */
#include "api/name.h"
#include "api/object.h"
#include "api/rules/rules.h"
#include "base/encode.h"
#include "base/mem.h"

#define EXPIRATION_MIN 600

/* What a request says cannot change: only its status and metadata do. */
static void update(struct arena *a, struct json *obj, const struct json *old, bool status)
{
    (void)a;
    if (!status) {
        rule_keep(obj, old, "spec");
    }
}

static void check_request(struct field_errors *e, const struct json *request)
{
    CLEANUP(buf_finip) struct buf pem = BUF_INIT;
    static const char begin[] = "-----BEGIN CERTIFICATE REQUEST-----";
    static const char old[] = "-----BEGIN NEW CERTIFICATE REQUEST-----";
    if (base64_decode(&pem, json_text(request)) < 0) {
        return; /* the schema has refused it */
    }
    struct str s = buf_str(&pem);
    if (!s.p || !s.n ||
        (!memmem(s.p, s.n, begin, sizeof(begin) - 1) && !memmem(s.p, s.n, old, sizeof(old) - 1))) {
        field_error(e, FIELD_INVALID, "spec.request", request,
                    "PEM block type must be CERTIFICATE REQUEST");
    }
}

static void signer(struct field_errors *e, const struct json *name)
{
    struct str s = json_text(name), domain, path;
    if (s.n == 0) {
        field_error(e, FIELD_REQUIRED, "spec.signerName", NULL, NULL);
    } else if (!str_cut(s, '/', &domain, &path) || path.n == 0 ||
               name_check_dns_subdomain(domain)) {
        field_error(e, FIELD_INVALID, "spec.signerName", name,
                    "must be a fully qualified domain and path of the form "
                    "\"example.com/signer-name\"");
    }
}

static void usages(struct field_errors *e, const struct json *list)
{
    static const char *const known[] = {"any",
                                        "cert sign",
                                        "client auth",
                                        "code signing",
                                        "content commitment",
                                        "crl sign",
                                        "data encipherment",
                                        "decipher only",
                                        "digital signature",
                                        "email protection",
                                        "encipher only",
                                        "ipsec end system",
                                        "ipsec tunnel",
                                        "ipsec user",
                                        "key agreement",
                                        "key encipherment",
                                        "microsoft sgc",
                                        "netscape sgc",
                                        "ocsp signing",
                                        "s/mime",
                                        "server auth",
                                        "signing",
                                        "timestamping",
                                        NULL};
    int i = 0;
    if (json_len(list) == 0) {
        field_error(e, FIELD_REQUIRED, "spec.usages", NULL, NULL);
    }
    JSON_FOR_EACH (usage, list) {
        validate_one_of(e, rule_path(e, "spec.usages[%d]", i++), usage, known);
    }
}

static void validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    const struct json *spec = json_get(obj, "spec");
    const struct json *seconds = json_get(spec, "expirationSeconds");
    if (old) {
        return; /* spec is as it was */
    }
    check_request(e, json_get(spec, "request"));
    usages(e, json_get(spec, "usages"));
    signer(e, json_get(spec, "signerName"));
    if (seconds && json_i64(seconds, 0) < EXPIRATION_MIN) {
        field_error(e, FIELD_INVALID, "spec.expirationSeconds", seconds,
                    "may not specify a duration less than 600 seconds (10 minutes)");
    }
}

/* Approved and Denied exclude each other, and are true for good. */
static void validate_status(struct field_errors *e, const struct json *obj, const struct json *old)
{
    static const char path[] = "status.conditions";
    const struct json *list = json_path(obj, path);
    int i = 0;
    JSON_FOR_EACH (c, list) {
        const char *p = rule_path(e, "%s[%d]", path, i++);
        if (rule_required(e, p, c, "type") && !cstr_eq(json_path_cstr(c, "status", ""), "True")) {
            static const char *const only[] = {"True", NULL};
            validate_one_of(e, rule_path(e, "%s.status", p), json_get(c, "status"), only);
        }
    }
    if (obj_condition(obj, "Approved") && obj_condition(obj, "Denied")) {
        field_error(e, FIELD_INVALID, path, list,
                    "Approved and Denied conditions are mutually exclusive");
    }
    JSON_FOR_EACH (was, json_path(old, path)) {
        const char *type = json_path_cstr(was, "type", "");
        if (!obj_condition(obj, type)) {
            field_error(e, FIELD_FORBIDDEN, path, NULL,
                        rule_path(e, "updates may not remove a condition of type \"%s\"", type));
        }
    }
}

const struct strategy rules_certificate_request = {.group = "certificates.k8s.io",
                                                   .kind = "CertificateSigningRequest",
                                                   .check_name = name_check_path_segment,
                                                   .create = rule_status_reset,
                                                   .update = update,
                                                   .validate = validate,
                                                   .validate_status = validate_status};
