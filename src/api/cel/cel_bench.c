/* SPDX-License-Identifier: Apache-2.0 */
/* How many rules a second: typical rules of custom resources over a typical object. */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cel.h"

enum { ROUNDS = 5, BENCH_MS = 200 };

static const char object[] =
    "{\"replicas\":3,\"maxReplicas\":10,\"names\":[\"alpha\",\"aleph\",\"able\",\"axis\",\"arc\"],"
    "\"host\":\"www.example.com\",\"ports\":[{\"name\":\"http\",\"port\":80},{\"name\":\"https\","
    "\"port\":443}]}";

static const char *const rules[] = {
    "self.replicas <= self.maxReplicas",
    "self.names.all(x, x.startsWith('a'))",
    "self.host.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
    "has(self.replicas) && self.replicas in [1, 3, 5] && self.host.size() < 64",
    "self.ports.all(p, self.ports.exists_one(q, q.name == p.name))",
    "self.ports.map(p, p.port).isSorted()",
};

static double measure(const struct cel_program *p, struct arena *a, const struct cel_value *self)
{
    struct cel_value v;
    struct cel_input in = {.arena = a, .vars = self};
    uint64_t n = 0;
    int64_t start = mono_now().us, end = start;
    while (end - start < BENCH_MS * 1000) {
        for (int i = 0; i < 1000; i++) {
            if (cel_eval(p, &in, &v, NULL, NULL, NULL) < 0 || !v.b) {
                return 0;
            }
            arena_clear(a);
        }
        n += 1000;
        end = mono_now().us;
    }
    return (double)n * 1e6 / (double)(end - start);
}

static double median(double *v)
{
    for (int i = 0; i < ROUNDS; i++) {
        for (int k = i + 1; k < ROUNDS; k++) {
            if (v[k] < v[i]) {
                double t = v[i];
                v[i] = v[k];
                v[k] = t;
            }
        }
    }
    return v[ROUNDS / 2];
}

int main(void)
{
    struct arena keep, a;
    struct json *j = NULL;
    arena_init(&keep, 0);
    arena_init(&a, 0);
    if (json_parse(&keep, str_of(object), NULL, &j, NULL) < 0) {
        return 1;
    }
    struct cel_value self = cel_from_json(j, NULL);
    struct cel_var var = {"self", NULL};
    struct cel_compile_opts opts = {.vars = &var, .n_vars = 1, .flags = CEL_F_ALL};
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        CLEANUP(cel_program_freep) struct cel_program *p = NULL;
        struct err err;
        double rounds[ROUNDS];
        if (cel_compile(str_of(rules[i]), &opts, &p, &err) < 0) {
            (void)fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        for (int r = 0; r < ROUNDS; r++) {
            rounds[r] = measure(p, &a, &self);
        }
        (void)printf("%12.0f /s  %s\n", median(rounds), rules[i]);
    }
    arena_fini(&a);
    arena_fini(&keep);
    return 0;
}
