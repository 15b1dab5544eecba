/* SPDX-License-Identifier: Apache-2.0 */
/* The options of the program `edge`. */
#ifndef EDGE_OPTIONS_H
#define EDGE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

struct edge_options {
    const char *gc_high_text, *gc_low_text, *heartbeat_text;
    const char *state_dir, *parent, *token, *token_file, *node_name, *node_ip, *node_labels,
        *local_listen, *bridge, *pod_subnet, *cgroup_parent, *cni_conf_dir, *cni_bin_dirs,
        *oci_runtime, *conmon, *log_dir, *log_level, *data_program, *data_args;
    bool check, teardown;
    /* read-only, made from the above; heap */
    char *name;   /* of the node */
    char *bearer; /* the token's text, NULL without one */
    char *cgroup; /* "/..." */
    char *local_host;
    uint16_t local_port;
    int gc_high, gc_low;  /* percent */
    int64_t heartbeat_ms; /* 0 = the default */
    struct arena *memory; /* of what a teardown remembers; NULL otherwise */
};

/* 0 = go on; 1 = --help was printed. Errors are sentences about an option. */
int edge_options_parse(int argc, char **argv, struct edge_options *ret, struct err *err);
void edge_options_fini(struct edge_options *o);
/* STATE/machine.json remembers what a teardown must know: the bridge, subnet, control group and
 * programs that the node was last started with. */
int edge_options_save(const struct edge_options *o, struct err *err);

#endif
