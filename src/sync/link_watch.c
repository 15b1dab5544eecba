/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of links and addresses; see link_watch.h. */
#include "link_watch.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "io/loop.h"

struct link_watch {
    struct io_poll *poll;
    int fd;
    void (*changed)(void *arg);
    void *arg;
};

static bool is_pod_link(const struct nlmsghdr *h)
{
    const struct ifinfomsg *info = NLMSG_DATA(h);
    int left = (int)h->nlmsg_len - (int)NLMSG_LENGTH(sizeof(*info));
    for (const struct rtattr *a = IFLA_RTA(info); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        if (a->rta_type == IFLA_IFNAME) {
            return strncmp(RTA_DATA(a), "veth", 4) == 0;
        }
    }
    return false;
}

static bool matters(const struct nlmsghdr *h)
{
    switch (h->nlmsg_type) {
    case RTM_NEWLINK:
        return h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct ifinfomsg)) && !is_pod_link(h);
    case RTM_NEWADDR:
    case RTM_DELADDR:
        return true;
    default:
        return false;
    }
}

static void on_ready(void *arg, unsigned events, int code)
{
    struct link_watch *w = arg;
    _Alignas(struct nlmsghdr) char bytes[8192];
    bool changed = false;
    ssize_t n;
    (void)events;
    (void)code; /* read() tells */
    while ((n = recv(w->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
        unsigned left = (unsigned)n;
        for (struct nlmsghdr *h = (void *)bytes; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
            changed |= matters(h);
        }
    }
    if (changed || (n < 0 && errno == ENOBUFS)) {
        w->changed(w->arg);
    }
}

struct link_watch *link_watch_new(struct io_loop *loop, void (*changed)(void *arg), void *arg)
{
    struct sockaddr_nl addr = {.nl_family = AF_NETLINK,
                               .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
    CLEANUP(fd_closep)
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        return NULL;
    }
    struct link_watch *w = mem_zalloc(sizeof(*w));
    if (!w || io_poll_new(loop, fd, on_ready, w, &w->poll) < 0) {
        mem_free(w);
        return NULL;
    }
    io_poll_set(w->poll, IO_READABLE);
    w->fd = TAKE_FD(fd);
    w->changed = changed;
    w->arg = arg;
    return w;
}

void link_watch_free(struct link_watch *w)
{
    if (w) {
        io_poll_close(w->poll);
        (void)close(w->fd); /* nothing is lost by a failure */
        mem_free(w);
    }
}
