/* SPDX-License-Identifier: Apache-2.0 */
/* Signing keys of tokens. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/jws.h"
#include "io/x509.h"

static struct jws_key *new_key(void)
{
    char *pem = NULL;
    struct jws_key *k = NULL;
    struct err err;
    assert_int_equal(x509_key_new(&pem, &err), 0);
    assert_int_equal(jws_key_load(str_of(pem), &k, &err), 0);
    mem_free(pem);
    return k;
}

static void what_a_key_signs_it_verifies(void **state)
{
    struct jws_key *k = new_key(), *other = new_key();
    struct buf sig = BUF_INIT, x = BUF_INIT, y = BUF_INIT;
    struct str data = STR_LIT("header.claims");
    (void)state;
    assert_true(jws_key_signs(k));
    assert_string_equal(jws_key_alg(k), "ES256");
    assert_int_equal(strlen(jws_key_id(k)), 43);
    assert_string_not_equal(jws_key_id(k), jws_key_id(other));
    assert_int_equal(jws_sign(k, data, &sig), 0);
    assert_int_equal(buf_len(&sig), 64);
    assert_true(jws_verify(k, data, buf_str(&sig)));
    assert_false(jws_verify(other, data, buf_str(&sig)));
    assert_false(jws_verify(k, STR_LIT("header.claimz"), buf_str(&sig)));
    assert_false(jws_verify(k, data, str_n(buf_data(&sig), 63)));
    assert_false(jws_verify(k, data, STR_NULL));
    assert_int_equal(jws_key_public(k, &x, &y), 0);
    assert_int_equal(buf_len(&x), 32);
    assert_int_equal(buf_len(&y), 32);
    buf_fini(&sig);
    buf_fini(&x);
    buf_fini(&y);
    jws_key_free(k);
    jws_key_free(other);
}

static void what_is_no_key_is_refused(void **state)
{
    struct jws_key *k = NULL;
    struct err err;
    (void)state;
    assert_int_equal(jws_key_load(STR_LIT("no key"), &k, &err), -E_CERT);
    assert_null(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_key_signs_it_verifies),
        cmocka_unit_test(what_is_no_key_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
