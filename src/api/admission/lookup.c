/* SPDX-License-Identifier: Apache-2.0 */
/* Lists for plug-ins: see lookup.h. */
#include "api/admission/lookup.h"

#include "api/handler_private.h"
#include "api/server_private.h"

static struct json *read_latest(struct api_server *s, struct arena *a, struct str key,
                                const char *needle)
{
    struct store_item *it = store_get_latest(s->store, key);
    struct str text = it ? store_item_value(it) : STR_NULL;
    struct json *obj = NULL;
    if (!it || (needle && !memmem(text.p, text.n, needle, strlen(needle)))) {
        return NULL;
    }
    return json_parse(a, text, NULL, &obj, NULL) == 0 ? obj : NULL;
}

struct lookup lookup_all(struct api_server *s, struct arena *a, const struct kind *k,
                         const char *ns, const char *needle)
{
    struct lookup l = {0};
    struct store_list list = {0};
    const char *prefix = ns ? api_key(a, k, ns, "") : api_key(a, k, NULL, NULL);
    if (!prefix || store_count(s->store, str_of(prefix)) == 0 ||
        store_list(s->store, &(struct store_list_opts){.prefix = str_of(prefix)}, &list) < 0) {
        return l;
    }
    l.v = arena_alloc(a, (list.n + 1) * sizeof(*l.v));
    for (size_t i = 0; l.v && i < list.n; i++) {
        struct json *obj = read_latest(s, a, store_item_key(list.items[i]), needle);
        if (obj) {
            l.v[l.n++] = obj;
        }
    }
    store_list_fini(&list);
    return l;
}
