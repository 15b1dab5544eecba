/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings images into a store and makes image archives: the work of the program `image`. It links
 * libarchive and OpenSSL and parses foreign archives, so the resident agent never links it.
 *
 *   FILE (OCI layout or docker-save; folder, tar, tar.gz, tar.zst)
 *     -> image_source.c   names to files; archives are staged in store/tmp, flat, under numbers
 *     -> image_import.c   index, manifest, config; every blob's sha256 is checked before it counts
 *     -> image_layer.c    one layer into store/tmp/<x>/fs, hashing compressed and plain bytes as
 * they pass
 *     -> store            syncfs, rename; last of all the name
 */
#ifndef RUNTIME_IMAGE_IMPORT_H
#define RUNTIME_IMAGE_IMPORT_H

#include "runtime/images.h"

/* name: NULL = as the archive says. Calls added for each name that was set. */
struct image_import {
    const char *file;
    const char *name;
    void (*added)(void *arg, const char *name, const char *id);
    void *arg;
};
int image_import(struct images *s, const struct image_import *in, struct err *err);

struct image_pack {
    const char *dir;  /* root folder; all files become root:root, times become 0 */
    const char *file; /* oci-archive tar, written whole or not at all */
    const char *name; /* normalised here */
    const char *const *entrypoint,
        *const *cmd, *const *env, *const *ports; /* NULL-terminated, may be NULL */
    const char *cwd, *user, *stop_signal;        /* may be NULL */
    const char *architecture;                    /* NULL = this machine's */
};
/* The same input gives the same bytes. */
int image_pack(const struct image_pack *in, struct err *err);

/* Takes from this process what importing does not need: new privileges, capabilities, other system
 * calls, and by Landlock every path but the store (read and write) and file (read). What the kernel
 * lacks is passed over. */
void image_confine(const char *store_root, const char *file);

#endif
