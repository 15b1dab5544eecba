/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of image import: sources of blobs, layer unpacking, hashing. */
#ifndef RUNTIME_IMAGE_PRIVATE_H
#define RUNTIME_IMAGE_PRIVATE_H

#include <openssl/evp.h>

#include "base/map.h"
#include "runtime/image_import.h"
#include "runtime/images_private.h"

/* ---- sha256 ---- */

struct digest {
    EVP_MD_CTX *ctx;
};
int digest_init(struct digest *d);
void digest_update(struct digest *d, const void *p, size_t n);
void digest_text(struct digest *d, char out[DIGEST_TEXT_SIZE]); /* once */
void digest_fini(struct digest *d);

/* ---- where the bytes come from ---- */

struct image_source {
    /* private */
    int dir_fd;       /* of a layout folder, or of the staging folder */
    char *stage;      /* path of the staging folder, NULL for a layout folder */
    struct map files; /* archive: name -> struct staged * */
};
/* tmp: folder for staging. */
int image_source_open(const char *file, const char *tmp, struct image_source *ret, struct err *err);
void image_source_close(struct image_source *s);
bool image_source_has(struct image_source *s, const char *name);
/* A descriptor of a regular file, or -E_NOENT with a sentence. Links inside the source are
 * followed. */
int image_source_file(struct image_source *s, const char *name, struct err *err);

/* ---- layers ---- */

struct layer_result {
    char digest[DIGEST_TEXT_SIZE];  /* of the bytes as they lie in the source */
    char diff_id[DIGEST_TEXT_SIZE]; /* of the tar */
    int64_t blob_size;              /* bytes as they lie in the source */
    int64_t size;                   /* unpacked */
    int64_t tar_size;
};
/* Unpacks the tar (plain, gzip or zstd) from fd into dir_fd, an empty folder. max_bytes bounds both
 * the tar and the unpacked files. Reads the blob to its end. dir_fd -EBADF: only hashes. */
int image_layer_unpack(int fd, int dir_fd, int64_t max_bytes, struct layer_result *ret,
                       struct err *err);

#endif
