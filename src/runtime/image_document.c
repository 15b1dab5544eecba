/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the documents of the OCI image specification 1.1 (descriptor, index, manifest, config) and
 * their Docker twins. The input is foreign: every field is checked before use, unknown ones are
 * passed over.
 */
#include <stdio.h>
#include <sys/utsname.h>

#include "base/mem.h"
#include "runtime/images_private.h"

const char *image_host_architecture(void)
{
    static const char *const names[][2] = {
        {"x86_64", "amd64"},        {"aarch64", "arm64"},   {"armv7l", "arm"},
        {"armv6l", "arm"},          {"i686", "386"},        {"i386", "386"},
        {"ppc64le", "ppc64le"},     {"s390x", "s390x"},     {"riscv64", "riscv64"},
        {"loongarch64", "loong64"}, {"mips64", "mips64le"},
    };
    struct utsname u;
    if (uname(&u) == 0) {
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
            if (cstr_eq(u.machine, names[i][0])) {
                return names[i][1];
            }
        }
    }
    return "unknown";
}

static const char *text_of(const struct json *j, const char *key)
{
    return json_cstr(json_get(j, key), "");
}

int image_parse_descriptor(const struct json *j, struct image_descriptor *ret, struct err *err)
{
    struct image_descriptor d = {
        .media_type = text_of(j, "mediaType"),
        .digest = text_of(j, "digest"),
        .size = json_i64(json_get(j, "size"), -1),
        .os = json_path_cstr(j, "platform.os", ""),
        .architecture = json_path_cstr(j, "platform.architecture", ""),
    };
    const struct json *notes = json_get(j, "annotations");
    d.name = json_cstr(json_get(notes, "io.containerd.image.name"),
                       json_cstr(json_get(notes, "org.opencontainers.image.ref.name"), ""));
    if (!image_digest_valid(d.digest)) {
        return err_set(err, -E_INVAL, "'%s' is no sha256 digest", d.digest);
    }
    if (d.size < 0) {
        return err_set(err, -E_INVAL, "the descriptor of %s has no size", d.digest);
    }
    *ret = d;
    return 0;
}

bool image_is_index(const struct json *j, const char *media_type)
{
    const char *own = text_of(j, "mediaType");
    const char *type = own[0] ? own : media_type;
    return cstr_eq(type, "application/vnd.oci.image.index.v1+json") ||
           cstr_eq(type, "application/vnd.docker.distribution.manifest.list.v2+json") ||
           (!type[0] && json_is(json_get(j, "manifests"), JSON_ARRAY));
}

static int parse_descriptors(const struct json *list, struct arena *a, size_t max, const char *what,
                             struct image_descriptor **ret, size_t *ret_n, struct err *err)
{
    size_t n = json_len(list), i = 0;
    if (!json_is(list, JSON_ARRAY)) {
        return err_set(err, -E_INVAL, "it has no list of %s", what);
    }
    if (n > max) {
        return err_set(err, -E_LIMIT, "it has %zu %s, more than the allowed %zu", n, what, max);
    }
    struct image_descriptor *d = arena_zalloc(a, (n + 1) * sizeof(*d));
    if (!d) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    JSON_FOR_EACH (item, list) {
        int r = image_parse_descriptor(item, &d[i++], err);
        if (r < 0) {
            return err_wrap(err, r, "%s %zu", what, i);
        }
    }
    *ret = d;
    *ret_n = n;
    return 0;
}

int image_parse_index(const struct json *j, struct arena *a, struct image_descriptor **ret,
                      size_t *ret_n, struct err *err)
{
    return parse_descriptors(json_get(j, "manifests"), a, 256, "manifests", ret, ret_n, err);
}

int image_parse_manifest(const struct json *j, struct arena *a, struct image_manifest *ret,
                         struct err *err)
{
    struct image_manifest m = {0};
    if (json_i64(json_get(j, "schemaVersion"), 0) != 2) {
        return err_set(err, -E_INVAL, "it is no manifest of schema version 2");
    }
    int r = image_parse_descriptor(json_get(j, "config"), &m.config, err);
    if (r < 0) {
        return err_wrap(err, r, "config");
    }
    r = parse_descriptors(json_get(j, "layers"), a, IMAGE_LAYERS_MAX, "layers", &m.layers,
                          &m.layers_n, err);
    if (r < 0) {
        return r;
    }
    *ret = m;
    return 0;
}

/* An array of strings, ended by NULL. null counts as empty, as Go writes it. */
static int parse_texts(const struct json *list, struct arena *a, const char *what,
                       const char *const **ret, struct err *err)
{
    size_t n = json_len(list), i = 0;
    if (list && list->type != JSON_ARRAY && list->type != JSON_NULL) {
        return err_set(err, -E_INVAL, "%s is no list", what);
    }
    if (n > 4096) {
        return err_set(err, -E_LIMIT, "%s has %zu items", what, n);
    }
    const char **texts = arena_zalloc(a, (n + 1) * sizeof(*texts));
    if (!texts) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    JSON_FOR_EACH (item, list) {
        struct str s = json_text(item);
        if (!json_is(item, JSON_STRING) || strlen(s.p) != s.n) {
            return err_set(err, -E_INVAL, "%s holds something that is no text", what);
        }
        texts[i++] = s.p;
    }
    *ret = texts;
    return 0;
}

static int parse_ports(const struct json *ports, struct arena *a, struct image *im)
{
    size_t i = 0, n = MIN_OF(json_len(ports), (size_t)256);
    const char **texts = arena_zalloc(a, (n + 1) * sizeof(*texts));
    if (!texts) {
        return -ENOMEM;
    }
    JSON_FOR_EACH_MEMBER (m, ports) {
        if (i < n) {
            texts[i++] = m->key;
        }
    }
    im->ports = texts;
    return 0;
}

/* A text without NUL inside, or "". */
static const char *plain(const struct json *j, const char *key)
{
    struct str s = json_text(json_get(j, key));
    return s.p && strlen(s.p) == s.n ? s.p : "";
}

int image_parse_config(const struct json *j, struct arena *a, struct image *ret,
                       const char ***ret_diff_ids, size_t *ret_n, struct err *err)
{
    const struct json *c = json_get(j, "config");
    const char *const *ids = NULL;
    struct image im = {
        .os = plain(j, "os"),
        .architecture = plain(j, "architecture"),
        .cwd = plain(c, "WorkingDir"),
        .user = plain(c, "User"),
        .stop_signal = plain(c, "StopSignal"),
    };
    int r = parse_texts(json_get(c, "Entrypoint"), a, "Entrypoint", &im.entrypoint, err);
    if (r == 0) {
        r = parse_texts(json_get(c, "Cmd"), a, "Cmd", &im.cmd, err);
    }
    if (r == 0) {
        r = parse_texts(json_get(c, "Env"), a, "Env", &im.env, err);
    }
    if (r == 0) {
        r = parse_texts(json_path(j, "rootfs.diff_ids"), a, "diff_ids", &ids, err);
    }
    if (r < 0) {
        return r;
    }
    if (!json_is(j, JSON_OBJECT)) {
        return err_set(err, -E_INVAL, "it is no object");
    }
    size_t n = 0;
    for (; ids[n]; n++) {
        if (n == IMAGE_LAYERS_MAX || !image_digest_valid(ids[n])) {
            return err_set(err, -E_INVAL, "diff_ids: '%s' does not fit", ids[n]);
        }
    }
    if (im.cwd[0] != '/') {
        im.cwd = im.cwd[0] ? arena_printf(a, "/%s", im.cwd) : "/";
    }
    if (parse_ports(json_get(c, "ExposedPorts"), a, &im) < 0 || arena_failed(a)) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    *ret = im;
    *ret_diff_ids = (const char **)(uintptr_t)ids;
    *ret_n = n;
    return 0;
}
