/* SPDX-License-Identifier: Apache-2.0 */
/* How many custom objects a second are decoded and validated, and what a compiled schema weighs. */
#include <stdio.h>

#include "api/crd/schema.h"
#include "base/clock.h"
#include "base/mem.h"

enum { ROUNDS = 5, BENCH_MS = 200, GROUPS = 50, FIELDS = 20 };

static const char object[] =
    "{\"apiVersion\":\"example.com/v1\",\"kind\":\"Foo\",\"metadata\":{\"name\":\"a\"},\"spec\":{"
    "\"g0\":{\"f0\":\"alpha\",\"f1\":\"beta\"},\"g1\":{\"f3\":\"gamma\"},\"n\":3,\"mode\":\"b\","
    "\"list\":[{\"name\":\"http\",\"port\":80},{\"name\":\"https\",\"port\":443}]}}";

/* A schema of GROUPS objects of FIELDS texts each, and what the object needs. */
static int print_schema(struct buf *out)
{
    buf_puts(out, "{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":\"object\","
                  "\"required\":[\"n\"],\"properties\":{");
    for (int g = 0; g < GROUPS; g++) {
        buf_printf(out, "\"g%d\":{\"type\":\"object\",\"properties\":{", g);
        for (int f = 0; f < FIELDS; f++) {
            buf_printf(out, "%s\"f%d\":{\"type\":\"string\",\"maxLength\":%d}", f ? "," : "", f,
                       20 + g);
        }
        buf_puts(out, "}},");
    }
    buf_puts(out,
             "\"n\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":9},"
             "\"mode\":{\"type\":\"string\",\"enum\":[\"a\",\"b\"],\"default\":\"a\"},"
             "\"list\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"map\","
             "\"x-kubernetes-list-map-keys\":[\"name\"],\"items\":{\"type\":\"object\","
             "\"required\":[\"name\"],\"properties\":{\"name\":{\"type\":\"string\",\"pattern\":"
             "\"^[a-z]+$\"},\"port\":{\"type\":\"integer\",\"default\":1}}}}}}}}");
    return buf_failed(out) ? -E_NOMEM : 0;
}

/* Objects a second: parsed, pruned, defaulted, validated. */
static double measure(struct arena *a, const struct crd_schema *s)
{
    int64_t start = mono_now().us, end = start;
    uint64_t n = 0;
    while (end - start < BENCH_MS * 1000) {
        for (int i = 0; i < 200; i++, n++) {
            struct json *obj = NULL;
            struct field_errors e;
            arena_clear(a);
            if (json_parse(a, str_of(object), NULL, &obj, NULL) < 0) {
                return 0;
            }
            crd_prune(a, s, obj, /* root= */ true, NULL);
            crd_defaults(a, s, obj, /* root= */ true);
            field_errors_init(&e, a);
            crd_check(&e, s, obj, NULL);
            if (e.n) {
                (void)fprintf(stderr, "%s: %s\n", e.items[0].path, e.items[0].body);
                return 0;
            }
        }
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
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    struct arena keep, source, a;
    struct json *j = NULL;
    struct crd_regexes regexes = {0};
    const struct crd_schema *s = NULL;
    struct err err = {0};
    double rounds[ROUNDS];
    arena_init(&keep, 0);
    arena_init(&source, 0);
    arena_init(&a, 0);
    if (print_schema(&text) < 0 || json_parse(&source, buf_str(&text), NULL, &j, &err) < 0) {
        return 1;
    }
    int64_t start = mono_now().us;
    if (crd_schema_compile(&keep, j, &regexes, &s, &err) < 0) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    int64_t took = mono_now().us - start;
    for (int i = 0; i < ROUNDS; i++) {
        rounds[i] = measure(&a, s);
    }
    printf("crd validations/s %.0f\n", median(rounds));
    printf("crd schema compile_us %lld nodes %d bytes/node %.1f\n", (long long)took,
           GROUPS * (FIELDS + 1) + 8, (double)keep.used / (GROUPS * (FIELDS + 1) + 8));
    crd_regexes_fini(&regexes);
    arena_fini(&a);
    arena_fini(&source);
    arena_fini(&keep);
    return 0;
}
