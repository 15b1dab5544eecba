/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes rules as users write them: every rule covers itself, whatever it is. */
#include <stddef.h>
#include <stdint.h>

#include "api/auth/rbac.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const groups[] = {"g", NULL};
    static const struct api_user user = {.name = "u", .groups = groups};
    struct authz_attrs q = {.user = &user,
                            .verb = "get",
                            .group = "apps",
                            .resource = "deployments",
                            .subresource = "scale",
                            .ns = "",
                            .name = "x"};
    struct arena a;
    struct json *j = NULL;
    struct rbac_rule *rules, *missing = NULL;
    size_t n_missing = 0;
    arena_init(&a, 0);
    if (json_parse(&a, str_n((const char *)data, size), NULL, &j, NULL) == 0) {
        size_t n = rbac_rules_parse(&a, j, &rules);
        if (rbac_rules_missing(&a, rules, n, rules, n, &missing, &n_missing) == 0) {
            assert(n_missing == 0);
        }
        for (size_t i = 0; i < n; i++) {
            (void)rbac_rule_matches(&rules[i], &q, true);
            (void)rbac_rule_json(&a, &rules[i]);
            (void)rbac_rule_text(&a, &rules[i]);
        }
        if (n) {
            (void)rbac_rules_compact(&a, rules, n);
        }
    }
    arena_fini(&a);
    return 0;
}
