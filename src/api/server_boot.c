/* SPDX-License-Identifier: Apache-2.0 */
/* What a server makes for itself: see server_boot.h. */
#include "api/server_boot.h"

#include "api/auth/rbac_defaults.h"
#include "api/handler_private.h"
#include "api/object.h"
#include "api/server_private.h"
#include "base/log.h"

struct boot_write {
    struct list link;
    struct arena arena;
    struct handler_op op;
};

static const char *const root_groups[] = {"system:masters", NULL};
static const struct api_user server_user = {.name = "system:apiserver", .groups = root_groups};

static void boot_free(struct boot_write *b)
{
    list_del(&b->link);
    arena_fini(&b->arena);
    mem_free(b);
}

static void boot_done(struct handler_op *op)
{
    struct boot_write *b = op->arg;
    if (op->http >= 300 && op->http != 409) {
        log_warn("make %s '%s': %s, ignoring", op->kind->kind, op->name,
                 json_path_cstr(op->result, "message", "out of memory"));
    }
    handler_fini(op);
    boot_free(b);
}

static struct boot_write *boot_new(struct api_server *s, enum handler_verb verb,
                                   const struct kind *k, const struct json *body)
{
    struct boot_write *b = mem_zalloc(sizeof(*b));
    if (!b) {
        return NULL;
    }
    arena_init(&b->arena, 0);
    list_init(&b->link);
    struct json *copy = json_clone(&b->arena, body);
    if (!copy) {
        boot_free(b);
        return NULL;
    }
    b->op = (struct handler_op){.server = s,
                                .arena = &b->arena,
                                .user = &server_user,
                                .verb = verb,
                                .kind = k,
                                .ns = obj_ns(copy),
                                .name = verb == HANDLER_CREATE ? "" : obj_name(copy),
                                .body = copy,
                                .done = boot_done,
                                .arg = b};
    list_push_back(&s->boot, &b->link);
    return b;
}

int server_boot_write(struct api_server *s, enum handler_verb verb, const struct kind *k,
                      const struct json *body)
{
    struct boot_write *b = boot_new(s, verb, k, body);
    if (!b) {
        return -E_NOMEM;
    }
    handler_run(&b->op);
    return 0;
}

int server_boot_put(struct api_server *s, const struct kind *k, const struct json *obj,
                    int64_t expected)
{
    struct boot_write *b = boot_new(s, HANDLER_UPDATE, k, obj);
    if (!b) {
        return -E_NOMEM;
    }
    handler_put(&b->op, b->op.body, expected, 200, NULL);
    return 0;
}

static int boot_namespace(struct api_server *s, const char *name)
{
    const struct kind *k = kind_find("", "v1", "namespaces");
    struct arena a;
    arena_init(&a, 0);
    struct json *body = json_object(&a);
    json_set_str(json_ensure_object(body, "metadata"), "name", name);
    const char *key = api_key(&a, k, "", name);
    int rc = arena_failed(&a)                   ? -E_NOMEM
             : store_get(s->store, str_of(key)) ? 0
                                                : server_boot_write(s, HANDLER_CREATE, k, body);
    arena_fini(&a);
    return rc;
}

int server_boot(struct api_server *s, struct err *err)
{
    static const char *const namespaces[] = {"default", "kube-node-lease", "kube-public",
                                             "kube-system"};
    for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
        int rc = boot_namespace(s, namespaces[i]);
        if (rc < 0) {
            return err_set(err, rc, "make namespace '%s': %s", namespaces[i], err_text(rc));
        }
    }
    int rc = server_boot_priorities(s);
    rc = rc < 0 ? rc : server_boot_service(s);
    if (rc < 0) {
        return err_set(err, rc, "make the Service 'kubernetes': %s", err_text(rc));
    }
    rc = rbac_defaults_boot(s);
    return rc < 0 ? err_set(err, rc, "make the default roles: %s", err_text(rc)) : 0;
}

void server_boot_cancel(struct api_server *s)
{
    LIST_FOR_EACH_SAFE (l, &s->boot) {
        struct boot_write *b = CONTAINER_OF(l, struct boot_write, link);
        handler_cancel(&b->op);
        boot_free(b);
    }
}
