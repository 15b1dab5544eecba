/* SPDX-License-Identifier: Apache-2.0 */
/* Figures of pods and of the machine; see stats.h. */
#include "stats.h"

#include "infra_private.h"
#include "io/file.h"

#define RATE_LEAST_US ((int64_t)500000)
#define RATE_MOST_US ((int64_t)300 * 1000000)
#define SECOND_LOOK_MS 1000
#define FORGET_US ((int64_t)600 * 1000000)
#define PROC_MAX ((size_t)1 << 20)

/* The CPU time of a group at two looks. */
struct sample {
    struct mono at;    /* of the newest look */
    int64_t cpu_us;    /* then */
    int64_t nanocores; /* -1 = not known yet */
    int64_t window_us; /* over which that was */
};

struct stats {
    struct infra *inf;
    struct map samples;  /* path of a group, "" of the machine -> struct sample */
    struct list waiting; /* struct stats_req.link */
    struct io_timer again;
    struct io_task soon;
};

struct stats_req {
    struct list link;
    struct stats *stats;
    stats_done_fn *done;
    void *arg;
};

/* ---- samples ---- */

/* Takes a look in; true when the rate is known. */
static bool sample_take(struct stats *s, const char *key, int64_t cpu_us, int64_t *ret_rate,
                        int64_t *ret_window_us)
{
    struct mono now = mono_now();
    struct sample *m = map_get(&s->samples, str_of(key));
    *ret_rate = *ret_window_us = -1;
    if (cpu_us < 0) {
        return true; /* a machine that does not count: nothing to wait for */
    }
    if (!m) {
        m = mem_zalloc(sizeof(*m));
        if (!m || map_put(&s->samples, str_of(key), m, NULL) < 0) {
            mem_free(m);
            return true;
        }
        *m = (struct sample){.at = now, .cpu_us = cpu_us, .nanocores = -1};
        return false;
    }
    int64_t passed = now.us - m->at.us;
    if (passed >= RATE_LEAST_US) {
        bool usable = passed <= RATE_MOST_US && cpu_us >= m->cpu_us;
        m->nanocores = usable ? (cpu_us - m->cpu_us) * 1000 * 1000000 / passed : -1;
        m->window_us = passed;
        m->at = now;
        m->cpu_us = cpu_us;
    }
    *ret_rate = m->nanocores;
    *ret_window_us = m->nanocores >= 0 ? m->window_us : -1;
    return m->nanocores >= 0;
}

static void forget_old(struct stats *s)
{
    struct mono now = mono_now();
    for (bool more = true; more;) {
        more = false;
        MAP_FOR_EACH (slot, &s->samples) {
            struct sample *m = slot->value;
            if (now.us - m->at.us > FORGET_US) {
                (void)map_del(&s->samples, str_n(slot->key, slot->n)); /* it is m */
                mem_free(m);
                more = true; /* the map has changed: begin anew */
                break;
            }
        }
    }
}

/* ---- pieces of the answer ---- */

struct look {
    struct stats *s;
    struct arena *a;
    char now[TIME_TEXT_SIZE];
    bool complete; /* every rate is known */
};

static void set_number(struct json *o, const char *key, int64_t v)
{
    if (v >= 0) {
        json_set_int(o, key, v);
    }
}

static struct json *part(struct look *l, struct json *o, const char *name)
{
    struct json *p = json_set(o, name, json_object(l->a));
    json_set_str(p, "time", l->now);
    return p;
}

static void add_cpu(struct look *l, struct json *o, const char *key, int64_t cpu_us)
{
    int64_t rate, window_us;
    l->complete &= sample_take(l->s, key, cpu_us, &rate, &window_us);
    struct json *cpu = part(l, o, "cpu");
    set_number(cpu, "usageNanoCores", rate);
    set_number(cpu, "windowMs",
               window_us < 0 ? -1 : window_us / 1000); /* ours: see api/metrics.h */
    set_number(cpu, "usageCoreNanoSeconds", cpu_us < 0 ? -1 : cpu_us * 1000);
}

static void add_memory(struct look *l, struct json *o, const struct cgroup_usage *u)
{
    struct json *m = part(l, o, "memory");
    set_number(m, "usageBytes", u->charged_bytes);
    set_number(m, "workingSetBytes", u->memory_bytes);
    set_number(m, "rssBytes", u->rss_bytes);
    set_number(m, "pageFaults", u->page_faults);
    set_number(m, "majorPageFaults", u->major_page_faults);
}

/* False when the group is not there. */
static bool add_group(struct look *l, struct json *o, const char *path)
{
    struct cgroup_usage u;
    if (!path || cgroup_usage(runtime_cgroups(l->s->inf->runtime), path, &u) < 0) {
        return false;
    }
    add_cpu(l, o, path, u.cpu_us);
    add_memory(l, o, &u);
    return true;
}

static void set_time(struct json *o, const char *key, struct wall t)
{
    char text[TIME_TEXT_SIZE];
    if (t.us) {
        json_set_str(o, key, time_text(t, text));
    }
}

/* ---- pods ---- */

static enum cgroup_qos qos_of(const struct pod *p)
{
    const char *class = pod_qos_class(p->obj);
    return cstr_eq(class, "Guaranteed")  ? QOS_GUARANTEED
           : cstr_eq(class, "Burstable") ? QOS_BURSTABLE
                                         : QOS_BEST_EFFORT;
}

static void add_container(struct look *l, struct json *list, struct slot *s, const char *group)
{
    const struct container_status *st = s->c ? container_status(s->c) : NULL;
    if (!st || st->state != CONTAINER_RUNNING) {
        return;
    }
    struct json *o = json_object(l->a);
    json_set_str(o, "name", s->name);
    set_time(o, "startTime", st->started_at);
    if (add_group(l, o, arena_printf(l->a, "%s/%s", group, st->id))) {
        json_push(list, o);
    }
}

static void add_pod(struct look *l, struct json *list, struct pod *p)
{
    if (!p->obj || p->orphan || p->sm.state != POD_RUNNING) {
        return;
    }
    const char *group =
        cgroup_pod_path(runtime_cgroups(l->s->inf->runtime), l->a, qos_of(p), p->uid);
    struct json *o = json_object(l->a);
    struct json *ref = json_ensure_object(o, "podRef");
    json_set_str(ref, "name", p->name);
    json_set_str(ref, "namespace", p->ns);
    json_set_str(ref, "uid", p->uid);
    set_time(o, "startTime", p->start_time);
    struct json *containers = json_ensure_array(o, "containers");
    for (size_t i = 0; i < p->n_slots && group; i++) {
        add_container(l, containers, p->slots[i], group);
    }
    (void)add_group(l, o, group); /* a pod whose containers have not begun has none */
    json_push(list, o);
}

/* ---- the machine ---- */

static char *proc_text(struct look *l, const char *path)
{
    CLEANUP(mem_freep) char *text = NULL;
    return file_read(path, PROC_MAX, &text, NULL, NULL) == 0 ? arena_strdup(l->a, text) : NULL;
}

/* "Name:   123 kB" in bytes, -1 when it is not there. */
static int64_t meminfo(const char *text, const char *name)
{
    struct str rest = str_of(text), line, key, value;
    int64_t n;
    while (rest.n > 0) {
        (void)str_cut(rest, '\n', &line, &rest); /* the last line may lack its end */
        if (str_cut(line, ':', &key, &value) && str_is(key, name)) {
            (void)str_cut(str_trim(value), ' ', &value, NULL); /* without a unit it is all */
            return str_i64(value, &n) == 0 ? n * 1024 : -1;
        }
    }
    return -1;
}

/* Ticks of all processors that were not idle, in microseconds. */
static int64_t machine_cpu_us(const char *text)
{
    struct str line, field;
    int64_t busy = 0, n;
    (void)str_cut(str_of(text), '\n', &line, NULL);
    if (!str_starts(line, "cpu ")) {
        return -1;
    }
    line = str_n(line.p + 4, line.n - 4);
    for (int i = 0; line.n > 0 && i < 8;) {
        line = str_trim(line);
        (void)str_cut(line, ' ', &field, &line); /* the last one ends the line */
        bool idle = i == 3 || i == 4;            /* idle, iowait */
        if (str_i64(field, &n) == 0 && !idle) {
            busy += n;
        }
        i++;
    }
    return busy * 10000; /* USER_HZ is 100 on every architecture that we run on */
}

static void add_machine_memory(struct look *l, struct json *node)
{
    const char *text = proc_text(l, "/proc/meminfo");
    int64_t total = meminfo(text, "MemTotal"), available = meminfo(text, "MemAvailable");
    int64_t unused = meminfo(text, "MemFree"), inactive = meminfo(text, "Inactive(file)");
    struct json *m = part(l, node, "memory");
    if (total < 0 || unused < 0) {
        return;
    }
    int64_t used = total - unused;
    int64_t working = inactive > 0 && inactive < used ? used - inactive : used;
    set_number(m, "availableBytes", available >= 0 ? available : total - working);
    set_number(m, "usageBytes", used);
    set_number(m, "workingSetBytes", working);
    set_number(m, "rssBytes", meminfo(text, "AnonPages"));
}

static void add_fs(struct look *l, struct json *node)
{
    struct hostinfo_pressure p;
    if (hostinfo_pressure(l->s->inf->state_dir, &p, NULL) < 0) {
        return;
    }
    struct json *fs = part(l, node, "fs");
    set_number(fs, "availableBytes", p.disk_available);
    set_number(fs, "capacityBytes", p.disk_size);
    set_number(fs, "usedBytes", p.disk_size - p.disk_available);
    set_number(fs, "inodesFree", p.inodes_free);
    set_number(fs, "inodes", p.inodes);
    set_number(fs, "inodesUsed", p.inodes - p.inodes_free);
    json_set(json_ensure_object(node, "runtime"), "imageFs", json_clone(l->a, fs));
    struct json *limits = part(l, node, "rlimit");
    set_number(limits, "maxpid", p.pids_max);
    set_number(limits, "curproc", p.pids);
}

static struct json *look_at_all(struct look *l)
{
    struct infra *inf = l->s->inf;
    struct json *o = json_object(l->a), *node = json_ensure_object(o, "node");
    (void)time_text(wall_now(), l->now);
    l->complete = true;
    json_set_str(node, "nodeName", replica_node(inf->replica));
    add_cpu(l, node, "", machine_cpu_us(proc_text(l, "/proc/stat")));
    add_machine_memory(l, node);
    add_fs(l, node);
    struct json *pods = json_ensure_array(o, "pods");
    MAP_FOR_EACH (slot, &inf->pods) {
        add_pod(l, pods, slot->value);
    }
    forget_old(l->s);
    return arena_failed(l->a) ? NULL : o;
}

/* ---- asking ---- */

static void answer_all(struct stats *s, const struct json *summary)
{
    struct list now;
    list_init(&now);
    list_splice(&now, &s->waiting);
    while (!list_empty(&now)) {
        struct stats_req *r = CONTAINER_OF(list_pop_front(&now), struct stats_req, link);
        r->done(r->arg, summary);
        mem_free(r);
    }
}

static void answer(struct stats *s, bool wait)
{
    struct arena a;
    arena_init(&a, 0);
    struct look l = {.s = s, .a = &a};
    const struct json *summary = list_empty(&s->waiting) ? NULL : look_at_all(&l);
    if (summary && !l.complete && wait) {
        io_timer_start(&s->again, SECOND_LOOK_MS, 0);
    } else {
        answer_all(s, summary);
    }
    arena_fini(&a);
}

static void first_look(void *arg)
{
    answer(arg, /* wait= */ true);
}

/* What began meanwhile stays without a rate. */
static void second_look(void *arg)
{
    answer(arg, /* wait= */ false);
}

struct stats_req *stats_ask(struct stats *s, stats_done_fn *done, void *arg)
{
    struct stats_req *r = mem_zalloc(sizeof(*r));
    if (!r) {
        return NULL;
    }
    r->stats = s;
    r->done = done;
    r->arg = arg;
    list_push_back(&s->waiting, &r->link);
    if (!io_timer_active(&s->again)) {
        loop_defer(s->inf->loop, &s->soon);
    }
    return r;
}

void stats_cancel(struct stats_req *r)
{
    if (r) {
        list_del(&r->link);
        mem_free(r);
    }
}

struct stats *stats_new(struct infra *inf)
{
    struct stats *s = mem_zalloc(sizeof(*s));
    if (s) {
        s->inf = inf;
        map_init(&s->samples);
        list_init(&s->waiting);
        io_timer_init(inf->loop, &s->again, second_look, s);
        io_task_init(&s->soon, first_look, s);
    }
    return s;
}

void stats_free(struct stats *s)
{
    if (!s) {
        return;
    }
    io_timer_stop(&s->again);
    io_task_cancel(&s->soon);
    while (!list_empty(&s->waiting)) {
        mem_free(CONTAINER_OF(list_pop_front(&s->waiting), struct stats_req, link));
    }
    map_fini(&s->samples, mem_free);
    mem_free(s);
}
