/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest useful application for an edge node: an HTTP server on port 8080 that tells its host
 * name and version, answers /healthz, writes one line a request to its log and ends politely on
 * SIGTERM. One file, statically linked, no dependency, so that its image holds nothing but this
 * program.
 *
 *   GET /          a page: "Hello from <host>, version <$VERSION>" and $GREETING
 *   GET /healthz   ok
 *   anything else  404
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PORT = 8080, CONNECTIONS = 64, REQUEST_MAX = 4096, IDLE_SECONDS = 10 };

/* A connection that has not sent its whole request yet. */
struct connection {
    int fd; /* -1 = free */
    size_t n;
    time_t since;
    char text[REQUEST_MAX + 1];
};

static struct connection connections[CONNECTIONS];
static volatile sig_atomic_t ending;

static void on_term(int signum)
{
    ending = signum;
}

static const char *env_or(const char *name, const char *def)
{
    const char *value = getenv(name);
    return value && value[0] ? value : def;
}

static void log_line(const char *what, const char *detail)
{
    char at[32];
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%SZ", &tm);
    printf("%s %s %s\n", at, what, detail);
    fflush(stdout);
}

static int listen_on(int port)
{
    struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1, zero = 0;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) { /* both families; hosts without IPv6 come below */
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
        if (bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0 && listen(fd, 64) == 0) {
            return fd;
        }
        close(fd);
    }
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&in4, sizeof(in4)) == 0 && listen(fd, 64) == 0) {
        return fd;
    }
    close(fd);
    return -1;
}

static void end(struct connection *c)
{
    close(c->fd);
    c->fd = -1;
}

static void send_answer(struct connection *c, const char *status, const char *body)
{
    char text[2048];
    int n =
        snprintf(text, sizeof(text),
                 "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n"
                 "Connection: close\r\n\r\n%s",
                 status, strlen(body), body);
    (void)!send(c->fd, text, (size_t)n,
                MSG_NOSIGNAL); /* fits the socket's buffer; a client may be gone */
    shutdown(c->fd, SHUT_WR);
}

static void answer(struct connection *c)
{
    char host[256] = "?", body[1024], line[128];
    snprintf(line, sizeof(line), "%.*s", (int)strcspn(c->text, "\r\n"), c->text);
    for (char *p = line; *p; p++) {
        *p = *p < ' ' || *p > '~' ? '?' : *p;
    }
    gethostname(host, sizeof(host) - 1);
    if (strncmp(c->text, "GET / ", 6) == 0) {
        snprintf(body, sizeof(body), "Hello from %s, version %s\n%s%s", host,
                 env_or("VERSION", "1"), env_or("GREETING", ""), getenv("GREETING") ? "\n" : "");
        send_answer(c, "200 OK", body);
    } else if (strncmp(c->text, "GET /healthz ", 13) == 0) {
        send_answer(c, "200 OK", "ok\n");
        return; /* probes would fill the log */
    } else {
        send_answer(c, "404 Not Found", "not found\n");
    }
    log_line("request", line);
}

static void read_request(struct connection *c)
{
    ssize_t n = recv(c->fd, c->text + c->n, REQUEST_MAX - c->n, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        end(c);
        return;
    }
    c->n += (size_t)n;
    c->text[c->n] = '\0';
    if (strstr(c->text, "\r\n\r\n") || c->n == REQUEST_MAX) {
        answer(c);
        end(c);
    }
}

static void accept_one(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        return;
    }
    for (size_t i = 0; i < CONNECTIONS; i++) {
        if (connections[i].fd < 0) {
            connections[i].fd = fd;
            connections[i].n = 0;
            connections[i].since = time(NULL);
            return;
        }
    }
    close(fd);
}

static void drop_idle(void)
{
    time_t now = time(NULL);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        if (connections[i].fd >= 0 && now - connections[i].since > IDLE_SECONDS) {
            end(&connections[i]);
        }
    }
}

static void serve(int listener)
{
    while (!ending) {
        struct pollfd fds[CONNECTIONS + 1] = {{.fd = listener, .events = POLLIN}};
        for (size_t i = 0; i < CONNECTIONS; i++) {
            fds[i + 1] = (struct pollfd){.fd = connections[i].fd, .events = POLLIN};
        }
        if (poll(fds, CONNECTIONS + 1, 1000) < 0) {
            continue; /* a signal */
        }
        for (size_t i = 0; i < CONNECTIONS; i++) {
            if (connections[i].fd >= 0 && fds[i + 1].revents) {
                read_request(&connections[i]);
            }
        }
        if (fds[0].revents & POLLIN) {
            accept_one(listener);
        }
        drop_idle();
    }
}

int main(void)
{
    const struct sigaction sa = {.sa_handler = on_term};
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        connections[i].fd = -1;
    }
    int listener = listen_on(PORT);
    if (listener < 0) {
        perror("hello: listen on port 8080");
        return EXIT_FAILURE;
    }
    log_line("listening", "port 8080");
    serve(listener);
    log_line("ending", "bye");
    return EXIT_SUCCESS;
}
