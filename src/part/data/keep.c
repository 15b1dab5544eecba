/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the part keeps: definitions and checkpoints, in a store of its own (store/store.h), under
 * "group//name". Names are escaped, since the store's keys are separated by slashes.
 */
#include "base/encode.h"
#include "base/log.h"
#include "base/mem.h"
#include "data_private.h"

struct keep {
    struct store_req req;
    data_kept_fn *done;
    void *arg;
};

static bool is_plain(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.' || c >= 0x80;
}

/* "group//name" with what is not plain as %XX; heap. */
static char *key_of(const char *group, struct str name)
{
    struct buf b = BUF_INIT;
    (void)buf_printf(&b, "%s//", group); /* sticky */
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        (void)(is_plain(c) ? buf_putc(&b, (char)c) : buf_printf(&b, "%%%02X", c)); /* sticky */
    }
    char *key = buf_take(&b, NULL);
    buf_fini(&b);
    return key;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The name behind an escaped one; heap. */
static char *name_of(struct str escaped)
{
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < escaped.n; i++) {
        int high = -1, low = -1;
        if (escaped.p[i] == '%' && i + 2 < escaped.n) {
            high = hex_digit(escaped.p[i + 1]);
            low = hex_digit(escaped.p[i + 2]);
        }
        if (high >= 0 && low >= 0) {
            (void)buf_putc(&b, (char)(high << 4 | low)); /* sticky */
            i += 2;
        } else {
            (void)buf_putc(&b, escaped.p[i]); /* sticky */
        }
    }
    char *name = buf_take(&b, NULL);
    buf_fini(&b);
    return name;
}

static void on_written(struct store_req *req, int code, const char *text)
{
    struct keep *k = CONTAINER_OF(req, struct keep, req);
    if (code < 0 && !k->done) {
        log_warn("keep a definition: %s, ignoring", text ? text : err_text(code));
    }
    if (k->done) {
        k->done(k->arg, code, text ? text : err_text(code));
    }
    mem_free(k);
}

static int submit(struct data *d, struct keep *k, const char *key, struct str value)
{
    if (value.p) {
        const struct store_put_opts any = {.expected_rev = STORE_ANY_REV};
        return store_put(d->store, &k->req, str_of(key), value, &any);
    }
    int rc = store_delete(d->store, &k->req, str_of(key), STR_LIT(""), NULL);
    return rc == -E_NOENT ? store_barrier(d->store, &k->req) : rc; /* it was never kept */
}

void data_keep(struct data *d, const char *group, struct str name, struct str value,
               data_kept_fn *done, void *arg)
{
    struct keep *k = mem_zalloc(sizeof(*k));
    CLEANUP(mem_freep) char *key = k ? key_of(group, name) : NULL;
    int rc = -E_NOMEM;
    if (key) {
        k->done = done;
        k->arg = arg;
        k->req.done = on_written;
        rc = submit(d, k, key, value);
    }
    if (rc < 0) {
        mem_free(k);
        if (done) {
            done(arg, rc, err_text(rc));
        }
    }
}

void data_kept_each(struct data *d, const char *group,
                    void (*fn)(struct data *d, struct str name, struct str value))
{
    CLEANUP(mem_freep) char *prefix = mem_printf("%s//", group);
    struct store_list list = {0};
    if (!prefix ||
        store_list(d->store, &(struct store_list_opts){.prefix = str_of(prefix)}, &list) < 0) {
        log_error("read what is kept of %s: out of memory", group);
        return;
    }
    size_t skip = strlen(prefix);
    for (size_t i = 0; i < list.n; i++) {
        struct str key = store_item_key(list.items[i]);
        CLEANUP(mem_freep) char *name = name_of(str_n(key.p + skip, key.n - skip));
        if (name) {
            fn(d, str_of(name), store_item_value(list.items[i]));
        }
    }
    store_list_fini(&list);
}

struct str data_kept(struct data *d, const char *group, struct str name)
{
    CLEANUP(mem_freep) char *key = key_of(group, name);
    struct store_item *it = key ? store_get(d->store, str_of(key)) : NULL;
    return it ? store_item_value(it) : STR_NULL;
}
