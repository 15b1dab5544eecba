/* SPDX-License-Identifier: Apache-2.0 */
/* Cells of the other kinds (printers/internalversion), and the table of all cells. */
#include <stdlib.h>

#include "api/object.h"
#include "api/selector.h"
#include "api/table_private.h"
#include "base/mem.h"

struct json *cell_age_of(const struct cell_input *in, const struct json *time)
{
    struct wall t;
    char text[AGE_TEXT_SIZE];
    if (!time || time_parse(json_text(time), &t) < 0) {
        return json_string(in->arena, "<unknown>");
    }
    return json_string(in->arena, age_text((in->now.us - t.us) / 1000000, text));
}

struct json *cell_text(const struct cell_input *in, const char *text)
{
    return json_string(in->arena, text && *text ? text : "<none>");
}

const char *cell_join(struct arena *a, const struct json *list, const char *member)
{
    const char *all = "";
    JSON_FOR_EACH (o, list) {
        const char *s = member ? json_path_cstr(o, member, "") : json_cstr(o, "");
        all = *all ? arena_printf(a, "%s,%s", all, s) : s;
        if (!all) {
            return "";
        }
    }
    return all;
}

static struct json *selector_text(const struct cell_input *in, const struct selector *s)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    if (!s || selector_empty(s) || selector_print(&b, s) < 0) {
        return cell_text(in, "");
    }
    return json_string_n(in->arena, buf_str(&b));
}

struct json *cell_label_selector(const struct cell_input *in, const struct json *j)
{
    struct selector *s = NULL;
    (void)(j && selector_from_owner(in->arena, j, &s, NULL)); /* a wrong one is shown as none */
    return selector_text(in, s);
}

static int compare_labels(const void *a, const void *b)
{
    const struct json_member *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

struct json *cell_labels(const struct cell_input *in, const struct json *labels)
{
    size_t n = 0;
    const char *all = "";
    const struct json_member **sorted =
        arena_alloc(in->arena, (json_len(labels) + 1) * sizeof(*sorted));
    if (!sorted) {
        return NULL;
    }
    JSON_FOR_EACH_MEMBER (m, labels) {
        sorted[n++] = m;
    }
    qsort(sorted, n, sizeof(*sorted), compare_labels);
    for (size_t i = 0; i < n && all; i++) {
        all = arena_printf(in->arena, "%s%s%s=%s", all, i ? "," : "", sorted[i]->key,
                           json_cstr(sorted[i]->value, ""));
    }
    return cell_text(in, all);
}

struct json *cell_configmap_data(const struct cell_input *in)
{
    return json_int(in->arena, (int64_t)(json_len(json_get(in->obj, "data")) +
                                         json_len(json_get(in->obj, "binaryData"))));
}

struct json *cell_secret_data(const struct cell_input *in)
{
    return json_int(in->arena, (int64_t)json_len(json_get(in->obj, "data")));
}

struct json *cell_serviceaccount_secrets(const struct cell_input *in)
{
    return json_int(in->arena, (int64_t)json_len(json_get(in->obj, "secrets")));
}

/* ---- nodes ---- */

struct json *cell_node_status(const struct cell_input *in)
{
    const char *ready = obj_condition_status(in->obj, "Ready");
    const char *text = !*ready ? "Unknown" : cstr_eq(ready, "True") ? "Ready" : "NotReady";
    bool off = json_path_true(in->obj, "spec.unschedulable", false);
    return json_printf(in->arena, "%s%s", text, off ? ",SchedulingDisabled" : "");
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct json *cell_node_roles(const struct cell_input *in)
{
    static const char prefix[] = "node-role.kubernetes.io/";
    const char *roles[16];
    size_t n = 0;
    JSON_FOR_EACH_MEMBER (m, obj_labels(in->obj)) {
        const char *role = NULL;
        if (str_starts(str_of(m->key), prefix)) {
            role = m->key + sizeof(prefix) - 1;
        } else if (cstr_eq(m->key, "kubernetes.io/role")) {
            role = json_cstr(m->value, "");
        }
        if (role && *role && n < ARRAY_SIZE(roles)) {
            roles[n++] = role;
        }
    }
    qsort(roles, n, sizeof(roles[0]), compare_texts);
    const char *all = "";
    for (size_t i = 0; i < n && all; i++) {
        all = arena_printf(in->arena, "%s%s%s", all, i ? "," : "", roles[i]);
    }
    return cell_text(in, all);
}

static struct json *node_address(const struct cell_input *in, const char *type)
{
    JSON_FOR_EACH (o, json_path(in->obj, "status.addresses")) {
        if (cstr_eq(json_path_cstr(o, "type", ""), type)) {
            return cell_text(in, json_path_cstr(o, "address", ""));
        }
    }
    return cell_text(in, "");
}

struct json *cell_node_internal_ip(const struct cell_input *in)
{
    return node_address(in, "InternalIP");
}

struct json *cell_node_external_ip(const struct cell_input *in)
{
    return node_address(in, "ExternalIP");
}

static struct json *node_info(const struct cell_input *in, const char *path)
{
    const char *s = json_path_cstr(in->obj, path, "");
    return json_string(in->arena, *s ? s : "<unknown>");
}

struct json *cell_node_os_image(const struct cell_input *in)
{
    return node_info(in, "status.nodeInfo.osImage");
}

struct json *cell_node_kernel(const struct cell_input *in)
{
    return node_info(in, "status.nodeInfo.kernelVersion");
}

struct json *cell_node_container_runtime(const struct cell_input *in)
{
    return node_info(in, "status.nodeInfo.containerRuntimeVersion");
}

/* ---- events (core/v1 and, by its other names, events.k8s.io/v1) ---- */

static const struct json *either(const struct json *o, const char *a, const char *b)
{
    const struct json *j = json_path(o, a);
    return j && !json_is(j, JSON_NULL) ? j : json_path(o, b);
}

static const struct json *first_seen(const struct json *o)
{
    const struct json *t = either(o, "firstTimestamp", "deprecatedFirstTimestamp");
    return t && !json_is(t, JSON_NULL) ? t : json_get(o, "eventTime");
}

struct json *cell_event_first_seen(const struct cell_input *in)
{
    return cell_age_of(in, first_seen(in->obj));
}

struct json *cell_event_last_seen(const struct cell_input *in)
{
    const struct json *t = json_path(in->obj, "series.lastObservedTime");
    if (!t) {
        t = either(in->obj, "lastTimestamp", "deprecatedLastTimestamp");
    }
    return cell_age_of(in, json_is(t, JSON_STRING) ? t : first_seen(in->obj));
}

struct json *cell_event_count(const struct cell_input *in)
{
    int64_t n = json_path_i64(in->obj, "series.count", 0);
    if (n == 0) {
        n = json_i64(either(in->obj, "count", "deprecatedCount"), 0);
    }
    return json_int(in->arena, n ? n : 1);
}

struct json *cell_event_object(const struct cell_input *in)
{
    const struct json *o = either(in->obj, "involvedObject", "regarding");
    char *kind = arena_strdup(in->arena, json_path_cstr(o, "kind", ""));
    for (char *p = kind; p && *p; p++) {
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p;
    }
    const char *name = json_path_cstr(o, "name", "");
    return json_printf(in->arena, "%s%s%s", kind ? kind : "", *name ? "/" : "", name);
}

struct json *cell_event_message(const struct cell_input *in)
{
    struct str s = json_text(either(in->obj, "message", "note"));
    while (s.n && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == ' ')) {
        s.n--;
    }
    return json_string_n(in->arena, str_trim(s));
}

struct json *cell_event_source(const struct cell_input *in)
{
    const struct json *source = either(in->obj, "source", "deprecatedSource");
    const char *component = json_path_cstr(source, "component", "");
    const char *host = json_path_cstr(source, "host", "");
    if (!*component) {
        component = json_cstr(either(in->obj, "reportingComponent", "reportingController"), "");
        host = json_path_cstr(in->obj, "reportingInstance", "");
    }
    return json_printf(in->arena, "%s%s%s", component, *host ? ", " : "", host);
}

/* ---- pods, where one field says it ---- */

struct json *cell_pod_ip(const struct cell_input *in)
{
    const char *ip = json_path_cstr(json_at(json_path(in->obj, "status.podIPs"), 0), "ip", "");
    return cell_text(in, *ip ? ip : json_path_cstr(in->obj, "status.podIP", ""));
}

struct json *cell_pod_node(const struct cell_input *in)
{
    return cell_text(in, json_path_cstr(in->obj, "spec.nodeName", ""));
}

struct json *cell_pod_nominated_node(const struct cell_input *in)
{
    return cell_text(in, json_path_cstr(in->obj, "status.nominatedNodeName", ""));
}

struct json *cell_created_at(const struct cell_input *in)
{
    return json_string(in->arena, json_path_cstr(in->obj, "metadata.creationTimestamp", ""));
}

struct json *cell_age(const struct cell_input *in)
{
    return cell_age_of(in, json_path(in->obj, "metadata.creationTimestamp"));
}

static cell_fn *const cells[KIND_CELL_NR] = {
#define KIND_CELL(id, name, what) [KIND_CELL_##id] = cell_##name,
#include "api/kind_cells.def"
#undef KIND_CELL
};

cell_fn *table_cell_find(enum kind_cell cell)
{
    return cells[cell];
}
