/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cluster IPs and node ports that are taken: see service_alloc.h.
 *
 * A counter for every address and port, so that two Services that name the same one (possible only
 * in what was stored by other means) do not free each other's. The first and the last address of
 * the range are never given out.
 */
#include "api/alloc/service_alloc.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/encode.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

#define PORTS (NODE_PORT_LAST - NODE_PORT_FIRST + 1)
#define HELD_IPS 2

/* What one Service has. */
struct held {
    uint32_t ips[HELD_IPS]; /* offsets in the range; 0 = none */
    size_t n_ports;
    uint16_t ports[];
};

struct service_alloc {
    char *range;
    uint32_t base, size;
    uint8_t *ips;
    uint8_t ports[PORTS];
    struct map held; /* "ns/name" -> struct held */
};

static bool parse_ip(const char *text, uint32_t *ret)
{
    struct in_addr a;
    if (inet_pton(AF_INET, text, &a) != 1) {
        return false;
    }
    *ret = ntohl(a.s_addr);
    return true;
}

int service_alloc_new(const char *cidr, struct service_alloc **ret, struct err *err)
{
    struct str ip, bits_text;
    char text[SERVICE_IP_SIZE];
    uint64_t bits;
    uint32_t base;
    bool ok = str_cut(str_of(cidr), '/', &ip, &bits_text) && str_u64(bits_text, &bits) == 0 &&
              bits >= 12 && bits <= 30 && ip.n < sizeof(text);
    if (ok) {
        (void)snprintf(text, sizeof(text), STR_FMT, STR_ARG(ip));
        ok = parse_ip(text, &base) && (base & ((UINT32_C(1) << (32 - bits)) - 1)) == 0;
    }
    if (!ok) {
        return err_set(err, -E_INVAL,
                       "the range of services '%s' is not an IPv4 range with a prefix of 12 to 30 "
                       "bits, such as 10.96.0.0/16",
                       cidr);
    }
    struct service_alloc *sa = mem_zalloc(sizeof(*sa));
    if (!sa) {
        return -E_NOMEM;
    }
    sa->base = base;
    sa->size = UINT32_C(1) << (32 - bits);
    sa->ips = mem_zalloc(sa->size);
    sa->range = mem_strdup(cidr);
    if (!sa->ips || !sa->range) {
        service_alloc_free(sa);
        return -E_NOMEM;
    }
    *ret = sa;
    return 0;
}

void service_alloc_free(struct service_alloc *sa)
{
    if (sa) {
        map_fini(&sa->held, mem_free);
        mem_free(sa->ips);
        mem_free(sa->range);
        mem_free(sa);
    }
}

const char *service_alloc_range(const struct service_alloc *sa)
{
    return sa->range;
}

/* ---- what is taken ---- */

static void count(uint8_t *n, int sign)
{
    if (sign > 0 ? *n < UINT8_MAX : *n > 0) {
        *n = (uint8_t)(*n + sign);
    }
}

static void count_all(struct service_alloc *sa, const struct held *h, int sign)
{
    for (size_t i = 0; i < HELD_IPS; i++) {
        if (h->ips[i]) {
            count(&sa->ips[h->ips[i]], sign);
        }
    }
    for (size_t i = 0; i < h->n_ports; i++) {
        count(&sa->ports[h->ports[i]], sign);
    }
}

static void hold_port(struct held *h, int64_t port)
{
    if (port < NODE_PORT_FIRST || port > NODE_PORT_LAST) {
        return;
    }
    uint16_t at = (uint16_t)(port - NODE_PORT_FIRST);
    for (size_t i = 0; i < h->n_ports; i++) {
        if (h->ports[i] == at) {
            return; /* the same number for TCP and UDP */
        }
    }
    h->ports[h->n_ports++] = at;
}

static struct held *held_by(const struct service_alloc *sa, const struct json *svc)
{
    const struct json *spec = json_get(svc, "spec"), *ports = json_get(spec, "ports");
    struct held *h = mem_zalloc(sizeof(*h) + (json_len(ports) + 1) * sizeof(h->ports[0]));
    size_t n = 0;
    uint32_t ip;
    if (!h) {
        return NULL;
    }
    JSON_FOR_EACH (text, json_get(spec, "clusterIPs")) {
        if (n < HELD_IPS && parse_ip(json_cstr(text, ""), &ip) && ip - sa->base < sa->size) {
            h->ips[n++] = ip - sa->base;
        }
    }
    JSON_FOR_EACH (port, ports) {
        hold_port(h, json_i64(json_get(port, "nodePort"), 0));
    }
    hold_port(h, json_i64(json_get(spec, "healthCheckNodePort"), 0));
    return h;
}

int service_alloc_set(struct service_alloc *sa, const char *ns, const char *name,
                      const struct json *svc)
{
    char key[520];
    struct held *h = NULL, *old = NULL;
    int n = snprintf(key, sizeof(key), "%s/%s", ns, name);
    struct str k = str_n(key, n < 0 ? 0 : MIN_OF((size_t)n, sizeof(key) - 1));
    if (svc) {
        h = held_by(sa, svc);
        if (!h || map_put(&sa->held, k, h, (void **)&old) < 0) {
            mem_free(h);
            return -E_NOMEM;
        }
        count_all(sa, h, 1);
    } else {
        old = map_del(&sa->held, k);
    }
    if (old) {
        count_all(sa, old, -1);
        mem_free(old);
    }
    return 0;
}

/* ---- choosing ---- */

enum service_ip_state service_alloc_ip(const struct service_alloc *sa, const char *text)
{
    uint32_t ip;
    if (!parse_ip(text, &ip)) {
        return SERVICE_IP_BAD;
    }
    if (ip <= sa->base || ip >= sa->base + sa->size - 1) {
        return SERVICE_IP_OUTSIDE;
    }
    return sa->ips[ip - sa->base] ? SERVICE_IP_TAKEN : SERVICE_IP_FREE;
}

static void print_ip(const struct service_alloc *sa, uint32_t offset, char out[SERVICE_IP_SIZE])
{
    uint32_t ip = sa->base + offset;
    (void)snprintf(out, SERVICE_IP_SIZE, "%u.%u.%u.%u", ip >> 24, (ip >> 16) & 255, (ip >> 8) & 255,
                   ip & 255);
}

void service_alloc_first_ip(const struct service_alloc *sa, char out[SERVICE_IP_SIZE])
{
    print_ip(sa, 1, out);
}

/* A free offset in [from, to), 0 when there is none. */
static uint32_t pick(const uint8_t *taken, uint32_t from, uint32_t to)
{
    uint32_t n = to > from ? to - from : 0;
    uint32_t start = n ? (uint32_t)random_below(n) : 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = from + (start + i) % n;
        if (!taken[at]) {
            return at;
        }
    }
    return 0;
}

void service_alloc_pick_ip(const struct service_alloc *sa, char out[SERVICE_IP_SIZE])
{
    /* Kubernetes' split: min(max(16, size / 16), 256) addresses for those who name theirs. */
    uint32_t low = MIN_OF(MAX_OF(16U, sa->size / 16), 256U);
    uint32_t at = low + 1 < sa->size - 1 ? pick(sa->ips, low + 1, sa->size - 1) : 0;
    at = at ? at : pick(sa->ips, 1, MIN_OF(low + 1, sa->size - 1));
    out[0] = '\0';
    if (at) {
        print_ip(sa, at, out);
    }
}

bool service_alloc_port_taken(const struct service_alloc *sa, int64_t port)
{
    return port >= NODE_PORT_FIRST && port <= NODE_PORT_LAST && sa->ports[port - NODE_PORT_FIRST];
}

int64_t service_alloc_pick_port(const struct service_alloc *sa, const int64_t * not, size_t n)
{
    uint8_t taken[PORTS];
    memcpy(taken, sa->ports, sizeof(taken));
    for (size_t i = 0; i < n; i++) {
        if (not [i] >= NODE_PORT_FIRST && not [i] <= NODE_PORT_LAST) {
            taken[not [i] - NODE_PORT_FIRST] = 1;
        }
    }
    uint32_t low = MIN_OF(MAX_OF(16U, PORTS / 32U), 128U); /* as for addresses */
    uint32_t at = pick(taken, low, PORTS);
    if (at) {
        return NODE_PORT_FIRST + at;
    }
    at = pick(taken, 1, low);
    return at ? NODE_PORT_FIRST + at : taken[0] ? 0 : NODE_PORT_FIRST;
}
