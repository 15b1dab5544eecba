/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes' libraries url, ip and cidr, which follow Go's net/url and net/netip. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/encode.h"
#include "cel_fn.h"

/* ---- URLs ---- */

static bool is_scheme(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool more = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
        if (!letter && !(i > 0 && more)) {
            return false;
        }
    }
    return s.n > 0;
}

static bool valid_port(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
    }
    return true;
}

/* "user@host:port" -> host, hostname, port. */
static bool parse_authority(struct arena *a, struct str s, struct cel_url *u)
{
    struct str host = s, rest;
    if (str_rcut(s, '@', NULL, &rest)) {
        host = rest;
    }
    u->host = host;
    if (host.n && host.p[0] == '[') {
        const char *end = memchr(host.p, ']', host.n);
        if (!end) {
            return false;
        }
        u->hostname = str_n(host.p + 1, (size_t)(end - host.p) - 1);
        rest = str_n(end + 1, host.n - (size_t)(end + 1 - host.p));
        u->port = rest.n ? str_n(rest.p + 1, rest.n - 1) : STR_NULL;
        return (!rest.n || rest.p[0] == ':') && valid_port(u->port);
    }
    u->hostname = host;
    if (str_rcut(host, ':', &u->hostname, &u->port)) {
        if (!valid_port(u->port) || memchr(u->hostname.p, ':', u->hostname.n)) {
            return false;
        }
    }
    for (size_t i = 0; i < host.n; i++) {
        if (strchr(" \"<>\\^`{|}", host.p[i])) {
            return false;
        }
    }
    const char *plain = percent_decode(a, u->hostname, false);
    u->hostname = plain ? str_of(plain) : u->hostname;
    return plain != NULL;
}

static bool valid_escapes(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t byte;
        if (s.p[i] == '%' && (i + 2 >= s.n || hex_decode(str_n(s.p + i + 1, 2), &byte, 1) < 0)) {
            return false;
        }
    }
    return true;
}

/* The path as Go's EscapedPath gives it: what has to be escaped is. */
static struct str escape_path(struct arena *a, struct str s)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     strchr("-_.~!$&'()*+,;=:@/%[]", c);
        (void)(plain ? buf_putc(&out, s.p[i]) : buf_printf(&out, "%%%02X", c));
    }
    return str_of(arena_str(a, buf_str(&out)));
}

bool cel_url_parse(struct arena *a, struct str s, bool absolute, struct cel_url *u,
                   const char **problem)
{
    struct str rest = s, head;
    *u = (struct cel_url){.raw = s};
    *problem = "invalid URI for request";
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7F) {
            *problem = "invalid control character in URL";
            return false;
        }
    }
    if (str_cut(s, ':', &head, &rest) && is_scheme(head)) {
        u->scheme = head;
    } else {
        rest = s;
        if (!s.n || s.p[0] != '/') {
            return false;
        }
    }
    (void)str_cut(rest, '?', &rest, &u->query);
    if (str_starts(rest, "//")) {
        rest = str_n(rest.p + 2, rest.n - 2);
        size_t end = 0;
        while (end < rest.n && rest.p[end] != '/') {
            end++;
        }
        u->has_host = true;
        if (!parse_authority(a, str_n(rest.p, end), u)) {
            *problem = "invalid host";
            return false;
        }
        rest = str_n(rest.p + end, rest.n - end);
    } else if (absolute && u->scheme.n && (!rest.n || rest.p[0] != '/')) {
        return false;
    }
    if (!valid_escapes(rest)) {
        *problem = "invalid URL escape";
        return false;
    }
    u->path = escape_path(a, rest);
    return true;
}

CEL_FN(is_url)
{
    struct cel_url u;
    const char *problem;
    *ret = cel_bool(cel_url_parse(r->a, cel_text(&args[0]), true, &u, &problem));
    return true;
}

CEL_FN(url)
{
    struct cel_url u;
    const char *problem;
    struct str s = cel_text(&args[0]);
    if (!cel_url_parse(r->a, s, true, &u, &problem)) {
        return cel_fail(r,
                        "URL parse error during conversion from string: parse \"" STR_FMT "\": %s",
                        STR_ARG(s), problem);
    }
    *ret = cel_opaque(CEL_URL, arena_dup(r->a, &u, sizeof(u)));
    return true;
}

#define URL_PART(name, field)                                               \
    CEL_FN(url_##name)                                                      \
    {                                                                       \
        *ret = cel_string(((const struct cel_url *)args[0].opaque)->field); \
        return true;                                                        \
    }

URL_PART(scheme, scheme)
URL_PART(host, host)
URL_PART(hostname, hostname)
URL_PART(port, port)
URL_PART(path, path)

/* Appends v to the list under key; lists of a query are short. */
static bool add_query(struct cel_run *r, struct cel_map *m, const char *key, const char *v)
{
    struct cel_value name = cel_string(str_of(key)), text = cel_string(str_of(v)), before;
    struct cel_value map = cel_map_value(m);
    uint32_t n = 0;
    struct cel_value *items = arena_alloc(r->a, sizeof(*items));
    if (cel_map_get(&map, &name, &before)) {
        n = cel_length(&before);
        items = arena_alloc(r->a, ((size_t)n + 1) * sizeof(*items));
    }
    if (!items) {
        return cel_no_memory(r);
    }
    for (uint32_t i = 0; i < n; i++) {
        items[i] = cel_item(&before, i);
    }
    items[n] = text;
    struct cel_value list = cel_list_value(r->a, items, n + 1);
    for (uint32_t i = 0; n && i < m->n; i++) {
        if (cel_equal(&m->entries[i].key, &name)) {
            m->entries[i].value = list;
        }
    }
    return n || cel_map_add(r->a, m, name, list) || cel_no_memory(r);
}

CEL_FN(url_query)
{
    struct str rest = ((const struct cel_url *)args[0].opaque)->query;
    struct cel_map *m = arena_zalloc(r->a, sizeof(*m));
    if (!m) {
        return cel_no_memory(r);
    }
    for (bool more = rest.n > 0; more;) {
        struct str pair, key, value;
        more = str_cut(rest, '&', &pair, &rest);
        (void)str_cut(pair, '=', &key, &value);
        const char *k = pair.n ? percent_decode(r->a, key, true) : NULL;
        const char *v = pair.n ? percent_decode(r->a, value, true) : NULL;
        r->cost++;
        if (k && v && !add_query(r, m, k, v)) {
            return false;
        }
    }
    *ret = cel_map_value(m);
    return true;
}

/* ---- IP addresses ---- */

/* No zones, no IPv4 in IPv6, no leading zeros (which inet_pton refuses too). */
bool cel_ip_parse(struct str s, struct cel_ip *ret)
{
    char text[INET6_ADDRSTRLEN];
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    if (s.n >= sizeof(text) || memchr(s.p, 0, s.n)) {
        return false;
    }
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    memset(ret, 0, sizeof(*ret));
    ret->v6 = strchr(text, ':') != NULL;
    return inet_pton(ret->v6 ? AF_INET6 : AF_INET, text, ret->bytes) == 1 &&
           !(ret->v6 && memcmp(ret->bytes, mapped, sizeof(mapped)) == 0);
}

void cel_ip_print(struct buf *out, const struct cel_ip *ip)
{
    char text[INET6_ADDRSTRLEN];
    (void)buf_puts(out, inet_ntop(ip->v6 ? AF_INET6 : AF_INET, ip->bytes, text, sizeof(text)));
}

CEL_FN(is_ip)
{
    struct cel_ip ip;
    *ret = cel_bool(cel_ip_parse(cel_text(&args[0]), &ip));
    return true;
}

CEL_FN(ip)
{
    struct cel_ip ip;
    struct str s = cel_text(&args[0]);
    if (args[0].kind == CEL_CIDR) {
        *ret = cel_opaque(CEL_IP, &((const struct cel_cidr *)args[0].opaque)->ip);
        return true;
    }
    if (!cel_ip_parse(s, &ip)) {
        return cel_fail(r,
                        "IP Address \"" STR_FMT
                        "\" parse error during conversion from string: ParseAddr(\"" STR_FMT
                        "\"): unable to parse IP",
                        STR_ARG(s), STR_ARG(s));
    }
    *ret = cel_opaque(CEL_IP, arena_dup(r->a, &ip, sizeof(ip)));
    return true;
}

CEL_FN(ip_is_canonical)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    struct cel_ip ip;
    struct str s = cel_text(&args[0]);
    if (!cel_ip_parse(s, &ip)) {
        return cel_fail(r,
                        "IP Address \"" STR_FMT
                        "\" parse error during conversion from string: ParseAddr(\"" STR_FMT
                        "\"): unable to parse IP",
                        STR_ARG(s), STR_ARG(s));
    }
    cel_ip_print(&out, &ip);
    *ret = cel_bool(str_eq(s, buf_str(&out)));
    return true;
}

#define IP_IS(name, expression)                   \
    CEL_FN(ip_##name)                             \
    {                                             \
        const struct cel_ip *ip = args[0].opaque; \
        const uint8_t *b = ip->bytes;             \
        *ret = expression;                        \
        return true;                              \
    }

static bool is_all_zero(const struct cel_ip *ip, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (ip->bytes[i]) {
            return false;
        }
    }
    return true;
}

static bool is_unspecified(const struct cel_ip *ip)
{
    return is_all_zero(ip, ip->v6 ? 16 : 4);
}

static bool is_loopback(const struct cel_ip *ip)
{
    return ip->v6 ? is_all_zero(ip, 15) && ip->bytes[15] == 1 : ip->bytes[0] == 127;
}

static bool is_multicast(const struct cel_ip *ip)
{
    return ip->v6 ? ip->bytes[0] == 0xFF : (ip->bytes[0] & 0xF0) == 0xE0;
}

static bool is_link_local(const struct cel_ip *ip)
{
    const uint8_t *b = ip->bytes;
    return ip->v6 ? b[0] == 0xFE && (b[1] & 0xC0) == 0x80 : b[0] == 169 && b[1] == 254;
}

static bool is_broadcast(const struct cel_ip *ip)
{
    return !ip->v6 && memcmp(ip->bytes, "\xFF\xFF\xFF\xFF", 4) == 0;
}

IP_IS(family, cel_int(b && ip->v6 ? 6 : 4))
IP_IS(is_unspecified, cel_bool(b &&is_unspecified(ip)))
IP_IS(is_loopback, cel_bool(b &&is_loopback(ip)))
IP_IS(is_link_local_multicast,
      cel_bool(ip->v6 ? b[0] == 0xFF && (b[1] & 0x0F) == 2 : b[0] == 224 && b[1] == 0 && b[2] == 0))
IP_IS(is_link_local_unicast, cel_bool(b &&is_link_local(ip)))
IP_IS(is_global_unicast, cel_bool(b && !is_unspecified(ip) && !is_loopback(ip) &&
                                  !is_multicast(ip) && !is_link_local(ip) && !is_broadcast(ip)))

/* ---- CIDRs ---- */

static bool cidr_parse(struct str s, struct cel_cidr *ret)
{
    struct str address, bits;
    uint64_t prefix;
    if (!str_rcut(s, '/', &address, &bits) || !cel_ip_parse(address, &ret->ip) || bits.n > 3 ||
        (bits.n > 1 && bits.p[0] == '0') || str_u64(bits, &prefix) < 0 ||
        prefix > (ret->ip.v6 ? 128 : 32)) {
        return false;
    }
    ret->prefix = (unsigned)prefix;
    return true;
}

static void mask(struct cel_ip *ip, unsigned prefix)
{
    for (unsigned i = 0; i < (ip->v6 ? 16 : 4); i++) {
        unsigned keep = prefix > i * 8 ? MIN_OF(prefix - i * 8, 8u) : 0;
        ip->bytes[i] &= (uint8_t)(0xFF00 >> keep);
    }
}

static bool bad_cidr(struct cel_run *r, struct str s)
{
    return cel_fail(r,
                    "network address parse error during conversion from string: "
                    "netip.ParsePrefix(\"" STR_FMT "\"): no '/'",
                    STR_ARG(s));
}

CEL_FN(is_cidr)
{
    struct cel_cidr c;
    *ret = cel_bool(cidr_parse(cel_text(&args[0]), &c));
    return true;
}

CEL_FN(cidr)
{
    struct cel_cidr *c = arena_zalloc(r->a, sizeof(*c));
    if (!c) {
        return cel_no_memory(r);
    }
    *ret = cel_opaque(CEL_CIDR, c);
    return cidr_parse(cel_text(&args[0]), c) || bad_cidr(r, cel_text(&args[0]));
}

static bool contains(const struct cel_cidr *c, struct cel_ip ip)
{
    struct cel_ip base = c->ip;
    mask(&base, c->prefix);
    mask(&ip, c->prefix);
    return base.v6 == ip.v6 && memcmp(base.bytes, ip.bytes, sizeof(ip.bytes)) == 0;
}

CEL_FN(contains_ip)
{
    struct cel_ip ip;
    if (args[1].kind == CEL_IP) {
        ip = *(const struct cel_ip *)args[1].opaque;
    } else if (!cel_ip_parse(cel_text(&args[1]), &ip)) {
        return cel_fail(r, "IP Address \"" STR_FMT "\" parse error during conversion from string",
                        STR_ARG(cel_text(&args[1])));
    }
    *ret = cel_bool(contains(args[0].opaque, ip));
    return true;
}

CEL_FN(contains_cidr)
{
    const struct cel_cidr *outer = args[0].opaque;
    struct cel_cidr inner;
    if (args[1].kind == CEL_CIDR) {
        inner = *(const struct cel_cidr *)args[1].opaque;
    } else if (!cidr_parse(cel_text(&args[1]), &inner)) {
        return bad_cidr(r, cel_text(&args[1]));
    }
    *ret = cel_bool(outer->prefix <= inner.prefix && contains(outer, inner.ip));
    return true;
}

CEL_FN(masked)
{
    struct cel_cidr c = *(const struct cel_cidr *)args[0].opaque;
    mask(&c.ip, c.prefix);
    *ret = cel_opaque(CEL_CIDR, arena_dup(r->a, &c, sizeof(c)));
    return true;
}

CEL_FN(prefix_length)
{
    *ret = cel_int(((const struct cel_cidr *)args[0].opaque)->prefix);
    return true;
}
