/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small node for integration tests: own folders under /tmp, own cgroup parent, own bridge, an
 * image made of the machine's static busybox. Leaves nothing behind. Needs root, runc or crun,
 * conmon and busybox.
 */
#ifndef RUNTIME_TEST_NODE_H
#define RUNTIME_TEST_NODE_H

#include "io/loop.h"
#include "runtime/cgroup.h"
#include "runtime/container.h"
#include "runtime/runtime.h"
#include "runtime/sandbox.h"

struct test_node {
    char dir[128]; /* /tmp/selvedge-runtime-XXXXXX */
    struct runtime_config config;
    char state[160], run[160], log[160], parent[64], bridge[16], subnet[32];
    struct io_loop *loop;
    struct runtime *rt;
    struct arena a;
    struct image *image;
};

/* Why these tests cannot run here, or NULL. */
const char *test_node_missing(void);
struct test_node *test_node_new(void);
void test_node_restart(struct test_node *n); /* a new agent over the same folders */
void test_node_free(struct test_node *n);

/* Runs the loop until the operation is done; its code. */
struct test_op {
    struct runtime_op op;
    bool done;
    int code;
};
void test_op_init(struct test_op *t);
int test_op_wait(struct test_node *n, struct test_op *t);
/* Runs the loop until *flag or the time is over. */
bool test_wait(struct test_node *n, const bool *flag, int ms);
int64_t test_now_us(void);

/* A container of pod "pod1" that runs `sh -c script`, without a sandbox (no network). */
struct container *test_container(struct test_node *n, const char *name, int attempt,
                                 const char *script);
char *test_read_log(struct test_node *n, struct container *c); /* in n->a */
void test_on_exit(void *arg, struct container *c);             /* sets the bool at arg */

#endif
