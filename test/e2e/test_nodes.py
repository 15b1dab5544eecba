# SPDX-License-Identifier: Apache-2.0
"""Two edges on one center: where pods go, how a node is emptied, removed, lost and found."""
import re

import pytest

from harness import (Host, condition, deployment, deployments_path, is_ready, pod, pods_path, until)


@pytest.fixture(scope="module")
def pair():
    """A center and two edges that this file shares; checked and cleaned at the end."""
    host = Host()
    try:
        center = host.center(options=["--node-grace", "6"]).start()
        edges = [host.edge(center, options=["--heartbeat", "1"]).start(wait=False) for _ in range(2)]
        for edge in edges:
            edge.load(host.image_busybox())
            edge.wait_ready()
        yield center, *edges
    finally:
        host.close()


@pytest.fixture
def spread(pair, request):
    """A deployment of four pods over both nodes: (kubectl, how to list its pods by node)."""
    center = pair[0]
    namespace = re.sub("[^a-z]", "-", request.node.name.removeprefix("test_"))[:40]
    k = center.kubectl()
    k("create", "ns", namespace)
    k = k.within(namespace)
    k.apply(deployment("four", replicas=4))
    k("rollout", "status", "deploy/four")
    api = center.api()

    def by_node():
        found = {edge.node: set() for edge in pair[1:]}
        for p in api.items(pods_path(namespace)):
            if "nodeName" in p["spec"] and "deletionTimestamp" not in p["metadata"]:
                found.setdefault(p["spec"]["nodeName"], set()).add(p["metadata"]["name"])
        return found

    yield k, by_node
    k("delete", "deploy", "four", "--cascade=foreground")


def node(center, edge):
    return center.api().get(f"/api/v1/nodes/{edge.node}")


def test_pods_spread_over_both_nodes(pair, spread):
    center, a, b = pair
    k, by_node = spread
    assert sorted(len(names) for names in by_node().values()) == [2, 2]
    for edge in (a, b):
        own = edge.local_api().items("/api/v1/pods")
        assert {p["spec"]["nodeName"] for p in own} == {edge.node}, "a node knows only its own pods"
        name = sorted(by_node()[edge.node])[0]
        assert k("exec", name, "--", "hostname") == name + "\n", "each node is reached by its own tunnel"


def test_a_cordoned_node_gets_nothing_new(pair, spread):
    center, a, b = pair
    k, by_node = spread
    before = by_node()
    k("cordon", a.node)
    try:
        k("scale", "deploy/four", "--replicas=7")
        until("seven are ready", lambda: k("get", "deploy", "four", "-o", "jsonpath={.status.readyReplicas}")
              == "7")
        assert by_node()[a.node] == before[a.node] and len(by_node()[b.node]) == 5
        k("cordon", b.node)
        k.apply(pod("nowhere"))
        told = until("the scheduler's word", lambda: condition(
            center.api().get(pods_path(k.namespace, "nowhere")), "PodScheduled"))
        assert told["reason"] == "Unschedulable" and "0/2 nodes are available" in told["message"]
        assert "unschedulable" in told["message"]
    finally:
        k("uncordon", a.node)
        k("uncordon", b.node)
    until("the waiting pod runs", lambda: is_ready(center.api().get(pods_path(k.namespace, "nowhere"))))
    k("delete", "pod", "nowhere")


def test_taints_keep_pods_away_or_drive_them_off(pair, spread):
    center, a, b = pair
    k, by_node = spread
    kept = by_node()[b.node]
    k("taint", "node", a.node, "work=yes:NoSchedule")
    try:
        k.apply(pod("tolerant", tolerations=[{"key": "work", "operator": "Exists"}],
                    nodeSelector={"kubernetes.io/hostname": a.node}),
                pod("intolerant", nodeSelector={"kubernetes.io/hostname": a.node}))
        until("it runs on the tainted node",
              lambda: is_ready(center.api().get(pods_path(k.namespace, "tolerant"))))
        told = until("why the other waits", lambda: condition(
            center.api().get(pods_path(k.namespace, "intolerant")), "PodScheduled"))
        assert told["status"] == "False" and "untolerated taint" in told["message"]
        k("taint", "node", a.node, "away=now:NoExecute")
        until("what does not tolerate it has left", lambda: not by_node()[a.node])
        until("four pods run elsewhere", lambda: len(by_node()[b.node]) == 4)
        assert kept <= by_node()[b.node]
    finally:
        k("taint", "node", a.node, "work-", "away-")
    until("the waiting pod runs", lambda: is_ready(
        center.api().get(pods_path(k.namespace, "intolerant"))))
    k("delete", "pod", "intolerant")
    k("delete", "pod", "tolerant", "--ignore-not-found")


def test_drain_empties_a_node(pair, spread):
    center, a, b = pair
    k, by_node = spread
    kept = by_node()[b.node]
    moved = by_node()[a.node]
    try:
        said = k("drain", a.node, "--ignore-daemonsets", "--timeout=300s")
        assert "drained" in said or "evicted" in said
        assert not by_node()[a.node]
        until("four run on the other node", lambda: k(
            "get", "deploy", "four", "-o", "jsonpath={.status.readyReplicas}") == "4")
        assert kept <= by_node()[b.node] and not moved & by_node()[b.node]
        assert "SchedulingDisabled" in k("get", "node", a.node)
        until("the node has no pod", lambda: a.local_api().items("/api/v1/pods") == [])
        assert a.container_pids() == []
    finally:
        k("uncordon", a.node)


def test_node_affinity_and_resources_decide(pair, spread):
    center, a, b = pair
    k, _ = spread
    k("label", "node", b.node, "disk=fast")
    term = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["fast"]}]}
    k.apply(pod("affine", affinity={"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}),
        pod("hungry", resources={"requests": {"memory": "1000Gi"}}))
    until("it runs where its label is", lambda: is_ready(
        center.api().get(pods_path(k.namespace, "affine"))))
    assert center.api().get(pods_path(k.namespace, "affine"))["spec"]["nodeName"] == b.node
    told = until("why the other waits", lambda: condition(
        center.api().get(pods_path(k.namespace, "hungry")), "PodScheduled"))
    assert "Insufficient memory" in told["message"]
    k("label", "node", b.node, "disk-")
    k("delete", "pod", "affine", "hungry")


def test_a_lost_node_becomes_unknown_and_keeps_its_pods(pair, spread):
    center, a, b = pair
    k, by_node = spread
    before = by_node()
    uids = {p["metadata"]["name"]: p["metadata"]["uid"]
            for p in center.api().items(pods_path(k.namespace))}
    a.cut()
    try:
        until("Unknown", lambda: condition(node(center, a), "Ready")["status"] == "Unknown")
        assert re.search(rf"{a.node}\s+NotReady", k("get", "nodes"))
        assert condition(node(center, a), "Ready")["reason"] == "NodeStatusUnknown"
        assert condition(node(center, b), "Ready")["status"] == "True"
        assert "node.kubernetes.io/unreachable" in [
            t["key"] for t in node(center, a)["spec"].get("taints", [])]
        name = sorted(before[a.node])[0]
        until("its pods are not ready for the center", lambda: condition(
            center.api().get(pods_path(k.namespace, name)), "Ready")["status"] == "False")
        assert by_node() == before, "nothing is evicted"
        with k.start("exec", name, "--", "true") as running, k.start("logs", name) as reading:
            for stream in (running, reading):
                assert stream.wait() != 0
                assert re.search(f"node {a.node} (does not answer|is not connected)", stream.text())
        k.apply(pod("elsewhere"))
        until("new pods go to the other node", lambda: is_ready(
            center.api().get(pods_path(k.namespace, "elsewhere"))))
        assert center.api().get(pods_path(k.namespace, "elsewhere"))["spec"]["nodeName"] == b.node
    finally:
        a.mend()
    a.wait_ready()
    until("the taint is gone", lambda: not [
        t for t in node(center, a)["spec"].get("taints", []) if "unreachable" in t["key"]])
    until("its pods are ready again", lambda: k(
        "get", "deploy", "four", "-o", "jsonpath={.status.readyReplicas}") == "4")
    now = {p["metadata"]["name"]: p["metadata"]["uid"] for p in center.api().items(pods_path(k.namespace))}
    assert {n: u for n, u in now.items() if n in uids} == uids
    for p in center.api().items(pods_path(k.namespace)):
        assert all(s["restartCount"] == 0 for s in p["status"]["containerStatuses"])
    k("delete", "pod", "elsewhere")


def test_a_deleted_node_object_comes_back_with_its_agent(pair, spread):
    """A node that is deleted while its agent runs registers itself again; its former pods are gone."""
    center, a, b = pair
    k, by_node = spread
    uid = node(center, a)["metadata"]["uid"]
    k("delete", "node", a.node)
    until("it is registered anew", lambda: node(center, a)["metadata"]["uid"] != uid)
    a.wait_ready()
    until("four pods run", lambda: center.api().get(deployments_path(k.namespace, "four"))
          ["status"].get("readyReplicas") == 4)


def test_a_node_that_was_deleted_and_stopped_stays_away(pair, spread):
    center, a, b = pair
    k, by_node = spread
    k("drain", a.node, "--ignore-daemonsets", "--timeout=300s")
    a.stop()
    k("delete", "node", a.node)
    assert re.search(rf'nodes "{a.node}" not found', k.fails("get", "node", a.node))
    until("four run on the other node", lambda: len(by_node()[b.node]) == 4)
    a.start()
    assert not node(center, a)["spec"].get("unschedulable"), "it joined as a new node"
