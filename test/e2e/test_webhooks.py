# SPDX-License-Identifier: Apache-2.0
"""Admission webhooks: servers of others that change and refuse objects."""
import pytest

from harness import ApiError, configmap, configmaps_path, deployment, deployments_path, until
from hooks import HookServer, json_patch

GROUP = "/apis/admissionregistration.k8s.io/v1"


@pytest.fixture(scope="module")
def hooks(tmp_path_factory):
    with HookServer(tmp_path_factory.mktemp("hooks")) as server:
        yield server


@pytest.fixture
def configure(api, ns):
    """configure("Validating", name, hook...) makes a configuration for this test's namespace alone."""
    made = []

    def make(kind, name, *entries):
        plural = kind.lower() + "webhookconfigurations"
        body = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind + "WebhookConfiguration",
                "metadata": {"name": f"{ns}-{name}"}, "webhooks": list(entries)}
        for entry in entries:
            entry.setdefault("namespaceSelector", {"matchLabels": {"kubernetes.io/metadata.name": ns}})
        api.post(f"{GROUP}/{plural}", body)
        made.append(f"{GROUP}/{plural}/{ns}-{name}")

    yield make
    for path in made:
        api.delete(path)


def hook(name, client_config, operations=("CREATE",), resources=("configmaps",), groups=("",), **more):
    return {"name": name, "clientConfig": client_config, "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "rules": [{"operations": list(operations), "apiGroups": list(groups), "apiVersions": ["v1"],
                       "resources": list(resources)}], **more}


def test_a_refusal_is_told_in_the_hooks_words(hooks, configure, k, api, ns):
    hooks.on("/deny", lambda r: {"allowed": "good" in r["object"]["data"],
                                 "status": {"message": "only good maps", "code": 403}})
    configure("Validating", "deny", hook("deny.example.com", hooks.client_config("/deny")))
    out = k.fails("create", "configmap", "bad", "--from-literal=a=b")
    assert 'admission webhook "deny.example.com" denied the request: only good maps' in out
    assert "bad" not in [m["metadata"]["name"] for m in api.items(configmaps_path(ns))]
    assert "created" in k("create", "configmap", "fine", "--from-literal=good=b")
    request = hooks.requests("/deny")[-1]
    assert request["operation"] == "CREATE" and request["namespace"] == ns and request["name"] == "fine"
    assert request["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert "system:masters" in request["userInfo"]["groups"] and request["oldObject"] is None


def test_mutating_hooks_run_in_order_and_see_each_others_changes(hooks, configure, api, ns):
    hooks.on("/first", lambda r: json_patch({"op": "add", "path": "/data/first", "value": "1"}))
    hooks.on("/second", lambda r: json_patch({"op": "add", "path": "/data/second", "value": r["object"]["data"]["first"] + "2"}))
    configure("Mutating", "b", hook("second.example.com", hooks.client_config("/second")))
    configure("Mutating", "a", hook("first.example.com", hooks.client_config("/first")))
    assert api.post(configmaps_path(ns), configmap("m", a="0"))["data"] == {"a": "0", "first": "1", "second": "12"}


def test_a_hook_that_wishes_it_sees_later_changes(hooks, configure, api, ns):
    hooks.on("/early", lambda r: json_patch({"op": "add", "path": "/data/seen", "value": str("late" in r["object"]["data"])}))
    hooks.on("/late", lambda r: json_patch({"op": "add", "path": "/data/late", "value": "x"}))
    configure("Mutating", "m", hook("early.example.com", hooks.client_config("/early"), reinvocationPolicy="IfNeeded"),
              hook("late.example.com", hooks.client_config("/late")))
    assert api.post(configmaps_path(ns), configmap("m", a="0"))["data"]["seen"] == "True"
    assert len(hooks.requests("/late")) == 1


def test_updates_patches_and_deletions_show_the_old_object(hooks, configure, api, ns):
    hooks.on("/log", lambda r: {"allowed": True})
    configure("Validating", "log", hook("log.example.com", hooks.client_config("/log"), ("UPDATE", "DELETE")))
    api.post(configmaps_path(ns), configmap("m", a="0"))
    api.patch(configmaps_path(ns, "m"), {"data": {"a": "1"}})
    api.delete(configmaps_path(ns, "m"))
    patch, delete = hooks.requests("/log")
    assert patch["oldObject"]["data"] == {"a": "0"} and patch["object"]["data"] == {"a": "1"}
    assert delete["operation"] == "DELETE" and delete["object"] is None and delete["oldObject"]["data"] == {"a": "1"}


def test_a_patch_survives_a_change_made_while_the_hook_was_asked(hooks, configure, center, api, ns):
    other = center.api()
    api.post(configmaps_path(ns), configmap("m", a="0", b="0"))

    def meddle(request):
        if request["object"]["data"].get("b") == "1" and request["oldObject"]["data"].get("c") is None:
            other.patch(configmaps_path(ns, "m"), {"data": {"c": "1"}})
        return {"allowed": True}

    hooks.on("/meddle", meddle)
    configure("Validating", "meddle", hook("meddle.example.com", hooks.client_config("/meddle"), ("UPDATE",)))
    assert api.patch(configmaps_path(ns, "m"), {"data": {"b": "1"}})["data"] == {"a": "0", "b": "1", "c": "1"}


def test_a_hook_that_fails_refuses_unless_failures_are_ignored(hooks, configure, k, api, ns):
    hooks.on("/broken", lambda r: 500)
    configure("Validating", "strict", hook("strict.example.com", hooks.client_config("/broken"), resources=("secrets",)))
    configure("Validating", "lenient", hook("lenient.example.com", hooks.client_config("/broken"), failurePolicy="Ignore"))
    configure("Validating", "dead", hook("dead.example.com", {"url": "https://127.0.0.1:1/x"}, failurePolicy="Ignore"))
    assert "created" in k("create", "configmap", "m")
    out = k.fails("create", "secret", "generic", "s")
    assert 'failed calling webhook "strict.example.com": failed to call webhook: Post "https://127.0.0.1:' in out


def test_a_hook_with_another_certificate_is_not_believed(hooks, configure, k, tmp_path):
    with HookServer(tmp_path) as other:
        config = {**hooks.client_config("/x"), "caBundle": other.client_config("/x")["caBundle"]}
    configure("Validating", "wrong", hook("wrong.example.com", config))
    assert "certificate" in k.fails("create", "configmap", "m")


def test_selectors_decide_which_objects_a_hook_sees(hooks, configure, api, ns):
    hooks.on("/no", lambda r: {"allowed": False})
    configure("Validating", "no", hook("no.example.com", hooks.client_config("/no"), groups=("", "apps"),
                                       resources=("configmaps", "deployments/scale"), operations=("*",),
                                       objectSelector={"matchLabels": {"guard": "on"}}))
    body = configmap("m")
    api.post(configmaps_path(ns), body)
    body["metadata"] = {"name": "guarded", "labels": {"guard": "on"}}
    with pytest.raises(ApiError) as refused:
        api.post(configmaps_path(ns), body)
    assert refused.value.status == 403


def test_a_dry_run_calls_only_hooks_without_side_effects(hooks, configure, k):
    hooks.on("/pure", lambda r: json_patch({"op": "add", "path": "/metadata/labels", "value": {"dry": str(r["dryRun"])}}))
    configure("Mutating", "pure", hook("pure.example.com", hooks.client_config("/pure")))
    assert "dry: \"True\"" in k("create", "configmap", "m", "--dry-run=server", "-o", "yaml")
    configure("Mutating", "dirty", {**hook("dirty.example.com", hooks.client_config("/pure")), "sideEffects": "NoneOnDryRun"})
    assert "dry: \"True\"" in k("create", "configmap", "m", "--dry-run=server", "-o", "yaml")


def test_warnings_reach_the_user(hooks, configure, k):
    hooks.on("/warn", lambda r: {"allowed": True, "warnings": ["mind the gap"]})
    configure("Validating", "warn", hook("warn.example.com", hooks.client_config("/warn")))
    assert "Warning: mind the gap" in k.result("create", "configmap", "m", "--from-literal=a=b").err


def test_controllers_pass_through_hooks_as_well(hooks, configure, api, ns):
    hooks.on("/stamp", lambda r: json_patch({"op": "add", "path": "/metadata/labels/stamped", "value": "yes"}))
    configure("Mutating", "stamp", hook("stamp.example.com", hooks.client_config("/stamp"), groups=("apps",), resources=("replicasets",)))
    api.post(deployments_path(ns), deployment("d", replicas=0))
    sets = f"/apis/apps/v1/namespaces/{ns}/replicasets"
    until("the replica set is stamped", lambda: [s["metadata"]["labels"].get("stamped") for s in api.items(sets)] == ["yes"])
