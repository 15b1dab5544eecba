/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the tokens that anybody may send: cutting, and checking the signature. */
#include <stddef.h>
#include <stdint.h>

#include "api/auth/jwt.h"
#include "base/mem.h"

/* A public key, so that nothing that comes in can ever verify. */
static const char key_pem[] = "-----BEGIN PUBLIC KEY-----\n"
                              "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n"
                              "6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n"
                              "-----END PUBLIC KEY-----\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct jws_key *key;
    struct str token = str_n((const char *)data, size);
    struct jwt t;
    struct arena a;
    if (!key && jws_key_load(str_of(key_pem), &key, NULL) < 0) {
        return 0;
    }
    arena_init(&a, 0);
    bool shape = jwt_shape(token);
    if (jwt_parse(&a, token, &t) == 0) {
        assert(t.claims && t.claims->type == JSON_OBJECT);
        assert(!jws_verify(key, t.signed_part, t.signature));
    } else {
        (void)shape;
    }
    arena_fini(&a);
    return 0;
}
