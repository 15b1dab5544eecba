# SPDX-License-Identifier: Apache-2.0
"""Services, quotas, limits, budgets, priorities, autoscalers and volumes, as people use them with both kubectls."""
import re
import shutil

import pytest

from clients import to_yaml
from harness import condition, deployment, is_ready, pod, pods_path, until


def labelled(kind, api, name, **more):
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name}, **more}


def service_path(namespace, name=""):
    return f"/api/v1/namespaces/{namespace}/services" + (f"/{name}" if name else "")


def events(api, namespace, reason):
    return [e["message"] for e in api.items(f"/api/v1/namespaces/{namespace}/events") if e["reason"] == reason]


# ---- services ----

def test_the_api_itself_is_a_service(admin):
    assert admin("get", "svc", "kubernetes", "-n", "default", "-o", "jsonpath={.spec.clusterIP}") == "10.96.0.1"
    ports = admin("get", "endpoints", "kubernetes", "-n", "default", "-o", "jsonpath={.subsets[0].ports[0].name}")
    assert ports == "https"


def test_services_get_addresses_that_nobody_else_has(kk):
    kk("create", "service", "clusterip", "a", "--tcp=80:8080")
    kk("create", "service", "nodeport", "b", "--tcp=80:8080")
    kk("create", "service", "clusterip", "headless", "--clusterip=None", "--tcp=80")
    kk("create", "service", "externalname", "out", "--external-name=example.com")
    a, b, headless, out = (kk.json("get", "svc", name)["spec"] for name in ("a", "b", "headless", "out"))
    assert a["clusterIP"].startswith("10.96.") and a["clusterIPs"] == [a["clusterIP"]]
    assert a["clusterIP"] != b["clusterIP"]
    assert (a["ipFamilies"], a["ipFamilyPolicy"], a["internalTrafficPolicy"], a["sessionAffinity"]) == (
        ["IPv4"], "SingleStack", "Cluster", "None")
    assert 30000 <= b["ports"][0]["nodePort"] <= 32767 and b["externalTrafficPolicy"] == "Cluster"
    assert headless["clusterIP"] == "None"
    assert "clusterIP" not in out and "ipFamilies" not in out
    told = kk.fails("create", "service", "clusterip", "c", "--tcp=80", f"--clusterip={a['clusterIP']}")
    assert "provided IP is already allocated" in told
    told = kk.fails("create", "service", "clusterip", "c", "--tcp=80", "--clusterip=192.0.2.1")
    assert "is not in the valid range. The range of valid IPs is 10.96.0.0/16" in told
    port = b["ports"][0]["nodePort"]
    told = kk.fails("create", "service", "nodeport", "d", "--tcp=80", f"--node-port={port}")
    assert f"spec.ports[0].nodePort: Invalid value: {port}: provided port is already allocated" in told
    kk("delete", "svc", "b")
    kk("create", "service", "nodeport", "d", "--tcp=80", f"--node-port={port}")
    kk("patch", "svc", "d", "-p", '{"spec":{"type":"ClusterIP"}}')
    assert "nodePort" not in kk.json("get", "svc", "d")["spec"]["ports"][0]


def test_endpoints_follow_readiness(kk, api, edge):
    kk.apply(deployment("web", 2, "touch /tmp/ok; sleep 100000",
                        readinessProbe={"exec": {"command": ["test", "-e", "/tmp/ok"]}, "periodSeconds": 1}))
    kk("expose", "deployment", "web", "--port=80", "--target-port=8080")
    endpoints = f"/api/v1/namespaces/{kk.namespace}/endpoints/web"
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{kk.namespace}/endpointslices"

    def addresses(kind):
        return sorted(a["ip"] for s in api.get(endpoints).get("subsets", []) for a in s.get(kind, []))

    ips = until("two addresses", lambda: len(addresses("addresses")) == 2 and addresses("addresses"))
    found = until("a slice", lambda: api.items(slices))
    assert len(found) == 1 and found[0]["ports"][0]["port"] == 8080
    assert sorted(e["addresses"][0] for e in found[0]["endpoints"]) == ips
    assert all(e["conditions"] == {"ready": True, "serving": True, "terminating": False} and
               e["nodeName"] == edge.node for e in found[0]["endpoints"])
    one = api.items(pods_path(kk.namespace))[0]
    kk("exec", one["metadata"]["name"], "--", "rm", "/tmp/ok")
    until("it is not ready", lambda: addresses("notReadyAddresses") == [one["status"]["podIP"]])
    until("the slice says so", lambda: [e["addresses"][0] for e in api.items(slices)[0]["endpoints"]
                                        if not e["conditions"]["ready"]] == [one["status"]["podIP"]])
    kk("delete", "svc", "web")
    until("its endpoints are gone", lambda: api.gone(endpoints) and not api.items(slices))


def test_hand_made_endpoints_are_mirrored(k, api):
    k.apply(labelled("Service", "v1", "db", spec={"ports": [{"port": 5432}]}),
            labelled("Endpoints", "v1", "db",
                     subsets=[{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 5432}]}]))
    path = f"/apis/discovery.k8s.io/v1/namespaces/{k.namespace}/endpointslices"
    found = until("a slice", lambda: api.items(path))
    assert found[0]["endpoints"][0]["addresses"] == ["192.0.2.7"]
    assert found[0]["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == (
        "endpointslicemirroring-controller.k8s.io")
    k("delete", "endpoints", "db")
    until("it is gone", lambda: not api.items(path))


# ---- quotas and limits ----

def test_a_quota_is_never_exceeded(kk, api):
    kk("create", "quota", "q", "--hard=pods=2,requests.cpu=1,count/deployments.apps=1")
    told = kk.fails("run", "mute", "--image=x")
    assert 'pods "mute" is forbidden: failed quota: q: must specify requests.cpu for: mute' in told
    small = {"resources": {"requests": {"cpu": "100m"}}, "image": "x", "nodeSelector": {"no": "where"}}
    kk.create(pod("a", **small), pod("b", **small))
    told = kk.fails("create", "-f", "-", stdin=to_yaml(pod("c", **small)))
    assert 'pods "c" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2' in told
    kk("create", "deployment", "one", "--image=x", "--replicas=0")
    assert "exceeded quota: q, requested: count/deployments.apps=1" in kk.fails(
        "create", "deployment", "two", "--image=x")
    path = f"/api/v1/namespaces/{kk.namespace}/resourcequotas/q"
    until("what is used is shown", lambda: api.get(path).get("status", {}).get("used") == {
        "pods": "2", "requests.cpu": "200m", "count/deployments.apps": "1"})
    assert re.search(r"pods\s+2\s+2\n", kk("describe", "quota", "q"))
    kk("delete", "pod", "a", "--grace-period=0", "--force")
    kk.create(pod("c", **small))


def test_limit_ranges_fill_in_and_refuse(kk):
    kk.apply(labelled("LimitRange", "v1", "l", spec={"limits": [
        {"type": "Container", "default": {"cpu": "200m"}, "defaultRequest": {"cpu": "100m"},
         "max": {"cpu": "500m"}, "min": {"cpu": "50m"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}]}))
    nowhere = {"nodeSelector": {"no": "where"}}
    kk.create(pod("plain", **nowhere))
    made = kk.json("get", "pod", "plain")
    assert made["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "200m"}, "requests": {"cpu": "100m"}}
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c")
    told = kk.fails("create", "-f", "-",
                    stdin=to_yaml(pod("fat", resources={"limits": {"cpu": "2"}}, **nowhere)))
    assert "maximum cpu usage per Container is 500m, but limit is 2" in told
    claim = labelled("PersistentVolumeClaim", "v1", "big", spec={
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}})
    told = kk.fails("create", "-f", "-", stdin=to_yaml(claim))
    assert "maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi" in told


# ---- budgets ----

def test_a_budget_blocks_a_drain_then_lets_it(k, api, edge):
    app = k.namespace
    k.apply(deployment("web", 2, labels={"app": app}))
    k.apply(labelled("PodDisruptionBudget", "policy/v1", "web", spec={
        "minAvailable": 2, "selector": {"matchLabels": {"app": app}}}))
    k("rollout", "status", "deploy/web")
    path = f"/apis/policy/v1/namespaces/{app}/poddisruptionbudgets/web"

    def status():
        return api.get(path).get("status", {})

    until("the budget is known", lambda: (status().get("currentHealthy"), status().get("disruptionsAllowed")) == (2, 0))
    drain = ["drain", edge.node, f"--pod-selector=app={app}", "--ignore-daemonsets"]
    try:
        told = k.result(*drain, "--timeout=2s")
        assert told.code != 0, repr(told)
        assert "Cannot evict pod as it would violate the pod's disruption budget." in told.out + told.err
        k("patch", "pdb", "web", "--type=merge", "-p", '{"spec":{"minAvailable":0}}')
        until("evictions are allowed", lambda: status().get("disruptionsAllowed") == 2)
        assert "evicted" in k(*drain)
    finally:
        k("uncordon", edge.node)
    k("rollout", "status", "deploy/web")


# ---- priorities ----

def test_the_important_pod_takes_the_place_of_the_other(kk, admin, api, edge):
    name = f"high-{kk.namespace}"
    kk("create", "priorityclass", name, "--value=1000", "--description=for a test")
    port = {"ports": [{"containerPort": 80, "hostPort": 31997}]}
    try:
        kk.create(pod("low", **port))
        until("it runs", lambda: is_ready(api.get(pods_path(kk.namespace, "low"))))
        kk.create(pod("high", priorityClassName=name, **port))
        until("it runs instead", lambda: is_ready(api.get(pods_path(kk.namespace, "high"))))
        assert api.get(pods_path(kk.namespace, "high"))["spec"]["priority"] == 1000
        assert api.gone(pods_path(kk.namespace, "low"))
        assert "Preempted by pod" in until("the event", lambda: events(api, kk.namespace, "Preempted"))[0]
        told = kk.fails("create", "-f", "-", stdin=to_yaml(pod("x", priorityClassName="no-such")))
        assert "no PriorityClass with name no-such was found" in told
    finally:
        kk("delete", "priorityclass", name)
        kk("delete", "pod", "high", "low", "--ignore-not-found")


def test_gates_hold_a_pod_back(k, api):
    k.create(pod("gated", schedulingGates=[{"name": "example.com/wait"}]))
    told = until("the condition", lambda: condition(api.get(pods_path(k.namespace, "gated")), "PodScheduled"))
    assert told["reason"] == "SchedulingGated"


# ---- autoscaling ----

def test_an_autoscaler_keeps_its_bounds(kk, api):
    kk.apply(deployment("web", 1, resources={"requests": {"cpu": "100m"}}, nodeSelector={"no": "where"}))
    kk("autoscale", "deployment", "web", "--min=2", "--max=3", "--cpu-percent=50")
    until("it has the least number", lambda: kk("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "2")
    path = f"/apis/autoscaling/v2/namespaces/{kk.namespace}/horizontalpodautoscalers/web"
    until("it says so", lambda: condition(api.get(path), "AbleToScale").get("reason") == "SucceededRescale")
    assert "New size: 2; reason: Current number of replicas below Spec.MinReplicas" in until(
        "the event", lambda: events(api, kk.namespace, "SuccessfulRescale"))[0]


def test_a_runtime_class_that_a_node_does_not_have_is_told(k, admin, api, edge):
    name = f"odd-{k.namespace}"
    admin.apply(labelled("RuntimeClass", "node.k8s.io/v1", name, handler="odd", overhead={"podFixed": {"cpu": "10m"}}))
    try:
        k.create(pod("p", runtimeClassName=name))
        assert api.get(pods_path(k.namespace, "p"))["spec"]["overhead"] == {"cpu": "10m"}
        assert 'no runtime for "odd" is configured' in until(
            "the event", lambda: events(api, k.namespace, "FailedCreatePodSandBox"))[0]
        assert 'RuntimeClass "no-such" not found' in k.fails(
            "create", "-f", "-", stdin=to_yaml(pod("q", runtimeClassName="no-such")))
    finally:
        k("delete", "pod", "p")
        admin("delete", "runtimeclass", name)


# ---- volumes ----

@pytest.fixture
def volume(admin, kk):
    """A hostPath volume of 1Gi of a class of its own."""
    name = f"pv-{kk.namespace}"
    admin.apply(labelled("PersistentVolume", "v1", name, spec={
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": name,
        "persistentVolumeReclaimPolicy": "Retain",
        "hostPath": {"path": f"/tmp/e2e-{name}", "type": "DirectoryOrCreate"}}))
    yield name
    admin("delete", "pv", name, "--wait=false")


def test_a_pod_writes_to_a_claimed_volume(kk, api, edge, volume):
    kk.apply(labelled("PersistentVolumeClaim", "v1", "data", spec={
        "accessModes": ["ReadWriteOnce"], "storageClassName": volume,
        "resources": {"requests": {"storage": "500Mi"}}}))
    kk("get", "pvc", "data")
    until("it is bound", lambda: kk.json("get", "pvc", "data")["status"].get("phase") == "Bound")
    assert kk.json("get", "pvc", "data")["status"]["capacity"] == {"storage": "1Gi"}

    def run(name, script):
        kk.create(pod(name, script, restartPolicy="Never",
                      volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}],
                      volumeMounts=[{"name": "v", "mountPath": "/data"}]))
        return until(f"{name} ends", lambda: api.get(pods_path(kk.namespace, name))["status"]["phase"] in (
            "Succeeded", "Failed") and api.get(pods_path(kk.namespace, name))["status"]["phase"])

    try:
        assert run("writer", "echo kept > /data/file") == "Succeeded"
        assert run("reader", "grep kept /data/file && rm -r /data/file") == "Succeeded"
        kk.create(pod("waiting", "sleep 100000", volumes=[
            {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]))
        kk("delete", "pvc", "data", "--wait=false")
        assert kk.json("get", "pvc", "data")["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    finally:
        kk("delete", "pod", "--all")
    until("the claim is gone", lambda: api.gone(f"/api/v1/namespaces/{kk.namespace}/persistentvolumeclaims/data"))
    until("the volume is released",
          lambda: api.get(f"/api/v1/persistentvolumes/{volume}")["status"]["phase"] == "Released")
    shutil.rmtree(f"/tmp/e2e-{volume}", ignore_errors=True)


def test_what_nothing_enforces_says_so(k, api):
    k.apply(labelled("NetworkPolicy", "networking.k8s.io/v1", "all", spec={"podSelector": {}}),
            labelled("Ingress", "networking.k8s.io/v1", "web", spec={
                "defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}))
    until("both have been told of", lambda: len(events(api, k.namespace, "NotEnforced")) == 2)
