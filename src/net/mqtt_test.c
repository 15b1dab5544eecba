/* SPDX-License-Identifier: Apache-2.0 */
/* The MQTT client against a mosquitto of the machine, started here on a unix socket. */
#include "mqtt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "io/file.h"
#include "io/loop.h"
#include "io/process.h"
#include "io/x509.h"

struct world {
    struct io_loop *loop;
    char dir[64], socket[96], conf[96];
    char ca[96];
    uint16_t port, tls_port;
    struct io_process *broker;
    bool gone; /* the broker */
    struct mqtt_client *client;
    int states, up, messages, acked, failed, ready;
    size_t bytes;
    char last[64];
    struct io_timer tick; /* so that until() looks again */
};

static void on_state(void *arg, bool connected, const char *why)
{
    struct world *w = arg;
    w->states++;
    w->up += connected;
    assert_true(connected || why[0] != 0);
}

static void on_message(void *arg, const struct mqtt_event *e)
{
    struct world *w = arg;
    w->messages++;
    w->bytes += e->payload.n;
    (void)snprintf(w->last, sizeof(w->last), STR_FMT, STR_ARG(e->topic));
}

static void on_ready(void *arg)
{
    ((struct world *)arg)->ready++;
}

static void on_done(void *arg, int code)
{
    struct world *w = arg;
    w->acked += code == 0;
    w->failed += code != 0;
}

static void on_tick(void *arg)
{
    (void)arg; /* waking the loop is all */
}

static void on_broker_exit(void *arg, int status)
{
    ((struct world *)arg)->gone = true;
}

static void start_broker(struct world *w)
{
    w->gone = false;
    const char *const argv[] = {"/usr/sbin/mosquitto", "-c", w->conf, NULL};
    const struct io_process_config p = {
        .argv = argv, .stdio = {{STDIO_NULL}, {STDIO_NULL}, {STDIO_NULL}}, .die_with_us = true};
    assert_int_equal(io_process_spawn(w->loop, &p, on_broker_exit, w, &w->broker, NULL), 0);
}

static void kill_broker(struct world *w)
{
    assert_int_equal(io_process_kill(w->broker, SIGKILL), 0);
    while (!w->gone) { /* its ports, too, for the next one */
        loop_run_once(w->loop);
    }
    io_process_close(w->broker);
    w->broker = NULL;
}

static uint16_t free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    CLEANUP(fd_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    return ntohs(a.sin_port);
}

/* DIR/ca.crt, and DIR/crt with DIR/key for "localhost". */
static void make_certificates(struct world *w)
{
    CLEANUP(mem_freep) char *ca = NULL, *ca_key = NULL, *key = NULL, *cert = NULL;
    static const char *const sans[] = {"localhost", NULL};
    const struct x509_profile p = {
        .subject = {.cn = "localhost"}, .use = X509_USE_SERVER, .sans = sans, .seconds = 3600};
    char path[96];
    assert_int_equal(x509_ca_new("test", 3600, &ca, &ca_key, NULL), 0);
    assert_int_equal(x509_key_new(&key, NULL), 0);
    assert_int_equal(x509_sign(ca, ca_key, key, /* csr_pem= */ NULL, &p, &cert, NULL), 0);
    (void)snprintf(w->ca, sizeof(w->ca), "%s/ca.crt", w->dir);
    assert_int_equal(file_write_replace(w->ca, ca, strlen(ca), 0644, NULL), 0);
    (void)snprintf(path, sizeof(path), "%s/crt", w->dir);
    assert_int_equal(file_write_replace(path, cert, strlen(cert), 0644, NULL), 0);
    (void)snprintf(path, sizeof(path), "%s/key", w->dir);
    assert_int_equal(file_write_replace(path, key, strlen(key), 0644, NULL), 0);
}

static int setup(void **state)
{
    struct world *w = mem_zalloc(sizeof(*w));
    char conf[512];
    assert_non_null(w);
    (void)snprintf(w->dir, sizeof(w->dir), "/tmp/mqtt_test-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    assert_int_equal(chmod(w->dir, 0777), 0);
    (void)snprintf(w->socket, sizeof(w->socket), "%s/s", w->dir);
    (void)snprintf(w->conf, sizeof(w->conf), "%s/c", w->dir);
    w->port = free_port();
    w->tls_port = free_port();
    make_certificates(w);
    int n = snprintf(conf, sizeof(conf),
                     "allow_anonymous true\nmax_packet_size 2000000\nlistener 0 %s\n"
                     "listener %u 127.0.0.1\nlistener %u 127.0.0.1\n"
                     "certfile %s/crt\nkeyfile %s/key\n",
                     w->socket, w->port, w->tls_port, w->dir, w->dir);
    assert_int_equal(file_write_replace(w->conf, conf, (size_t)n, 0644, NULL), 0);
    assert_int_equal(loop_new(&w->loop, NULL), 0);
    io_timer_init(w->loop, &w->tick, on_tick, w);
    io_timer_start(&w->tick, 10, 10);
    start_broker(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    mqtt_close(w->client);
    if (w->broker) {
        kill_broker(w);
    }
    for (int i = 0; i < 5; i++) {
        loop_run_ready(w->loop);
    }
    io_timer_stop(&w->tick);
    loop_free(w->loop);
    (void)tree_remove(w->dir, NULL); /* of the test alone */
    mem_free(w);
    return 0;
}

#define UNTIL(w, condition)       \
    while (!(condition)) {        \
        loop_run_once((w)->loop); \
    }

static void open_client(struct world *w, uint8_t version, size_t queue_bytes)
{
    struct mqtt_config cfg = {.loop = w->loop,
                              .host = w->socket,
                              .version = version,
                              .queue_bytes = queue_bytes,
                              .on_state = on_state,
                              .on_message = on_message,
                              .on_ready = on_ready,
                              .arg = w};
    assert_int_equal(mqtt_open(&cfg, &w->client, NULL), 0);
}

static void messages_of_every_qos_come_back(void **state)
{
    struct world *w = *state;
    for (uint8_t version = 4; version <= 5; version++) {
        int messages = w->messages, acked = w->acked;
        open_client(w, version, 0);
        assert_int_equal(mqtt_subscribe(w->client, "a/#", 2), 0);
        UNTIL(w, mqtt_connected(w->client));
        for (uint8_t qos = 0; qos < 3; qos++) {
            assert_int_equal(
                mqtt_publish(w->client, "a/b", STR_LIT("hello"), qos, false, on_done, w), 0);
        }
        assert_int_equal(w->acked, acked); /* never inside the call */
        UNTIL(w, w->messages == messages + 3 && w->acked == acked + 3);
        assert_int_equal(mqtt_queued(w->client), 0);
        assert_string_equal(w->last, "a/b");
        assert_int_equal(mqtt_refused(w->client), 0);
        mqtt_close(w->client);
        w->client = NULL;
    }
    assert_int_equal(w->failed, 0);
}

static void a_killed_broker_costs_no_acknowledged_message(void **state)
{
    struct world *w = *state;
    open_client(w, 5, 0);
    assert_int_equal(mqtt_subscribe(w->client, "x", 1), 0);
    UNTIL(w, w->up == 1);
    int states = w->states;
    kill_broker(w);
    UNTIL(w, !mqtt_connected(w->client) && w->states == states + 1);
    assert_int_equal(mqtt_publish(w->client, "x", STR_LIT("1"), 1, false, on_done, w), -E_AGAIN);
    start_broker(w);
    UNTIL(w, w->up == 2 && w->ready == 1);
    assert_int_equal(mqtt_publish(w->client, "x", STR_LIT("2"), 1, false, on_done, w), 0);
    UNTIL(w, w->acked == 1 && w->messages == 1); /* the subscription is back */
}

static void the_queue_is_bounded_and_says_when_there_is_room(void **state)
{
    struct world *w = *state;
    static char payload[100000];
    open_client(w, 5, 1 << 20);
    assert_int_equal(mqtt_subscribe(w->client, "flood", 0), 0);
    UNTIL(w, mqtt_connected(w->client));
    int sent = 0, code = 0;
    while (code == 0) {
        code =
            mqtt_publish(w->client, "flood", str_n(payload, sizeof(payload)), 1, false, on_done, w);
        sent += code == 0;
    }
    assert_int_equal(code, -E_AGAIN);
    assert_in_range(sent, 5, 10);
    UNTIL(w, w->ready > 0);
    UNTIL(w, w->acked == sent && w->messages == sent);
    assert_true(w->bytes == (size_t)sent * sizeof(payload));
}

static void open_over_tcp(struct world *w, bool tls, const char *ca, const char *host)
{
    struct mqtt_config cfg = {.loop = w->loop,
                              .host = host,
                              .port = tls ? w->tls_port : w->port,
                              .on_state = on_state,
                              .on_message = on_message,
                              .arg = w};
    cfg.tls.on = tls;
    cfg.tls.ca_file = ca;
    assert_int_equal(mqtt_open(&cfg, &w->client, NULL), 0);
}

static void tcp_and_tls_carry_large_messages(void **state)
{
    struct world *w = *state;
    static char payload[1500000];
    for (int tls = 0; tls < 2; tls++) {
        int messages = w->messages;
        open_over_tcp(w, tls, w->ca, "localhost");
        assert_int_equal(mqtt_subscribe(w->client, "big", 1), 0);
        UNTIL(w, mqtt_connected(w->client));
        for (int i = 0; i < 4; i++) {
            assert_int_equal(mqtt_publish(w->client, "big", str_n(payload, sizeof(payload)), 1,
                                          false, on_done, w),
                             0);
        }
        UNTIL(w, w->messages == messages + 4);
        mqtt_close(w->client);
        w->client = NULL;
    }
    assert_true(w->bytes == 8 * sizeof(payload));
}

static void a_certificate_of_another_ca_or_name_is_refused(void **state)
{
    struct world *w = *state;
    open_client(w, 5, 0);
    UNTIL(w, mqtt_connected(w->client)); /* the broker listens: it is the certificate from now on */
    mqtt_close(w->client);
    for (int i = 0; i < 2; i++) {
        int states = w->states;
        open_over_tcp(w, true, i ? NULL : w->ca, i ? "localhost" : "127.0.0.1");
        UNTIL(w, w->states > states); /* told after the first try */
        struct mono began = mono_now();
        while (mono_now().us - began.us < 700000) { /* some tries */
            assert_false(mqtt_connected(w->client));
            loop_run_once(w->loop);
        }
        assert_int_equal(w->states, states + 1); /* told once */
        mqtt_close(w->client);
        w->client = NULL;
    }
}

static void what_can_never_be_sent_is_refused(void **state)
{
    struct world *w = *state;
    struct mqtt_client *none = NULL;
    struct err err;
    struct mqtt_config cfg = {.loop = w->loop, .host = "localhost", .port = 1, .version = 3};
    assert_int_equal(mqtt_open(&cfg, &none, &err), -E_INVAL);
    cfg.version = 5;
    cfg.keep_session = true;
    assert_int_equal(mqtt_open(&cfg, &none, &err), -E_INVAL);
    cfg.client_id = "me";
    assert_int_equal(mqtt_open(&cfg, &none, &err), -E_NOTSUP);
    cfg = (struct mqtt_config){.loop = w->loop, .host = "localhost", .port = 1};
    cfg.tls.on = true;
    cfg.tls.ca_file = "/nowhere/ca.crt";
    assert_int_equal(mqtt_open(&cfg, &none, &err), -E_INVAL);
    open_client(w, 5, 0);
    UNTIL(w, mqtt_connected(w->client));
    assert_int_equal(mqtt_publish(w->client, "a/+", STR_NULL, 0, false, NULL, NULL), -E_INVAL);
    assert_int_equal(mqtt_publish(w->client, "a", STR_NULL, 3, false, NULL, NULL), -E_INVAL);
    assert_int_equal(mqtt_subscribe(w->client, "a/#/b", 0), -E_INVAL);
    assert_int_equal(mqtt_unsubscribe(w->client, "a"), -E_NOENT);
    static char large[3000000];
    assert_int_equal(
        mqtt_publish(w->client, "a", str_n(large, sizeof(large)), 1, false, NULL, NULL), -E_TOOBIG);
    assert_int_equal(mqtt_queued(w->client), 0);
}

static void a_broker_that_is_not_there_is_tried_again_until_it_closes(void **state)
{
    struct world *w = *state;
    for (int tls = 0; tls < 2; tls++) {
        int states = w->states;
        kill_broker(w);
        if (tls) {
            open_over_tcp(w, true, w->ca, "localhost");
        } else {
            open_client(w, 5, 0);
        }
        assert_int_equal(w->states, states); /* nothing is told before the first try */
        UNTIL(w, w->states == states + 1);
        assert_false(mqtt_connected(w->client));
        start_broker(w);
        UNTIL(w, mqtt_connected(w->client));
        mqtt_close(w->client);
    }
    open_client(w, 5, 0); /* closed while its thread is under way */
    mqtt_close(w->client);
    w->client = NULL;
}

int main(void)
{
    if (!file_exists("/usr/sbin/mosquitto")) {
        (void)printf("mosquitto is not installed: skipped\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(messages_of_every_qos_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_killed_broker_costs_no_acknowledged_message, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_queue_is_bounded_and_says_when_there_is_room, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(tcp_and_tls_carry_large_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(a_certificate_of_another_ca_or_name_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_can_never_be_sent_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_broker_that_is_not_there_is_tried_again_until_it_closes,
                                        setup, teardown),
    };
    return cmocka_run_group_tests_name("mqtt", tests, NULL, NULL);
}
