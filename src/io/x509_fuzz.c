/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: any text as a certificate request and as a certificate. What is accepted must be
 * text that can be shown. */
#include "base/mem.h"
#include "x509.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *s)
{
    for (; *s; s++) {
        assert((unsigned char)*s >= 0x20);
    }
}

static void look(struct x509_info *i)
{
    check_text(i->cn);
    for (const char *const *o = i->orgs; *o; o++) {
        check_text(*o);
    }
    for (const char *const *o = i->sans; *o; o++) {
        check_text(*o);
    }
    x509_info_free(i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct x509_info *i;
    struct err err;
    struct str text = str_n((const char *)data, size);
    if (x509_csr_parse(text, &i, &err) == 0) {
        look(i);
    }
    if (x509_cert_parse(text, &i, &err) == 0) {
        look(i);
    }
    (void)x509_check(text, NULL, NULL, &err); /* must not crash */
    return 0;
}
