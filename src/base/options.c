/* SPDX-License-Identifier: Apache-2.0 */
/* Options of a command line; see options.h. */
#include "options.h"

#include <stdio.h>

#include "log.h"
#include "mem.h"
#include "str.h"

static const struct option_spec *find(const struct option_spec *specs, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++) {
        if (str_is(name, specs[i].name)) {
            return &specs[i];
        }
    }
    return NULL;
}

static int refuse(const char *program, const char *what, const char *arg)
{
    (void)fprintf(stderr, "%s: %s '%s'; see --help\n", program, what, arg);
    return -1;
}

int options_parse(const char *program, int argc, char **argv, const struct option_spec *specs,
                  size_t n, const char *usage, const char **verb)
{
    for (int i = 1; i < argc; i++) {
        struct str arg = str_of(argv[i]), name, value;
        if (str_is(arg, "--help") || str_is(arg, "-h")) {
            (void)fputs(usage, stdout);
            return 1;
        }
        bool letter = arg.n == 2 && arg.p[0] == '-' && arg.p[1] != '-';
        if (!str_starts(arg, "--") && !letter) {
            if (!verb || *verb) {
                return refuse(program, "unexpected argument", argv[i]);
            }
            *verb = argv[i];
            continue;
        }
        size_t dashes = letter ? 1 : 2;
        bool joined = str_cut(str_n(arg.p + dashes, arg.n - dashes), '=', &name, &value);
        const struct option_spec *spec = find(specs, n, name);
        if (!spec) {
            return refuse(program, "unknown option", argv[i]);
        }
        if (spec->flag) {
            if (joined) {
                return refuse(program, "no value belongs to", argv[i]);
            }
            *spec->flag = true;
        } else if (joined) {
            *spec->value = value.p;
        } else if (++i < argc) {
            *spec->value = argv[i];
        } else {
            return refuse(program, "a value is missing after", argv[i - 1]);
        }
    }
    return 0;
}

int options_address(const char *option, const char *text, char **ret_host, uint16_t *ret_port,
                    struct err *err)
{
    struct str host, port_text;
    uint64_t port;
    if (!str_rcut(str_of(text), ':', &host, &port_text) || str_u64(port_text, &port) < 0 ||
        port > UINT16_MAX) {
        return err_set(err, -E_INVAL, "--%s: '%s' is not ADDRESS:PORT", option, text);
    }
    if (str_starts(host, "[") && str_ends(host, "]")) {
        host = str_n(host.p + 1, host.n - 2);
    }
    char *copy = mem_strndup(host.p, host.n);
    if (!copy) {
        return err_sys(err, -ENOMEM, "read the options");
    }
    *ret_host = copy;
    *ret_port = (uint16_t)port;
    return 0;
}

int options_log(const char *program, const char *level, struct err *err)
{
    enum log_level parsed;
    if (log_level_parse(str_of(level), &parsed) < 0) {
        return err_set(err, -E_INVAL, "--log-level: '%s' is not debug, info, warn or error", level);
    }
    log_init(program, parsed);
    return 0;
}
