/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures the store and, beside each figure, the plain SQLite library doing the same one write a
 * transaction, one query a read (same file settings: WAL, synchronous=FULL, a key index). Values
 * have 1 kB. The ratio is ours to theirs, in the direction of better. Files lie in /var/tmp.
 *
 * Not included: encoding, HTTP, index hooks. Watch figures include the commit (fsync).
 */
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/file.h"
#include "io/loop.h"
#include "store/store.h"

#define VALUE_SIZE 1024
#define OUTSTANDING 64
#define PUTS 30000
#define PEER_PUTS 3000
#define ITEMS 100000
#define GETS 500000
#define WATCHERS 1000
#define CHANGES 200
#define RUNS 5

static char value[VALUE_SIZE];

static _Noreturn void die(const char *what)
{
    (void)fprintf(stderr, "store_bench: %s\n", what);
    exit(1);
}

static double seconds_since(struct mono start)
{
    return (double)(mono_now().us - start.us) / 1e6;
}

static int double_cmp(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(double *v, size_t n, double p)
{
    qsort(v, n, sizeof v[0], double_cmp);
    return v[(size_t)((double)(n - 1) * p)];
}

static int64_t rss_bytes(void)
{
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f || fscanf(f, "%ld %ld", &pages, &resident) != 2) {
        die("no /proc/self/statm");
    }
    (void)fclose(f); /* read only */
    return (int64_t)resident * sysconf(_SC_PAGESIZE);
}

/* Cheap, so that it does not show in the figures. */
static int random_item(void)
{
    static uint64_t x = 88172645463325252;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (int)(x % ITEMS);
}

static void key_of(int i, char out[48])
{
    (void)snprintf(out, 48, "pods/namespace-%02d/web-%08d", i % 50, i);
}

/* ---- ours ---- */

struct ours {
    struct io_loop *loop;
    struct store *s;
    char dir[64], path[96];
};

static void ours_open(struct ours *o)
{
    struct err err;
    struct store_opts opts = {.path = o->path};
    if (store_open(o->loop, &opts, &o->s, &err) < 0) {
        die(err.text);
    }
}

static void on_closed(void *arg, int code)
{
    *(bool *)arg = true;
    if (code < 0) {
        die(err_text(code));
    }
}

static void ours_close(struct ours *o)
{
    bool closed = false;
    store_close(o->s, on_closed, &closed);
    while (!closed) {
        loop_run_once(o->loop);
    }
}

struct load {
    struct ours *o;
    int next, total, done;
    struct store_req reqs[OUTSTANDING];
};

static void put_next(struct load *l, struct store_req *req);

static void on_put(struct store_req *req, int code, const char *text)
{
    struct load *l = req->arg;
    if (code < 0) {
        die(text);
    }
    l->done++;
    put_next(l, req);
}

static void put_next(struct load *l, struct store_req *req)
{
    if (l->next < l->total) {
        char key[48];
        key_of(l->next++, key);
        if (store_put(l->o->s, req, str_of(key), str_n(value, VALUE_SIZE), NULL) < 0) {
            die("store_put");
        }
    }
}

/* Creates keys from..to-1; seconds. */
static double ours_put(struct ours *o, int from, int to)
{
    struct load l = {.o = o, .next = from, .total = to};
    struct mono start = mono_now();
    for (int i = 0; i < OUTSTANDING; i++) {
        l.reqs[i] = (struct store_req){.done = on_put, .arg = &l};
        put_next(&l, &l.reqs[i]);
    }
    while (l.done < to - from) {
        loop_run_once(o->loop);
    }
    return seconds_since(start);
}

static double ours_get(struct ours *o)
{
    struct mono start = mono_now();
    size_t bytes = 0;
    for (int i = 0; i < GETS; i++) {
        char key[48];
        key_of(random_item(), key);
        struct store_item *it = store_get(o->s, str_of(key));
        if (!it) {
            die("a key is missing");
        }
        bytes += store_item_value(it).n;
    }
    if (bytes != (size_t)GETS * VALUE_SIZE) {
        die("wrong values");
    }
    return seconds_since(start);
}

struct fan {
    int reached;
};

static void on_ready(struct store_watch *w, void *arg)
{
    struct fan *f = arg;
    struct store_event *ev;
    while (store_watch_next(w, &ev) == 1) {
        f->reached++;
    }
}

/* Milliseconds from each submission to the last watcher having the event. */
static void ours_fan_out(struct ours *o, double ms[CHANGES])
{
    struct fan f = {0};
    static struct store_watch *watches[WATCHERS];
    for (int i = 0; i < WATCHERS; i++) {
        if (store_watch_open(o->s, STR_LIT("pods/"), store_rev(o->s), on_ready, &f, &watches[i])) {
            die("store_watch_open");
        }
    }
    for (int i = 0; i < CHANGES; i++) {
        struct load l = {.o = o, .next = i, .total = i + 1};
        l.reqs[0] = (struct store_req){.done = on_put, .arg = &l};
        f.reached = 0;
        struct mono start = mono_now();
        put_next(&l, &l.reqs[0]);
        while (f.reached < WATCHERS) {
            loop_run_once(o->loop);
        }
        ms[i] = seconds_since(start) * 1e3;
        while (!l.done) {
            loop_run_once(o->loop);
        }
    }
    for (int i = 0; i < WATCHERS; i++) {
        store_watch_close(watches[i]);
    }
}

/* ---- the peer: SQLite as one uses it ---- */

struct peer {
    sqlite3 *db;
    sqlite3_stmt *put, *get, *after;
};

static void peer_open(struct peer *p, const char *path)
{
    static const char setup[] =
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "CREATE TABLE IF NOT EXISTS log(rev INTEGER PRIMARY KEY, key TEXT, value BLOB);"
        "CREATE INDEX IF NOT EXISTS by_key ON log(key);";
    if (sqlite3_open(path, &p->db) || sqlite3_exec(p->db, setup, NULL, NULL, NULL) ||
        sqlite3_prepare_v2(p->db, "INSERT INTO log(key, value) VALUES(?,?)", -1, &p->put, NULL) ||
        sqlite3_prepare_v2(p->db, "SELECT value FROM log WHERE key = ? ORDER BY rev DESC LIMIT 1",
                           -1, &p->get, NULL) ||
        sqlite3_prepare_v2(p->db, "SELECT rev, key, value FROM log WHERE rev > ?", -1, &p->after,
                           NULL)) {
        die(sqlite3_errmsg(p->db));
    }
}

static void peer_close(struct peer *p)
{
    if (sqlite3_finalize(p->put) || sqlite3_finalize(p->get) || sqlite3_finalize(p->after) ||
        sqlite3_close(p->db)) {
        die("close the peer");
    }
}

static void peer_put_one(struct peer *p, int i)
{
    char key[48];
    key_of(i, key);
    if (sqlite3_bind_text(p->put, 1, key, -1, SQLITE_STATIC) ||
        sqlite3_bind_blob(p->put, 2, value, VALUE_SIZE, SQLITE_STATIC) ||
        sqlite3_step(p->put) != SQLITE_DONE || sqlite3_reset(p->put)) {
        die(sqlite3_errmsg(p->db));
    }
}

static double peer_put(struct peer *p, int from, int to)
{
    struct mono start = mono_now();
    for (int i = from; i < to; i++) {
        peer_put_one(p, i);
    }
    return seconds_since(start);
}

/* Not measured: the rest of the 100,000 items in one transaction. */
static void peer_fill(struct peer *p, int from, int to)
{
    if (sqlite3_exec(p->db, "BEGIN", NULL, NULL, NULL)) {
        die(sqlite3_errmsg(p->db));
    }
    (void)peer_put(p, from, to); /* the time is of no interest */
    if (sqlite3_exec(p->db, "COMMIT", NULL, NULL, NULL)) {
        die(sqlite3_errmsg(p->db));
    }
}

static double peer_get(struct peer *p, int n)
{
    struct mono start = mono_now();
    for (int i = 0; i < n; i++) {
        char key[48];
        key_of(random_item(), key);
        if (sqlite3_bind_text(p->get, 1, key, -1, SQLITE_STATIC) ||
            sqlite3_step(p->get) != SQLITE_ROW || sqlite3_column_bytes(p->get, 0) != VALUE_SIZE ||
            !sqlite3_column_blob(p->get, 0) || sqlite3_reset(p->get)) {
            die(sqlite3_errmsg(p->db));
        }
    }
    return seconds_since(start);
}

/* A thousand watchers that each ask for what came after their revision. */
static void peer_fan_out(struct peer *p, double *ms, int changes)
{
    for (int i = 0; i < changes; i++) {
        struct mono start = mono_now();
        peer_put_one(p, i);
        int64_t rev = sqlite3_last_insert_rowid(p->db) - 1;
        for (int w = 0; w < WATCHERS; w++) {
            if (sqlite3_bind_int64(p->after, 1, rev) || sqlite3_step(p->after) != SQLITE_ROW ||
                !sqlite3_column_blob(p->after, 2) || sqlite3_reset(p->after)) {
                die(sqlite3_errmsg(p->db));
            }
        }
        ms[i] = seconds_since(start) * 1e3;
    }
}

/* Reads every row, as a program must that keeps the state in memory. */
static double peer_load(const char *path)
{
    struct peer p;
    struct mono start = mono_now();
    peer_open(&p, path);
    int64_t rows = 0;
    if (sqlite3_bind_int64(p.after, 1, 0)) {
        die(sqlite3_errmsg(p.db));
    }
    while (sqlite3_step(p.after) == SQLITE_ROW) {
        rows += sqlite3_column_blob(p.after, 2) != NULL;
    }
    double s = seconds_since(start);
    if (rows < ITEMS) {
        die("rows are missing");
    }
    peer_close(&p);
    return s;
}

/* ---- the rows ---- */

static void print_rate(const char *name, double ours, double peer, const char *unit, int runs)
{
    printf("%-44s %12.0f %-6s  sqlite %10.0f   ratio %6.1f   (median of %d)\n", name, ours, unit,
           peer, ours / peer, runs);
}

static void bench_puts(struct ours *o, struct peer *p)
{
    double ours[RUNS], peer[RUNS];
    for (int i = 0; i < RUNS; i++) {
        int step = PUTS / RUNS, peer_step = PEER_PUTS / RUNS;
        ours[i] = step / ours_put(o, i * step, (i + 1) * step);
        peer[i] = peer_step / peer_put(p, i * peer_step, (i + 1) * peer_step);
    }
    print_rate("durable puts, 64 outstanding", percentile(ours, RUNS, 0.5),
               percentile(peer, RUNS, 0.5), "/s", RUNS);
}

static void bench_gets(struct ours *o, struct peer *p)
{
    double ours[RUNS], peer[RUNS];
    for (int i = 0; i < RUNS; i++) {
        ours[i] = GETS / ours_get(o);
        peer[i] = (double)GETS / 10 / peer_get(p, GETS / 10);
    }
    print_rate("gets by key, 100,000 items", percentile(ours, RUNS, 0.5),
               percentile(peer, RUNS, 0.5), "/s", RUNS);
}

static void bench_fan_out(struct ours *o, struct peer *p)
{
    static double ours[CHANGES], peer[CHANGES];
    ours_fan_out(o, ours);
    peer_fan_out(p, peer, CHANGES);
    double o50 = percentile(ours, CHANGES, 0.5), p50 = percentile(peer, CHANGES, 0.5);
    printf("%-44s p50 %.3f ms  p99 %.3f ms  sqlite p50 %.3f ms  p99 %.3f ms  ratio %.1f   (%d)\n",
           "one durable change to 1,000 watchers", o50, percentile(ours, CHANGES, 0.99), p50,
           percentile(peer, CHANGES, 0.99), p50 / o50, CHANGES);
}

struct loaded {
    double seconds;
    int64_t bytes;
};

/* In a fresh process, so that its memory holds nothing else: program --load PATH. */
static int load_main(const char *path)
{
    struct ours o;
    struct err err;
    if (loop_new(&o.loop, &err) < 0) {
        die(err.text);
    }
    (void)snprintf(o.path, sizeof o.path, "%s", path);
    int64_t before = rss_bytes();
    struct mono start = mono_now();
    ours_open(&o);
    struct loaded l = {.seconds = seconds_since(start), .bytes = rss_bytes() - before};
    ours_close(&o);
    loop_free(o.loop);
    return write(STDOUT_FILENO, &l, sizeof l) == sizeof l ? 0 : 1;
}

static struct loaded load_in_child(const char *path)
{
    int fds[2], status = 1;
    struct loaded l;
    pid_t pid = pipe(fds) < 0 ? -1 : fork();
    if (pid == 0) {
        if (dup2(fds[1], STDOUT_FILENO) == STDOUT_FILENO) {
            (void)execl("/proc/self/exe", "store_bench", "--load", path, (char *)NULL);
        }
        _exit(1);
    }
    if (pid < 0 || read(fds[0], &l, sizeof l) != sizeof l || waitpid(pid, &status, 0) != pid ||
        status != 0) {
        die("load in a child");
    }
    (void)close(fds[0]);
    (void)close(fds[1]);
    return l;
}

static void bench_load(struct ours *o, const char *peer_path)
{
    double ours[RUNS], peer[RUNS], bytes[RUNS];
    for (int i = 0; i < RUNS; i++) {
        struct loaded l = load_in_child(o->path);
        ours[i] = l.seconds;
        bytes[i] = (double)l.bytes;
        peer[i] = peer_load(peer_path);
    }
    double own = percentile(ours, RUNS, 0.5), theirs = percentile(peer, RUNS, 0.5);
    printf("%-44s %12.3f s       sqlite %10.3f     ratio %6.2f   (median of %d)\n",
           "start with 100,000 items", own, theirs, theirs / own, RUNS);
    printf("%-44s %12.0f bytes an item beside key and value (RSS, median of %d)\n",
           "memory of 100,000 items",
           percentile(bytes, RUNS, 0.5) / ITEMS - VALUE_SIZE -
               (double)strlen("pods/namespace-00/web-00000000"),
           RUNS);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--load") == 0) {
        return load_main(argv[2]);
    }
    memset(value, 'v', sizeof value);
    struct ours o = {.dir = "/var/tmp/store-bench-XXXXXX"};
    struct err err;
    if (!mkdtemp(o.dir) || loop_new(&o.loop, &err) < 0) {
        die("no folder or no loop");
    }
    char peer_path[96];
    (void)snprintf(o.path, sizeof o.path, "%s/store.db", o.dir);
    (void)snprintf(peer_path, sizeof peer_path, "%s/peer.db", o.dir);
    struct peer p;
    ours_open(&o);
    peer_open(&p, peer_path);
    bench_puts(&o, &p);
    (void)ours_put(&o, PUTS, ITEMS); /* not measured */
    peer_fill(&p, PEER_PUTS, ITEMS);
    ours_close(&o);
    peer_close(&p);
    bench_load(&o, peer_path);
    ours_open(&o);
    peer_open(&p, peer_path);
    bench_gets(&o, &p);
    bench_fan_out(&o, &p);
    ours_close(&o);
    peer_close(&p);
    loop_free(o.loop);
    return tree_remove(o.dir, &err) < 0;
}
