/* SPDX-License-Identifier: Apache-2.0 */
/* The durable queue of sinks: order, torn tails, damage, limits, full disks, kill -9. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/mem.h"
#include "io/file.h"
#include "sink_log.h"

struct fixture {
    char folder[64];
    struct sink_log *log;
    struct err err;
};

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    (void)snprintf(f->folder, sizeof(f->folder), "/tmp/selvedge-sink-log-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sink_log_close(f->log);
    assert_int_equal(tree_remove(f->folder, NULL), 0);
    mem_free(f);
    return 0;
}

static void reopen(struct fixture *f, uint64_t max)
{
    sink_log_close(TAKE_PTR(f->log));
    if (sink_log_open(f->folder, max, &f->log, &f->err) < 0) {
        fail_msg("%s", f->err.text);
    }
}

static void append(struct fixture *f, const char *fmt, int i)
{
    char text[64];
    uint64_t sequence;
    (void)snprintf(text, sizeof(text), fmt, i);
    if (sink_log_append(f->log, str_of(text), &sequence, &f->err) < 0) {
        fail_msg("%s", f->err.text);
    }
}

/* The message at a sequence or after it; "" when there is none. */
static const char *read_at(struct fixture *f, uint64_t sequence, uint64_t *ret)
{
    static char text[128];
    struct buf b = BUF_INIT;
    int rc = sink_log_read(f->log, sequence, &b, ret, &f->err);
    if (rc < 0) {
        fail_msg("%s", f->err.text);
    }
    (void)snprintf(text, sizeof(text), "%.*s", rc == 1 ? (int)buf_len(&b) : 0, buf_data(&b));
    buf_fini(&b);
    return text;
}

static void messages_come_back_in_order_after_a_restart(void **state)
{
    struct fixture *f = *state;
    uint64_t at;
    reopen(f, 0);
    for (int i = 1; i <= 100; i++) {
        append(f, "message %d", i);
    }
    assert_int_equal(sink_log_sync(f->log, &f->err), 0);
    assert_string_equal(read_at(f, 1, &at), "message 1");
    assert_string_equal(read_at(f, 2, &at), "message 2");
    sink_log_acknowledge(f->log, 60);
    reopen(f, 0);
    struct sink_log_stats st;
    sink_log_stats(f->log, &st);
    assert_int_equal(st.first, 61);
    assert_int_equal(st.next, 101);
    assert_string_equal(read_at(f, st.first, &at), "message 61");
    assert_string_equal(read_at(f, 100, &at), "message 100");
    assert_string_equal(read_at(f, 101, &at), "");
    append(f, "message %d", 101);
    assert_string_equal(read_at(f, 101, &at), "message 101");
    assert_int_equal(at, 101);
}

static void sequences_are_never_used_twice(void **state)
{
    struct fixture *f = *state;
    struct sink_log_stats st;
    reopen(f, 0);
    append(f, "%d", 1);
    sink_log_acknowledge(f->log, 1);
    sink_log_close(TAKE_PTR(f->log));
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%020d.log", f->folder, 1);
    assert_int_equal(unlink(path), 0); /* as if the segment had been removed */
    reopen(f, 0);
    sink_log_stats(f->log, &st);
    assert_int_equal(st.next, 2);
}

static char *only_segment(struct fixture *f)
{
    static char path[128];
    (void)snprintf(path, sizeof(path), "%s/%020d.log", f->folder, 1);
    return path;
}

static void a_torn_tail_is_cut_off_at_every_length(void **state)
{
    struct fixture *f = *state;
    reopen(f, 0);
    for (int i = 1; i <= 3; i++) {
        append(f, "message %d", i);
    }
    sink_log_close(TAKE_PTR(f->log));
    struct stat st;
    assert_int_equal(stat(only_segment(f), &st), 0);
    off_t record = st.st_size / 3;
    for (off_t size = st.st_size - 1; size >= 2 * record; size--) {
        uint64_t at;
        assert_int_equal(truncate(only_segment(f), size), 0);
        reopen(f, 0);
        assert_string_equal(read_at(f, 2, &at), "message 2");
        assert_string_equal(read_at(f, 3, &at), "");
        sink_log_close(TAKE_PTR(f->log));
        assert_int_equal(stat(only_segment(f), &st), 0);
        assert_int_equal(st.st_size, 2 * record);
        assert_int_equal(truncate(only_segment(f), size > 2 * record ? size - 1 : size), 0);
    }
}

static void a_flipped_bit_costs_one_message_at_most(void **state)
{
    struct fixture *f = *state;
    reopen(f, 0);
    for (int i = 1; i <= 5; i++) {
        append(f, "message %d", i);
    }
    sink_log_close(TAKE_PTR(f->log));
    int fd = open(only_segment(f), O_RDWR | O_CLOEXEC);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    for (off_t at = 0; at < st.st_size; at += 3) {
        unsigned char byte;
        uint64_t sequence = 0;
        unsigned seen = 0;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 0x10;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        reopen(f, 0);
        for (uint64_t next = 1; *read_at(f, next, &sequence); next = sequence + 1) {
            seen++;
        }
        assert_true(seen >= 4);
        sink_log_close(TAKE_PTR(f->log));
        byte ^= 0x10;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        assert_int_equal(ftruncate(fd, st.st_size), 0); /* a damaged last one was cut off */
        if (at >= st.st_size * 4 / 5) {
            break; /* the last record may be gone for good now */
        }
    }
    (void)close(fd);
}

static void over_its_limit_the_oldest_go_and_are_counted(void **state)
{
    struct fixture *f = *state;
    struct sink_log_stats st;
    static char big[100000];
    uint64_t sequence, at;
    memset(big, 'x', sizeof(big));
    reopen(f, (uint64_t)10 << 20);
    for (int i = 0; i < 300; i++) { /* 30 MB into 10 */
        assert_int_equal(sink_log_append(f->log, str_n(big, sizeof(big)), &sequence, &f->err), 0);
    }
    sink_log_stats(f->log, &st);
    assert_true(st.bytes <= (uint64_t)10 << 20);
    assert_true(st.dropped > 150);
    assert_int_equal(st.first, st.dropped + 1);
    assert_string_not_equal(read_at(f, st.first, &at), "");
    assert_int_equal(at, st.first);
}

static void a_full_disk_is_told_and_survived(void **state)
{
    struct fixture *f = *state;
    static char big[100000];
    uint64_t sequence = 0, at;
    int rc = 0;
    if (mount("tmpfs", f->folder, "tmpfs", 0, "size=1m") < 0) {
        skip(); /* no right to mount */
    }
    reopen(f, 0);
    memset(big, 'x', sizeof(big));
    for (int i = 0; rc == 0 && i < 20; i++) {
        rc = sink_log_append(f->log, str_n(big, sizeof(big)), &sequence, &f->err);
    }
    assert_int_equal(rc, -E_NOSPACE);
    assert_non_null(strstr(f->err.text, f->folder));
    assert_int_equal(sink_log_append(f->log, STR_LIT("small"), &sequence, &f->err), 0);
    assert_string_equal(read_at(f, sequence, &at), "small");
    sink_log_close(TAKE_PTR(f->log));
    assert_int_equal(umount(f->folder), 0);
}

/* The child tells through a pipe what was synced; the parent kills it at a random moment. */
static void write_until_killed(const char *folder, int fd)
{
    struct sink_log *l;
    struct err err;
    if (sink_log_open(folder, 0, &l, &err) < 0) {
        _exit(1);
    }
    for (;;) {
        uint64_t sequence = 0;
        for (int i = 0; i < 7; i++) {
            char text[32];
            struct sink_log_stats st;
            sink_log_stats(l, &st);
            int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)st.next);
            if (sink_log_append(l, str_n(text, (size_t)n), &sequence, &err) < 0) {
                _exit(1);
            }
        }
        if (sink_log_sync(l, &err) < 0 || write(fd, &sequence, sizeof(sequence)) < 0) {
            _exit(1);
        }
    }
}

static void what_was_synced_survives_a_kill_at_any_moment(void **state)
{
    struct fixture *f = *state;
    uint64_t synced = 0;
    for (int round = 0; round < 20; round++) {
        int pipes[2];
        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            write_until_killed(f->folder, pipes[1]);
        }
        (void)close(pipes[1]);
        (void)usleep((useconds_t)(1000 + random_below(20000)));
        (void)kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        uint64_t one;
        while (read(pipes[0], &one, sizeof(one)) == sizeof(one)) {
            synced = one;
        }
        (void)close(pipes[0]);
        reopen(f, 0);
        struct sink_log_stats st;
        sink_log_stats(f->log, &st);
        assert_true(st.next > synced);
        for (uint64_t at = 1; at < st.next; at++) {
            uint64_t found = 0;
            char expected[32];
            (void)snprintf(expected, sizeof(expected), "%llu", (unsigned long long)at);
            assert_string_equal(read_at(f, at, &found), expected);
            assert_int_equal(found, at);
        }
        sink_log_close(TAKE_PTR(f->log));
    }
    assert_true(synced > 0);
}

static struct sink_log_stats stats(struct fixture *f)
{
    struct sink_log_stats st;
    sink_log_stats(f->log, &st);
    return st;
}

/* The number that a message begins with. */
static uint64_t number_at(struct fixture *f, uint64_t sequence)
{
    struct str word, rest;
    uint64_t at, n = 0;
    (void)str_cut(str_of(read_at(f, sequence, &at)), ' ', &word, &rest); /* else it is all */
    assert_int_equal(str_u64(word, &n), 0);
    return n;
}

static void a_cut_takes_back_what_came_after_the_checkpoint(void **state)
{
    struct fixture *f = *state;
    static const char filler[] = "%d a message that is long enough to make a segment or two";
    uint64_t at;
    reopen(f, 0);
    assert_int_equal(sink_log_hold(f->log, &f->err), 0);
    for (int i = 1; i <= 200000; i++) { /* three segments */
        append(f, filler, i);
    }
    assert_int_equal(sink_log_sync(f->log, &f->err), 0);
    uint64_t epoch = stats(f).epoch;
    assert_true(epoch > 0);
    for (uint64_t keep = 150000; keep > 0; keep /= 7) {
        reopen(f, 0);
        assert_int_equal(sink_log_cut(f->log, keep, &f->err), 0);
        assert_int_equal(stats(f).next, keep + 1);
        assert_string_equal(read_at(f, keep + 1, &at), "");
        assert_int_equal(number_at(f, keep), keep);
        reopen(f, 0);
        assert_int_equal(stats(f).next, keep + 1);
        append(f, "anew %d", (int)keep + 1);
        assert_int_equal(number_at(f, keep), keep);
        assert_memory_equal(read_at(f, keep + 1, &at), "anew ", 5);
        assert_int_equal(at, keep + 1);
    }
    assert_int_equal(stats(f).epoch, epoch);
    assert_int_equal(sink_log_cut(f->log, 0, &f->err), 0);
    assert_int_equal(stats(f).next, 1);
    append(f, "%d", 1);
    assert_string_equal(read_at(f, 1, &at), "1");
}

static void a_cut_spares_what_is_acknowledged_or_older_than_the_hold(void **state)
{
    struct fixture *f = *state;
    uint64_t at;
    reopen(f, 0);
    for (int i = 1; i <= 10; i++) {
        append(f, "%d", i);
    }
    assert_int_equal(sink_log_hold(f->log, &f->err), 0);
    for (int i = 11; i <= 20; i++) {
        append(f, "%d", i);
    }
    reopen(f, 0);
    assert_int_equal(sink_log_hold(f->log, &f->err), 0); /* the first one counts */
    assert_int_equal(sink_log_cut(f->log, 0, &f->err), 0);
    assert_int_equal(stats(f).next, 11);
    assert_string_equal(read_at(f, 10, &at), "10");
    append(f, "%d", 11);
    append(f, "%d", 12);
    sink_log_acknowledge(f->log, 12);
    assert_int_equal(sink_log_cut(f->log, 3, &f->err), 0);
    assert_int_equal(stats(f).next, 13);
    assert_int_equal(sink_log_cut(f->log, 100, &f->err), 0); /* what the checkpoint knew is lost */
    append(f, "%d", 101);
    assert_string_equal(read_at(f, 13, &at), "101");
    assert_int_equal(at, 101);
}

static int write_note(void *arg, struct buf *out, struct err *err)
{
    const char *const *text = arg;
    return *text ? buf_puts(out, *text) : err_set(err, -E_IO, "not now");
}

static void the_note_of_the_last_acknowledgement_is_found_again(void **state)
{
    struct fixture *f = *state;
    const char *text = "17 /some/file with spaces";
    reopen(f, 0);
    assert_string_equal(sink_log_note(f->log), "");
    sink_log_notes(f->log, write_note, &text);
    append(f, "%d", 1);
    append(f, "%d", 2);
    sink_log_acknowledge(f->log, 1);
    text = "18";
    assert_int_equal(sink_log_settle(f->log, &f->err), 0);
    text = NULL; /* from now on none can be made: the acknowledgement stays with its note */
    sink_log_acknowledge(f->log, 2);
    assert_int_equal(sink_log_settle(f->log, &f->err), -E_IO);
    reopen(f, 0);
    assert_string_equal(sink_log_note(f->log), "18");
    assert_int_equal(stats(f).first, 2);
}

/* Whatever bytes a power cut leaves in the slot that was being written, the other one counts. */
static void a_torn_slot_leaves_the_one_before(void **state)
{
    struct fixture *f = *state;
    char path[128];
    reopen(f, 0);
    uint64_t epoch = stats(f).epoch;
    for (int i = 1; i <= 3; i++) {
        append(f, "%d", i);
        sink_log_acknowledge(f->log, (uint64_t)i);
        assert_int_equal(sink_log_settle(f->log, &f->err), 0);
    }
    sink_log_close(TAKE_PTR(f->log));
    (void)snprintf(path, sizeof(path), "%s/acknowledged", f->folder);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    char whole[8192];
    assert_int_equal(pread(fd, whole, sizeof(whole), 0), sizeof(whole));
    size_t newest = memcmp(whole + 4096 + 11, whole + 11, 4) > 0 ? 4096 : 0;
    for (size_t byte = 0; byte < 40; byte++) {
        whole[newest + byte] ^= 4;
        assert_int_equal(pwrite(fd, whole, sizeof(whole), 0), sizeof(whole));
        whole[newest + byte] ^= 4;
        reopen(f, 0);
        assert_int_equal(stats(f).epoch, epoch);
        assert_int_equal(stats(f).first, 3);
        sink_log_close(TAKE_PTR(f->log));
    }
    (void)close(fd);
}

static void a_full_queue_may_refuse_instead_of_dropping(void **state)
{
    struct fixture *f = *state;
    char text[1000];
    uint64_t sequence = 0, refused = 0;
    memset(text, 'x', sizeof(text));
    reopen(f, 10000);
    sink_log_refuse(f->log);
    for (int i = 0; i < 100; i++) {
        int rc = sink_log_append(f->log, str_n(text, sizeof(text)), &sequence, &f->err);
        assert_true(rc == 0 || rc == -E_NOSPACE);
        refused += rc < 0;
    }
    assert_int_equal(stats(f).dropped, 0);
    assert_int_equal(sequence, 100 - refused);
    assert_int_equal(sequence, 9);
    sink_log_acknowledge(f->log, 9);
    assert_int_equal(sink_log_append(f->log, str_n(text, sizeof(text)), &sequence, &f->err), 0);
    assert_int_equal(sequence, 10);
    assert_true(stats(f).bytes < 2000); /* what is done with made room */
}

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(messages_come_back_in_order_after_a_restart),
        LOG_TEST(sequences_are_never_used_twice),
        LOG_TEST(a_torn_tail_is_cut_off_at_every_length),
        LOG_TEST(a_flipped_bit_costs_one_message_at_most),
        LOG_TEST(over_its_limit_the_oldest_go_and_are_counted),
        LOG_TEST(a_full_disk_is_told_and_survived),
        LOG_TEST(a_cut_takes_back_what_came_after_the_checkpoint),
        LOG_TEST(a_cut_spares_what_is_acknowledged_or_older_than_the_hold),
        LOG_TEST(the_note_of_the_last_acknowledgement_is_found_again),
        LOG_TEST(a_torn_slot_leaves_the_one_before),
        LOG_TEST(a_full_queue_may_refuse_instead_of_dropping),
        LOG_TEST(what_was_synced_survives_a_kill_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
