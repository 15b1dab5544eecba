/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program `image`: makes image archives and brings them into the store of a node. Short-lived;
 * what it parses comes from outside, so it confines itself before it reads
 * (runtime/image_import.h).
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "runtime/image_import.h"

#define LIST_MAX 64

struct options {
    char state[4096]; /* of the node; the store is state/images */
    const char *name, *out, *cwd, *user, *stop_signal, *architecture;
    const char *entrypoint[LIST_MAX + 1], *cmd[LIST_MAX + 1], *env[LIST_MAX + 1],
        *ports[LIST_MAX + 1];
    bool quiet;
};

static const char usage_text[] =
    "usage: selvedge image COMMAND [options]\n"
    "\n"
    "  pack DIR -t NAME -o FILE     makes an OCI image (an oci-archive) of a root folder\n"
    "      --entrypoint ARG         program and arguments; repeat for each\n"
    "      --cmd ARG                default arguments; repeat for each\n"
    "      --env NAME=VALUE         repeat for each\n"
    "      --port N[/PROTO]         a port that it listens on; repeat for each\n"
    "      --workdir DIR  --user USER[:GROUP]  --stop-signal NAME  --arch ARCH\n"
    "  import FILE [-t NAME]        brings an OCI layout (folder or tar) or a docker-save archive into the store\n"
    "  list                         the images of the store\n"
    "  remove NAME...               takes names away; the node frees the space later\n"
    "\n"
    "  --state DIR                  of the node (default: $SELVEDGE_STATE, else /var/lib/selvedge/edge)\n"
    "  -q, --quiet                  prints nothing when all is well\n";

enum {
    OPT_ENTRYPOINT = 256,
    OPT_CMD,
    OPT_ENV,
    OPT_PORT,
    OPT_WORKDIR,
    OPT_USER,
    OPT_STOP,
    OPT_ARCH,
    OPT_STATE
};

static const struct option long_options[] = {
    {"arch", required_argument, NULL, OPT_ARCH},
    {"cmd", required_argument, NULL, OPT_CMD},
    {"entrypoint", required_argument, NULL, OPT_ENTRYPOINT},
    {"env", required_argument, NULL, OPT_ENV},
    {"help", no_argument, NULL, 'h'},
    {"output", required_argument, NULL, 'o'},
    {"port", required_argument, NULL, OPT_PORT},
    {"quiet", no_argument, NULL, 'q'},
    {"root", required_argument, NULL, OPT_STATE},
    {"state", required_argument, NULL, OPT_STATE},
    {"stop-signal", required_argument, NULL, OPT_STOP},
    {"tag", required_argument, NULL, 't'},
    {"user", required_argument, NULL, OPT_USER},
    {"workdir", required_argument, NULL, OPT_WORKDIR},
    {NULL, 0, NULL, 0},
};

static int fail(const struct err *err)
{
    fprintf(stderr, "image: %s\n", err->text);
    return EXIT_FAILURE;
}

static int usage(const char *what)
{
    fprintf(stderr, "image: %s\n\n%s", what, usage_text);
    return 2;
}

static bool add(const char **list, const char *text)
{
    size_t n = 0;
    while (list[n]) {
        n++;
    }
    if (n == LIST_MAX) {
        return false;
    }
    list[n] = text;
    return true;
}

static bool set_option(struct options *o, int c)
{
    switch (c) {
    case 't':
        o->name = optarg;
        return true;
    case 'o':
        o->out = optarg;
        return true;
    case 'q':
        o->quiet = true;
        return true;
    case OPT_ENTRYPOINT:
        return add(o->entrypoint, optarg);
    case OPT_CMD:
        return add(o->cmd, optarg);
    case OPT_ENV:
        return add(o->env, optarg);
    case OPT_PORT:
        return add(o->ports, optarg);
    case OPT_WORKDIR:
        o->cwd = optarg;
        return true;
    case OPT_USER:
        o->user = optarg;
        return true;
    case OPT_STOP:
        o->stop_signal = optarg;
        return true;
    case OPT_ARCH:
        o->architecture = optarg;
        return true;
    case OPT_STATE:
        return cstr_copy(o->state, sizeof(o->state), optarg);
    default:
        return false;
    }
}

static int open_store(const struct options *o, struct images **ret, struct err *err)
{
    char root[4096 + 8];
    snprintf(root, sizeof(root), "%s/images", o->state);
    return images_open(root, ret, err);
}

static int do_pack(const struct options *o, char **args, int n)
{
    struct err err = {0};
    if (n != 1 || !o->name || !o->out) {
        return usage("pack needs a folder, -t NAME and -o FILE");
    }
    const struct image_pack in = {.dir = args[0],
                                  .file = o->out,
                                  .name = o->name,
                                  .entrypoint = o->entrypoint,
                                  .cmd = o->cmd,
                                  .env = o->env,
                                  .ports = o->ports,
                                  .cwd = o->cwd,
                                  .user = o->user,
                                  .stop_signal = o->stop_signal,
                                  .architecture = o->architecture};
    if (image_pack(&in, &err) < 0) {
        return fail(&err);
    }
    return EXIT_SUCCESS;
}

static void print_added(void *arg, const char *name, const char *id)
{
    const struct options *o = arg;
    if (!o->quiet) {
        printf("%s %s\n", name, id);
    }
}

static int do_import(struct options *o, char **args, int n)
{
    struct err err = {0};
    struct images *s;
    if (n != 1) {
        return usage("import needs one FILE");
    }
    if (open_store(o, &s, &err) < 0) {
        return fail(&err);
    }
    image_confine(images_root(s), args[0]);
    const struct image_import in = {
        .file = args[0], .name = o->name, .added = print_added, .arg = o};
    int r = image_import(s, &in, &err);
    images_close(s);
    return r < 0 ? fail(&err) : EXIT_SUCCESS;
}

static void print_size(int64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB"};
    double v = (double)bytes;
    size_t u = 0;
    while (v >= 1000 && u + 1 < ARRAY_SIZE(units)) {
        v /= 1000;
        u++;
    }
    printf("%.3g%s", v, units[u]);
}

static int do_list(const struct options *o, char **args, int n)
{
    struct err err = {0};
    struct images *s;
    struct arena a;
    struct image **list;
    size_t count;
    if (n != 0) {
        return usage("list takes no arguments");
    }
    if (open_store(o, &s, &err) < 0) {
        return fail(&err);
    }
    arena_init(&a, 0);
    int r = images_list(s, &a, &list, &count, &err);
    for (size_t i = 0; r == 0 && i < count; i++) {
        for (size_t k = 0; list[i]->names[k]; k++) {
            printf("%-48s %.12s  ", list[i]->names[k], list[i]->id + 7);
            print_size(list[i]->size);
            printf("\n");
        }
    }
    arena_fini(&a);
    images_close(s);
    return r < 0 ? fail(&err) : EXIT_SUCCESS;
}

static int do_remove(const struct options *o, char **args, int n)
{
    struct err err = {0};
    struct images *s;
    int r = 0;
    if (n == 0) {
        return usage("remove needs a NAME");
    }
    if (open_store(o, &s, &err) < 0) {
        return fail(&err);
    }
    for (int i = 0; i < n && r == 0; i++) {
        r = images_untag(s, args[i], &err);
    }
    images_close(s);
    return r < 0 ? fail(&err) : EXIT_SUCCESS;
}

static int run(struct options *o, char **args, int n)
{
    if (n < 1) {
        return usage("a command is missing");
    }
    if (strcmp(args[0], "pack") == 0) {
        return do_pack(o, args + 1, n - 1);
    }
    if (strcmp(args[0], "import") == 0) {
        return do_import(o, args + 1, n - 1);
    }
    if (strcmp(args[0], "list") == 0) {
        return do_list(o, args + 1, n - 1);
    }
    if (strcmp(args[0], "remove") == 0) {
        return do_remove(o, args + 1, n - 1);
    }
    return usage("no such command");
}

int main(int argc, char **argv)
{
    static struct options o;
    const char *state = getenv("SELVEDGE_STATE");
    log_init("image", LOG_INFO);
    if (!cstr_copy(o.state, sizeof(o.state),
                   state && state[0] ? state : "/var/lib/selvedge/edge")) {
        return usage("SELVEDGE_STATE is too long");
    }
    int c;
    while ((c = getopt_long(argc, argv, "t:o:qh", long_options, NULL)) != -1) {
        if (c == 'h') {
            fputs(usage_text, stdout);
            return EXIT_SUCCESS;
        }
        if (!set_option(&o, c)) {
            return usage("see the options");
        }
    }
    return run(&o, argv + optind, argc - optind);
}
