/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the image store. Layers lie in layers/<hex>/fs with layers/<hex>/size beside it (bytes,
 * decimal). A ref file is named by the normalised name with '/' written as '!' and holds the digest
 * of a manifest.
 */
#include "runtime/images.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"
#include "runtime/fs.h"
#include "runtime/images_private.h"

struct images {
    char *root;
};

static const char *const folders[] = {"blobs/sha256", "layers", "refs", "tmp"};

int images_open(const char *root, struct images **ret, struct err *err)
{
    char path[PATH_MAX];
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        snprintf(path, sizeof(path), "%s/%s", root, folders[i]);
        int r = dir_make(path, 0700, err);
        if (r < 0) {
            return err_wrap(err, r, "image store");
        }
    }
    struct images *s = mem_zalloc(sizeof(*s));
    char *real = realpath(root, path);
    if (!s || !real || !(s->root = mem_strdup(real))) {
        images_close(s);
        return err_set(err, -ENOMEM, "image store %s: out of memory", root);
    }
    *ret = s;
    return 0;
}

void images_close(struct images *s)
{
    if (s) {
        mem_free(s->root);
        mem_free(s);
    }
}

const char *images_root(const struct images *s)
{
    return s->root;
}

char *images_blob_path(const struct images *s, struct arena *a, const char *digest)
{
    return arena_printf(a, "%s/blobs/sha256/%s", s->root, image_digest_hex(digest));
}

char *images_layer_path(const struct images *s, struct arena *a, const char *diff_id)
{
    return arena_printf(a, "%s/layers/%s", s->root, image_digest_hex(diff_id));
}

char *images_ref_path(const struct images *s, struct arena *a, const char *normalised)
{
    char *name = arena_strdup(a, normalised);
    for (char *p = name; p && *p; p++) {
        *p = *p == '/' ? '!' : *p;
    }
    return name ? arena_printf(a, "%s/refs/%s", s->root, name) : NULL;
}

int images_lock(const struct images *s, enum images_lock kind, struct err *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/lock", s->root);
    CLEANUP(fd_closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_sys(err, -errno, "open %s", path);
    }
    while (flock(fd, kind == IMAGES_LOCK_ADD ? LOCK_SH : LOCK_EX) < 0) {
        if (errno != EINTR) {
            return err_sys(err, -errno, "lock %s", path);
        }
    }
    return TAKE_FD(fd);
}

/* ---- one image ---- */

static int read_document(struct images *s, struct arena *a, const char *digest, struct json **ret,
                         struct err *err)
{
    char *path = images_blob_path(s, a, digest);
    if (!path) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    return fs_read_json(a, path, IMAGE_DOCUMENT_MAX, ret, err);
}

static int fill_layers(struct images *s, struct arena *a, const char **ids, size_t n,
                       struct image *im, struct err *err)
{
    const char **dirs = arena_zalloc(a, (n + 1) * sizeof(*dirs));
    for (size_t i = 0; dirs && i < n; i++) {
        char *dir = images_layer_path(s, a, ids[n - 1 - i]);
        char *fs = fs_join(a, dir, "fs"), *size = fs_join(a, dir, "size");
        if (!size) {
            break;
        }
        if (access(fs, F_OK) < 0) {
            return err_set(err, -E_NOENT, "its layer %s is not in the store", ids[n - 1 - i]);
        }
        char *text = fs_read_text(a, size, 32);
        uint64_t bytes = 0;
        if (text && str_u64(str_of(text), &bytes) == 0) {
            im->size += (int64_t)(bytes & INT64_MAX);
        }
        dirs[i] = fs;
    }
    im->layers = dirs;
    return arena_failed(a) ? err_set(err, -ENOMEM, "out of memory") : 0;
}

static int load(struct images *s, struct arena *a, const char *digest, struct image **ret,
                struct err *err)
{
    struct json *manifest = NULL, *config = NULL;
    struct image_manifest m;
    struct image *im = arena_zalloc(a, sizeof(*im));
    const char **ids = NULL;
    size_t n = 0;
    if (!im) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    int r = read_document(s, a, digest, &manifest, err);
    if (r == 0) {
        r = image_parse_manifest(manifest, a, &m, err);
    }
    if (r == 0) {
        r = read_document(s, a, m.config.digest, &config, err);
    }
    if (r == 0) {
        r = image_parse_config(config, a, im, &ids, &n, err);
    }
    if (r == 0) {
        im->digest = arena_strdup(a, digest);
        im->id = m.config.digest;
        r = fill_layers(s, a, ids, n, im, err);
    }
    if (r < 0) {
        return err_wrap(err, r, "image %.19s", digest);
    }
    *ret = im;
    return 0;
}

/* ---- names ---- */

struct ref {
    char *name, *digest;
};

struct ref_list {
    struct images *s;
    struct arena *a;
    struct ref *refs;
    size_t n;
};

static int add_ref(void *arg, int dir_fd, const char *name)
{
    struct ref_list *l = arg;
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    if (fs_read_at(dir_fd, name, 256, &b) < 0) {
        return 0; /* removed meanwhile */
    }
    char *digest = arena_str(l->a, str_trim(buf_str(&b)));
    char *text = arena_strdup(l->a, name);
    if (!digest || !text) {
        return -ENOMEM;
    }
    digest[strcspn(digest, "\n")] = '\0';
    if (!image_digest_valid(digest)) {
        return 0;
    }
    for (char *p = text; *p; p++) {
        *p = *p == '!' ? '/' : *p;
    }
    l->refs = arena_grow(l->a, l->refs, l->n * sizeof(*l->refs), (l->n + 1) * sizeof(*l->refs));
    if (!l->refs) {
        return -ENOMEM;
    }
    l->refs[l->n++] = (struct ref){text, digest};
    return 0;
}

static int ref_cmp(const void *a, const void *b)
{
    return strcmp(((const struct ref *)a)->name, ((const struct ref *)b)->name);
}

static int read_refs(struct images *s, struct arena *a, struct ref_list *ret, struct err *err)
{
    *ret = (struct ref_list){.s = s, .a = a};
    char *dir = arena_printf(a, "%s/refs", s->root);
    int r = dir ? fs_each(AT_FDCWD, dir, add_ref, ret) : -ENOMEM;
    if (r < 0) {
        return err_sys(err, r, "read the names of images in %s", s->root);
    }
    if (ret->n > 1) {
        qsort(ret->refs, ret->n, sizeof(*ret->refs), ref_cmp);
    }
    return 0;
}

static int fill_names(struct image *im, const struct ref_list *l, struct arena *a)
{
    const char **names = arena_zalloc(a, (l->n + 1) * sizeof(*names));
    size_t n = 0;
    for (size_t i = 0; names && i < l->n; i++) {
        if (cstr_eq(l->refs[i].digest, im->digest)) {
            names[n++] = l->refs[i].name;
        }
    }
    im->names = names;
    return names ? 0 : -ENOMEM;
}

static int find_by_id(struct images *s, const char *id, struct arena *a, struct image **ret,
                      struct err *err)
{
    struct image **all;
    size_t n;
    int r = images_list(s, a, &all, &n, err);
    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < n; i++) {
        if (cstr_eq(all[i]->id, id) || cstr_eq(all[i]->digest, id)) {
            *ret = all[i];
            return 0;
        }
    }
    return err_set(err, -E_NOENT, "image %s is not in the store", id);
}

int images_find(struct images *s, const char *name, struct arena *a, struct image **ret,
                struct err *err)
{
    char *full, *path, *digest = NULL;
    struct ref_list refs;
    if (image_digest_valid(name)) {
        return find_by_id(s, name, a, ret, err);
    }
    int r = image_name_normalise(a, name, &full, err);
    if (r < 0) {
        return r;
    }
    const char *at = strchr(full, '@');
    if (at) {
        return find_by_id(s, at + 1, a, ret, err);
    }
    path = images_ref_path(s, a, full);
    digest = path ? fs_read_text(a, path, 256) : NULL;
    if (!digest || !image_digest_valid(digest)) {
        return err_set(err, -E_NOENT, "image %s is not in the store", full);
    }
    struct image *im;
    r = load(s, a, digest, &im, err);
    if (r == 0) {
        r = read_refs(s, a, &refs, err);
    }
    if (r == 0 && fill_names(im, &refs, a) < 0) {
        r = err_set(err, -ENOMEM, "out of memory");
    }
    if (r == 0) {
        *ret = im;
    }
    return r;
}

int images_list(struct images *s, struct arena *a, struct image ***ret, size_t *ret_n,
                struct err *err)
{
    struct ref_list refs;
    int r = read_refs(s, a, &refs, err);
    if (r < 0) {
        return r;
    }
    struct image **list = arena_zalloc(a, (refs.n + 1) * sizeof(struct image *));
    size_t n = 0;
    for (size_t i = 0; list && i < refs.n; i++) {
        bool seen = false;
        for (size_t k = 0; k < n && !seen; k++) {
            seen = cstr_eq(list[k]->digest, refs.refs[i].digest);
        }
        struct image *im;
        if (!seen && load(s, a, refs.refs[i].digest, &im, /* err= */ NULL) == 0) {
            if (fill_names(im, &refs, a) < 0) {
                break;
            }
            list[n++] = im;
        }
    }
    if (arena_failed(a)) {
        return err_set(err, -ENOMEM, "list images: out of memory");
    }
    *ret = list;
    *ret_n = n;
    return 0;
}

/* ---- removal ---- */

int images_untag(struct images *s, const char *name, struct err *err)
{
    struct arena a;
    arena_init(&a, 0);
    char *full = NULL;
    int r = image_name_normalise(&a, name, &full, err);
    char *path = r == 0 ? images_ref_path(s, &a, full) : NULL;
    if (r == 0 && !path) {
        r = err_set(err, -ENOMEM, "out of memory");
    } else if (r == 0 && unlink(path) < 0) {
        r = errno == ENOENT ? err_set(err, -E_NOENT, "image %s is not in the store", full)
                            : err_sys(err, -errno, "remove %s", path);
    }
    arena_fini(&a);
    return r;
}

struct gc {
    struct images *s;
    struct arena *a;
    struct image **used;
    size_t used_n;
    const char *const *keep;
    int64_t freed;
};

static bool blob_used(const struct gc *g, const char *hex)
{
    for (size_t i = 0; i < g->used_n; i++) {
        if (cstr_eq(image_digest_hex(g->used[i]->id), hex) ||
            cstr_eq(image_digest_hex(g->used[i]->digest), hex)) {
            return true;
        }
    }
    return false;
}

static bool layer_used(const struct gc *g, const char *fs)
{
    for (size_t i = 0; g->keep && g->keep[i]; i++) {
        if (cstr_eq(g->keep[i], fs)) {
            return true;
        }
    }
    for (size_t i = 0; i < g->used_n; i++) {
        for (size_t k = 0; g->used[i]->layers[k]; k++) {
            if (cstr_eq(g->used[i]->layers[k], fs)) {
                return true;
            }
        }
    }
    return false;
}

static int gc_blob(void *arg, int dir_fd, const char *name)
{
    struct gc *g = arg;
    struct stat st;
    if (!blob_used(g, name) && fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        unlinkat(dir_fd, name, 0) == 0) {
        g->freed += st.st_size;
    }
    return 0;
}

/* A layer leaves by way of tmp/, so that a half-removed one never stands under its name. */
static int gc_layer(void *arg, int dir_fd, const char *name)
{
    struct gc *g = arg;
    char *dir = arena_printf(g->a, "%s/layers/%s", g->s->root, name);
    char *fs = fs_join(g->a, dir, "fs"), *size = fs_join(g->a, dir, "size");
    char *tmp = arena_printf(g->a, "%s/tmp/gone-%s", g->s->root, name);
    if (!fs || !size || !tmp) {
        return -ENOMEM;
    }
    if (layer_used(g, fs)) {
        return 0;
    }
    char *text = fs_read_text(g->a, size, 32);
    uint64_t bytes = 0;
    if (text && str_u64(str_of(text), &bytes) < 0) {
        bytes = 0;
    }
    if (rename(dir, tmp) == 0 && fs_remove_tree(AT_FDCWD, tmp, /* err= */ NULL) == 0) {
        g->freed += (int64_t)(bytes & INT64_MAX);
    }
    return 0;
}

int images_gc(struct images *s, const char *const *keep, int64_t *ret_freed, struct err *err)
{
    CLEANUP(fd_closep) int lock = images_lock(s, IMAGES_LOCK_REMOVE, err);
    if (lock < 0) {
        return lock;
    }
    struct arena a;
    arena_init(&a, 0);
    struct gc g = {.s = s, .a = &a, .keep = keep};
    int r = images_list(s, &a, &g.used, &g.used_n, err);
    char *blobs = arena_printf(&a, "%s/blobs/sha256", s->root);
    char *layers = arena_printf(&a, "%s/layers", s->root);
    if (r == 0 && (!blobs || !layers)) {
        r = err_set(err, -ENOMEM, "out of memory");
    }
    if (r == 0 && ((r = fs_each(AT_FDCWD, layers, gc_layer, &g)) < 0 ||
                   (r = fs_each(AT_FDCWD, blobs, gc_blob, &g)) < 0)) {
        r = err_sys(err, r, "clean the image store %s", s->root);
    }
    arena_fini(&a);
    if (r == 0 && ret_freed) {
        *ret_freed = g.freed;
    }
    return r;
}
