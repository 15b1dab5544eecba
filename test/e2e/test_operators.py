# SPDX-License-Identifier: Apache-2.0
"""What operators do with a client library: elect a leader, and turn objects of a kind of their own into others.
Large inputs, too: a chart's output of two hundred objects, ten thousand ConfigMaps."""
import threading

import pytest
from kubernetes import client as kube
from kubernetes import config as kube_config
from kubernetes import watch as kube_watch
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.configmaplock import ConfigMapLock

from harness import configmap, configmaps_path, deployment, ignore_missing, to_yaml, until

WIDGETS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MANY = 10000


@pytest.fixture(scope="module")
def python_client(center):
    kube_config.load_kube_config(str(center.kubeconfig))
    with kube_config.new_client_from_config(str(center.kubeconfig)) as api_client:
        yield api_client


class Candidate(threading.Thread):
    """Leads once; gives up when it is told to, by a lock that no longer renews."""

    def __init__(self, ns, name, leaders):
        super().__init__(daemon=True)
        self.lock, self.leaders = ConfigMapLock("election", ns, name), leaders
        self.config = electionconfig.Config(self.lock, lease_duration=3, renew_deadline=2, retry_period=1,
                                            onstarted_leading=lambda: leaders.append(name), onstopped_leading=None)

    def run(self):
        leaderelection.LeaderElection(self.config).run()

    def fail(self):
        self.lock.update = lambda *_: False


def test_one_candidate_leads_and_another_takes_over(python_client, ns):
    leaders = []
    first, second = Candidate(ns, "first", leaders), Candidate(ns, "second", leaders)
    first.start()
    until("the first leads", lambda: leaders == ["first"])
    second.start()
    first.fail()
    until("the second leads", lambda: leaders == ["first", "second"])
    second.fail()


@pytest.fixture
def widgets(api, ns):
    group = f"{ns[:20].strip('-')}.example.com"
    schema = {"type": "object", "properties": {
        "spec": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}},
        "status": {"type": "object", "properties": {"seen": {"type": "string"}}}}}
    api.post(WIDGETS, {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                       "metadata": {"name": f"widgets.{group}"},
                       "spec": {"group": group, "scope": "Namespaced",
                                "names": {"plural": "widgets", "kind": "Widget", "listKind": "WidgetList"},
                                "versions": [{"name": "v1", "served": True, "storage": True,
                                              "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}}}]}})
    yield group
    ignore_missing(lambda: api.delete(f"{WIDGETS}/widgets.{group}"))


def test_a_small_operator_follows_its_objects(python_client, widgets, api, ns):
    objects, core = kube.CustomObjectsApi(python_client), kube.CoreV1Api(python_client)
    where = (widgets, "v1", ns, "widgets")

    def reconcile(widget):
        meta = widget["metadata"]
        owner = kube.V1OwnerReference(api_version=f"{widgets}/v1", kind="Widget", name=meta["name"], uid=meta["uid"])
        body = kube.V1ConfigMap(metadata=kube.V1ObjectMeta(name=meta["name"], owner_references=[owner]),
                                data={"text": widget["spec"]["text"]})
        try:
            core.create_namespaced_config_map(ns, body)
        except kube.ApiException as e:
            assert e.status == 409
            core.patch_namespaced_config_map(meta["name"], ns, body)
        objects.patch_namespaced_custom_object_status(*where, meta["name"], {"status": {"seen": widget["spec"]["text"]}})

    def operate():
        for event in kube_watch.Watch().stream(objects.list_namespaced_custom_object, *where, timeout_seconds=600):
            widget = event["object"]
            if event["type"] != "DELETED" and widget.get("status", {}).get("seen") != widget["spec"]["text"]:
                reconcile(widget)

    threading.Thread(target=operate, daemon=True).start()
    path = f"/apis/{widgets}/v1/namespaces/{ns}/widgets"
    api.post(path, {"apiVersion": f"{widgets}/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"text": "one"}})
    until("the map is made", lambda: not api.gone(configmaps_path(ns, "w")) and api.get(f"{path}/w").get("status") == {"seen": "one"})
    api.patch(f"{path}/w", {"spec": {"text": "two"}})
    until("the map follows", lambda: api.get(configmaps_path(ns, "w"))["data"] == {"text": "two"})
    api.delete(f"{path}/w")
    until("the map goes with its owner", lambda: api.gone(configmaps_path(ns, "w")))


def test_a_chart_of_two_hundred_objects(k, api, ns):
    objects = []
    for i in range(40):
        labels = {"app": f"a{i}"}
        objects += [configmap(f"c{i}", a="x" * 500), deployment(f"d{i}", replicas=0),
                    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"s{i}", "labels": labels},
                     "spec": {"selector": labels, "ports": [{"port": 80}]}},
                    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"p{i}"}, "data": {"k": "dg=="}},
                    {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": f"u{i}"}}]
    text = to_yaml(*objects)
    assert k("apply", "-f", "-", stdin=text).count("created") == 200
    assert k("apply", "-f", "-", stdin=text).count("unchanged") == 200
    assert k("delete", "--wait=false", "-f", "-", stdin=text).count("deleted") == 200


def test_ten_thousand_config_maps(center, api, ns):
    lists, batch = [], 500
    for first in range(0, MANY, batch):
        many = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}}
        for i in range(first, first + batch):
            api.post(configmaps_path(ns), {**many, "metadata": {"name": f"m{i:05}", "labels": {"many": "yes"}}})
    query, token = {"labelSelector": "many=yes", "limit": "999"}, None
    while token != "":
        page = api.get(configmaps_path(ns), **query, **({"continue": token} if token else {}))
        lists += [m["metadata"]["name"] for m in page["items"]]
        token = page["metadata"].get("continue", "")
    assert lists == [f"m{i:05}" for i in range(MANY)]
    api.call("DELETE", configmaps_path(ns), query={"labelSelector": "many=yes"})
    assert api.items(configmaps_path(ns), labelSelector="many=yes") == []
