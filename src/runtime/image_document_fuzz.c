/* SPDX-License-Identifier: Apache-2.0 */
/* The documents of foreign images: index, manifest, config; and image names and users. The first
 * byte chooses. */
#include "base/mem.h"
#include "runtime/images_private.h"

static void check_texts(const char *const *texts)
{
    size_t total = 0;
    for (; *texts; texts++) {
        total += strlen(*texts);
    }
    assert(total < SIZE_MAX / 2);
}

static void try_document(struct arena *a, const struct json *j)
{
    struct image_descriptor *list;
    struct image_manifest m;
    struct image im;
    const char **ids;
    size_t n;
    if (image_parse_index(j, a, &list, &n, NULL) == 0) {
        for (size_t i = 0; i < n; i++) {
            assert(image_digest_valid(list[i].digest));
        }
    }
    if (image_parse_manifest(j, a, &m, NULL) == 0) {
        assert(m.layers_n <= IMAGE_LAYERS_MAX && image_digest_valid(m.config.digest));
    }
    if (image_parse_config(j, a, &im, &ids, &n, NULL) == 0) {
        assert(n <= IMAGE_LAYERS_MAX && im.cwd[0] == '/');
        check_texts(im.entrypoint);
        check_texts(im.cmd);
        check_texts(im.env);
        check_texts(im.ports);
    }
    (void)image_is_index(j, "");
}

static void try_name(struct arena *a, const char *text)
{
    char *one, *two;
    if (image_name_normalise(a, text, &one, NULL) == 0) {
        assert(!strstr(one, "/../") && one[0] != '/');
        assert(image_name_normalise(a, one, &two, NULL) == 0 && strcmp(one, two) == 0);
        (void)image_name_tag(one);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct json *j;
    arena_init(&a, 8 << 20);
    struct str text = str_n((const char *)data, size);
    if (json_parse(&a, text, NULL, &j, NULL) == 0) {
        try_document(&a, j);
    }
    char *copy = arena_str(&a, text);
    if (copy) {
        try_name(&a, copy);
    }
    arena_fini(&a);
    return 0;
}
