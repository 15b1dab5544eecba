/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A root folder becomes an image of one layer in an oci-archive:
 *
 *   folder -> tar --sha256 (diff id)--> gzip --sha256 (digest)--> FILE.layer~ -> tar with
 * index.json -> FILE
 *
 * Names are sorted, owners are root, times are 0, so that the same folder gives the same bytes.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "runtime/fs.h"
#include "runtime/image_private.h"

struct pack {
    const struct image_pack *in;
    struct arena a;
    char *name; /* normalised */
    char *layer_path, *tmp_path;
    struct archive *tar, *gz; /* of the layer */
    int layer_fd;
    struct digest tar_md, gz_md;
    int64_t layer_size;
    char diff_id[DIGEST_TEXT_SIZE], layer_digest[DIGEST_TEXT_SIZE];
    char config_digest[DIGEST_TEXT_SIZE], manifest_digest[DIGEST_TEXT_SIZE];
    struct buf config, manifest, index;
    struct err *err;
};

static int fail_archive(struct pack *p, struct archive *a, const char *what)
{
    const char *text = archive_error_string(a);
    return err_set(p->err, -E_IO, "%s: %s", what, text ? text : "failed");
}

static ssize_t write_gz(struct archive *a, void *arg, const void *data, size_t n)
{
    struct pack *p = arg;
    ssize_t w = write(p->layer_fd, data, n);
    if (w < 0) {
        archive_set_error(a, errno, "%s: %s", p->layer_path, strerror(errno));
        return -1;
    }
    digest_update(&p->gz_md, data, (size_t)w);
    p->layer_size += w;
    return w;
}

static ssize_t write_tar(struct archive *a, void *arg, const void *data, size_t n)
{
    struct pack *p = arg;
    digest_update(&p->tar_md, data, n);
    ssize_t w = archive_write_data(p->gz, data, n);
    if (w < 0) {
        archive_set_error(a, EIO, "%s", archive_error_string(p->gz));
        return -1;
    }
    return (ssize_t)n;
}

/* ---- the layer ---- */

static int copy_file(struct pack *p, const FTSENT *f)
{
    char buf[64 << 10];
    CLEANUP(fd_closep) int fd = open(f->fts_accpath, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return err_sys(p->err, -errno, "open %s", f->fts_path);
    }
    int64_t left = f->fts_statp->st_size;
    while (left > 0) {
        ssize_t n = read(fd, buf, (size_t)MIN_OF(left, (int64_t)sizeof(buf)));
        if (n <= 0) {
            return n < 0
                       ? err_sys(p->err, -errno, "read %s", f->fts_path)
                       : err_set(p->err, -E_IO, "%s became shorter while it was read", f->fts_path);
        }
        if (archive_write_data(p->tar, buf, (size_t)n) < 0) {
            return fail_archive(p, p->tar, f->fts_path);
        }
        left -= n;
    }
    return 0;
}

static int set_link(struct pack *p, const FTSENT *f, struct archive_entry *e)
{
    char target[4097];
    ssize_t n = readlink(f->fts_accpath, target, sizeof(target) - 1);
    if (n < 0) {
        return err_sys(p->err, -errno, "read the link %s", f->fts_path);
    }
    target[n] = '\0';
    archive_entry_set_symlink(e, target);
    return 0;
}

static int add_entry(struct pack *p, const FTSENT *f, const char *name)
{
    const struct stat *st = f->fts_statp;
    if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode) && !S_ISLNK(st->st_mode)) {
        return 0; /* devices, sockets and pipes do not belong into an image */
    }
    struct archive_entry *e = archive_entry_new();
    if (!e) {
        return err_set(p->err, -ENOMEM, "out of memory");
    }
    archive_entry_set_pathname(e, name);
    archive_entry_set_filetype(e, st->st_mode & S_IFMT);
    archive_entry_set_perm(e, st->st_mode & 07777);
    archive_entry_set_uid(e, 0);
    archive_entry_set_gid(e, 0);
    archive_entry_set_mtime(e, 0, 0);
    archive_entry_set_size(e, S_ISREG(st->st_mode) ? st->st_size : 0);
    int r = S_ISLNK(st->st_mode) ? set_link(p, f, e) : 0;
    if (r == 0 && archive_write_header(p->tar, e) != ARCHIVE_OK) {
        r = fail_archive(p, p->tar, f->fts_path);
    }
    archive_entry_free(e);
    return r == 0 && S_ISREG(st->st_mode) ? copy_file(p, f) : r;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int add_folder(struct pack *p)
{
    char *roots[] = {arena_strdup(&p->a, p->in->dir), NULL};
    FTS *fts = roots[0] ? fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name) : NULL;
    if (!fts) {
        return err_sys(p->err, -errno, "open %s", p->in->dir);
    }
    int r = 0;
    for (FTSENT *f = fts_read(fts); f && r == 0; f = fts_read(fts)) {
        if (f->fts_info == FTS_DNR || f->fts_info == FTS_ERR || f->fts_info == FTS_NS) {
            r = err_sys(p->err, -f->fts_errno, "read %s", f->fts_path);
        } else if (f->fts_info != FTS_DP && f->fts_level > 0) {
            const char *name = f->fts_path + strlen(p->in->dir);
            r = add_entry(p, f, name + strspn(name, "/"));
        } else if (f->fts_level == 0 && f->fts_info != FTS_D && f->fts_info != FTS_DP) {
            r = err_sys(p->err, -ENOTDIR, "%s", p->in->dir);
        }
    }
    (void)fts_close(fts); /* read-only */
    return r;
}

static int open_layer(struct pack *p)
{
    p->layer_fd = open(p->layer_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (p->layer_fd < 0) {
        return err_sys(p->err, -errno, "create %s", p->layer_path);
    }
    p->gz = archive_write_new();
    p->tar = archive_write_new();
    if (!p->gz || !p->tar || digest_init(&p->tar_md) < 0 || digest_init(&p->gz_md) < 0) {
        return err_set(p->err, -ENOMEM, "out of memory");
    }
    archive_write_add_filter_gzip(p->gz);
    archive_write_set_format_raw(p->gz);
    archive_write_set_bytes_per_block(p->gz, 0);
    archive_write_set_format_pax_restricted(p->tar);
    struct archive_entry *e = archive_entry_new();
    if (!e || archive_write_set_options(p->gz, "gzip:!timestamp") != ARCHIVE_OK ||
        archive_write_open(p->gz, p, NULL, write_gz, NULL) != ARCHIVE_OK ||
        archive_write_open(p->tar, p, NULL, write_tar, NULL) != ARCHIVE_OK) {
        archive_entry_free(e);
        return fail_archive(p, p->gz, "compress");
    }
    archive_entry_set_filetype(e, AE_IFREG);
    int r = archive_write_header(p->gz, e) == ARCHIVE_OK ? 0 : fail_archive(p, p->gz, "compress");
    archive_entry_free(e);
    return r;
}

static int make_layer(struct pack *p)
{
    int r = open_layer(p);
    r = r == 0 ? add_folder(p) : r;
    if (r == 0 &&
        (archive_write_close(p->tar) != ARCHIVE_OK || archive_write_close(p->gz) != ARCHIVE_OK)) {
        r = fail_archive(p, p->gz, "compress");
    }
    if (r == 0) {
        digest_text(&p->tar_md, p->diff_id);
        digest_text(&p->gz_md, p->layer_digest);
    }
    return r;
}

/* ---- the documents ---- */

static void set_texts(struct json *obj, const char *key, const char *const *texts)
{
    for (size_t i = 0; texts && texts[i]; i++) {
        json_push(json_ensure_array(obj, key), json_string(obj->arena, texts[i]));
    }
}

static struct json *make_config(struct pack *p)
{
    const struct image_pack *in = p->in;
    struct json *j = json_object(&p->a);
    json_set_str(j, "created", "1970-01-01T00:00:00Z");
    json_set_str(j, "architecture",
                 in->architecture ? in->architecture : image_host_architecture());
    json_set_str(j, "os", "linux");
    struct json *c = json_ensure_object(j, "config");
    json_set_str(c, "User", in->user);
    for (size_t i = 0; in->ports && in->ports[i]; i++) {
        char *port = strchr(in->ports[i], '/') ? arena_strdup(&p->a, in->ports[i])
                                               : arena_printf(&p->a, "%s/tcp", in->ports[i]);
        json_set(json_ensure_object(c, "ExposedPorts"), port ? port : "", json_object(&p->a));
    }
    set_texts(c, "Env", in->env);
    set_texts(c, "Entrypoint", in->entrypoint);
    set_texts(c, "Cmd", in->cmd);
    json_set_str(c, "WorkingDir", in->cwd);
    json_set_str(c, "StopSignal", in->stop_signal);
    struct json *fs = json_ensure_object(j, "rootfs");
    json_set_str(fs, "type", "layers");
    json_push(json_ensure_array(fs, "diff_ids"), json_string(&p->a, p->diff_id));
    return j;
}

static struct json *descriptor(struct pack *p, const char *type, const char *digest, int64_t size)
{
    struct json *d = json_object(&p->a);
    json_set(d, "mediaType", json_printf(&p->a, "application/vnd.oci.image.%s", type));
    json_set_str(d, "digest", digest);
    json_set_int(d, "size", size);
    return d;
}

static int finish(struct pack *p, struct json *j, struct buf *out, char digest[DIGEST_TEXT_SIZE])
{
    struct digest d;
    if (json_print(out, j) < 0 || arena_failed(&p->a) || digest_init(&d) < 0) {
        return err_set(p->err, -ENOMEM, "out of memory");
    }
    digest_update(&d, buf_data(out), buf_len(out));
    digest_text(&d, digest);
    digest_fini(&d);
    return 0;
}

static int make_documents(struct pack *p)
{
    char unused[DIGEST_TEXT_SIZE];
    int r = finish(p, make_config(p), &p->config, p->config_digest);
    if (r < 0) {
        return r;
    }
    struct json *m = json_object(&p->a);
    json_set_int(m, "schemaVersion", 2);
    json_set_str(m, "mediaType", "application/vnd.oci.image.manifest.v1+json");
    json_set(m, "config",
             descriptor(p, "config.v1+json", p->config_digest, (int64_t)buf_len(&p->config)));
    json_push(json_ensure_array(m, "layers"),
              descriptor(p, "layer.v1.tar+gzip", p->layer_digest, p->layer_size));
    r = finish(p, m, &p->manifest, p->manifest_digest);
    if (r < 0) {
        return r;
    }
    struct json *index = json_object(&p->a);
    json_set_int(index, "schemaVersion", 2);
    struct json *d = json_push(
        json_ensure_array(index, "manifests"),
        descriptor(p, "manifest.v1+json", p->manifest_digest, (int64_t)buf_len(&p->manifest)));
    json_set_str(json_ensure_object(d, "annotations"), "org.opencontainers.image.ref.name",
                 p->name);
    return finish(p, index, &p->index, unused);
}

/* ---- the archive ---- */

static int put_header(struct pack *p, struct archive *out, const char *name, int64_t size)
{
    struct archive_entry *e = archive_entry_new();
    if (!e) {
        return err_set(p->err, -ENOMEM, "out of memory");
    }
    archive_entry_set_pathname(e, name);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_perm(e, 0644);
    archive_entry_set_size(e, size);
    archive_entry_set_mtime(e, 0, 0);
    int r = archive_write_header(out, e) == ARCHIVE_OK ? 0 : fail_archive(p, out, p->in->file);
    archive_entry_free(e);
    return r;
}

static int put_text(struct pack *p, struct archive *out, const char *name, struct str s)
{
    int r =
        name ? put_header(p, out, name, (int64_t)s.n) : err_set(p->err, -ENOMEM, "out of memory");
    return r == 0 && archive_write_data(out, s.p, s.n) < 0 ? fail_archive(p, out, p->in->file) : r;
}

static int put_layer(struct pack *p, struct archive *out)
{
    char buf[64 << 10];
    char *name = arena_printf(&p->a, "blobs/sha256/%s", image_digest_hex(p->layer_digest));
    int r =
        name ? put_header(p, out, name, p->layer_size) : err_set(p->err, -ENOMEM, "out of memory");
    if (r == 0 && lseek(p->layer_fd, 0, SEEK_SET) < 0) {
        r = err_sys(p->err, -errno, "read %s", p->layer_path);
    }
    while (r == 0) {
        ssize_t n = read(p->layer_fd, buf, sizeof(buf));
        if (n == 0) {
            break;
        }
        if (n < 0) {
            r = err_sys(p->err, -errno, "read %s", p->layer_path);
        } else if (archive_write_data(out, buf, (size_t)n) < 0) {
            r = fail_archive(p, out, p->in->file);
        }
    }
    return r;
}

static char *blob(struct pack *p, const char *digest)
{
    return arena_printf(&p->a, "blobs/sha256/%s", image_digest_hex(digest));
}

static int write_archive(struct pack *p)
{
    CLEANUP(fd_closep) int fd = open(p->tmp_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return err_sys(p->err, -errno, "create %s", p->tmp_path);
    }
    struct archive *out = archive_write_new();
    if (!out) {
        return err_set(p->err, -ENOMEM, "out of memory");
    }
    archive_write_set_format_ustar(out);
    int r = archive_write_open_fd(out, fd) == ARCHIVE_OK ? 0 : fail_archive(p, out, p->in->file);
    r = r == 0 ? put_text(p, out, "oci-layout", STR_LIT("{\"imageLayoutVersion\":\"1.0.0\"}")) : r;
    r = r == 0 ? put_text(p, out, "index.json", buf_str(&p->index)) : r;
    r = r == 0 ? put_text(p, out, blob(p, p->manifest_digest), buf_str(&p->manifest)) : r;
    r = r == 0 ? put_text(p, out, blob(p, p->config_digest), buf_str(&p->config)) : r;
    r = r == 0 ? put_layer(p, out) : r;
    if (r == 0 && archive_write_close(out) != ARCHIVE_OK) {
        r = fail_archive(p, out, p->in->file);
    }
    archive_write_free(out);
    if (r == 0 && fsync(fd) < 0) {
        r = err_sys(p->err, -errno, "write %s", p->tmp_path);
    }
    return r == 0 ? fs_rename_sync(p->tmp_path, p->in->file, p->err) : r;
}

static int prepare(struct pack *p)
{
    int r = image_name_normalise(&p->a, p->in->name, &p->name, p->err);
    if (r < 0) {
        return r;
    }
    p->layer_path = arena_printf(&p->a, "%s.%d.layer~", p->in->file, (int)getpid());
    p->tmp_path = arena_printf(&p->a, "%s.%d~", p->in->file, (int)getpid());
    return p->tmp_path ? 0 : err_set(p->err, -ENOMEM, "out of memory");
}

int image_pack(const struct image_pack *in, struct err *err)
{
    struct pack p = {.in = in, .layer_fd = -EBADF, .err = err};
    arena_init(&p.a, 0);
    int r = prepare(&p);
    r = r == 0 ? make_layer(&p) : r;
    r = r == 0 ? make_documents(&p) : r;
    r = r == 0 ? write_archive(&p) : r;
    if (p.tmp_path) {
        (void)unlink(p.layer_path); /* may not exist; nothing depends on it */
        (void)unlink(p.tmp_path);
    }
    archive_write_free(p.tar);
    archive_write_free(p.gz);
    digest_fini(&p.tar_md);
    digest_fini(&p.gz_md);
    fd_closep(&p.layer_fd);
    buf_fini(&p.config);
    buf_fini(&p.manifest);
    buf_fini(&p.index);
    arena_fini(&p.a);
    return r < 0 ? err_wrap(err, r, "pack %s", in->dir) : 0;
}
