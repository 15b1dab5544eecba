/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates, requests, and TLS contexts made from them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "file.h"
#include "loop.h"
#include "tls.h"
#include "x509.h"

static char *ca, *ca_key, *other_ca, *other_ca_key, *key;

static int setup(void **state)
{
    (void)state;
    return x509_ca_new("selvedge-ca", 3600, &ca, &ca_key, NULL) < 0 ||
           x509_ca_new("selvedge-ca", 3600, &other_ca, &other_ca_key, NULL) < 0 ||
           x509_key_new(&key, NULL) < 0;
}

static int teardown(void **state)
{
    (void)state;
    mem_free(ca);
    mem_free(ca_key);
    mem_free(other_ca);
    mem_free(other_ca_key);
    mem_free(key);
    return 0;
}

static char *sign(const char *by, const char *by_key, const char *csr, int64_t seconds)
{
    const char *orgs[] = {"system:nodes", "second", NULL};
    const char *sans[] = {"n1.example", "192.0.2.1", "2001:db8::1", NULL};
    const struct x509_profile p = {.subject = {.cn = "system:node:n1", .orgs = orgs},
                                   .use = X509_USE_CLIENT | X509_USE_SERVER,
                                   .sans = sans,
                                   .seconds = seconds};
    char *cert = NULL;
    struct err err;
    int rc = x509_sign(by, by_key, csr ? NULL : key, csr, &p, &cert, &err);
    assert_int_equal(rc, 0);
    return cert;
}

static void a_request_is_made_checked_and_signed(void **state)
{
    const char *orgs[] = {"system:nodes", NULL}, *sans[] = {"host", "127.0.0.1", NULL};
    const struct x509_subject who = {.cn = "system:node:n1", .orgs = orgs};
    struct x509_info *i;
    char *csr, *cert;
    struct err err;
    (void)state;
    assert_int_equal(x509_csr_new(key, &who, sans, &csr, NULL), 0);
    assert_int_equal(x509_csr_parse(str_of(csr), &i, &err), 0);
    assert_string_equal(i->cn, "system:node:n1");
    assert_string_equal(i->orgs[0], "system:nodes");
    assert_null(i->orgs[1]);
    assert_string_equal(i->sans[0], "host");
    assert_string_equal(i->sans[1], "127.0.0.1");
    char csr_key[65];
    (void)cstr_copy(csr_key, sizeof csr_key, i->key_sha256);
    x509_info_free(i);
    cert = sign(ca, ca_key, csr, 3600);
    assert_int_equal(x509_cert_parse(str_of(cert), &i, &err), 0);
    assert_string_equal(i->cn, "system:node:n1");
    assert_string_equal(i->orgs[1], "second"); /* the profile counts, not the request */
    assert_string_equal(i->sans[0], "n1.example");
    assert_string_equal(i->sans[1], "192.0.2.1");
    assert_string_equal(i->sans[2], "2001:db8::1");
    assert_string_equal(i->key_sha256, csr_key);
    assert_int_equal(i->use, X509_USE_CLIENT | X509_USE_SERVER);
    assert_false(i->is_ca);
    int64_t now = wall_now().us / 1000000;
    assert_true(i->not_before < now && i->not_after > now + 3500 && i->not_after <= now + 3600);
    assert_int_equal(strlen(i->serial), 32);
    x509_info_free(i);
    assert_int_equal(x509_check(str_of(cert), ca, key, NULL), 0);
    mem_free(csr);
    mem_free(cert);
}

static void a_ca_says_that_it_is_one(void **state)
{
    struct x509_info *i;
    (void)state;
    assert_int_equal(x509_cert_parse(str_of(ca), &i, NULL), 0);
    assert_true(i->is_ca);
    assert_string_equal(i->cn, "selvedge-ca");
    assert_int_equal(strlen(i->key_sha256), 64);
    x509_info_free(i);
}

static void checks_tell_what_is_wrong(void **state)
{
    char *good = sign(ca, ca_key, NULL, 3600), *old = sign(ca, ca_key, NULL, -10), *other_key;
    struct err err;
    (void)state;
    assert_int_equal(x509_key_new(&other_key, NULL), 0);
    assert_int_equal(x509_check(str_of(good), other_ca, NULL, &err), -E_CERT);
    assert_string_equal(err.text, "the certificate was not issued by this CA");
    assert_int_equal(x509_check(str_of(old), ca, NULL, &err), -E_CERT);
    assert_string_equal(err.text, "the certificate has expired");
    assert_int_equal(x509_check(str_of(good), ca, other_key, &err), -E_CERT);
    assert_string_equal(err.text, "the certificate belongs to another key");
    assert_int_equal(x509_check(STR_LIT("rubbish"), NULL, NULL, &err), -E_CERT);
    mem_free(good);
    mem_free(old);
    mem_free(other_key);
}

static void a_forged_request_is_refused(void **state)
{
    const struct x509_subject who = {.cn = "x"};
    struct x509_info *i;
    char *csr;
    struct err err;
    int refused = 0;
    (void)state;
    assert_int_equal(x509_csr_new(key, &who, NULL, &csr, NULL), 0);
    size_t n = strlen(csr);
    for (size_t at = 0; at < n; at++) { /* every character changed in turn */
        char was = csr[at];
        csr[at] = was == 'A' ? 'B' : 'A';
        if (x509_csr_parse(str_of(csr), &i, &err) == 0) {
            x509_info_free(i); /* outside the armour, or padding bits */
        } else {
            refused++;
        }
        csr[at] = was;
    }
    assert_true(refused > (int)n - 40);
    for (size_t cut = 0; cut < n - 1; cut++) {
        assert_int_equal(x509_csr_parse(str_n(csr, cut), &i, &err), -E_CERT);
    }
    mem_free(csr);
}

static void keys_are_for_their_owner_only(void **state)
{
    char path[64], *text;
    struct stat st;
    struct err err;
    (void)state;
    (void)snprintf(path, sizeof path, "/tmp/io-test-%d.key", (int)getpid());
    assert_int_equal(x509_save_key(path, key, NULL), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(x509_load(path, &text, NULL), 0);
    assert_string_equal(text, key);
    mem_free(text);
    assert_int_equal(file_write_replace(path, "hello", 5, 0600, NULL), 0);
    assert_int_equal(x509_load(path, &text, &err), -E_CERT);
    (void)unlink(path);
}

/* ---- TLS contexts ---- */

struct meeting {
    bool server_done, client_done;
    struct stream *server, *client;
    char error[256], alpn[16];
};

static void on_server(void *arg, struct stream *s, const char *alpn, const struct err *err)
{
    struct meeting *m = arg;
    (void)err;
    m->server_done = true;
    m->server = s;
    (void)cstr_copy(m->alpn, sizeof m->alpn, alpn);
}

static void on_client(void *arg, struct stream *s, const char *alpn, const struct err *err)
{
    struct meeting *m = arg;
    (void)alpn;
    m->client_done = true;
    m->client = s;
    (void)cstr_copy(m->error, sizeof m->error, err ? err->text : "");
}

/* Whether client and server agree; the client's error goes to m. */
static void meet(struct tls_ctx *server, struct tls_ctx *client, const char *host,
                 struct meeting *m)
{
    struct io_loop *loop;
    struct stream *ends[2];
    *m = (struct meeting){.server_done = false};
    assert_int_equal(loop_new(&loop, NULL), 0);
    assert_int_equal(stream_pair(loop, ends), 0);
    assert_non_null(tls_accept(server, ends[0], 0, on_server, m));
    assert_non_null(tls_connect(client, ends[1], host, 0, on_client, m));
    for (int i = 0; i < 1000 && !(m->server_done && m->client_done); i++) {
        loop_run_ready(loop);
    }
    assert_true(m->client_done);
    stream_close(m->server);
    stream_close(m->client);
    loop_free(loop);
}

static struct tls_ctx *server_ctx(const char *cert_pem, bool h2)
{
    struct tls_ctx *c;
    const struct tls_config cfg = {.cert_pem = str_of(cert_pem), .key_pem = str_of(key), .h2 = h2};
    assert_int_equal(tls_server_new(&cfg, &c, NULL), 0);
    return c;
}

static void a_client_checks_name_address_ca_and_date(void **state)
{
    char *cert = sign(ca, ca_key, NULL, 3600), *old = sign(ca, ca_key, NULL, -10);
    struct tls_ctx *server = server_ctx(cert, true), *client, *stranger;
    const struct tls_config cfg = {.ca_pem = str_of(ca), .h2 = true};
    const struct tls_config other = {.ca_pem = str_of(other_ca)};
    struct meeting m;
    (void)state;
    assert_int_equal(tls_client_new(&cfg, &client, NULL), 0);
    assert_int_equal(tls_client_new(&other, &stranger, NULL), 0);
    meet(server, client, "n1.example", &m);
    assert_string_equal(m.error, "");
    assert_string_equal(m.alpn, "h2");
    meet(server, client, "192.0.2.1", &m);
    assert_string_equal(m.error, "");
    meet(server, client, "2001:db8::1", &m);
    assert_string_equal(m.error, "");
    meet(server, client, "n2.example", &m);
    assert_string_equal(m.error, "TLS handshake: hostname mismatch");
    meet(server, client, "192.0.2.2", &m);
    assert_string_equal(m.error, "TLS handshake: IP address mismatch");
    meet(server, stranger, "n1.example", &m);
    assert_non_null(strstr(m.error, "TLS handshake: "));
    assert_null(m.client);
    assert_int_equal(tls_ctx_reload(server, str_of(old), str_of(key), NULL), 0);
    meet(server, client, "n1.example", &m);
    assert_string_equal(m.error, "TLS handshake: certificate has expired");
    tls_ctx_unref(server);
    tls_ctx_unref(client);
    tls_ctx_unref(stranger);
    mem_free(cert);
    mem_free(old);
}

static void a_reload_that_fails_keeps_the_old_certificate(void **state)
{
    char *cert = sign(ca, ca_key, NULL, 3600), *other_key;
    struct tls_ctx *server = server_ctx(cert, false), *client;
    const struct tls_config cfg = {.ca_pem = str_of(ca)};
    struct meeting m;
    struct err err;
    (void)state;
    assert_int_equal(x509_key_new(&other_key, NULL), 0);
    assert_int_equal(tls_client_new(&cfg, &client, NULL), 0);
    assert_true(tls_ctx_reload(server, str_of(cert), str_of(other_key), &err) < 0);
    assert_true(tls_ctx_reload(server, STR_LIT("x"), str_of(key), &err) < 0);
    meet(server, client, "n1.example", &m);
    assert_string_equal(m.error, "");
    assert_string_equal(m.alpn, "http/1.1");
    tls_ctx_unref(server);
    tls_ctx_unref(client);
    mem_free(cert);
    mem_free(other_key);
}

static void a_pinned_ca_is_enough_and_needed(void **state)
{
    char *leaf = sign(ca, ca_key, NULL, 3600);
    char *chain = mem_printf("%s%s", leaf, ca);
    struct tls_ctx *server = server_ctx(chain, false), *without = server_ctx(leaf, false);
    struct tls_ctx *client, *stranger;
    struct x509_info *i, *j;
    struct meeting m;
    (void)state;
    assert_int_equal(x509_cert_parse(str_of(ca), &i, NULL), 0);
    assert_int_equal(x509_cert_parse(str_of(other_ca), &j, NULL), 0);
    const struct tls_config good = {.pinned_sha256 = i->key_sha256};
    const struct tls_config bad = {.pinned_sha256 = j->key_sha256};
    const struct tls_config wrong = {.pinned_sha256 = "12"};
    assert_int_equal(tls_client_new(&good, &client, NULL), 0);
    assert_int_equal(tls_client_new(&bad, &stranger, NULL), 0);
    meet(server, client, "n1.example", &m);
    assert_string_equal(m.error, "");
    meet(server, client, "n2.example", &m);
    assert_null(m.client); /* the name is checked too */
    meet(server, stranger, "n1.example", &m);
    assert_null(m.client);
    meet(without, client, "n1.example", &m);
    assert_null(m.client);
    tls_ctx_unref(client);
    assert_int_equal(tls_client_new(&wrong, &client, NULL), -EINVAL);
    tls_ctx_unref(server);
    tls_ctx_unref(without);
    tls_ctx_unref(stranger);
    x509_info_free(i);
    x509_info_free(j);
    mem_free(leaf);
    mem_free(chain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_made_checked_and_signed),
        cmocka_unit_test(a_ca_says_that_it_is_one),
        cmocka_unit_test(checks_tell_what_is_wrong),
        cmocka_unit_test(a_forged_request_is_refused),
        cmocka_unit_test(keys_are_for_their_owner_only),
        cmocka_unit_test(a_client_checks_name_address_ca_and_date),
        cmocka_unit_test(a_reload_that_fails_keeps_the_old_certificate),
        cmocka_unit_test(a_pinned_ca_is_enough_and_needed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
