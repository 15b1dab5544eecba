/* SPDX-License-Identifier: Apache-2.0 */
/* What the reader (images.c) and the writer (image_import.c, image_layer.c) of the image store
 * share. */
#ifndef RUNTIME_IMAGES_PRIVATE_H
#define RUNTIME_IMAGES_PRIVATE_H

#include "base/str.h"
#include "codec/json.h"
#include "runtime/images.h"

#define SHA256_HEX 64
#define DIGEST_TEXT_SIZE (7 + SHA256_HEX + 1) /* "sha256:<hex>" */
#define IMAGE_DOCUMENT_MAX ((size_t)4 << 20)  /* bytes of a manifest, index or config */
#define IMAGE_LAYERS_MAX 128

/* A descriptor of a manifest or index, texts borrowed from its tree. */
struct image_descriptor {
    const char *media_type; /* "" when absent */
    const char *digest;
    int64_t size;
    const char *os, *architecture; /* "" when absent */
    const char *name;              /* of its annotations, "" when absent */
};

struct image_manifest {
    struct image_descriptor config;
    struct image_descriptor *layers; /* the base first */
    size_t layers_n;
};

bool image_digest_valid(const char *digest); /* "sha256:" and 64 lower-case hex digits */
static inline const char *image_digest_hex(const char *digest)
{
    return digest + 7;
}
const char *image_host_architecture(void); /* as Go names it: "amd64" */

/* The parsers of outside JSON: -E_INVAL with a sentence for what does not fit. Nothing is read
 * beyond the tree. */
int image_parse_descriptor(const struct json *j, struct image_descriptor *ret, struct err *err);
bool image_is_index(const struct json *j, const char *media_type);
int image_parse_index(const struct json *j, struct arena *a, struct image_descriptor **ret,
                      size_t *ret_n, struct err *err);
int image_parse_manifest(const struct json *j, struct arena *a, struct image_manifest *ret,
                         struct err *err);
/* Fills the fields of a config; layers, names and size are the store's. diff_ids: "sha256:..." base
 * first. */
int image_parse_config(const struct json *j, struct arena *a, struct image *ret,
                       const char ***ret_diff_ids, size_t *ret_n, struct err *err);

/* Paths inside the store, in the arena. */
char *images_blob_path(const struct images *s, struct arena *a, const char *digest);
char *images_layer_path(const struct images *s, struct arena *a,
                        const char *diff_id); /* the folder of fs/ */
char *images_ref_path(const struct images *s, struct arena *a, const char *normalised);
enum images_lock { IMAGES_LOCK_ADD, IMAGES_LOCK_REMOVE };
/* Blocks until it has the lock; close the descriptor to give it back. */
int images_lock(const struct images *s, enum images_lock kind, struct err *err);

#endif
