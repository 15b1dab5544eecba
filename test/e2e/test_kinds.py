# SPDX-License-Identifier: Apache-2.0
"""Every built-in kind with both kubectls: made by the generators of `kubectl create`, shown, described, explained.

Golden files are in golden/; E2E_GOLDEN=write makes them anew (read the difference before you keep it).
"""
import base64
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from harness import ApiError, until

GOLDEN = Path(__file__).parent / "golden"


def golden(name, text):
    """Compares a text with golden/NAME, or writes it."""
    path = GOLDEN / name
    if os.environ.get("E2E_GOLDEN") == "write":
        path.write_text(text)
    assert text.splitlines() == path.read_text().splitlines(), f"differs from {path}"


def plain(text, namespace=""):
    """Without what differs from run to run: ages, times, addresses, ports, ids, the namespace."""
    if namespace:
        text = text.replace(namespace, "NS")
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", text)
    text = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UID", text)
    text = re.sub(r"\b10\.96\.\d+\.\d+\b", "CLUSTER-IP", text)
    text = re.sub(r":3\d{4}/TCP", ":NODEPORT/TCP", text)
    text = re.sub(r"(?<=\s)\d+[smh](\d+s)?(?=\s|$)", "AGE", text)
    return "\n".join(re.sub(r" {2,}", "  ", line).rstrip() for line in text.splitlines()) + "\n"


# ---------------------------------------------------------------- what is served


def test_api_resources_and_versions_are_the_known_ones(client):
    built_in = re.compile(r"(?:^|\s)(v1|(apps|autoscaling|batch|policy|\S+\.k8s\.io)/\S+|APIVERSION)(?:\s|$)")
    resources = client("api-resources").splitlines()    # other tests may have declared kinds, too
    golden("api_resources.txt", plain("\n".join(line for line in resources if built_in.search(line))))
    versions = [v for v in client("api-versions").splitlines() if built_in.search(v)]
    golden("api_versions.txt", "\n".join(versions) + "\n")


EXPLAINED = ["clusterrolebindings", "clusterroles", "configmaps", "controllerrevisions", "cronjobs",
             "csidrivers", "csinodes", "customresourcedefinitions", "daemonsets", "deployments",
             "endpoints", "endpointslices", "events", "flowschemas", "horizontalpodautoscalers",
             "ingressclasses", "ingresses", "jobs", "leases", "limitranges",
             "mutatingwebhookconfigurations", "namespaces", "networkpolicies", "nodes",
             "persistentvolumeclaims", "persistentvolumes", "poddisruptionbudgets", "pods",
             "podtemplates", "priorityclasses", "prioritylevelconfigurations", "replicasets",
             "resourcequotas", "rolebindings", "roles", "runtimeclasses", "secrets",
             "serviceaccounts", "services", "statefulsets", "storageclasses",
             "validatingwebhookconfigurations", "volumeattachments",
             "certificatesigningrequests"]


def test_every_kind_is_explained_to_its_last_field(client):
    for resource in EXPLAINED:
        text = client("explain", resource, "--recursive")
        assert "metadata" in text and "<Object>" in text or "<ObjectMeta>" in text, text[:500]


def test_explain_tells_types_and_what_is_required(admin):
    text = admin("explain", "cronjobs.spec")
    assert re.search(r"^  schedule\t<string> -required-$", text, re.M), text
    assert re.search(r"^  concurrencyPolicy\t<string>$", text, re.M), text
    assert "enum: Allow, Forbid, Replace" in text
    schema = admin("explain", "crd.spec.versions.schema.openAPIV3Schema")
    for field, kind in (("items", "JSONSchemaPropsOrArray"), ("additionalProperties", "JSONSchemaPropsOrBool"),
                        ("properties", "map[string]JSONSchemaProps"), ("default", "JSON")):
        assert f"  {field}\t<{kind}>" in schema


# ---------------------------------------------------------------- generators


def make_certificate(folder):
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=x"],
                   check=True, capture_output=True)
    return key, cert


def new_words(old):
    """What kubectl 1.20 cannot say to a server of today: its generators speak versions that are gone."""
    return [] if old else [
        ("create cronjob cj --image=busybox --schedule=0/30 0 1 1 * -- date", "cronjob.batch/cj"),
        ("create job j2 --from=cronjob/cj", "job.batch/j2"),
        ("create poddisruptionbudget pdb --selector=a=b --min-available=1", "poddisruptionbudget.policy/pdb"),
    ]


def generators(key, cert):
    return [
        ("create configmap cm --from-literal=a=b", "configmap/cm"),
        ("create deployment d --image=busybox --replicas=0", "deployment.apps/d"),
        ("create ingress ing --class=c --rule=a.example/x*=svc:80,tls=s", "ingress.networking.k8s.io/ing"),
        ("create job j --image=busybox -- date", "job.batch/j"),
        ("create quota q --hard=services=9,secrets=9", "resourcequota/q"),
        ("create role r --verb=get,list --resource=pods,deployments.apps", "role.rbac.authorization.k8s.io/r"),
        ("create rolebinding rb --role=r --user=u --group=g --serviceaccount=x:y",
         "rolebinding.rbac.authorization.k8s.io/rb"),
        ("create secret generic sg --from-literal=a=b", "secret/sg"),
        (f"create secret tls st --cert={cert} --key={key}", "secret/st"),
        ("create secret docker-registry sd --docker-username=u --docker-password=p --docker-email=e@x", "secret/sd"),
        ("create service clusterip sc --tcp=80:8080", "service/sc"),
        ("create service nodeport sn --tcp=80", "service/sn"),
        ("create service loadbalancer sl --tcp=443:8443", "service/sl"),
        ("create service externalname se --external-name=a.example", "service/se"),
        ("create serviceaccount sa", "serviceaccount/sa"),
        ("autoscale deployment d --max=3 --cpu-percent=50", "horizontalpodautoscaler.autoscaling/d"),
    ]


def words(line):
    """A command line; the schedule of a cron job keeps its spaces."""
    line = line.replace("0/30 0 1 1 *", "SCHEDULE")
    return [w.replace("SCHEDULE", "0 0 1 1 *") for w in line.split()]


@pytest.fixture
def generated(kk, tmp_path):
    """A namespace with one of everything that `kubectl create` makes."""
    for line, made in generators(*make_certificate(tmp_path)) + new_words(kk.old):
        out = kk(*words(line))
        assert out.strip() in (f"{made} created", f"{made} autoscaled"), out
    return kk


SHOWN = ["deployments", "ingresses", "resourcequotas", "roles", "rolebindings", "secrets", "services", "serviceaccounts",
         "hpa"]


def test_what_the_generators_make_is_shown_as_users_know_it(generated):
    k = generated
    until("the quota is counted", lambda: "secrets: 3/9" in k("get", "quota", "q"))
    text = ""
    for resource in SHOWN:
        text += f"== {resource}\n" + plain(k("get", resource, "-o", "wide"), k.namespace)
    golden("kinds_get.txt", text)


def test_what_the_generators_make_is_described(generated):
    k = generated
    for thing in ("deploy/d", "ing/ing", "job/j", "quota/q", "role/r", "rolebinding/rb", "secret/st", "svc/sn", "sa/sa",
                  "hpa/d", "cm/cm"):
        if k.old and thing.startswith(("ing/",)):
            continue    # it asks for a version that is gone
        text = k("describe", thing)
        assert re.search(r"^Name: +" + thing.split("/")[1], text, re.M), text


def test_cluster_wide_generators(client):
    names = ("e2e-kinds-cr", "e2e-kinds-crb", "e2e-kinds-pc")
    try:
        assert "created" in client("create", "clusterrole", names[0], "--verb=get", "--resource=nodes")
        assert "created" in client("create", "clusterrolebinding", names[1], f"--clusterrole={names[0]}", "--group=g")
        assert "created" in client("create", "priorityclass", names[2], "--value=7", "--description=seven")
        shown = "".join(plain(client("get", kind, name, "-o", "wide"))
                        for kind, name in zip(("clusterrole", "clusterrolebinding", "priorityclass"), names))
        golden("kinds_get_cluster.txt", shown)
    finally:
        for kind, name in zip(("clusterrole", "clusterrolebinding", "priorityclass"), names):
            client("delete", kind, name, "--ignore-not-found")


# ---------------------------------------------------------------- kinds without a generator

OBJECTS = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: x}
spec:
  selector: {matchLabels: {a: b}}
  template: {metadata: {labels: {a: b}}, spec: {nodeSelector: {none: such}, containers: [{name: c, image: busybox}]}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: x}
spec:
  serviceName: s
  replicas: 0
  selector: {matchLabels: {a: b}}
  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: busybox}]}}
---
apiVersion: apps/v1
kind: ControllerRevision
metadata: {name: rev}
revision: 3
data: {any: thing}
---
apiVersion: v1
kind: PodTemplate
metadata: {name: x}
template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: busybox}]}}
---
apiVersion: v1
kind: LimitRange
metadata: {name: x}
spec: {limits: [{type: PersistentVolumeClaim, max: {storage: 2Gi}}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: x}
spec: {accessModes: [ReadWriteOnce], storageClassName: none-such, resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Endpoints
metadata: {name: hand}
subsets: [{addresses: [{ip: 192.0.2.1}, {ip: 192.0.2.2}], ports: [{name: a, port: 1}, {name: b, port: 2}]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: hand}
addressType: IPv6
endpoints: [{addresses: ["2001:db8::1"]}]
ports: [{port: 80}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: x}
spec: {podSelector: {matchLabels: {a: b}}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}
"""
CLUSTER_OBJECTS = """
apiVersion: v1
kind: PersistentVolume
metadata: {name: e2e-kinds}
spec: {accessModes: [ReadWriteMany, ReadWriteOnce], capacity: {storage: 1Gi}, storageClassName: none-such-2, nfs: {server: h, path: /x}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: e2e-kinds}
provisioner: example.com/none
---
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: {name: e2e.kinds}
spec: {podInfoOnMount: true}
---
apiVersion: storage.k8s.io/v1
kind: CSINode
metadata: {name: e2e-kinds}
spec: {drivers: [{name: e2e.kinds, nodeID: "1"}]}
---
apiVersion: storage.k8s.io/v1
kind: VolumeAttachment
metadata: {name: e2e-kinds}
spec: {attacher: e2e.kinds, nodeName: e2e-kinds, source: {persistentVolumeName: e2e-kinds}}
---
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: e2e-kinds}
handler: runc
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: e2e-kinds}
spec: {controller: example.com/x, parameters: {apiGroup: k.example, kind: Parameters, name: some}}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: e2e-kinds}
spec: {priorityLevelConfiguration: {name: e2e-kinds}}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata: {name: e2e-kinds}
spec: {type: Limited, limited: {limitResponse: {type: Queue, queuing: {}}}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: e2e-kinds}
webhooks:
- {name: a.e2e.kinds, sideEffects: None, admissionReviewVersions: [v1], failurePolicy: Ignore,
   clientConfig: {url: "https://127.0.0.1:1"}, rules: [{operations: [CREATE], apiGroups: [no.such], apiVersions: [v1], resources: [things]}]}
"""


def shown(k, text, namespace=""):
    out = ""
    for obj in yaml.safe_load_all(text):
        group = obj["apiVersion"].partition("/")[0] if "/" in obj["apiVersion"] else ""
        resource = obj["kind"].lower() + ("." + obj["apiVersion"].partition("/")[2] + "." + group if group else "")
        out += plain(k("get", resource, obj["metadata"]["name"], "-o", "wide"), namespace)
    return out


def test_other_kinds_are_shown_and_described(k):
    k("create", "-f", "-", stdin=OBJECTS)
    golden("kinds_other.txt", shown(k, OBJECTS, k.namespace))
    for obj in yaml.safe_load_all(OBJECTS):
        assert re.search(r"^Name: +" + obj["metadata"]["name"], k("describe", obj["kind"], obj["metadata"]["name"]), re.M)


def test_cluster_wide_kinds_are_shown_and_described(admin):
    try:
        admin("create", "-f", "-", stdin=CLUSTER_OBJECTS)
        until("the flow schema's level is looked for", lambda: "Dangling" in admin("get", "flowschema", "e2e-kinds", "-o", "yaml"))
        golden("kinds_cluster.txt", shown(admin, CLUSTER_OBJECTS))
        for obj in yaml.safe_load_all(CLUSTER_OBJECTS):
            described = admin("describe", obj["kind"], obj["metadata"]["name"])
            assert re.search(r"^Name: +" + re.escape(obj["metadata"]["name"]), described, re.M)
    finally:
        admin("delete", "-f", "-", "--wait=false", stdin=CLUSTER_OBJECTS)


# ---------------------------------------------------------------- versions, requests, refusals


def test_autoscalers_are_served_in_both_versions(k, api):
    k("create", "deployment", "d", "--image=busybox", "--replicas=0")
    k("autoscale", "deployment", "d", "--max=3", "--cpu-percent=50")
    path = f"/apis/autoscaling/%s/namespaces/{k.namespace}/horizontalpodautoscalers/d"
    old = api.get(path % "v1")
    assert old["apiVersion"] == "autoscaling/v1" and old["spec"]["targetCPUUtilizationPercentage"] == 50
    old["spec"]["targetCPUUtilizationPercentage"] = 60
    del old["metadata"]["resourceVersion"]    # the controller writes the status meanwhile
    api.put(path % "v1", old)
    metrics = api.get(path % "v2")["spec"]["metrics"]
    assert metrics == [{"type": "Resource", "resource": {
        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}]


def test_a_certificate_request_says_who_asks_and_is_approved(admin, api, tmp_path):
    key, request = tmp_path / "k.pem", tmp_path / "r.pem"
    subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    key, "-out", request, "-subj", "/CN=someone"], check=True, capture_output=True)
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    try:
        made = api.post(path, {"metadata": {"name": "e2e-kinds"}, "spec": {
            "request": base64.b64encode(request.read_bytes()).decode(), "signerName": "example.com/none",
            "usages": ["client auth"], "username": "liar"}})
        assert made["spec"]["username"] != "liar" and "system:masters" in made["spec"]["groups"]
        admin("certificate", "approve", "e2e-kinds")
        row = admin("get", "csr", "e2e-kinds").splitlines()[1].split()
        assert row[-1] == "Approved" and row[2] == "example.com/none", row
        assert "someone" in admin("describe", "csr", "e2e-kinds")
    finally:
        api.delete(f"{path}/e2e-kinds")


REFUSALS = [
    ("create service clusterip 1x --tcp=80", "metadata.name: Invalid value: \"1x\": a DNS-1035 label must consist of"),
    ("create quota q --hard=foo=1", "spec.hard[foo]: Invalid value: \"foo\": must be a standard resource for quota"),
    ("create service nodeport n --tcp=80 --node-port=1", "spec.ports[0].nodePort: Invalid value: 1: "
     "provided port is not in the valid range. The range of valid ports is 30000-32767"),
]


def test_refusals_are_told_in_known_words(kk):
    for line, why in REFUSALS:
        said = kk.fails(*line.split())
        assert why in said and "is invalid" in said, said


def test_what_cannot_change_is_told(k):
    k("create", "job", "j", "--image=busybox", "--", "date")
    said = k.fails("patch", "job", "j", "--type=merge", "-p", '{"spec":{"template":{"spec":{"hostname":"x"}}}}')
    assert 'The Job "j" is invalid: spec.template: Invalid value: ' in said and "field is immutable" in said
    k("create", "role", "r", "--verb=get", "--resource=pods")
    k("create", "rolebinding", "rb", "--role=r", "--user=u")
    said = k.fails("patch", "rolebinding", "rb", "--type=merge", "-p", '{"roleRef":{"name":"other"}}')
    assert "cannot change roleRef" in said


def test_reviews_are_questions_that_nothing_keeps(api):
    review = api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}})
    assert review["status"]["allowed"] is True
    with pytest.raises(ApiError) as refused:
        api.get("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
    assert refused.value.status in (404, 405)
