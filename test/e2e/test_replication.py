# SPDX-License-Identifier: Apache-2.0
"""ReplicationControllers, for those who still have them: kubectl makes, scales, shows, exposes and deletes them."""
import json

import pytest

from harness import is_ready, pod, pods_path, until

pytestmark = pytest.mark.usefixtures("edge")


def controller(name, replicas, **spec):
    p = pod("template", "sleep 100000")
    return {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": name},
            "spec": {"replicas": replicas, "template": {"metadata": {"labels": {"app": name}}, "spec": p["spec"]}, **spec}}


def rcs(ns, name=""):
    return f"/api/v1/namespaces/{ns}/replicationcontrollers" + (f"/{name}" if name else "")


def test_a_controller_keeps_its_number_of_pods(kk, api, ns):
    kk.create(controller("web", 2))
    made = api.get(rcs(ns, "web"))
    assert made["spec"]["selector"] == {"app": "web"} and made["metadata"]["labels"] == {"app": "web"}
    until("two pods are ready", lambda: api.get(rcs(ns, "web"))["status"].get("readyReplicas") == 2)
    pods = api.items(pods_path(ns))
    assert all(p["metadata"]["name"].startswith("web-") and is_ready(p) for p in pods)
    assert {p["metadata"]["ownerReferences"][0]["kind"] for p in pods} == {"ReplicationController"}
    shown = kk("get", "all")
    assert "replicationcontroller/web   2         2         2" in shown
    assert "CONTAINERS" in kk("get", "rc", "-o", "wide") and "app=web" in kk("get", "rc", "-o", "wide")
    assert "scaled" in kk("scale", "rc", "web", "--replicas=1")
    until("one pod is left", lambda: len(api.items(pods_path(ns))) == 1)
    scale = api.get(rcs(ns, "web") + "/scale")
    assert scale["kind"] == "Scale" and scale["spec"] == {"replicas": 1} and scale["status"]["selector"] == "app=web"
    told = kk("describe", "rc", "web")
    assert "Replicas:     1 current / 1 desired" in told and "SuccessfulCreate" in told and "SuccessfulDelete" in told
    assert "exposed" in kk("expose", "rc", "web", "--port=80")
    assert kk.json("get", "service", "web")["spec"]["selector"] == {"app": "web"}
    api.delete(pods_path(ns, api.items(pods_path(ns))[0]["metadata"]["name"]))
    until("another pod takes its place", lambda: any(is_ready(p) and "deletionTimestamp" not in p["metadata"]
                                                     for p in api.items(pods_path(ns))))
    kk("autoscale", "rc", "web", "--min=1", "--max=2")
    assert "web" in kk("get", "hpa")
    assert "deleted" in kk("delete", "rc", "web", "--cascade=foreground" if kk.binary == "kubectl" else "--cascade=true")
    until("its pods are gone", lambda: not api.items(pods_path(ns)))


def test_what_is_wrong_is_refused_in_known_words(k):
    bad = controller("Bad", -1, selector={"app": "other"})
    bad["spec"]["template"]["spec"]["restartPolicy"] = "Never"
    out = k.fails("create", "-f", "-", stdin=json.dumps(bad))
    for text in ('The ReplicationController "Bad" is invalid', "metadata.name: Invalid value",
                 "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                 "`selector` does not match template `labels`",
                 'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'):
        assert text in out, (text, out)
    empty = controller("empty", 1)
    del empty["spec"]["template"]
    out = k.fails("create", "-f", "-", stdin=json.dumps(empty))
    assert "spec.selector: Required value" in out and "spec.template: Required value" in out


def test_quotas_and_budgets_know_controllers(k, api, ns):
    k("create", "quota", "few", "--hard=replicationcontrollers=1")
    k.create(controller("one", 0))
    out = k.fails("create", "-f", "-", stdin=json.dumps(controller("two", 0)))
    assert "exceeded quota: few, requested: replicationcontrollers=1, used: replicationcontrollers=1, limited: " in out
    until("the quota counts it", lambda: k.json("get", "quota", "few")["status"]["used"] == {"replicationcontrollers": "1"})
    k("create", "pdb", "half", "--selector=app=one", "--min-available=50%")
    k("scale", "rc", "one", "--replicas=2")
    until("the budget counts the pods", lambda: k.json("get", "pdb", "half")["status"].get("expectedPods") == 2 and
          k.json("get", "pdb", "half")["status"]["currentHealthy"] == 2)
