/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `selvedge token`: makes join tokens. A token is a Secret of type bootstrap.kubernetes.io/token in
 * kube-system, as Kubernetes has it; what is printed is "ID.SECRET@sha256:HASH", where HASH pins
 * the public key of the center's CA, so that a node which has never seen the center cannot be lured
 * to another.
 */
#include "token.h"

#include <stdio.h>

#include "admin.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/mem.h"
#include "base/options.h"
#include "commands.h"
#include "io/x509.h"

#define ID_LENGTH 6
#define SECRET_LENGTH 16

static void random_text(char *out, size_t n)
{
    static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    for (size_t i = 0; i < n; i++) {
        out[i] = alphabet[random_below(sizeof(alphabet) - 1)];
    }
    out[n] = '\0';
}

static void set_secret(struct json *data, const char *key, const char *text)
{
    struct buf b = BUF_INIT;
    if (base64_encode(&b, text, strlen(text)) ==
        0) { /* a failure leaves the member out: the server refuses it */
        json_set(data, key, json_string_n(data->arena, buf_str(&b)));
    }
    buf_fini(&b);
}

static struct json *secret_object(struct arena *a, const char *id, const char *secret,
                                  int64_t ttl_us)
{
    char expiry[TIME_TEXT_SIZE];
    struct json *o = json_object(a), *meta = json_ensure_object(o, "metadata");
    json_set_str(o, "apiVersion", "v1");
    json_set_str(o, "kind", "Secret");
    json_set_str(o, "type", "bootstrap.kubernetes.io/token");
    json_set(meta, "name", json_printf(a, "bootstrap-token-%s", id));
    json_set_str(meta, "namespace", "kube-system");
    struct json *data = json_ensure_object(o, "data");
    if (!data) {
        return NULL;
    }
    set_secret(data, "token-id", id);
    set_secret(data, "token-secret", secret);
    set_secret(data, "usage-bootstrap-authentication", "true");
    set_secret(data, "usage-bootstrap-signing", "true");
    set_secret(data, "auth-extra-groups", "system:bootstrappers:selvedge:join");
    if (ttl_us > 0) {
        set_secret(data, "expiration", time_text((struct wall){wall_now().us + ttl_us}, expiry));
    }
    return o;
}

int token_create(struct admin *admin, int64_t ttl_us, char **ret, struct err *err)
{
    char id[ID_LENGTH + 1], secret[SECRET_LENGTH + 1];
    random_text(id, ID_LENGTH);
    random_text(secret, SECRET_LENGTH);
    struct x509_info *ca = NULL;
    int rc = x509_cert_parse(str_of(admin_ca_pem(admin)), &ca, err);
    if (rc < 0) {
        return err_wrap(err, rc, "read the center's CA");
    }
    struct arena a;
    arena_init(&a, 0);
    struct api_request req = {
        .verb = API_CREATE,
        .kind = kind_find("", "v1", "secrets"),
        .ns = "kube-system",
        .body = secret_object(&a, id, secret, ttl_us),
    };
    rc = admin_call(admin, &req, &a, NULL, err);
    if (rc == 0) {
        *ret = mem_printf("%s.%s@sha256:%s", id, secret, ca->key_sha256);
        rc = *ret ? 0 : err_sys(err, -ENOMEM, "make a token");
    }
    x509_info_free(ca);
    arena_fini(&a);
    return rc;
}

static const char usage[] =
    "usage: selvedge token create [--kubeconfig FILE] [--ttl DURATION]\n"
    "\n"
    "Prints a token with which a node joins (`selvedge edge --token-file`).\n"
    "\n"
    "  --kubeconfig FILE  admin credentials; default: $KUBECONFIG, else run/kubeconfig\n"
    "  --ttl DURATION     how long it may be used, such as 30m or 24h; 0 = for ever; default: 24h\n";

int command_token(int argc, char **argv)
{
    const char *kubeconfig = admin_default_kubeconfig(), *ttl = "24h";
    const struct option_spec specs[] = {{"kubeconfig", &kubeconfig, NULL}, {"ttl", &ttl, NULL}};
    const char *verb = NULL;
    int rc = options_parse("selvedge", argc, argv, specs, ARRAY_SIZE(specs), usage, &verb);
    if (rc != 0) {
        return rc > 0 ? 0 : 2;
    }
    int64_t ttl_us;
    if (!cstr_eq(verb, "create") || duration_parse(str_of(ttl), &ttl_us) < 0) {
        (void)fputs(usage, stderr);
        return 2;
    }
    struct err err;
    struct admin *admin = NULL;
    char *token = NULL;
    rc = admin_open(kubeconfig, &admin, &err);
    if (rc == 0) {
        rc = token_create(admin, ttl_us, &token, &err);
    }
    if (rc == 0) {
        (void)puts(token);
    } else {
        (void)fprintf(stderr, "selvedge: %s\n", err.text);
    }
    mem_free(token);
    admin_close(admin);
    return rc == 0 ? 0 : 1;
}
