/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A publisher that costs next to nothing, for test/bench: MQTT 3.1.1 over loopback.
 *
 *      broker_flood PORT QOS COUNT SIZE RATE [OUT]    RATE: messages a second, 0 = as fast as it
 *                                                     goes; to the topic "bench"
 *
 * A payload begins with its time of sending, as broker_probe's "latency" wants it. Ends when the
 * broker has taken the last message, and prints how long that took.
 *
 * With OUT the payloads are JSON events of 93 bytes with the time as "t" (SIZE is not used), and
 * the topic OUT ("-": none) is read: what comes back with such a "t" was that long under way. Ends
 * when all are back, or none came for two seconds.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

#define BATCH ((size_t)64 << 10)
#define WINDOW 100 /* QoS 1: messages without a PUBACK */
#define EVENT_BYTES 93
#define PATIENCE_NS UINT64_C(2000000000)

struct flood {
    int fd;
    unsigned qos;
    uint64_t count, size, rate;
    uint64_t sent, acked;
    uint8_t out[BATCH + 4096];
    size_t n;
    uint8_t in[4096];
    const char *back; /* the topic that is read; NULL: payloads are no JSON */
    int back_fd;
    uint64_t *under_way; /* nanoseconds, of each that came back */
    uint64_t n_back;
    size_t n_read;
    uint8_t read[256 << 10];
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

/* ---- what comes back ---- */

/* The number behind "t": of a JSON text; 0 = there is none. */
static uint64_t time_in(const uint8_t *p, size_t n)
{
    const uint8_t *at = memmem(p, n, "\"t\":", 4), *end = p + n;
    uint64_t t = 0;
    for (at = at ? at + 4 : end; at < end && *at >= '0' && *at <= '9'; at++) {
        t = t * 10 + (uint64_t)(*at - '0');
    }
    return t;
}

/* The length of the packet at p with its head; 0 = it is not there yet. */
static size_t packet_length(const uint8_t *p, size_t n)
{
    size_t body = 0, at = 1;
    for (unsigned shift = 0; at < n; shift += 7) {
        body |= (size_t)(p[at] & 127) << shift;
        if (p[at++] < 128) {
            return n >= at + body ? at + body : 0;
        }
    }
    return 0;
}

static void take_back(struct flood *f)
{
    ssize_t got = recv(f->back_fd, f->read + f->n_read, sizeof(f->read) - f->n_read, MSG_DONTWAIT);
    size_t at = 0, length;
    uint64_t now = now_ns();
    f->n_read += got > 0 ? (size_t)got : 0;
    while ((length = packet_length(f->read + at, f->n_read - at)) > 0) {
        uint64_t t = (f->read[at] & 0xf0) == 0x30 ? time_in(f->read + at, length) : 0;
        if (t > 0 && f->n_back < f->count) {
            f->under_way[f->n_back++] = now - t;
        }
        at += length;
    }
    memmove(f->read, f->read + at, f->n_read - at);
    f->n_read -= at;
}

static bool wait_back(struct flood *f, uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    struct pollfd p = {.fd = f->back_fd, .events = POLLIN};
    bool some = ppoll(&p, 1, &t, NULL) > 0;
    if (some) {
        take_back(f);
    }
    return some;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void print_back(struct flood *f)
{
    static const double parts[] = {0.5, 0.99, 0.999};
    static const char *const names[] = {"p50", "p99", "p999"};
    qsort(f->under_way, f->n_back, sizeof(*f->under_way), by_size);
    (void)printf(",\"back\":%llu", (unsigned long long)f->n_back);
    for (size_t i = 0; f->n_back > 0 && i < ARRAY_SIZE(parts); i++) {
        uint64_t at = (uint64_t)((double)(f->n_back - 1) * parts[i]);
        (void)printf(",\"%s\":%.1f", names[i], (double)f->under_way[at] / 1e3);
    }
}

/* ---- what is sent ---- */

static void put_payload(struct flood *f, uint8_t *p, uint64_t now)
{
    char text[128];
    if (!f->back) {
        memset(p, 'x', f->size);
        memcpy(p, &now, sizeof(now));
        return;
    }
    int n = snprintf(text, sizeof(text),
                     "{\"device\":\"pump-a-%04u\",\"t\":%llu,\"temp\":%02u.%02u,\"hum\":%02u.%u,"
                     "\"status\":\"",
                     (unsigned)(f->sent * 7919 % 1000), (unsigned long long)now,
                     10 + (unsigned)(f->sent % 80), (unsigned)(f->sent % 100),
                     10 + (unsigned)(f->sent % 90), (unsigned)(f->sent % 10));
    memset(text + n, 'n', sizeof(text) - (size_t)n);
    memcpy(text + f->size - 2, "\"}", 2);
    memcpy(p, text, f->size);
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
    put_payload(f, p, now);
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
        if (f->back_fd >= 0) {
            for (; now < due; now = now_ns()) {
                (void)wait_back(f, due - now);
            }
            return;
        }
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
        if (f->back_fd >= 0 && f->sent % 64 == 0) {
            take_back(f);
        }
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
    while (f->back_fd >= 0 && f->n_back < f->count && wait_back(f, PATIENCE_NS)) {
    }
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

static void say_hello(struct flood *f, int fd, uint8_t number)
{
    uint8_t packet[] = {0x10,
                        17,
                        0,
                        4,
                        'M',
                        'Q',
                        'T',
                        'T',
                        4,
                        2,
                        0,
                        60,
                        0,
                        5,
                        'f',
                        'l',
                        'o',
                        'o',
                        (uint8_t)('0' + number)};
    if (write(fd, packet, sizeof(packet)) != (ssize_t)sizeof(packet) || read(fd, f->in, 4) != 4) {
        die("CONNECT");
    }
}

/* A second connection, which reads the topic. */
static void open_back(struct flood *f, uint16_t port)
{
    uint8_t packet[128];
    size_t n = strlen(f->back);
    f->under_way = calloc(f->count, sizeof(*f->under_way));
    if (n > 100 || !f->under_way) {
        die("OUT is too long, or COUNT too large");
    }
    f->back_fd = open_broker(port);
    say_hello(f, f->back_fd, 1);
    const uint8_t head[] = {0x82, (uint8_t)(n + 5), 0, 1, 0, (uint8_t)n};
    memcpy(packet, head, sizeof(head));
    memcpy(packet + sizeof(head), f->back, n);
    packet[sizeof(head) + n] = 0; /* QoS */
    n += sizeof(head) + 1;
    if (write(f->back_fd, packet, n) != (ssize_t)n || read(f->back_fd, f->in, 5) != 5) {
        die("SUBSCRIBE");
    }
}

int main(int argc, char **argv)
{
    static struct flood f;
    uint64_t v[5];
    for (int i = 0; i < 5; i++) {
        if (argc < 6 || argc > 7 || str_u64(str_of(argv[i + 1]), &v[i]) < 0) {
            die("usage: broker_flood PORT QOS COUNT SIZE RATE [OUT]");
        }
    }
    f = (struct flood){
        .qos = (unsigned)v[1], .count = v[2], .size = v[3], .rate = v[4], .back_fd = -1};
    if (argc == 7) {
        f.back = argv[6];
        f.size = EVENT_BYTES;
    }
    if (f.qos > 1 || f.size < 8 || f.size > 1024) {
        die("QOS is 0 or 1, SIZE 8 to 1024");
    }
    f.fd = open_broker((uint16_t)v[0]);
    say_hello(&f, f.fd, 0);
    if (f.back && strcmp(f.back, "-") != 0) {
        open_back(&f, (uint16_t)v[0]);
    }
    uint64_t began = now_ns();
    run(&f, began);
    (void)printf("{\"sent\":%llu,\"seconds\":%.6f", (unsigned long long)f.sent,
                 (double)(now_ns() - began) / 1e9);
    if (f.back_fd >= 0) {
        print_back(&f);
    }
    (void)printf("}\n");
    return close(f.fd);
}
