/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image names, after github.com/distribution/reference:
 *   [registry[:port]/]path[:tag][@sha256:hex]
 * The first component is a registry when it has a '.' or ':' or is "localhost"; else it is
 * docker.io, and a single component lies in library/.
 */
#include "runtime/images_private.h"

#define PATH_MAX_BYTES 255 /* of the name without its registry, as registries have it */

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

bool image_digest_valid(const char *digest)
{
    struct str s = str_of(digest);
    if (!str_starts(s, "sha256:") || s.n != 7 + SHA256_HEX) {
        return false;
    }
    for (size_t i = 7; i < s.n; i++) {
        if (!(s.p[i] >= '0' && s.p[i] <= '9') && !(s.p[i] >= 'a' && s.p[i] <= 'f')) {
            return false;
        }
    }
    return true;
}

/* Lower-case alphanumerics, separated by '.', '_', '__' or dashes. */
static bool component_valid(struct str c)
{
    if (c.n == 0 || !is_lower_alnum(c.p[0]) || !is_lower_alnum(c.p[c.n - 1])) {
        return false;
    }
    for (size_t i = 0; i < c.n; i++) {
        char x = c.p[i];
        if (!is_lower_alnum(x) && x != '.' && x != '_' && x != '-') {
            return false;
        }
        if (x == '.' && !is_lower_alnum(c.p[i + 1])) {
            return false;
        }
    }
    return true;
}

static bool registry_valid(struct str r)
{
    struct str host, port;
    if (str_rcut(r, ':', &host, &port)) {
        uint64_t n;
        if (str_u64(port, &n) < 0 || n > 65535) {
            return false;
        }
    }
    if (host.n == 0 || host.n > 253) {
        return false;
    }
    for (size_t i = 0; i < host.n; i++) {
        if (!is_alnum(host.p[i]) && host.p[i] != '.' && host.p[i] != '-') {
            return false;
        }
    }
    return is_alnum(host.p[0]) && is_alnum(host.p[host.n - 1]);
}

static bool tag_valid(struct str t)
{
    if (t.n == 0 || t.n > 128 || !(is_alnum(t.p[0]) || t.p[0] == '_')) {
        return false;
    }
    for (size_t i = 0; i < t.n; i++) {
        if (!is_alnum(t.p[i]) && t.p[i] != '_' && t.p[i] != '.' && t.p[i] != '-') {
            return false;
        }
    }
    return true;
}

struct name_parts {
    struct str registry, path, tag, digest;
};

static void split(struct str s, struct name_parts *ret)
{
    struct str rest, first, tail, last;
    struct name_parts p = {.registry = STR_LIT("docker.io")};
    str_cut(s, '@', &rest, &p.digest);
    if (str_cut(rest, '/', &first, &tail) &&
        (memchr(first.p, '.', first.n) || memchr(first.p, ':', first.n) ||
         str_is(first, "localhost"))) {
        p.registry = str_is(first, "index.docker.io") ? STR_LIT("docker.io") : first;
        rest = tail;
    }
    p.path = rest;
    if (!str_rcut(rest, '/', &tail, &last)) {
        last = rest;
    }
    if (memchr(last.p ? last.p : "", ':', last.n)) {
        str_rcut(rest, ':', &p.path, &p.tag);
        p.tag.p = p.tag.p ? p.tag.p : "";
    }
    *ret = p;
}

static bool path_valid(struct str path)
{
    struct str part;
    if (path.n == 0 || path.n > PATH_MAX_BYTES) {
        return false;
    }
    bool more = true;
    while (more) {
        more = str_cut(path, '/', &part, &path);
        if (!component_valid(part)) {
            return false;
        }
    }
    return true;
}

int image_name_normalise(struct arena *a, const char *name, char **ret, struct err *err)
{
    struct str s = str_of(name);
    struct name_parts p;
    split(s, &p);
    bool has_digest = memchr(s.p ? s.p : "", '@', s.n) != NULL;
    char *digest = arena_str(a, p.digest);
    bool library =
        str_is(p.registry, "docker.io") && !memchr(p.path.p ? p.path.p : "", '/', p.path.n);
    bool ok = path_valid(p.path) &&
              p.path.n + (library ? strlen("library/") : 0) <= PATH_MAX_BYTES &&
              registry_valid(p.registry) && (!p.tag.p || tag_valid(p.tag)) &&
              (!has_digest || (digest && image_digest_valid(digest)));
    if (!ok) {
        return arena_failed(a)
                   ? err_set(err, -ENOMEM, "out of memory")
                   : err_set(err, -E_INVAL, "'%s' is no valid image name", name ? name : "");
    }
    struct str tag = p.tag.p ? p.tag : has_digest ? STR_NULL : STR_LIT("latest");
    char *text = arena_printf(a, STR_FMT "/%s" STR_FMT "%s" STR_FMT "%s%s", STR_ARG(p.registry),
                              library ? "library/" : "", STR_ARG(p.path), tag.n ? ":" : "",
                              STR_ARG(tag), has_digest ? "@" : "", has_digest ? digest : "");
    if (!text) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    *ret = text;
    return 0;
}

const char *image_name_tag(const char *normalised)
{
    struct name_parts p;
    split(str_of(normalised), &p);
    /* Points into the name; followed by its end, or by a digest. */
    return p.tag.n ? p.tag.p : NULL;
}
