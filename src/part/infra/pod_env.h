/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The environment, command and arguments of a container, and the values of the downward API. Pure:
 * what it reads of the cluster comes through env_input.get.
 */
#ifndef INFRA_POD_ENV_H
#define INFRA_POD_ENV_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/json.h"

/* A ConfigMap ("configmaps") or Secret ("secrets"); NULL when it does not exist. */
typedef struct json *env_get_fn(void *arg, struct arena *a, const char *resource, const char *ns,
                                const char *name);

/* The text of a service account token; NULL when there is none yet. */
typedef const char *env_token_fn(void *arg, const char *audience, int64_t seconds);

struct env_input {
    const struct json *pod;
    const struct json *container;
    const char *const *pod_ips; /* NULL-terminated, may be NULL */
    const char *host_ip, *node_name;
    const char *hostname;           /* HOSTNAME */
    const char *const *image_env;   /* "K=V", NULL-terminated */
    const struct json *allocatable; /* of the node: limits that a container does not set */
    env_get_fn *get;
    void *get_arg;
    env_token_fn *token; /* NULL: there are none */
    void *token_arg;
};

/* Kubernetes' $(VAR): a known name is replaced, "$$" is "$", everything else stays. env is "K=V",
 * NULL-terminated. */
char *env_expand(struct arena *a, const char *text, const char *const *env);

/* "K=V", NULL-terminated: the image's, HOSTNAME, envFrom, env; a later name replaces an earlier
 * one. -E_NOENT with a kubelet's sentence (`configmap "m" not found`, `couldn't find key k in
 * ConfigMap ns/m`), -E_INVAL. */
int env_build(const struct env_input *in, struct arena *a, const char *const **ret,
              struct err *err);

/* command and args over the image's entrypoint and cmd, expanded; -E_INVAL when nothing is left. */
int env_argv(struct arena *a, const struct json *container, const char *const *entrypoint,
             const char *const *cmd, const char *const *env, const char *const **ret,
             struct err *err);

/* fieldRef: "metadata.name", "metadata.labels['app']", "status.podIP"; files of volumes also take
 * "metadata.labels" and "metadata.annotations" as a whole. -E_INVAL. */
int env_field(const struct env_input *in, struct arena *a, const char *path, const char **ret,
              struct err *err);
/* resourceFieldRef of a container: the number as text. */
int env_resource(const struct env_input *in, struct arena *a, const struct json *container,
                 const struct json *ref, const char **ret, struct err *err);

/* The bytes of a key of a ConfigMap (data, binaryData) or Secret (data); false when absent. */
bool env_object_key(struct arena *a, const char *resource, const struct json *obj, const char *key,
                    struct str *ret);

#endif
