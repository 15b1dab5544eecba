/* SPDX-License-Identifier: Apache-2.0 */
/* What objects of the built-in kinds must obey, in the words that users know; and their defaults.
 */
#include "rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/kind.h"
#include "api/kind_private.h"
#include "api/object.h"
#include "api/schema_check.h"
#include "api/strategy.h"
#include "base/mem.h"

/* ---- a write without a server ---- */

static struct json *parse(struct arena *a, const char *text)
{
    struct json *j = NULL;
    char *quoted = arena_strdup(a, text);
    for (char *p = quoted; *p; p++) {
        *p = *p == '\'' ? '"' : *p; /* JSON in C is hard to read */
    }
    struct err err = {0};
    if (json_parse(a, str_of(quoted), NULL, &j, &err) < 0) {
        fail_msg("%s: %s", text, err.text);
    }
    return j;
}

/* An object of a kind, as a create leaves it before it is checked. */
static struct json *made(struct arena *a, const struct kind *k, const char *text)
{
    struct json *obj = parse(a, text);
    struct err err = {0};
    json_set_str(obj, "apiVersion", k->api_version);
    json_set_str(obj, "kind", k->kind);
    struct json *meta = obj_meta(obj);
    if (!json_get(meta, "name")) {
        json_set_str(meta, "name", "x");
    }
    if (k->namespaced) {
        json_set_str(meta, "namespace", "default");
    }
    if (schema_check(a, k->type, obj, NULL, &err) < 0) {
        fail_msg("%s: %s", text, err.text);
    }
    schema_defaults(a, k->type, obj);
    json_set_str(meta, "uid", "u-1");
    strategy_create(a, k, obj);
    return obj;
}

static const struct kind *kind_of(const char *api_version, const char *kind)
{
    const struct kind *k = kind_find_api(api_version, kind);
    assert_non_null(k);
    return k;
}

/* The message of the 422, without its head; "" when all is fine. */
static const char *complaint(struct arena *a, const struct kind *k, const struct json *obj,
                             const struct json *old, bool status)
{
    struct field_errors e;
    field_errors_init(&e, a);
    strategy_validate(&e, k, obj, old, status);
    if (e.n == 0) {
        return "";
    }
    struct status_about about = {.group = k->group, .kind = k->kind, .name = obj_name(obj)};
    const char *text = json_path_cstr(status_invalid(a, &about, &e), "message", "");
    const char *head = strstr(text, "is invalid: ");
    return head ? head + 12 : text;
}

struct refusal {
    const char *api_version, *kind, *obj, *why;
};

static void refused(const struct refusal *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct arena a;
        arena_init(&a, 4 << 20);
        const struct kind *k = kind_of(list[i].api_version, list[i].kind);
        assert_string_equal(complaint(&a, k, made(&a, k, list[i].obj), NULL, false), list[i].why);
        arena_fini(&a);
    }
}

#define REFUSED(list) refused(list, ARRAY_SIZE(list))

/* An update of one member, by a path of names, to a value. */
struct change {
    const char *api_version, *kind, *obj, *changed, *why;
};

static void changed(const struct change *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct arena a;
        arena_init(&a, 4 << 20);
        const struct kind *k = kind_of(list[i].api_version, list[i].kind);
        struct json *old = made(&a, k, list[i].obj);
        struct json *obj = made(&a, k, list[i].changed);
        strategy_update(&a, k, obj, old, false);
        assert_string_equal(complaint(&a, k, obj, old, false), list[i].why);
        arena_fini(&a);
    }
}

#define CHANGED(list) changed(list, ARRAY_SIZE(list))

#define POD "'spec':{'containers':[{'name':'c','image':'i'}]}"
#define TEMPLATE "'template':{'metadata':{'labels':{'a':'b'}}," POD "}"
#define JOB_POD "'spec':{'restartPolicy':'Never','containers':[{'name':'c','image':'i'}]}"
#define SELECTOR "'selector':{'matchLabels':{'a':'b'}}"
#define VOLUME "'accessModes':['ReadWriteOnce'],'capacity':{'storage':'1Gi'}"
#define HPA "'scaleTargetRef':{'kind':'Deployment','name':'d'},'maxReplicas':3"
#define HOOK \
    "'sideEffects':'None','admissionReviewVersions':['v1'],'clientConfig':{'url':'https://x'}"

/* ---- what is refused ---- */

static void jobs_are_checked(void **state)
{
    (void)state;
    static const struct refusal list[] = {
        {"batch/v1", "Job", "{'spec':{'template':{" JOB_POD "}}}", ""},
        {"batch/v1", "Job", "{'spec':{'template':{" POD "}}}",
         "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", "
         "\"Never\""},
        {"batch/v1", "Job", "{'spec':{'parallelism':-1,'template':{" JOB_POD "}}}",
         "spec.parallelism: Invalid value: -1: must be greater than or equal to 0"},
        {"batch/v1", "Job", "{'spec':{'completionMode':'Indexed','template':{" JOB_POD "}}}", ""},
        {"batch/v1", "Job",
         "{'spec':{'completionMode':'Indexed','parallelism':2,'template':{" JOB_POD "}}}",
         "spec.completions: Required value: when completion mode is Indexed"},
        {"batch/v1", "Job", "{'spec':{'completionMode':'x','template':{" JOB_POD "}}}",
         "spec.completionMode: Unsupported value: \"x\": supported values: \"Indexed\", "
         "\"NonIndexed\""},
        {"batch/v1", "Job",
         "{'spec':{'selector':{'matchLabels':{'a':'b'}},'template':{" JOB_POD "}}}",
         "[spec.selector: Invalid value: "
         "v1.LabelSelector{MatchLabels:map[string]string{\"a\":\"b\", "
         "\"batch.kubernetes.io/controller-uid\":\"u-1\"}, "
         "MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: "
         "`selector` not auto-generated, spec.template.metadata.labels: Invalid value: "
         "map[string]string{\"batch.kubernetes.io/controller-uid\":\"u-1\", "
         "\"batch.kubernetes.io/job-name\":\"x\", \"controller-uid\":\"u-1\", "
         "\"job-name\":\"x\"}: `selector` does not match "
         "template `labels`]"},
        {"batch/v1", "Job",
         "{'spec':{'podFailurePolicy':{'rules':[{'action':'FailJob','onExitCodes':{'operator':'In',"
         "'values':[0]}}]},'template':{" JOB_POD "}}}",
         "spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for "
         "the In operator"},
    };
    REFUSED(list);
}

static void what_a_job_does_cannot_be_changed(void **state)
{
    (void)state;
    static const struct change list[] = {
        {"batch/v1", "Job", "{'spec':{'template':{" JOB_POD "}}}",
         "{'spec':{'parallelism':5,'completions':1,'template':{" JOB_POD "}}}", ""},
        {"batch/v1", "Job", "{'spec':{'completions':1,'template':{" JOB_POD "}}}",
         "{'spec':{'completions':2,'template':{" JOB_POD "}}}",
         "spec.completions: Invalid value: 2: field is immutable"},
    };
    CHANGED(list);
}

static void cron_jobs_are_checked(void **state)
{
    (void)state;
    static const struct refusal list[] = {
        {"batch/v1", "CronJob",
         "{'spec':{'schedule':'*/5 * * * *','jobTemplate':{'spec':{'template':{" JOB_POD "}}}}}",
         ""},
        {"batch/v1", "CronJob",
         "{'spec':{'schedule':'x','jobTemplate':{'spec':{'template':{" JOB_POD "}}}}}",
         "spec.schedule: Invalid value: \"x\": expected exactly 5 fields, found 1: [x]"},
        {"batch/v1", "CronJob",
         "{'spec':{'schedule':'TZ=UTC 0 * * * *','jobTemplate':{'spec':{'template':{" JOB_POD
         "}}}}}",
         "spec.schedule: Invalid value: \"TZ=UTC 0 * * * *\": cannot use TZ or CRON_TZ in "
         "schedule, use timeZone field instead"},
        {"batch/v1", "CronJob",
         "{'spec':{'schedule':'0 * * * "
         "*','timeZone':'Nowhere','concurrencyPolicy':'x','jobTemplate':"
         "{'spec':{'template':{" JOB_POD "}}}}}",
         "[spec.timeZone: Invalid value: \"Nowhere\": unknown time zone Nowhere, "
         "spec.concurrencyPolicy: Unsupported value: \"x\": supported values: \"Allow\", "
         "\"Forbid\", \"Replace\"]"},
    };
    REFUSED(list);
}

static void sets_of_pods_are_checked(void **state)
{
    (void)state;
    static const struct refusal list[] = {
        {"apps/v1", "DaemonSet", "{'spec':{" SELECTOR "," TEMPLATE "}}", ""},
        {"apps/v1", "DaemonSet", "{'spec':{'selector':{}," TEMPLATE "}}",
         "spec.selector: Invalid value: {}: empty selector is invalid for daemonset"},
        {"apps/v1", "DaemonSet",
         "{'spec':{" SELECTOR "," TEMPLATE ",'updateStrategy':{'type':'RollingUpdate',"
         "'rollingUpdate':{'maxUnavailable':0}}}}",
         "spec.updateStrategy.rollingUpdate: Required value: cannot be 0 when maxSurge is 0"},
        {"apps/v1", "StatefulSet", "{'spec':{'serviceName':'s'," SELECTOR "," TEMPLATE "}}", ""},
        {"apps/v1", "StatefulSet",
         "{'spec':{'serviceName':'s','podManagementPolicy':'x'," SELECTOR "," TEMPLATE "}}",
         "spec.podManagementPolicy: Unsupported value: \"x\": supported values: \"OrderedReady\", "
         "\"Parallel\""},
        {"apps/v1", "ControllerRevision", "{'revision':-1}",
         "[data: Required value: data is mandatory, revision: Invalid value: -1: must be greater "
         "than or equal to 0]"},
    };
    static const struct change changes[] = {
        {"apps/v1", "StatefulSet", "{'spec':{'serviceName':'s'," SELECTOR "," TEMPLATE "}}",
         "{'spec':{'serviceName':'s','replicas':3," SELECTOR "," TEMPLATE "}}", ""},
        {"apps/v1", "StatefulSet", "{'spec':{'serviceName':'s'," SELECTOR "," TEMPLATE "}}",
         "{'spec':{'serviceName':'t'," SELECTOR "," TEMPLATE "}}",
         "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', "
         "'ordinals', 'template', 'updateStrategy', 'persistentVolumeClaimRetentionPolicy' and "
         "'minReadySeconds' are forbidden"},
        {"apps/v1", "ControllerRevision", "{'revision':1,'data':{'a':1}}",
         "{'revision':1,'data':{'a':2}}", "data: Invalid value: {\"a\":2}: field is immutable"},
    };
    REFUSED(list);
    CHANGED(changes);
}

static void services_are_checked(void **state)
{
    (void)state;
    static const struct refusal list[] = {
        {"v1", "Service", "{'spec':{'ports':[{'port':80}]}}", ""},
        {"v1", "Service", "{}", "spec.ports: Required value"},
        {"v1", "Service", "{'spec':{}}", "spec.ports: Required value"},
        {"v1", "Service", "{'spec':{'ports':[{'port':80},{'port':80}]}}",
         "[spec.ports[0].name: Required value, spec.ports[1].name: Required value, spec.ports[1]: "
         "Duplicate value: {\"protocol\":\"TCP\",\"port\":80}]"},
        {"v1", "Service", "{'spec':{'type':'x','ports':[{'port':0,'nodePort':3}]}}",
         "[spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive, "
         "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive, "
         "spec.type: Unsupported value: \"x\": supported values: \"ClusterIP\", \"ExternalName\", "
         "\"LoadBalancer\", \"NodePort\"]"},
        {"v1", "Service", "{'spec':{'type':'ExternalName'}}", "spec.externalName: Required value"},
        {"v1", "Service", "{'spec':{'ports':[{'port':80}],'externalTrafficPolicy':'Local'}}",
         "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for "
         "externally-accessible services"},
        {"v1", "Service", "{'metadata':{'name':'1a'},'spec':{'ports':[{'port':80}]}}",
         "metadata.name: Invalid value: \"1a\": a DNS-1035 label must consist of lower case "
         "alphanumeric characters or '-', start with an alphabetic character, and end with an "
         "alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
         "'[a-z]([-a-z0-9]*[a-z0-9])?')"},
        {"v1", "Endpoints", "{'subsets':[{'addresses':[{'ip':'x'}],'ports':[{'port':1}]}]}",
         "subsets[0].addresses[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. "
         "10.9.8.7 or 2001:db8::ffff)"},
        {"discovery.k8s.io/v1", "EndpointSlice",
         "{'addressType':'IPv4','endpoints':[{'addresses':[]},{'addresses':['::1']}]}",
         "[endpoints[0].addresses: Required value: must contain at least 1 address, "
         "endpoints[1].addresses[0]: Invalid value: \"::1\": must be a valid IPv4 address]"},
    };
    REFUSED(list);
}

static void networks_are_checked(void **state)
{
    (void)state;
    static const struct refusal list[] = {
        {"networking.k8s.io/v1", "Ingress", "{'spec':{}}",
         "spec: Invalid value: []: either `defaultBackend` or `rules` must be specified"},
        {"networking.k8s.io/v1", "Ingress",
         "{'spec':{'rules':[{'host':'1.2.3.4','http':{'paths':[{'path':'x','pathType':'Prefix',"
         "'backend':{'service':{'name':'s'}}}]}}]}}",
         "[spec.rules[0].host: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address, "
         "spec.rules[0].http.paths[0].path: Invalid value: \"x\": must be an absolute path, "
         "spec.rules[0].http.paths[0].backend.service.port: Required value: port name or number is "
         "required]"},
        {"networking.k8s.io/v1", "IngressClass", "{'spec':{'controller':'x'}}",
         "spec.controller: Invalid value: \"x\": must be a domain-prefixed path (such as "
         "\"acme.io/foo\")"},
        {"networking.k8s.io/v1", "NetworkPolicy",
         "{'spec':{'podSelector':{},'ingress':[{'from':[{}],'ports':[{'port':5,'endPort':3}]}]}}",
         "[spec.ingress[0].ports[0].endPort: Invalid value: 3: must be greater than or equal to "
         "`port`, spec.ingress[0].from[0]: Required value: must specify a peer]"},
    };
    REFUSED(list);
}

static void storage_is_checked(void **state)
{
    (void)state;
    static const struct refusal list[] = {
        {"v1", "PersistentVolume", "{'spec':{" VOLUME ",'hostPath':{'path':'/x'}}}", ""},
        {"v1", "PersistentVolume", "{'spec':{}}",
         "[spec.accessModes: Required value, spec.capacity: Required value, spec: Required value: "
         "must specify a volume type]"},
        {"v1", "PersistentVolume", "{'spec':{" VOLUME ",'local':{'path':'/x'}}}",
         "metadata.annotations: Required value: Local volume requires node affinity"},
        {"v1", "PersistentVolumeClaim", "{'spec':{}}",
         "[spec.accessModes: Required value: at least 1 access mode is required, "
         "spec.resources[storage]: Required value]"},
        {"v1", "PersistentVolumeClaim",
         "{'spec':{'accessModes':['x'],'resources':{'requests':{'storage':'0'}}}}",
         "[spec.accessModes: Unsupported value: \"x\": supported values: \"ReadOnlyMany\", "
         "\"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\", spec.resources[storage]: "
         "Invalid value: \"0\": must be greater than zero]"},
        {"storage.k8s.io/v1", "StorageClass", "{'provisioner':'','volumeBindingMode':'x'}",
         "[provisioner: Required value, volumeBindingMode: Unsupported value: \"x\": supported "
         "values: \"Immediate\", \"WaitForFirstConsumer\"]"},
    };
    static const struct change changes[] = {
        {"storage.k8s.io/v1", "StorageClass", "{'provisioner':'a/b'}", "{'provisioner':'a/c'}",
         "provisioner: Forbidden: updates to provisioner are forbidden."},
        {"v1", "PersistentVolume", "{'spec':{" VOLUME ",'hostPath':{'path':'/x'}}}",
         "{'spec':{" VOLUME ",'hostPath':{'path':'/y'}}}",
         "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after "
         "creation"},
        {"v1", "PersistentVolumeClaim",
         "{'spec':{'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':'1Gi'}}}}",
         "{'spec':{'volumeName':'v','storageClassName':'s','accessModes':['ReadWriteOnce'],"
         "'resources':{'requests':{'storage':'1Gi'}}}}",
         ""},
        {"v1", "PersistentVolumeClaim",
         "{'spec':{'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':'1Gi'}}}}",
         "{'spec':{'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':'2Gi'}}}}",
         "spec: Forbidden: spec is immutable after creation except resources.requests and "
         "volumeAttributesClassName for bound claims"},
    };
    REFUSED(list);
    CHANGED(changes);
}

static void quotas_and_limits_are_checked(void **state)
{
    (void)state;
    static const struct refusal list[] = {
        {"v1", "ResourceQuota", "{'spec':{'hard':{'pods':'1','count/foos.x.y':'2'}}}", ""},
        {"v1", "ResourceQuota", "{'spec':{'hard':{'foo':'1'}}}",
         "spec.hard[foo]: Invalid value: \"foo\": must be a standard resource for quota"},
        {"v1", "ResourceQuota", "{'spec':{'hard':{'pods':'500m'}}}",
         "spec.hard[pods]: Invalid value: \"500m\": must be an integer"},
        {"v1", "ResourceQuota", "{'spec':{'scopes':['BestEffort'],'hard':{'cpu':'1'}}}",
         "spec.scopes: Invalid value: [\"BestEffort\"]: unsupported scope applied to resource"},
        {"v1", "LimitRange",
         "{'spec':{'limits':[{'type':'Container','min':{'cpu':'2'},'max':{'cpu':'1'}}]}}",
         "[spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1, "
         "spec.limits[0].defaultRequest[cpu]: Invalid value: \"1\": min value 2 is greater than "
         "default request value 1, spec.limits[0].default[cpu]: Invalid value: \"1\": min value 2 "
         "is greater than default value 1]"},
        {"v1", "LimitRange",
         "{'spec':{'limits':[{'type':'Pod','default':{'cpu':'2'}},{'type':'Pod'}]}}",
         "[spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod', "
         "spec.limits[1].type: Duplicate value: \"Pod\"]"},
    };
    REFUSED(list);
}

static void policies_are_checked(void **state)
{
    (void)state;
    static const struct refusal list[] = {
        {"policy/v1", "PodDisruptionBudget", "{'spec':{'minAvailable':1,'maxUnavailable':'x'}}",
         "[spec: Invalid value: {\"minAvailable\":1,\"maxUnavailable\":\"x\"}: minAvailable and "
         "maxUnavailable cannot be both set, spec.maxUnavailable: Invalid value: \"x\": a valid "
         "percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', "
         "regex used for validation is '[0-9]+%')]"},
        {"scheduling.k8s.io/v1", "PriorityClass", "{'value':1000000001}",
         "value: Forbidden: maximum allowed value of a user defined priority is 1000000000"},
        {"scheduling.k8s.io/v1", "PriorityClass", "{'metadata':{'name':'system-x'},'value':1}",
         "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for "
         "system use only. error: system-x is not a known system priority class"},
        {"node.k8s.io/v1", "RuntimeClass", "{'handler':'runc'}", ""},
        {"rbac.authorization.k8s.io/v1", "Role", "{'rules':[{'nonResourceURLs':['/x']}]}",
         "[rules[0].verbs: Required value: verbs must contain at least one value, "
         "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to "
         "non-resource URLs]"},
        {"rbac.authorization.k8s.io/v1", "ClusterRoleBinding",
         "{'roleRef':{'kind':'Role','name':'r'},'subjects':[{'kind':'ServiceAccount','name':'s'}]}",
         "[roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\", "
         "subjects[0].namespace: Required value]"},
    };
    static const struct change changes[] = {
        {"scheduling.k8s.io/v1", "PriorityClass", "{'value':1}", "{'value':2}",
         "value: Forbidden: may not be changed in an update."},
        {"rbac.authorization.k8s.io/v1", "RoleBinding", "{'roleRef':{'kind':'Role','name':'r'}}",
         "{'roleRef':{'kind':'Role','name':'q'}}",
         "roleRef: Invalid value: "
         "{\"kind\":\"Role\",\"name\":\"q\",\"apiGroup\":\"rbac.authorization.k8s.io\"}: cannot "
         "change roleRef"},
    };
    REFUSED(list);
    CHANGED(changes);
}

static void autoscalers_are_checked(void **state)
{
    (void)state;
    static const struct refusal list[] = {
        {"autoscaling/v2", "HorizontalPodAutoscaler", "{'spec':{" HPA "}}", ""},
        {"autoscaling/v2", "HorizontalPodAutoscaler",
         "{'spec':{'minReplicas':5,'maxReplicas':0,'scaleTargetRef':{'kind':'x','name':'y'}}}",
         "[spec.maxReplicas: Invalid value: 0: must be greater than 0, spec.maxReplicas: Invalid "
         "value: 0: must be greater than or equal to `minReplicas`]"},
        {"autoscaling/v2", "HorizontalPodAutoscaler",
         "{'spec':{" HPA ",'metrics':[{'type':'Pods'},{'type':'Resource','resource':{'name':'cpu',"
         "'target':{'type':'Utilization'}}}]}}",
         "[spec.metrics[0].pods: Required value: must populate information for the given metric "
         "source, spec.metrics[1].resource.target.averageUtilization: Required value: must set "
         "either a target raw value or a target utilization]"},
        {"autoscaling/v2", "HorizontalPodAutoscaler",
         "{'spec':{" HPA ",'behavior':{'scaleDown':{'stabilizationWindowSeconds':9999}}}}",
         "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 9999: must be less "
         "than or equal to 3600"},
    };
    REFUSED(list);
}

static void webhooks_and_requests_are_checked(void **state)
{
    (void)state;
    static const struct refusal list[] = {
        {"admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration",
         "{'webhooks':[{'name':'a.b.c'," HOOK "}]}", ""},
        {"admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration",
         "{'webhooks':[{'name':'a','timeoutSeconds':31," HOOK "}]}",
         "[webhooks[0].name: Invalid value: \"a\": should be a domain with at least three segments "
         "separated by dots, webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must "
         "be between 1 and 30 seconds]"},
        {"admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration",
         "{'webhooks':[{'name':'a.b.c','admissionReviewVersions':['v7'],'clientConfig':{}}]}",
         "[webhooks[0].clientConfig: Required value: exactly one of url or service is required, "
         "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun, "
         "webhooks[0].admissionReviewVersions: Invalid value: [\"v7\"]: must include at least one "
         "of v1, v1beta1]"},
        {"certificates.k8s.io/v1", "CertificateSigningRequest",
         "{'spec':{'request':'eA==','signerName':'x'}}",
         "[spec.request: Invalid value: \"eA==\": PEM block type must be CERTIFICATE REQUEST, "
         "spec.usages: Required value, spec.signerName: Invalid value: \"x\": must be a fully "
         "qualified domain and path of the form \"example.com/signer-name\"]"},
    };
    REFUSED(list);
}

/* ---- defaults ---- */

static void prints(const char *api_version, const char *kind, const char *text, const char *path,
                   const char *wanted)
{
    struct arena a;
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    arena_init(&a, 4 << 20);
    const struct json *found = json_path(made(&a, kind_of(api_version, kind), text), path);
    if (!found) {
        fail_msg("%s has no %s", kind, path);
    }
    assert_int_equal(json_print(&out, found), 0);
    buf_putc(&out, '\0');
    struct json *want = parse(&a, wanted);
    if (!json_equal(found, want)) {
        fail_msg("%s %s: %s", kind, path, buf_data(&out));
    }
    arena_fini(&a);
}

static void absent_fields_get_their_defaults(void **state)
{
    (void)state;
    prints("apps/v1", "DaemonSet", "{'spec':{" SELECTOR "," TEMPLATE "}}", "spec.updateStrategy",
           "{'type':'RollingUpdate','rollingUpdate':{'maxUnavailable':1,'maxSurge':0}}");
    prints("batch/v1", "Job", "{'spec':{'template':{" JOB_POD "}}}", "spec.completions", "1");
    prints("batch/v1", "Job", "{'spec':{'backoffLimitPerIndex':1,'template':{" JOB_POD "}}}",
           "spec.backoffLimit", "2147483647");
    prints("v1", "Service", "{'spec':{'type':'NodePort','ports':[{'port':80}]}}", "spec",
           "{'type':'NodePort','ports':[{'port':80,'protocol':'TCP','targetPort':80}],"
           "'sessionAffinity':'None','externalTrafficPolicy':'Cluster',"
           "'internalTrafficPolicy':'Cluster'}");
    prints("v1", "LimitRange",
           "{'spec':{'limits':[{'type':'Container','max':{'cpu':'2'},'min':{'memory':'1'}}]}}",
           "spec.limits",
           "[{'type':'Container','max':{'cpu':'2'},'min':{'memory':'1'},'default':{'cpu':'2'},"
           "'defaultRequest':{'cpu':'2','memory':'1'}}]");
    prints("networking.k8s.io/v1", "NetworkPolicy", "{'spec':{'podSelector':{},'egress':[{}]}}",
           "spec.policyTypes", "['Ingress','Egress']");
    prints("autoscaling/v2", "HorizontalPodAutoscaler", "{'spec':{" HPA "}}", "spec.metrics",
           "[{'type':'Resource','resource':{'name':'cpu','target':{'type':'Utilization',"
           "'averageUtilization':80}}}]");
    prints("rbac.authorization.k8s.io/v1", "RoleBinding",
           "{'roleRef':{'kind':'Role','name':'r'},'subjects':[{'kind':'User','name':'u'},"
           "{'kind':'ServiceAccount','name':'s','namespace':'n'}]}",
           "subjects",
           "[{'kind':'User','name':'u','apiGroup':'rbac.authorization.k8s.io'},"
           "{'kind':'ServiceAccount','name':'s','namespace':'n'}]");
    prints("v1", "PersistentVolumeClaim", "{'spec':{'accessModes':['ReadWriteOnce']}}", "status",
           "{'phase':'Pending'}");
}

static void a_job_finds_its_pods_by_its_uid(void **state)
{
    (void)state;
    prints("batch/v1", "Job", "{'spec':{'template':{" JOB_POD "}}}", "spec.selector",
           "{'matchLabels':{'batch.kubernetes.io/controller-uid':'u-1'}}");
    prints("batch/v1", "Job", "{'spec':{'template':{" JOB_POD "}}}", "metadata.labels",
           "{'batch.kubernetes.io/controller-uid':'u-1','controller-uid':'u-1',"
           "'batch.kubernetes.io/job-name':'x','job-name':'x'}");
    prints("batch/v1", "Job",
           "{'spec':{'manualSelector':true,'selector':{'matchLabels':{'a':'b'}}," TEMPLATE "}}",
           "spec.selector", "{'matchLabels':{'a':'b'}}");
}

/* ---- two versions of autoscalers ---- */

static void an_autoscaler_loses_nothing_in_version_1(void **state)
{
    (void)state;
    static const char text[] =
        "{'apiVersion':'autoscaling/v2','kind':'HorizontalPodAutoscaler','metadata':{'name':'x'},"
        "'spec':{" HPA ",'metrics':[{'type':'Resource','resource':{'name':'cpu','target':{'type':"
        "'Utilization','averageUtilization':50}}},{'type':'Pods','pods':{'metric':{'name':'q'},"
        "'target':{'type':'AverageValue','averageValue':'10'}}}],"
        "'behavior':{'scaleDown':{'selectPolicy':'Min'}}},"
        "'status':{'desiredReplicas':2,'currentReplicas':1,'currentMetrics':[{'type':'Resource',"
        "'resource':{'name':'cpu','current':{'averageUtilization':7,'averageValue':'5m'}}}],"
        "'conditions':[{'type':'AbleToScale','status':'True'}]}}";
    struct arena a;
    arena_init(&a, 4 << 20);
    const struct kind *v1 = kind_of("autoscaling/v1", "HorizontalPodAutoscaler");
    struct json *stored = parse(&a, text);
    struct json *served = kind_to_served(&a, v1, json_clone(&a, stored));
    assert_int_equal(json_path_i64(served, "spec.targetCPUUtilizationPercentage", 0), 50);
    assert_int_equal(json_path_i64(served, "status.currentCPUUtilizationPercentage", 0), 7);
    assert_null(json_path(served, "spec.metrics"));
    assert_string_equal(obj_annotation(served, "autoscaling.alpha.kubernetes.io/metrics"),
                        "[{\"type\":\"Pods\",\"pods\":{\"metricName\":\"q\","
                        "\"targetAverageValue\":\"10\"}}]");
    struct json *again = kind_to_storage(&a, v1, served);
    assert_true(json_equal(again, stored));
    arena_fini(&a);
}

static void annotations_written_by_hand_do_no_harm(void **state)
{
    (void)state;
    static const char text[] =
        "{'apiVersion':'autoscaling/v1','kind':'HorizontalPodAutoscaler','metadata':{'name':'x',"
        "'annotations':{'autoscaling.alpha.kubernetes.io/metrics':'[1]',"
        "'autoscaling.alpha.kubernetes.io/behavior':'{\\'scaleUp\\':[]}'}},"
        "'spec':{" HPA ",'targetCPUUtilizationPercentage':30}}";
    struct arena a;
    arena_init(&a, 4 << 20);
    const struct kind *v1 = kind_of("autoscaling/v1", "HorizontalPodAutoscaler");
    struct json *stored = kind_to_storage(&a, v1, parse(&a, text));
    assert_null(json_path(stored, "spec.behavior"));
    assert_int_equal(json_len(json_path(stored, "spec.metrics")), 1);
    assert_int_equal(json_path_i64(json_at(json_path(stored, "spec.metrics"), 0),
                                   "resource.target.averageUtilization", 0),
                     30);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_are_checked),
        cmocka_unit_test(what_a_job_does_cannot_be_changed),
        cmocka_unit_test(cron_jobs_are_checked),
        cmocka_unit_test(sets_of_pods_are_checked),
        cmocka_unit_test(services_are_checked),
        cmocka_unit_test(networks_are_checked),
        cmocka_unit_test(storage_is_checked),
        cmocka_unit_test(quotas_and_limits_are_checked),
        cmocka_unit_test(policies_are_checked),
        cmocka_unit_test(autoscalers_are_checked),
        cmocka_unit_test(webhooks_and_requests_are_checked),
        cmocka_unit_test(absent_fields_get_their_defaults),
        cmocka_unit_test(a_job_finds_its_pods_by_its_uid),
        cmocka_unit_test(an_autoscaler_loses_nothing_in_version_1),
        cmocka_unit_test(annotations_written_by_hand_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
