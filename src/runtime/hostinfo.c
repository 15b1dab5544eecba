/* SPDX-License-Identifier: Apache-2.0 */
/* See hostinfo.h: sysconf, /proc, /sys, /etc. Whatever cannot be read stays empty. */
#include "runtime/hostinfo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "runtime/fs.h"
#include "runtime/images_private.h"

static const char *text_or_empty(struct arena *a, const char *path)
{
    char *text = fs_read_text(a, path, 64 << 10);
    return text ? text : "";
}

/* KEY=value or KEY="value" of os-release. */
static const char *os_image(struct arena *a)
{
    char *text = fs_read_text(a, "/etc/os-release", 64 << 10);
    text = text ? text : fs_read_text(a, "/usr/lib/os-release", 64 << 10);
    struct str rest = str_of(text), line, key, value;
    while (rest.n > 0) {
        str_cut(rest, '\n', &line, &rest);
        if (!str_cut(line, '=', &key, &value) || !str_is(key, "PRETTY_NAME")) {
            continue;
        }
        if (value.n >= 2 && (value.p[0] == '"' || value.p[0] == '\'') &&
            value.p[value.n - 1] == value.p[0]) {
            value = str_n(value.p + 1, value.n - 2);
        }
        return arena_str(a, value);
    }
    return "Linux";
}

static int64_t hugepages(const char *size_kb, int64_t page)
{
    char path[128];
    struct arena a;
    int64_t n = -1;
    snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%skB/nr_hugepages", size_kb);
    arena_init(&a, 0);
    char *text = fs_read_text(&a, path, 64);
    if (text && str_i64(str_of(text), &n) == 0) {
        n *= page;
    }
    arena_fini(&a);
    return n;
}

/* The interface of the default route in /proc/net/route: "eth0 00000000 ...". */
static bool default_interface(struct arena *a, char out[IF_NAMESIZE])
{
    char *text = fs_read_text(a, "/proc/net/route", 1 << 20);
    struct str rest = str_of(text), line, name, dest;
    while (rest.n > 0) {
        str_cut(rest, '\n', &line, &rest);
        if (str_cut(line, '\t', &name, &line) && str_cut(line, '\t', &dest, &line) &&
            str_is(dest, "00000000") && name.n < IF_NAMESIZE) {
            memcpy(out, name.p, name.n);
            out[name.n] = '\0';
            return true;
        }
    }
    return false;
}

static bool usable6(const struct in6_addr *in)
{
    return !IN6_IS_ADDR_LINKLOCAL(in) && !IN6_IS_ADDR_LOOPBACK(in);
}

/* The first global addresses of that interface, else of any that is up and no loopback. */
static void find_addresses(struct arena *a, struct hostinfo *h)
{
    char wanted[IF_NAMESIZE] = "", text[INET6_ADDRSTRLEN];
    struct ifaddrs *list;
    bool has = default_interface(a, wanted);
    if (getifaddrs(&list) < 0) {
        return;
    }
    for (int pass = has ? 0 : 1; pass < 2; pass++) {
        for (struct ifaddrs *i = list; i; i = i->ifa_next) {
            if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK) ||
                (pass == 0 && !cstr_eq(i->ifa_name, wanted))) {
                continue;
            }
            const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)i->ifa_addr;
            const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)i->ifa_addr;
            if (i->ifa_addr->sa_family == AF_INET && !h->ipv4[0] &&
                inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text))) {
                h->ipv4 = arena_strdup(a, text);
            } else if (i->ifa_addr->sa_family == AF_INET6 && !h->ipv6[0] &&
                       usable6(&in6->sin6_addr) &&
                       inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text))) {
                h->ipv6 = arena_strdup(a, text);
            }
            h->ipv4 = h->ipv4 ? h->ipv4 : "";
            h->ipv6 = h->ipv6 ? h->ipv6 : "";
        }
        if (h->ipv4[0] || h->ipv6[0]) {
            break;
        }
    }
    freeifaddrs(list);
}

int hostinfo_read(struct arena *a, const char *state_dir, struct hostinfo *ret, struct err *err)
{
    struct utsname u;
    struct sysinfo si;
    struct statvfs vfs;
    if (uname(&u) < 0 || sysinfo(&si) < 0) {
        return err_sys(err, -errno, "read this machine's facts");
    }
    struct hostinfo h = {
        .cpus = MAX_OF(sysconf(_SC_NPROCESSORS_ONLN), 1L),
        .memory_bytes = (int64_t)si.totalram * si.mem_unit,
        .hugepages_2mi_bytes = hugepages("2048", (int64_t)2 << 20),
        .hugepages_1gi_bytes = hugepages("1048576", (int64_t)1 << 30),
        .hostname = arena_strdup(a, u.nodename),
        .machine_id = text_or_empty(a, "/etc/machine-id"),
        .system_uuid = text_or_empty(a, "/sys/class/dmi/id/product_uuid"),
        .boot_id = text_or_empty(a, "/proc/sys/kernel/random/boot_id"),
        .kernel_version = arena_strdup(a, u.release),
        .os_image = os_image(a),
        .os = "linux",
        .architecture = image_host_architecture(),
        .ipv4 = "",
        .ipv6 = "",
    };
    if (!h.system_uuid[0]) {
        h.system_uuid = h.machine_id; /* as cAdvisor does where there is no DMI */
    }
    if (statvfs(state_dir, &vfs) == 0) {
        h.ephemeral_bytes = (int64_t)vfs.f_blocks * (int64_t)vfs.f_frsize;
    }
    find_addresses(a, &h);
    if (arena_failed(a)) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    *ret = h;
    return 0;
}

/* The number of "MemAvailable:   123 kB". */
static int64_t meminfo(struct arena *a, const char *key)
{
    char *text = fs_read_text(a, "/proc/meminfo", 64 << 10);
    struct str rest = str_of(text), line, name;
    while (rest.n > 0) {
        int64_t v;
        str_cut(rest, '\n', &line, &rest);
        if (str_cut(line, ':', &name, &line) && str_is(name, key)) {
            str_cut(str_trim(line), ' ', &line, &name);
            return str_i64(line, &v) == 0 ? v * 1024 : -1;
        }
    }
    return -1;
}

static int64_t number_of(struct arena *a, const char *path)
{
    int64_t v;
    char *text = fs_read_text(a, path, 64);
    return text && str_i64(str_of(text), &v) == 0 ? v : -1;
}

int hostinfo_pressure(const char *state_dir, struct hostinfo_pressure *ret, struct err *err)
{
    struct statvfs vfs;
    struct sysinfo si;
    struct arena a;
    if (statvfs(state_dir, &vfs) < 0 || sysinfo(&si) < 0) {
        return err_sys(err, -errno, "%s", state_dir);
    }
    arena_init(&a, 0);
    struct hostinfo_pressure p = {
        .memory_available = meminfo(&a, "MemAvailable"),
        .disk_available = (int64_t)vfs.f_bavail * (int64_t)vfs.f_frsize,
        .disk_size = (int64_t)vfs.f_blocks * (int64_t)vfs.f_frsize,
        .inodes_free = (int64_t)vfs.f_favail,
        .inodes = (int64_t)vfs.f_files,
        .pids = si.procs,
        .pids_max = number_of(&a, "/proc/sys/kernel/pid_max"),
    };
    arena_fini(&a);
    *ret = p;
    return 0;
}
