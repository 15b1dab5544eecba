/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of Selvedge: `selvedge NAME ...` runs a command of the table below, or else the
 * program NAME of libexec/selvedge, which takes over the process.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "commands.h"
#include "paths.h"

static int help(int argc, char **argv);

static int version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    (void)printf("selvedge %s\n", SELVEDGE_VERSION);
    return 0;
}

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns the exit status */
    const char *help;
} commands[] = {
    {"center", NULL, "the API server, its controllers and its store (program)"},
    {"data", NULL, "streams, tables and rules of a node, with eKuiper's REST interface (program)"},
    {"down", command_down,
     "stop what `selvedge up` started; remove its containers, networks and mounts"},
    {"edge", NULL, "the agent of one node (program)"},
    {"help", help, "this list"},
    {"image", NULL, "pack, import, list and remove images (program)"},
    {"rule", NULL, "test, explain and measure rules in streaming SQL (program)"},
    {"token", command_token, "make a token with which a node joins"},
    {"up", command_up, "start a center and an edge on this machine"},
    {"version", version, "print the version"},
};

static int help(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    (void)puts("usage: selvedge COMMAND [options]\n");
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        (void)printf("  %-10s %s\n", commands[i].name, commands[i].help);
    }
    (void)puts("\n`selvedge COMMAND --help` tells a command's options.");
    return 0;
}

static int run_program(const char *name, char **argv)
{
    struct err err;
    char *path = NULL;
    if (strchr(name, '/') || paths_program(name, &path, &err) < 0 || access(path, X_OK) < 0) {
        (void)fprintf(stderr, "selvedge: there is no command '%s'; see `selvedge help`\n", name);
        mem_free(path);
        return 2;
    }
    (void)execv(path, argv); /* returns only on failure */
    (void)fprintf(stderr, "selvedge: cannot run %s: %s\n", path, strerrordesc_np(errno));
    mem_free(path);
    return 126;
}

int main(int argc, char **argv)
{
    log_init("selvedge", LOG_INFO);
    const char *name = argc > 1 ? argv[1] : "help";
    if (cstr_eq(name, "--help") || cstr_eq(name, "-h")) {
        name = "help";
    } else if (cstr_eq(name, "--version")) {
        name = "version";
    }
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (commands[i].run && cstr_eq(commands[i].name, name)) {
            return commands[i].run(argc > 1 ? argc - 1 : argc, argc > 1 ? argv + 1 : argv);
        }
    }
    return run_program(name, argv + 1);
}
