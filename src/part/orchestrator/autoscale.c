/* SPDX-License-Identifier: Apache-2.0 */
/* The number of replicas by measured load: see autoscale.h. */
#include "autoscale.h"

#include <math.h>
#include <string.h>

#include "api/object.h"
#include "api/quantity.h"
#include "base/mem.h"

#define TOLERANCE 0.1

/* ---- sums over pods ---- */

struct sample {
    int64_t used, request; /* milli */
    bool measured, ready;
};

static const struct json *usage_of(const struct json *metrics, const char *container,
                                   const char *resource)
{
    JSON_FOR_EACH (c, json_get(metrics, "containers")) {
        if (strcmp(json_path_cstr(c, "name", ""), container) == 0) {
            return json_get(json_get(c, "usage"), resource);
        }
    }
    return NULL;
}

static int read_sample(const struct autoscale_pod *p, const char *resource, const char *only,
                       bool needs_request, struct sample *ret, struct err *err)
{
    *ret = (struct sample){.measured = p->metrics != NULL, .ready = p->ready};
    JSON_FOR_EACH (c, json_path(p->pod, "spec.containers")) {
        const char *name = json_path_cstr(c, "name", "");
        const struct json *request = json_get(json_path(c, "resources.requests"), resource);
        const struct json *used = usage_of(p->metrics, name, resource);
        if (only && strcmp(only, name) != 0) {
            continue;
        }
        request = request ? request : json_get(json_path(c, "resources.limits"), resource);
        if (!request && needs_request) {
            return err_set(err, -E_AGAIN, "missing request for %s in container %s of Pod %s",
                           resource, name, p->name);
        }
        ret->request += quantity_json_milli(request);
        ret->used += quantity_json_milli(used);
        ret->measured &= used != NULL;
    }
    return 0;
}

/* ---- the wish of one metric ---- */

struct sums {
    double used, base; /* base: what 100 % would be */
    size_t n, unready, missing;
    double unready_base, missing_base;
};

static bool within(double ratio)
{
    return fabs(1.0 - ratio) <= TOLERANCE;
}

/* Pods without a figure are taken to speak against a change. */
static int64_t replicas_of(const struct sums *s, double target, bool is_ratio, int64_t current)
{
    double ratio = s->base > 0 ? s->used / s->base / target : 0;
    bool up_with_unready = s->unready > 0 && ratio > 1.0;
    if (!up_with_unready && s->missing == 0) {
        return within(ratio) ? current : (int64_t)ceil(ratio * (double)s->n);
    }
    double used = s->used, base = s->base;
    size_t n = s->n;
    if (s->missing && ratio < 1.0) {
        used += s->missing_base * (is_ratio ? MAX_OF(1.0, target) : target);
        base += s->missing_base;
        n += s->missing;
    } else if (s->missing && ratio > 1.0) {
        base += s->missing_base;
        n += s->missing;
    }
    if (up_with_unready) {
        base += s->unready_base;
        n += s->unready;
    }
    double fresh = base > 0 ? used / base / target : 0;
    if (within(fresh) || (ratio < 1.0 && fresh > 1.0) || (ratio > 1.0 && fresh < 1.0)) {
        return current;
    }
    int64_t wish = (int64_t)ceil(fresh * (double)n);
    return (fresh < 1.0 && wish > current) || (fresh > 1.0 && wish < current) ? current : wish;
}

static void add_sample(struct sums *s, const struct sample *v, bool is_ratio, bool cpu)
{
    double base = is_ratio ? (double)v->request : 1.0;
    if (cpu && !v->ready) {
        s->unready++;
        s->unready_base += base;
    } else if (!v->measured) {
        s->missing++;
        s->missing_base += base;
    } else {
        s->n++;
        s->used += (double)v->used;
        s->base += base;
    }
}

static int resource_metric(struct arena *a, const struct json *source, const char *type,
                           const char *container, const struct autoscale_pod *pods, size_t n,
                           int64_t current, struct autoscale_metric *ret, struct err *err)
{
    const char *resource = json_path_cstr(source, "name", "");
    const struct json *percent = json_path(source, "target.averageUtilization");
    const struct json *value = json_path(source, "target.averageValue");
    bool is_ratio = percent != NULL;
    struct sums s = {0};
    const char *what = is_ratio ? "utilization" : "usage";
    double target =
        is_ratio ? (double)json_i64(percent, 80) / 100.0 : (double)quantity_json_milli(value);
    ret->condition = container ? "FailedGetContainerResourceMetric" : "FailedGetResourceMetric";
    for (size_t i = 0; i < n; i++) {
        struct sample v;
        int rc = read_sample(&pods[i], resource, container, is_ratio, &v, err);
        if (rc < 0) {
            return err_wrap(err, rc, "failed to get %s %s", resource, what);
        }
        add_sample(&s, &v, is_ratio, strcmp(resource, "cpu") == 0);
    }
    if (s.n == 0 || target <= 0) {
        return err_set(err, -E_AGAIN,
                       "failed to get %s %s: unable to get metrics for resource %s: no metrics "
                       "returned from resource metrics API",
                       resource, what, resource);
    }
    ret->replicas = replicas_of(&s, target, is_ratio, current);
    ret->name = is_ratio
                    ? arena_printf(a, "%s %sresource utilization (percentage of request)", resource,
                                   container ? "container " : "")
                    : arena_printf(a, "%s %sresource", resource, container ? "container " : "");
    ret->status = json_object(a);
    json_set_str(ret->status, "type", type);
    struct json *shown =
        json_ensure_object(ret->status, container ? "containerResource" : "resource");
    json_set_str(shown, "name", resource);
    json_set_str(shown, "container", container);
    struct json *now = json_ensure_object(shown, "current");
    char text[QUANTITY_TEXT_SIZE];
    struct quantity average = quantity_of(1, QUANTITY_DECIMAL_SI);
    average.nano = (__int128)(s.used / (double)s.n) * 1000000;
    json_set_str(now, "averageValue", quantity_print(average, text));
    if (is_ratio) {
        json_set_int(now, "averageUtilization",
                     s.base > 0 ? (int64_t)(s.used / s.base * 100.0) : 0);
    }
    return 0;
}

int autoscale_metric(struct arena *a, const struct json *spec, const struct autoscale_pod *pods,
                     size_t n, int64_t current, struct autoscale_metric *ret, struct err *err)
{
    const char *type = json_path_cstr(spec, "type", "");
    *ret = (struct autoscale_metric){0};
    if (strcmp(type, "Resource") == 0) {
        return resource_metric(a, json_get(spec, "resource"), type, NULL, pods, n, current, ret,
                               err);
    }
    if (strcmp(type, "ContainerResource") == 0) {
        const struct json *source = json_get(spec, "containerResource");
        return resource_metric(a, source, type, json_path_cstr(source, "container", ""), pods, n,
                               current, ret, err);
    }
    if (strcmp(type, "External") == 0) {
        ret->condition = "FailedGetExternalMetric";
        return err_set(err, -E_AGAIN,
                       "unable to get external metric %s: unable to fetch metrics from external "
                       "metrics API: no external metrics API (external.metrics.k8s.io) registered",
                       json_path_cstr(spec, "external.metric.name", ""));
    }
    bool of_pods = strcmp(type, "Pods") == 0;
    ret->condition = of_pods ? "FailedGetPodsMetric" : "FailedGetObjectMetric";
    return err_set(err, -E_AGAIN,
                   "unable to get metric %s: unable to fetch metrics from custom metrics API: no "
                   "custom metrics API (custom.metrics.k8s.io) registered",
                   json_path_cstr(spec, of_pods ? "pods.metric.name" : "object.metric.name", ""));
}

/* ---- windows ---- */

static size_t ring(size_t i)
{
    return i % AUTOSCALE_PAST;
}

static int64_t stabilized(const struct autoscale_past *past, int64_t current, int64_t wish,
                          int64_t up_s, int64_t down_s, struct wall now)
{
    int64_t up = wish, down = wish;
    size_t n = MIN_OF(past->n_wishes, (size_t)AUTOSCALE_PAST);
    for (size_t i = 0; i < n; i++) {
        const struct autoscale_wish *w = &past->wishes[i];
        int64_t age = (now.us - w->at.us) / 1000000;
        up = age < up_s ? MIN_OF(up, w->replicas) : up;
        down = age < down_s ? MAX_OF(down, w->replicas) : down;
    }
    int64_t result = current < up ? up : current;
    return result > down ? down : result;
}

static int64_t moved_in(const struct autoscale_past *past, int64_t seconds, bool up,
                        struct wall now)
{
    int64_t sum = 0;
    size_t n = MIN_OF(past->n_changes, (size_t)AUTOSCALE_PAST);
    for (size_t i = 0; i < n; i++) {
        const struct autoscale_change *c = &past->changes[i];
        if ((now.us - c->at.us) / 1000000 < seconds && (c->by > 0) == up) {
            sum += c->by > 0 ? c->by : -c->by;
        }
    }
    return sum;
}

struct policy {
    bool percent;
    int64_t value, period_s;
};

static int64_t policy_bound(const struct policy *p, const struct autoscale_past *past,
                            int64_t current, bool up, struct wall now)
{
    int64_t start = up ? current - moved_in(past, p->period_s, true, now) +
                             moved_in(past, p->period_s, false, now)
                       : current + moved_in(past, p->period_s, false, now) -
                             moved_in(past, p->period_s, true, now);
    if (!p->percent) {
        return up ? start + p->value : start - p->value;
    }
    return up ? (start * (100 + p->value) + 99) / 100 : start * (100 - p->value) / 100;
}

/* The farthest that the rules of a direction allow to go now. */
static int64_t farthest(const struct json *rules, const struct autoscale_past *past,
                        int64_t current, bool up, struct wall now)
{
    static const struct policy up_defaults[] = {{true, 100, 15}, {false, 4, 15}};
    static const struct policy down_defaults[] = {{true, 100, 15}};
    const char *select = json_path_cstr(rules, "selectPolicy", "Max");
    const struct json *list = json_get(rules, "policies");
    const struct policy *fixed = up ? up_defaults : down_defaults;
    size_t n = json_len(list) ? json_len(list) : up ? 2 : 1;
    bool want_most = strcmp(select, "Min") != 0, first = true;
    int64_t best = current;
    if (strcmp(select, "Disabled") == 0) {
        return current;
    }
    for (size_t i = 0; i < n; i++) {
        struct policy p = fixed[i < 2 && !json_len(list) ? i : 0];
        const struct json *o = json_at(list, i);
        if (o) {
            p = (struct policy){strcmp(json_path_cstr(o, "type", ""), "Percent") == 0,
                                json_path_i64(o, "value", 0),
                                json_path_i64(o, "periodSeconds", 15)};
        }
        int64_t b = policy_bound(&p, past, current, up, now);
        bool farther = up == want_most ? b > best : b < best;
        best = first || farther ? b : best;
        first = false;
    }
    return best;
}

void autoscale_changed(struct autoscale_past *past, int64_t by, struct wall now)
{
    if (by != 0) {
        past->changes[ring(past->n_changes++)] = (struct autoscale_change){now, by};
    }
}

static void say(struct autoscale_limit *l, bool limited, const char *reason, const char *text)
{
    l->limited = limited;
    l->reason = reason;
    l->text = text;
}

struct autoscale_limit autoscale_limit(struct autoscale_past *past, const struct json *spec,
                                       int64_t current, int64_t wish, struct wall now)
{
    const struct json *up = json_path(spec, "behavior.scaleUp");
    const struct json *down = json_path(spec, "behavior.scaleDown");
    int64_t min = json_path_i64(spec, "minReplicas", 1),
            max = json_path_i64(spec, "maxReplicas", 1);
    int64_t n = stabilized(past, current, wish, json_path_i64(up, "stabilizationWindowSeconds", 0),
                           json_path_i64(down, "stabilizationWindowSeconds", 300), now);
    struct autoscale_limit l = {.able_reason = "ReadyForNewScale",
                                .able_text = "recommended size matches current size"};
    past->wishes[ring(past->n_wishes++)] = (struct autoscale_wish){now, wish};
    if (n != wish) {
        l.able_reason = n > wish ? "ScaleDownStabilized" : "ScaleUpStabilized";
        l.able_text = n > wish
                          ? "recent recommendations were higher than current one, applying the "
                            "highest recent recommendation"
                          : "recent recommendations were lower than current one, applying the "
                            "lowest recent recommendation";
    }
    say(&l, false, "DesiredWithinRange", "the desired count is within the acceptable range");
    if (n > current) {
        int64_t bound = MAX_OF(farthest(up, past, current, true, now), current);
        if (n > MIN_OF(bound, max)) {
            say(&l, true, bound < max ? "ScaleUpLimit" : "TooManyReplicas",
                bound < max
                    ? "the desired replica count is increasing faster than the maximum scale rate"
                    : "the desired replica count is more than the maximum replica count");
            n = MIN_OF(bound, max);
        }
    } else if (n < current) {
        int64_t bound = MIN_OF(farthest(down, past, current, false, now), current);
        if (n < MAX_OF(bound, min)) {
            say(&l, true, bound > min ? "ScaleDownLimit" : "TooFewReplicas",
                bound > min
                    ? "the desired replica count is decreasing faster than the maximum scale rate"
                    : "the desired replica count is less than the minimum replica count");
            n = MAX_OF(bound, min);
        }
    } else if (wish > max || wish < min) {
        say(&l, true, wish > max ? "TooManyReplicas" : "TooFewReplicas",
            wish > max ? "the desired replica count is more than the maximum replica count"
                       : "the desired replica count is less than the minimum replica count");
    }
    l.replicas = MAX_OF(MIN_OF(n, max), min);
    return l;
}
