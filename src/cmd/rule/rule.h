/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of the program `rule`, and a file of rules as they share it. */
#ifndef CMD_RULE_RULE_H
#define CMD_RULE_RULE_H

#include "codec/json.h"
#include "stream/engine/engine.h"

/* argv[0] is the command's name; each returns the exit status. */
int rule_test(int argc, char **argv);
int rule_bench(int argc, char **argv);
int rule_explain_file(int argc, char **argv);
int rule_functions(int argc, char **argv);

/* A file that was read, with an engine in which its streams and rules are defined. */
struct rule_file {
    struct arena arena;
    struct json *json;
    struct engine *engine;
    struct rule **rules; /* n_rules, in the order of the file; started */
    uint32_t n_rules;
};

/* The engine's clock starts at start_us. -E_INVAL and others with a sentence. */
int rule_file_open(const char *path, rule_result_fn *on_result,
                   void (*on_error)(void *arg, struct rule *r, const struct err *err), void *arg,
                   struct rule_file *ret, struct err *err);
void rule_file_close(struct rule_file *f);

#endif
