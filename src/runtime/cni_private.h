/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of CNI: the executor (cni.c) and where networks come from (cni_network.c). */
#ifndef RUNTIME_CNI_PRIVATE_H
#define RUNTIME_CNI_PRIVATE_H

#include "codec/json.h"
#include "runtime/cni.h"

struct cni {
    struct runtime *rt;
    char *conf_dir, *bin_dirs, *bridge, *subnet;
    char *dir; /* state_dir/cni */
};

/* The network as a list {"cniVersion","name","plugins":[...]}: of the node's files, else ours. */
int cni_load_network(struct cni *c, struct arena *a, struct json **ret, struct err *err);
/* The plugin's path in bin_dirs, NULL when it is not there or type is no plain name. */
char *cni_find_plugin(struct cni *c, struct arena *a, const char *type);

#endif
