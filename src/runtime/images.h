/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image store of a node: an OCI content store with unpacked layers.
 *
 *   root/blobs/sha256/<hex>    manifests and configs, as they were digested (layer blobs are not
 * kept) root/layers/<hex>/         a layer by its diff id (sha256 of the uncompressed tar), ready
 * to be a lower directory of overlayfs: whiteouts are character devices 0/0, opaque directories
 *                              carry trusted.overlay.opaque=y
 *   root/refs/<escaped name>   one file a name, holding the digest of its manifest
 *   root/tmp/                  what is being made; renamed into place when complete and synced
 *   root/lock                  flock: shared to add, exclusive to remove
 *
 * Invariant: what lies under its final name is complete. So kill -9 leaves nothing but files in
 * tmp/, which the next writer removes. Blobs and layers are made before the name that refers to
 * them. Writers (the program `image`) and readers (the agent) are different processes. All
 * functions block for disk reads of a few kB; any thread, one handle by one thread at a time.
 */
#ifndef RUNTIME_IMAGES_H
#define RUNTIME_IMAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

struct images;

/* An image as a container sees it. All in the arena of the call; arrays end with NULL. */
struct image {
    const char *id;           /* "sha256:<hex>" of the config: Docker's image id, status.imageID */
    const char *digest;       /* "sha256:<hex>" of the manifest */
    const char *const *names; /* normalised: "docker.io/library/hello:1"; may be empty */
    int64_t size;             /* bytes unpacked */
    const char *const
        *layers; /* absolute lower directories, the top one first, as overlayfs wants them */
    const char *const *entrypoint, *const *cmd, *const *env; /* never NULL, may be empty */
    const char *cwd;                                         /* "/" when not given */
    const char *user;         /* "" when not given; "1000", "1000:1000", "name", "name:group" */
    const char *stop_signal;  /* "" when not given; "SIGTERM", "15" */
    const char *const *ports; /* "8080/tcp" */
    const char *architecture, *os;
};

int images_open(const char *root, struct images **ret,
                struct err *err); /* makes root when it is absent */
void images_close(struct images *s);
const char *images_root(const struct images *s);

/* "hello" -> "docker.io/library/hello:latest", "r.example/a/b@sha256:..." stays. -E_INVAL with a
 * sentence for what is no image name (Kubernetes' InvalidImageName). */
int image_name_normalise(struct arena *a, const char *name, char **ret, struct err *err);
/* The tag, or NULL when the name has none; of a normalised name. For the default of
 * imagePullPolicy. */
const char *image_name_tag(const char *normalised);

/* By name (normalised here), "name@sha256:<manifest>", or an id "sha256:<hex>" (config or
 * manifest). A name with a digest is found when that manifest is there, whatever it is called.
 * -E_NOENT when it is not there. */
int images_find(struct images *s, const char *name, struct arena *a, struct image **ret,
                struct err *err);
/* Every image once, with all its names; ordered by first name. Damaged ones are left out. */
int images_list(struct images *s, struct arena *a, struct image ***ret, size_t *ret_n,
                struct err *err);
/* Takes a name away; what no name refers to is removed by images_gc(). -E_NOENT. */
int images_untag(struct images *s, const char *name, struct err *err);
/* Removes blobs and layers that no name refers to, except the layers in keep (directories as in
 * image.layers, NULL-terminated, may be NULL): those of containers that still exist. Returns the
 * bytes freed through ret. */
int images_gc(struct images *s, const char *const *keep, int64_t *ret_freed, struct err *err);

#endif
