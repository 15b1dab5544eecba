/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/hosts and /etc/resolv.conf of pods; see pod_files.h. */
#include "pod_files.h"

#include "api/object.h"
#include "base/buf.h"
#include "base/mem.h"

static const char *take(struct arena *a, struct buf *b)
{
    const char *text = buf_failed(b) ? NULL : arena_str(a, buf_str(b));
    buf_fini(b);
    return text;
}

const char *pod_hostname(struct arena *a, const struct json *pod, const char *node_hostname)
{
    const char *own = json_path_cstr(pod, "spec.hostname", "");
    if (json_path_true(pod, "spec.hostNetwork", false)) {
        return node_hostname;
    }
    if (*own) {
        return own;
    }
    struct str name = str_of(obj_name(pod));
    name.n = MIN_OF(name.n, (size_t)63);
    while (name.n && (name.p[name.n - 1] == '-' || name.p[name.n - 1] == '.')) {
        name.n--;
    }
    return arena_str(a, name);
}

/* ---- hosts ---- */

static void add_aliases(struct buf *b, const struct json *pod)
{
    const struct json *aliases = json_path(pod, "spec.hostAliases");
    if (json_len(aliases) == 0) {
        return;
    }
    (void)buf_puts(b, "\n# Entries added by HostAliases.\n"); /* sticky, here and below */
    JSON_FOR_EACH (alias, aliases) {
        (void)buf_puts(b, json_path_cstr(alias, "ip", ""));
        JSON_FOR_EACH (name, json_get(alias, "hostnames")) {
            (void)buf_printf(b, "\t%s", json_cstr(name, ""));
        }
        (void)buf_putc(b, '\n');
    }
}

const char *pod_hosts_file(struct arena *a, const struct json *pod, const char *hostname,
                           const char *const *ips, const char *host_hosts)
{
    struct buf b = BUF_INIT;
    const char *subdomain = json_path_cstr(pod, "spec.subdomain", "");
    if (json_path_true(pod, "spec.hostNetwork", false)) {
        (void)buf_printf(&b, "# Kubernetes-managed hosts file (host network).\n%s", host_hosts);
    } else {
        (void)buf_puts(&b, "# Kubernetes-managed hosts file.\n"
                           "127.0.0.1\tlocalhost\n"
                           "::1\tlocalhost ip6-localhost ip6-loopback\n"
                           "fe00::0\tip6-localnet\n"
                           "fe00::0\tip6-mcastprefix\n"
                           "fe00::1\tip6-allnodes\n"
                           "fe00::2\tip6-allrouters\n");
        for (size_t i = 0; ips && ips[i]; i++) {
            (void)buf_printf(&b, "%s\t", ips[i]);
            if (*subdomain) {
                (void)buf_printf(&b, "%s.%s.%s.svc.cluster.local\t", hostname, subdomain,
                                 obj_ns(pod));
            }
            (void)buf_printf(&b, "%s\n", hostname);
        }
    }
    add_aliases(&b, pod);
    return take(a, &b);
}

/* ---- resolv.conf ---- */

/* Copies the lines of the node's file that begin with `word`; search lists may be extended after.
 */
static void copy_lines(struct buf *b, const char *text, const char *word)
{
    struct str rest = str_of(text), line;
    while (rest.n > 0) {
        (void)str_cut(rest, '\n', &line, &rest); /* the last line may lack its end */
        line = str_trim(line);
        if (str_starts(line, word) && line.n > strlen(word)) {
            (void)buf_append_str(b, line);
            (void)buf_putc(b, '\n');
        }
    }
}

static void add_words(struct buf *b, const char *word, const struct json *list)
{
    if (json_len(list) > 0) {
        (void)buf_puts(b, word);
        JSON_FOR_EACH (item, list) {
            (void)buf_printf(b, " %s", json_cstr(item, ""));
        }
        (void)buf_putc(b, '\n');
    }
}

static void add_options(struct buf *b, const struct json *list)
{
    if (json_len(list) > 0) {
        (void)buf_puts(b, "options");
        JSON_FOR_EACH (o, list) {
            const char *value = json_path_cstr(o, "value", NULL);
            (void)buf_printf(b, " %s%s%s", json_path_cstr(o, "name", ""), value ? ":" : "",
                             value ? value : "");
        }
        (void)buf_putc(b, '\n');
    }
}

const char *pod_resolv_file(struct arena *a, const struct json *pod, const char *host_resolv)
{
    struct buf b = BUF_INIT;
    const struct json *config = json_path(pod, "spec.dnsConfig");
    bool none = cstr_eq(json_path_cstr(pod, "spec.dnsPolicy", ""), "None");
    add_words(&b, "search", json_get(config, "searches"));
    if (!none && json_len(json_get(config, "searches")) == 0) {
        copy_lines(&b, host_resolv, "search");
    }
    if (!none) {
        copy_lines(&b, host_resolv, "nameserver");
    }
    JSON_FOR_EACH (n, json_get(config, "nameservers")) {
        (void)buf_printf(&b, "nameserver %s\n", json_cstr(n, ""));
    }
    if (!none) {
        copy_lines(&b, host_resolv, "options");
    }
    add_options(&b, json_get(config, "options"));
    return take(a, &b);
}
