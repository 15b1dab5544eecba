/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A publisher that costs next to nothing, for test/bench/mqtt_bench.py: MQTT 3.1.1 over loopback.
 *
 *      broker_flood PORT QOS COUNT SIZE RATE      RATE: messages a second, 0 = as fast as it goes
 *
 * A payload begins with its time of sending, as broker_probe's "latency" wants it. Ends when the
 * broker has taken the last message, and prints how long that took.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

#define BATCH ((size_t)64 << 10)
#define WINDOW 100 /* QoS 1: messages without a PUBACK */

struct flood {
    int fd;
    unsigned qos;
    uint64_t count, size, rate;
    uint64_t sent, acked;
    uint8_t out[BATCH + 4096];
    size_t n;
    uint8_t in[4096];
};

static uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail */
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
    (void)fprintf(stderr, "broker_flood: %s\n", what);
    exit(1);
}

static void flush(struct flood *f)
{
    for (size_t at = 0; at < f->n;) {
        ssize_t n = write(f->fd, f->out + at, f->n - at);
        if (n <= 0) {
            die("write");
        }
        at += (size_t)n;
    }
    f->n = 0;
}

/* Reads answers of n bytes altogether. */
static void expect(struct flood *f, size_t n)
{
    while (n > 0) {
        ssize_t got = read(f->fd, f->in, MIN_OF(n, sizeof(f->in)));
        if (got <= 0) {
            die("read");
        }
        n -= (size_t)got;
    }
}

static void put_message(struct flood *f)
{
    uint64_t body = 2 + 5 + (f->qos ? 2 : 0) + f->size, now = now_ns();
    uint8_t *p = f->out + f->n;
    *p++ = (uint8_t)(0x30 | f->qos << 1);
    for (; body >= 128; body >>= 7) {
        *p++ = (uint8_t)(0x80 | (body & 127));
    }
    *p++ = (uint8_t)body;
    memcpy(p, "\0\5bench", 7);
    p += 7;
    if (f->qos) {
        uint16_t id = (uint16_t)(1 + f->sent % 60000);
        *p++ = (uint8_t)(id >> 8);
        *p++ = (uint8_t)id;
    }
    memset(p, 'x', f->size);
    memcpy(p, &now, sizeof(now));
    f->n = (size_t)(p + f->size - f->out);
    f->sent++;
}

/* Waits until it is time for the next message. */
static void pace(struct flood *f, uint64_t began)
{
    uint64_t due = began + f->sent * 1000000000u / f->rate;
    uint64_t now = now_ns();
    if (due > now) {
        flush(f);
        struct timespec t = {.tv_nsec = (long)MIN_OF(due - now, (uint64_t)999999999)};
        (void)nanosleep(&t, NULL); /* waking early sends early, no harm */
    }
}

static void run(struct flood *f, uint64_t began)
{
    while (f->sent < f->count) {
        if (f->rate) {
            pace(f, began);
        }
        put_message(f);
        if (f->n > BATCH - 2048 || f->qos) {
            bool full = f->qos && f->sent - f->acked >= WINDOW;
            if (full || f->n > BATCH - 2048) {
                flush(f);
            }
            if (full) {
                expect(f, WINDOW / 2 * 4); /* a PUBACK has four bytes */
                f->acked += WINDOW / 2;
            }
        }
    }
    flush(f);
    expect(f, f->qos ? (f->sent - f->acked) * 4 : 0);
    memcpy(f->out, "\xc0\0", 2); /* PINGREQ: answered after all that came before */
    f->n = 2;
    flush(f);
    expect(f, 2);
}

static int open_broker(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        die("cannot connect");
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* slower without */
    return fd;
}

int main(int argc, char **argv)
{
    static const uint8_t connect_packet[] = {0x10, 17, 0, 4, 'M', 'Q', 'T', 'T', 4,  2,
                                             0,    60, 0, 5, 'f', 'l', 'o', 'o', 'd'};
    static struct flood f;
    uint64_t v[5];
    for (int i = 0; i < 5; i++) {
        if (argc != 6 || str_u64(str_of(argv[i + 1]), &v[i]) < 0) {
            die("usage: broker_flood PORT QOS COUNT SIZE RATE");
        }
    }
    f = (struct flood){.qos = (unsigned)v[1], .count = v[2], .size = v[3], .rate = v[4]};
    if (f.qos > 1 || f.size < 8 || f.size > 1024) {
        die("QOS is 0 or 1, SIZE 8 to 1024");
    }
    f.fd = open_broker((uint16_t)v[0]);
    memcpy(f.out, connect_packet, sizeof(connect_packet));
    f.n = sizeof(connect_packet);
    flush(&f);
    expect(&f, 4); /* CONNACK */
    uint64_t began = now_ns();
    run(&f, began);
    (void)printf("{\"sent\":%llu,\"seconds\":%.6f}\n", (unsigned long long)f.sent,
                 (double)(now_ns() - began) / 1e9);
    return close(f.fd);
}
