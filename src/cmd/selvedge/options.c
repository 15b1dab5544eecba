/* SPDX-License-Identifier: Apache-2.0 */
/* Options of the command line; see options.h. */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"

static const struct option_spec *find(const struct option_spec *specs, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++) {
        if (str_is(name, specs[i].name)) {
            return &specs[i];
        }
    }
    return NULL;
}

static int refuse(const char *what, const char *arg)
{
    (void)fprintf(stderr, "selvedge: %s '%s'; see --help\n", what, arg);
    return -1;
}

int options_parse(int argc, char **argv, const struct option_spec *specs, size_t n,
                  const char *usage, const char **verb)
{
    for (int i = 1; i < argc; i++) {
        struct str arg = str_of(argv[i]), name, value;
        if (str_is(arg, "--help") || str_is(arg, "-h")) {
            (void)fputs(usage, stdout);
            return 1;
        }
        if (!str_starts(arg, "--")) {
            if (!verb || *verb) {
                return refuse("unexpected argument", argv[i]);
            }
            *verb = argv[i];
            continue;
        }
        bool joined = str_cut(str_n(arg.p + 2, arg.n - 2), '=', &name, &value);
        const struct option_spec *spec = find(specs, n, name);
        if (!spec) {
            return refuse("unknown option", argv[i]);
        }
        if (spec->flag) {
            if (joined) {
                return refuse("no value belongs to", argv[i]);
            }
            *spec->flag = true;
        } else if (joined) {
            *spec->value = value.p;
        } else if (++i < argc) {
            *spec->value = argv[i];
        } else {
            return refuse("a value is missing after", argv[i - 1]);
        }
    }
    return 0;
}

const char *options_kubeconfig(void)
{
    const char *env = getenv("KUBECONFIG");
    return env && *env ? env : "run/kubeconfig";
}
