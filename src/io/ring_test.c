/* SPDX-License-Identifier: Apache-2.0 */
/* The ring: order, limits, bells, writers that are killed, and memory full of rubbish. */
#include "ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "ring_private.h"

#define SMALL ((size_t)64 << 10)

static struct ring_reader *reader_of(size_t capacity)
{
    struct ring_reader *r = NULL;
    assert_int_equal(ring_reader_new(capacity, &r, NULL), 0);
    return r;
}

static struct ring_writer *writer_of(struct ring_reader *r)
{
    struct ring_writer *w = NULL;
    assert_int_equal(ring_writer_open(ring_reader_fd(r), ring_reader_bell(r), &w, NULL), 0);
    return w;
}

/* A record of n bytes whose first eight are a number. */
static int put(struct ring_writer *w, uint64_t number, size_t n)
{
    static char fill[1 << 20];
    assert_true(n >= 8 && n <= sizeof(fill));
    struct iovec pieces[2] = {{&number, 8}, {fill, n - 8}};
    return ring_write(w, pieces, 2);
}

static uint64_t number_of(struct str record)
{
    uint64_t number;
    assert_true(record.n >= 8);
    memcpy(&number, record.p, 8);
    return number;
}

static bool rings(struct ring_reader *r, int ms)
{
    struct pollfd p = {.fd = ring_reader_bell(r), .events = POLLIN};
    return poll(&p, 1, ms) == 1;
}

static void records_come_in_order_over_many_rounds(void **state)
{
    struct ring_reader *r = reader_of(SMALL);
    struct ring_writer *w = writer_of(r);
    uint64_t in = 0, out = 0;
    unsigned seed = 1;
    while (out < 20000) {
        for (int i = rand_r(&seed) % 40; i > 0; i--) {
            in += put(w, in, 8 + (size_t)rand_r(&seed) % 3000) == 0;
        }
        struct str records[16];
        size_t n = ring_read(r, records, 16);
        for (size_t i = 0; i < n; i++) {
            assert_true(number_of(records[i]) == out++);
        }
    }
    struct ring_stats s;
    ring_reader_stats(r, &s);
    assert_true(s.records == out && s.broken == 0 && s.generation == 1);
    ring_writer_close(w);
    ring_reader_free(r);
}

static void what_does_not_fit_is_dropped_and_counted(void **state)
{
    struct ring_reader *r = reader_of(SMALL);
    struct ring_writer *w = writer_of(r);
    assert_int_equal(put(w, 0, SMALL / 2 + 8), -E_TOOBIG);
    uint64_t in = 0;
    while (put(w, in, 1000) == 0) {
        in++;
    }
    assert_int_equal(put(w, in, 1000), -E_AGAIN);
    struct str records[8];
    struct ring_stats s;
    ring_reader_stats(r, &s);
    assert_true(s.dropped == 3);
    uint64_t out = 0;
    for (size_t n; (n = ring_read(r, records, 8)) > 0;) {
        for (size_t i = 0; i < n; i++) {
            assert_true(number_of(records[i]) == out++);
        }
    }
    assert_true(out == in && in > 50);
    assert_int_equal(put(w, 7, 1000), 0);
    ring_writer_close(w);
    ring_reader_free(r);
}

static void the_bell_rings_for_a_sleeper_once(void **state)
{
    struct ring_reader *r = reader_of(SMALL);
    struct ring_writer *w = writer_of(r);
    assert_int_equal(put(w, 1, 8), 0);
    assert_false(rings(r, 0));
    assert_false(ring_sleep(r));
    struct str record;
    assert_int_equal(ring_read(r, &record, 1), 1);
    assert_true(ring_sleep(r));
    assert_false(rings(r, 0));
    assert_int_equal(put(w, 2, 8), 0);
    assert_true(rings(r, 0));
    ring_bell_clear(r);
    assert_int_equal(put(w, 3, 8), 0);
    assert_false(rings(r, 0));
    ring_control_set(r, 42);
    assert_true(ring_control(w) == 42);
    ring_writer_close(w);
    ring_reader_free(r);
}

static void a_reader_that_keeps_up_touches_little_memory(void **state)
{
    struct ring_reader *r = reader_of((size_t)16 << 20);
    struct ring_writer *w = writer_of(r);
    for (uint64_t i = 0; i < 12000; i++) {
        struct str record;
        assert_int_equal(put(w, i, 4000), 0);
        assert_int_equal(ring_read(r, &record, 1), 1);
        assert_true(number_of(record) == i);
    }
    struct stat st;
    assert_int_equal(fstat(ring_reader_fd(r), &st), 0);
    assert_true(st.st_blocks * 512 < 1 << 20);
    ring_writer_close(w);
    ring_reader_free(r);
}

static void the_whole_ring_is_for_use_whenever_it_is_empty(void **state)
{
    struct ring_reader *r = reader_of(SMALL);
    struct ring_writer *w = writer_of(r);
    for (uint64_t i = 0; i < 500; i++) {
        struct str record;
        size_t n = 0;
        assert_int_equal(put(w, i, 8 + i), 0);
        assert_int_equal(ring_read(r, &record, 1), 1);
        while (put(w, n, 992) == 0) {
            n++;
        }
        assert_in_range(n, 60, 65); /* of 1000 bytes; less than a chunk is held back */
        for (; n > 0; n--) {
            assert_int_equal(ring_read(r, &record, 1), 1);
        }
    }
    ring_writer_close(w);
    ring_reader_free(r);
}

static void large_records_pass_between_small_ones(void **state)
{
    struct ring_reader *r = reader_of((size_t)4 << 20);
    struct ring_writer *w = writer_of(r);
    static const size_t sizes[] = {8, 1 << 20, 9, 1000000, 100, 15};
    for (int round = 0; round < 20; round++) {
        for (uint64_t i = 0; i < ARRAY_SIZE(sizes); i++) {
            assert_int_equal(put(w, i, sizes[i]), 0);
        }
        size_t seen = 0;
        struct str records[3];
        for (size_t n; (n = ring_read(r, records, 3)) > 0;) {
            for (size_t i = 0; i < n; i++, seen++) {
                assert_true(number_of(records[i]) == seen && records[i].n == sizes[seen]);
            }
        }
        assert_int_equal(seen, ARRAY_SIZE(sizes));
    }
    ring_writer_close(w);
    ring_reader_free(r);
}

/* Writes until it is killed; every record is whole. */
static void write_for_ever(struct ring_reader *r, uint64_t from)
{
    struct ring_writer *w = NULL;
    if (ring_writer_open(ring_reader_fd(r), ring_reader_bell(r), &w, NULL) < 0) {
        _exit(1);
    }
    for (;;) {
        from += put(w, from, 8 + from % 500) == 0;
    }
}

static void a_killed_writer_leaves_whole_records_and_another_goes_on(void **state)
{
    struct ring_reader *r = reader_of(SMALL);
    for (uint32_t round = 1; round <= 10; round++) {
        uint64_t base = (uint64_t)round << 32, next = base;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            write_for_ever(r, base);
        }
        struct str records[64];
        while (next < base + 5000) {
            if (ring_sleep(r)) {
                assert_true(rings(r, -1));
                ring_bell_clear(r);
            }
            size_t n = ring_read(r, records, 64);
            for (size_t i = 0; i < n; i++, next++) {
                assert_true(number_of(records[i]) == next);
                assert_true(records[i].n == 8 + next % 500);
            }
        }
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        for (size_t n; (n = ring_read(r, records, 64)) > 0;) {
            for (size_t i = 0; i < n; i++, next++) {
                assert_true(number_of(records[i]) == next);
            }
        }
        struct ring_stats s;
        ring_reader_stats(r, &s);
        assert_int_equal(s.generation, round);
        assert_true(s.broken == 0);
    }
    ring_reader_free(r);
}

static void rubbish_in_the_memory_is_skipped_and_counted(void **state)
{
    struct ring_reader *r = reader_of(SMALL);
    struct ring_writer *w = writer_of(r);
    char *base = ring_map(ring_reader_fd(r), SMALL);
    assert_non_null(base);
    struct ring_page_writer *page = (struct ring_page_writer *)(base + RING_PAGE);
    uint64_t positions[] = {UINT64_MAX, 1, SMALL * 3, 12345, (uint64_t)1 << 63};
    struct str record;
    for (size_t i = 0; i < ARRAY_SIZE(positions); i++) {
        struct ring_stats before, after;
        ring_reader_stats(r, &before);
        atomic_store(&page->written, positions[i]);
        for (int k = 0; k < 3; k++) {
            assert_int_equal(ring_read(r, &record, 1), 0);
        }
        ring_reader_stats(r, &after);
        assert_true(after.broken > before.broken);
    }
    ring_writer_close(w);
    w = writer_of(r); /* goes on where the reader is */
    assert_int_equal(put(w, 5, 100), 0);
    assert_int_equal(ring_read(r, &record, 1), 1);
    assert_int_equal(put(w, 6, 100), 0);
    uint32_t length = UINT32_MAX;
    memcpy(base + RING_DATA + (atomic_load(&page->written) - 112) % SMALL, &length, 4);
    assert_int_equal(ring_read(r, &record, 1), 0);
    assert_int_equal(put(w, 8, 100), 0);
    assert_int_equal(ring_read(r, &record, 1), 1);
    assert_true(number_of(record) == 8);
    ring_unmap(base, SMALL);
    ring_writer_close(w);
    ring_reader_free(r);
}

static void what_is_no_ring_is_refused(void **state)
{
    int fds[2];
    struct ring_writer *w = NULL;
    struct err err;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(ring_writer_open(fds[0], fds[1], &w, &err), -E_INVAL);
    assert_true(ring_writer_open(9999, 9999, &w, &err) < 0);
    assert_null(w);
    (void)close(fds[0]); /* of the test alone */
    (void)close(fds[1]);
    ring_reader_free(NULL);
    ring_writer_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_in_order_over_many_rounds),
        cmocka_unit_test(what_does_not_fit_is_dropped_and_counted),
        cmocka_unit_test(the_bell_rings_for_a_sleeper_once),
        cmocka_unit_test(a_reader_that_keeps_up_touches_little_memory),
        cmocka_unit_test(the_whole_ring_is_for_use_whenever_it_is_empty),
        cmocka_unit_test(large_records_pass_between_small_ones),
        cmocka_unit_test(a_killed_writer_leaves_whole_records_and_another_goes_on),
        cmocka_unit_test(rubbish_in_the_memory_is_skipped_and_counted),
        cmocka_unit_test(what_is_no_ring_is_refused),
    };
    return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
