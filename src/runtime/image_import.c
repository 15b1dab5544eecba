/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an archive to the store: OCI layouts (image-layout.md of the OCI image specification 1.1)
 * and docker-save archives. An index is searched for this machine's platform. Nothing is believed
 * before its sha256 was computed: documents when they are read, layers while they are unpacked.
 */
#include "runtime/image_import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/limits.h"
#include "base/mem.h"
#include "io/file.h"
#include "runtime/fs.h"
#include "runtime/image_private.h"

#define INDEX_DEPTH 4

struct import {
    struct images *s;
    const struct image_import *in;
    struct image_source src;
    struct arena a;
    char *tmp;      /* store/tmp */
    int64_t budget; /* bytes that may still be unpacked */
    int found;      /* images for this platform */
    struct err *err;
};

static int oom(struct import *im)
{
    return err_set(im->err, -ENOMEM, "out of memory");
}

/* ---- documents ---- */

static int read_text(struct import *im, const char *name, struct buf *out)
{
    CLEANUP(fd_closep) int fd = image_source_file(&im->src, name, im->err);
    if (fd < 0) {
        return fd;
    }
    for (;;) {
        char *p = buf_reserve(out, 64 << 10);
        ssize_t n = p ? read(fd, p, 64 << 10) : -1;
        if (!p) {
            return oom(im);
        }
        if (n < 0) {
            return err_sys(im->err, -errno, "read %s", name);
        }
        if (n == 0) {
            return 0;
        }
        buf_commit(out, (size_t)n);
        if (buf_len(out) > IMAGE_DOCUMENT_MAX) {
            return err_set(im->err, -E_LIMIT, "%s is over %zu bytes", name, IMAGE_DOCUMENT_MAX);
        }
    }
}

static void digest_of(struct str s, char out[DIGEST_TEXT_SIZE])
{
    struct digest d;
    out[0] = '\0';
    if (digest_init(&d) == 0) {
        digest_update(&d, s.p, s.n);
        digest_text(&d, out);
        digest_fini(&d);
    }
}

static char *blob_name(struct import *im, const char *digest)
{
    return arena_printf(&im->a, "blobs/sha256/%s", image_digest_hex(digest));
}

/* A JSON document of the source; digest NULL = not checked. The bytes stay in *text. */
static int read_document(struct import *im, const char *name, const char *digest, struct buf *text,
                         struct json **ret)
{
    char sum[DIGEST_TEXT_SIZE];
    int r = name ? read_text(im, name, text) : oom(im);
    if (r < 0) {
        return r;
    }
    if (digest) {
        digest_of(buf_str(text), sum);
        if (!cstr_eq(sum, digest)) {
            return err_set(im->err, -E_INVAL, "%s is damaged: its digest is %s", name, sum);
        }
    }
    r = json_parse(&im->a, buf_str(text), /* opts= */ NULL, ret, im->err);
    return r < 0 ? err_wrap(im->err, r, "%s", name) : 0;
}

static int store_blob(struct import *im, const char *digest, struct str text)
{
    char *path = images_blob_path(im->s, &im->a, digest);
    if (!path) {
        return oom(im);
    }
    return access(path, F_OK) == 0 ? 0 : file_write_atomic(path, text.p, text.n, 0600, im->err);
}

/* ---- layers ---- */

static int write_size(struct import *im, const char *dir, int64_t size)
{
    char text[32], *path = fs_join(&im->a, dir, "size");
    int n = snprintf(text, sizeof(text), "%lld\n", (long long)size);
    return path ? file_write_replace(path, text, (size_t)n, 0600, im->err) : oom(im);
}

/* A finished temporary folder takes its place. Losing the race to another import is as good. */
static int publish_layer(struct import *im, const char *tmp, int fd, const char *diff_id)
{
    char *dir = images_layer_path(im->s, &im->a, diff_id);
    if (!dir) {
        return oom(im);
    }
    if (syncfs(fd) < 0) {
        return err_sys(im->err, -errno, "sync %s", tmp);
    }
    if (rename(tmp, dir) < 0 && errno != EEXIST && errno != ENOTEMPTY) {
        return err_sys(im->err, -errno, "rename %s to %s", tmp, dir);
    }
    return syncfs(fd) < 0 ? err_sys(im->err, -errno, "sync %s", dir) : 0;
}

static int unpack_into(struct import *im, int blob, const char *tmp, const char *diff_id,
                       const char *digest, struct layer_result *res)
{
    char *fs = fs_join(&im->a, tmp, "fs");
    if (!fs) {
        return oom(im);
    }
    if (mkdir(tmp, 0700) < 0 || mkdir(fs, 0755) < 0) {
        return err_sys(im->err, -errno, "mkdir %s", tmp);
    }
    CLEANUP(fd_closep) int dir = open(fs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        return err_sys(im->err, -errno, "open %s", fs);
    }
    int r = image_layer_unpack(blob, dir, im->budget, res, im->err);
    if (r < 0) {
        return r;
    }
    if (digest && !cstr_eq(digest, res->digest)) {
        return err_set(im->err, -E_INVAL, "it is damaged: its digest is %s", res->digest);
    }
    if (!cstr_eq(diff_id, res->diff_id)) {
        return err_set(im->err, -E_INVAL, "its content is %s, the config says %s", res->diff_id,
                       diff_id);
    }
    im->budget -= res->size;
    r = write_size(im, tmp, res->size);
    return r < 0 ? r : publish_layer(im, tmp, dir, diff_id);
}

/* name: of the blob in the source; digest NULL for docker-save, where only the diff id is known. */
static int import_layer(struct import *im, const char *name, const char *digest,
                        const char *diff_id)
{
    char id[17];
    struct layer_result res;
    char *dir = images_layer_path(im->s, &im->a, diff_id);
    random_name(id, 16);
    char *tmp = arena_printf(&im->a, "%s/layer-%s", im->tmp, id);
    if (!dir || !tmp || !name) {
        return oom(im);
    }
    if (access(dir, F_OK) == 0) {
        return 0;
    }
    CLEANUP(fd_closep) int fd = image_source_file(&im->src, name, im->err);
    if (fd < 0) {
        return fd;
    }
    int r = unpack_into(im, fd, tmp, diff_id, digest, &res);
    (void)fs_remove_tree(AT_FDCWD, tmp, NULL); /* gone already when it was published */
    return r < 0 ? err_wrap(im->err, r, "layer %.19s", diff_id) : 0;
}

/* ---- names ---- */

static int set_name(struct import *im, const char *name, const char *manifest, const char *id)
{
    char *full, *path;
    char text[DIGEST_TEXT_SIZE + 1], suffix[17];
    int r = image_name_normalise(&im->a, name, &full, im->err);
    if (r < 0) {
        return r;
    }
    if (strchr(full, '@')) {
        return err_set(im->err, -E_INVAL, "'%s': an image is named by a tag, not by a digest",
                       name);
    }
    path = images_ref_path(im->s, &im->a, full);
    if (!path) {
        return oom(im);
    }
    int n = snprintf(text, sizeof(text), "%s\n", manifest);
    random_name(suffix, 16);
    char *tmp = arena_printf(&im->a, "%s/ref-%s", im->tmp, suffix);
    r = !tmp ? oom(im) : file_write_atomic(tmp, text, (size_t)n, 0600, im->err);
    r = r == 0 ? fs_rename_sync(tmp, path, im->err) : r;
    if (r == 0 && im->in->added) {
        im->in->added(im->in->arg, full, id);
    }
    return r;
}

/* ---- OCI layouts ---- */

static int check_platform(struct import *im, const struct image *config)
{
    if (cstr_eq(config->os, "linux") && cstr_eq(config->architecture, image_host_architecture())) {
        return 0;
    }
    return err_set(im->err, -E_NOTSUP, "the image is for %s/%s, this machine is linux/%s",
                   config->os, config->architecture, image_host_architecture());
}

static int import_config(struct import *im, const char *name, const char *digest, struct buf *text,
                         struct image *ret, const char ***ids, size_t *n)
{
    struct json *j = NULL;
    int r = read_document(im, name, digest, text, &j);
    if (r == 0) {
        r = image_parse_config(j, &im->a, ret, ids, n, im->err);
    }
    return r == 0 ? check_platform(im, ret) : r;
}

static int import_manifest(struct import *im, const struct image_descriptor *d,
                           const struct json *j, struct str text, const char *name)
{
    struct image_manifest m;
    struct image config;
    CLEANUP(buf_finip) struct buf config_text = BUF_INIT;
    const char **ids;
    size_t n;
    int r = image_parse_manifest(j, &im->a, &m, im->err);
    if (r == 0) {
        r = import_config(im, blob_name(im, m.config.digest), m.config.digest, &config_text,
                          &config, &ids, &n);
    }
    if (r < 0) {
        return r;
    }
    if (n != m.layers_n) {
        return err_set(im->err, -E_INVAL, "the manifest has %zu layers, the config %zu", m.layers_n,
                       n);
    }
    for (size_t i = 0; i < n && r == 0; i++) {
        r = import_layer(im, blob_name(im, m.layers[i].digest), m.layers[i].digest, ids[i]);
    }
    if (r == 0) {
        r = store_blob(im, m.config.digest, buf_str(&config_text));
    }
    if (r == 0) {
        r = store_blob(im, d->digest, text);
    }
    if (r == 0) {
        im->found++;
        r = set_name(im, name, d->digest, m.config.digest);
    }
    return r;
}

static bool platform_fits(const struct image_descriptor *d)
{
    return !d->os[0] ||
           (cstr_eq(d->os, "linux") && cstr_eq(d->architecture, image_host_architecture()));
}

/* The manifest for this machine that d means, through nested indexes. -E_NOENT when there is none.
 */
static int resolve(struct import *im, struct image_descriptor *d, struct buf *text,
                   struct json **ret)
{
    for (int depth = 0; depth < INDEX_DEPTH; depth++) {
        struct image_descriptor *list;
        size_t n, i = 0;
        buf_clear(text);
        int r = read_document(im, blob_name(im, d->digest), d->digest, text, ret);
        if (r < 0) {
            return r;
        }
        if (!image_is_index(*ret, d->media_type)) {
            return 0;
        }
        r = image_parse_index(*ret, &im->a, &list, &n, im->err);
        if (r < 0) {
            return r;
        }
        while (i < n && !platform_fits(&list[i])) {
            i++;
        }
        if (i == n) {
            return err_set(im->err, -E_NOENT, "it holds no image for linux/%s",
                           image_host_architecture());
        }
        *d = list[i];
    }
    return err_set(im->err, -E_LIMIT, "its indexes are nested too deep");
}

/* The name to give: asked for, or the archive's when it is more than a bare tag. */
static int choose_name(struct import *im, const char *own, const char **ret)
{
    *ret = im->in->name ? im->in->name : own;
    if (!im->in->name && !strchr(own, ':') && !strchr(own, '/')) {
        return err_set(im->err, -E_INVAL,
                       "the image has no name in the archive ('%s'): give one with -t", own);
    }
    return 0;
}

static int import_oci(struct import *im)
{
    CLEANUP(buf_finip) struct buf index = BUF_INIT, text = BUF_INIT;
    struct json *j = NULL, *doc = NULL;
    struct image_descriptor *list;
    size_t n, fit = 0;
    int r = read_document(im, "index.json", /* digest= */ NULL, &index, &j);
    if (r == 0) {
        r = image_parse_index(j, &im->a, &list, &n, im->err);
    }
    for (size_t i = 0; r == 0 && i < n; i++) {
        fit += platform_fits(&list[i]);
    }
    if (r == 0 && im->in->name && fit > 1) {
        return err_set(im->err, -E_INVAL, "it holds %zu images: import it without -t", fit);
    }
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct image_descriptor d = list[i];
        const char *name;
        if (!platform_fits(&d)) {
            continue;
        }
        r = choose_name(im, d.name, &name);
        r = r == 0 ? resolve(im, &d, &text, &doc) : r;
        r = r == 0 ? import_manifest(im, &d, doc, buf_str(&text), name) : r;
    }
    if (r == 0 && im->found == 0) {
        r = err_set(im->err, -E_NOENT, "it holds no image for linux/%s", image_host_architecture());
    }
    return r;
}

/* ---- docker-save archives ---- */

/* The OCI manifest that a docker-save archive lacks: uncompressed layers, named by their diff ids.
 */
static struct json *make_manifest(struct import *im, const char *config_digest, size_t config_n,
                                  const char **ids, const int64_t *sizes, size_t n)
{
    struct json *m = json_object(&im->a);
    json_set_int(m, "schemaVersion", 2);
    json_set_str(m, "mediaType", "application/vnd.oci.image.manifest.v1+json");
    struct json *c = json_ensure_object(m, "config");
    json_set_str(c, "mediaType", "application/vnd.oci.image.config.v1+json");
    json_set_str(c, "digest", config_digest);
    json_set_int(c, "size", (int64_t)config_n);
    struct json *layers = json_ensure_array(m, "layers");
    for (size_t i = 0; i < n; i++) {
        struct json *l = json_push(layers, json_object(&im->a));
        json_set_str(l, "mediaType", "application/vnd.oci.image.layer.v1.tar");
        json_set_str(l, "digest", ids[i]);
        json_set_int(l, "size", sizes[i]);
    }
    return m;
}

static int docker_layers(struct import *im, const struct json *item, const char **ids,
                         int64_t *sizes, size_t n)
{
    const struct json *layers = json_get(item, "Layers");
    if (json_len(layers) != n) {
        return err_set(im->err, -E_INVAL, "manifest.json has %zu layers, the config %zu",
                       json_len(layers), n);
    }
    for (size_t i = 0; i < n; i++) {
        const char *name = json_cstr(json_at(layers, i), "");
        CLEANUP(fd_closep) int fd = image_source_file(&im->src, name, im->err);
        struct stat st;
        if (fd < 0) {
            return fd;
        }
        if (fstat(fd, &st) < 0) {
            return err_sys(im->err, -errno, "%s", name);
        }
        sizes[i] = st.st_size;
        int r = import_layer(im, name, /* digest= */ NULL, ids[i]);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int docker_names(struct import *im, const struct json *item, const char *manifest,
                        const char *id)
{
    int r = 0;
    if (im->in->name) {
        return set_name(im, im->in->name, manifest, id);
    }
    const struct json *tags = json_get(item, "RepoTags");
    if (json_len(tags) == 0) {
        return err_set(im->err, -E_INVAL, "the image has no name in the archive: give one with -t");
    }
    JSON_FOR_EACH (tag, tags) {
        r = r == 0 ? set_name(im, json_cstr(tag, ""), manifest, id) : r;
    }
    return r;
}

static int import_docker_item(struct import *im, const struct json *item)
{
    CLEANUP(buf_finip) struct buf config_text = BUF_INIT, manifest_text = BUF_INIT;
    struct image config;
    const char **ids;
    size_t n;
    char config_digest[DIGEST_TEXT_SIZE], manifest_digest[DIGEST_TEXT_SIZE];
    int64_t sizes[IMAGE_LAYERS_MAX];
    int r = import_config(im, json_path_cstr(item, "Config", ""), NULL, &config_text, &config, &ids,
                          &n);
    r = r == 0 ? docker_layers(im, item, ids, sizes, n) : r;
    if (r < 0) {
        return r;
    }
    digest_of(buf_str(&config_text), config_digest);
    struct json *m = make_manifest(im, config_digest, buf_len(&config_text), ids, sizes, n);
    if (json_print(&manifest_text, m) < 0 || arena_failed(&im->a)) {
        return oom(im);
    }
    digest_of(buf_str(&manifest_text), manifest_digest);
    r = store_blob(im, config_digest, buf_str(&config_text));
    r = r == 0 ? store_blob(im, manifest_digest, buf_str(&manifest_text)) : r;
    r = r == 0 ? docker_names(im, item, manifest_digest, config_digest) : r;
    im->found += r == 0;
    return r;
}

static int import_docker(struct import *im)
{
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    struct json *j = NULL;
    int r = read_document(im, "manifest.json", /* digest= */ NULL, &text, &j);
    if (r < 0) {
        return r;
    }
    if (im->in->name && json_len(j) > 1) {
        return err_set(im->err, -E_INVAL, "it holds %zu images: import it without -t", json_len(j));
    }
    if (!json_is(j, JSON_ARRAY) || json_len(j) == 0) {
        return err_set(im->err, -E_INVAL, "manifest.json is no list of images");
    }
    JSON_FOR_EACH (item, j) {
        r = r == 0 ? import_docker_item(im, item) : r;
    }
    return r;
}

/* ---- all of it ---- */

static int remove_entry(void *arg, int dir_fd, const char *name)
{
    (void)fs_remove_tree(dir_fd, name, NULL); /* tried again next time */
    return 0;
}

/* What a killed import left: only when no other import is at work. */
static void sweep(struct import *im, int lock)
{
    if (flock(lock, LOCK_EX | LOCK_NB) == 0) {
        (void)fs_each(AT_FDCWD, im->tmp, remove_entry, NULL); /* as above */
    }
    while (flock(lock, LOCK_SH) < 0 && errno == EINTR) {
    }
}

int image_import(struct images *s, const struct image_import *in, struct err *err)
{
    struct import im = {.s = s, .in = in, .budget = (int64_t)LIMIT_IMAGE_MIB << 20, .err = err};
    im.src.dir_fd = -EBADF;
    CLEANUP(fd_closep) int lock = images_lock(s, IMAGES_LOCK_ADD, err);
    if (lock < 0) {
        return lock;
    }
    arena_init(&im.a, 0);
    im.tmp = arena_printf(&im.a, "%s/tmp", images_root(s));
    int r = im.tmp ? 0 : oom(&im);
    if (r == 0) {
        sweep(&im, lock);
        r = image_source_open(in->file, im.tmp, &im.src, err);
    }
    if (r == 0) {
        if (image_source_has(&im.src, "index.json")) {
            r = import_oci(&im);
        } else if (image_source_has(&im.src, "manifest.json")) {
            r = import_docker(&im);
        } else {
            r = err_set(err, -E_INVAL, "it is neither an OCI layout nor a docker-save archive");
        }
        r = r < 0 ? err_wrap(err, r, "%s", in->file) : r;
        image_source_close(&im.src);
    }
    arena_fini(&im.a);
    return r;
}
