# SPDX-License-Identifier: Apache-2.0
"""Server-side apply and managed fields with kubectl, and what stands beside it: diff, edit, replace, patch, prune."""
import json
import stat

import pytest
import yaml

from harness import ApiError, configmap, configmaps_path, deployment, deployments_path, to_yaml

CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1"}}


def with_data(**data):
    return to_yaml({**CONFIG, "data": data})


def managers(api, path):
    """{(manager, operation, subresource): fieldsV1}"""
    fields = api.get(path)["metadata"].get("managedFields", [])
    return {(f["manager"], f["operation"], f.get("subresource", "")): f["fieldsV1"] for f in fields}


def apply(k, text, *args):
    return k("apply", "--server-side", *args, "-f", "-", stdin=text)


def test_apply_creates_changes_and_says_unchanged(kk, api, ns):
    assert apply(kk, with_data(a="1")) == "configmap/m serverside-applied\n"
    version = api.get(configmaps_path(ns, "m"))["metadata"]["resourceVersion"]
    apply(kk, with_data(a="1"))
    assert api.get(configmaps_path(ns, "m"))["metadata"]["resourceVersion"] == version
    apply(kk, with_data(b="2"))
    assert api.get(configmaps_path(ns, "m"))["data"] == {"b": "2"}
    assert managers(api, configmaps_path(ns, "m")) == {("kubectl", "Apply", ""): {"f:data": {"f:b": {}}}}


def test_two_managers_conflict_share_and_take_over(kk, api, ns):
    apply(kk, with_data(a="1"))
    apply(kk, with_data(b="1"), "--field-manager=other")
    result = kk.result("apply", "--server-side", "--field-manager=other", "-f", "-", stdin=with_data(a="2", b="1"))
    assert result.code != 0
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .data.a' in result.err
    apply(kk, with_data(a="1", b="1"), "--field-manager=other")
    assert managers(api, configmaps_path(ns, "m"))[("kubectl", "Apply", "")] == {"f:data": {"f:a": {}}}
    apply(kk, with_data(a="2", b="1"), "--field-manager=other", "--force-conflicts")
    assert api.get(configmaps_path(ns, "m"))["data"] == {"a": "2", "b": "1"}
    assert ("kubectl", "Apply", "") not in managers(api, configmaps_path(ns, "m"))


def test_updates_take_what_they_change(k, api, ns):
    apply(k, with_data(a="1", b="1"))
    k("patch", "configmap", "m", "--type=merge", "-p", '{"data":{"a":"9"}}')
    owned = managers(api, configmaps_path(ns, "m"))
    assert owned[("kubectl-patch", "Update", "")] == {"f:data": {"f:a": {}}}
    assert owned[("kubectl", "Apply", "")] == {"f:data": {"f:b": {}}}
    err = k.result("apply", "--server-side", "-f", "-", stdin=with_data(a="1", b="1")).err
    assert 'conflict with "kubectl-patch" using v1: .data.a' in err


def test_a_dry_run_changes_nothing(kk, api, ns):
    apply(kk, with_data(a="1"))
    assert "(server dry run)" in apply(kk, with_data(a="2"), "--dry-run=server")
    assert api.get(configmaps_path(ns, "m"))["data"] == {"a": "1"}


def test_client_side_apply_becomes_server_side_apply(k, api, ns):
    path = deployments_path(ns, "d")
    text = to_yaml(deployment("d", replicas=0))
    k("apply", "-f", "-", stdin=text)
    assert ("kubectl-client-side-apply", "Update", "") in managers(api, path)
    apply(k, text)
    assert not [m for m, _, _ in managers(api, path) if m == "kubectl-client-side-apply"]
    changed = deployment("d", replicas=0)
    changed["spec"]["minReadySeconds"] = 5
    apply(k, to_yaml(changed))
    apply(k, text)
    assert "minReadySeconds" not in api.get(path)["spec"]


def test_lists_merge_by_their_keys(k, api, ns):
    one = deployment("d", replicas=0)
    apply(k, to_yaml(one), "--field-manager=app")
    env = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
           "spec": {"template": {"spec": {"containers": [{"name": one["spec"]["template"]["spec"]["containers"][0]["name"],
                                                          "env": [{"name": "A", "value": "1"}]}]}}}}
    apply(k, to_yaml(env), "--field-manager=env")
    found = api.get(deployments_path(ns, "d"))["spec"]["template"]["spec"]["containers"]
    assert len(found) == 1 and found[0]["env"] == [{"name": "A", "value": "1"}] and found[0]["image"]
    del env["spec"]["template"]["spec"]["containers"][0]["env"]
    apply(k, to_yaml(env), "--field-manager=env")
    assert "env" not in api.get(deployments_path(ns, "d"))["spec"]["template"]["spec"]["containers"][0]


def test_unknown_fields_are_refused(k):
    err = k.result("apply", "--server-side", "--validate=false", "-f", "-", stdin=to_yaml({**CONFIG, "dota": {"a": "1"}})).err
    assert "field not declared in schema" in err


def test_fields_are_shown_when_asked_for(kk):
    apply(kk, with_data(a="1"))
    shown = [] if kk.old else ["--show-managed-fields"]  # kubectl 1.20 always shows them
    assert "f:a: {}" in kk("get", "configmap", "m", "-o", "yaml", *shown)
    assert kk.old or "managedFields" not in kk("get", "configmap", "m", "-o", "yaml")


def test_an_apply_without_a_manager_is_refused(api, ns):
    with pytest.raises(ApiError) as refused:
        api.call("PATCH", configmaps_path(ns, "m"), json.dumps(CONFIG), {"Content-Type": "application/apply-patch+yaml"})
    assert refused.value.status == 422 and "fieldManager: Required value" in refused.value.body["message"]


def test_status_is_applied_through_its_subresource(api, ns):
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": ns}}
    api.post("/api/v1/nodes", node)
    body = {**node, "spec": {"podCIDR": "10.1.0.0/24"}, "status": {"phase": "Running"}}
    found = api.call("PATCH", f"/api/v1/nodes/{ns}/status", json.dumps(body),
                     {"Content-Type": "application/apply-patch+yaml"}, {"fieldManager": "me"})
    assert found["status"]["phase"] == "Running" and "podCIDR" not in found.get("spec", {})
    assert managers(api, f"/api/v1/nodes/{ns}")[("me", "Apply", "status")] == {"f:status": {"f:phase": {}}}
    api.delete(f"/api/v1/nodes/{ns}")


def test_managed_fields_can_be_emptied(api, ns):
    api.post(configmaps_path(ns), configmap("m", a="1"))
    api.patch(configmaps_path(ns, "m"), {"metadata": {"managedFields": [{}]}})
    assert managers(api, configmaps_path(ns, "m")) == {}


def test_diff_shows_what_apply_would_do(kk):
    kk("apply", "-f", "-", stdin=with_data(a="1"))
    result = kk.result("diff", "-f", "-", stdin=with_data(a="2"))
    assert result.code == 1 and "-  a: \"1\"" in result.out and "+  a: \"2\"" in result.out
    assert kk.result("diff", "-f", "-", stdin=with_data(a="1")).code == 0


def test_server_side_diff(k):
    apply(k, with_data(a="1"))
    result = k.result("diff", "--server-side", "-f", "-", stdin=with_data(a="2"))
    assert result.code == 1 and "+  a: \"2\"" in result.out


@pytest.fixture
def editor(tmp_path):
    """An editor that replaces a text."""
    script = tmp_path / "editor"
    script.write_text("#!/bin/sh\nsed -i 's/before/after/' \"$1\"\n")
    script.chmod(script.stat().st_mode | stat.S_IEXEC)
    return {"KUBE_EDITOR": str(script)}


def test_edit_with_an_editor(kk, api, ns, editor):
    kk("create", "configmap", "m", "--from-literal=a=before")
    assert "edited" in kk("edit", "configmap", "m", env=editor)
    assert api.get(configmaps_path(ns, "m"))["data"] == {"a": "after"}


def test_last_applied_is_viewed_and_set(kk, api, ns):
    kk("apply", "-f", "-", stdin=with_data(a="1"))
    assert yaml.safe_load(kk("apply", "view-last-applied", "configmap", "m"))["data"] == {"a": "1"}
    kk("apply", "set-last-applied", "-f", "-", stdin=with_data(a="1", b="2"))
    assert yaml.safe_load(kk("apply", "view-last-applied", "configmap", "m"))["data"] == {"a": "1", "b": "2"}
    assert api.get(configmaps_path(ns, "m"))["data"] == {"a": "1"}


def test_prune_removes_what_is_no_longer_applied(k, api, ns):
    def labelled(name):
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"app": "p"}}, "data": {"a": "1"}}

    k("apply", "-f", "-", stdin=to_yaml(labelled("one"), labelled("two")))
    out = k("apply", "--prune", "-l", "app=p", "--prune-allowlist=core/v1/ConfigMap", "-f", "-", stdin=to_yaml(labelled("one")))
    assert "configmap/two pruned" in out
    assert [m["metadata"]["name"] for m in api.items(configmaps_path(ns), labelSelector="app=p")] == ["one"]


def test_replace_and_its_force(kk, api, ns):
    kk("create", "configmap", "m", "--from-literal=a=1")
    uid = api.get(configmaps_path(ns, "m"))["metadata"]["uid"]
    assert "replaced" in kk("replace", "-f", "-", stdin=with_data(a="2"))
    assert api.get(configmaps_path(ns, "m"))["metadata"]["uid"] == uid
    assert "replaced" in kk("replace", "--force", "-f", "-", stdin=with_data(a="3"))
    assert api.get(configmaps_path(ns, "m"))["metadata"]["uid"] != uid


def test_patches_of_all_types(kk, api, ns):
    kk("create", "configmap", "m", "--from-literal=a=1")
    kk("patch", "configmap", "m", "--type=strategic", "-p", '{"data":{"b":"2"}}')
    kk("patch", "configmap", "m", "--type=merge", "-p", '{"data":{"a":null}}')
    kk("patch", "configmap", "m", "--type=json", "-p", '[{"op":"add","path":"/data/c","value":"3"}]')
    assert api.get(configmaps_path(ns, "m"))["data"] == {"b": "2", "c": "3"}
    assert "(no change)" in kk("patch", "configmap", "m", "--type=merge", "-p", '{"data":{"c":"3"}}')


def test_kubectl_goes_on_from_a_client_side_apply_it_does_not_own(kk, api, ns):
    kk("apply", "-f", "-", stdin=with_data(a="1"))
    taken = apply(kk, with_data(a="2"))  # no --force-conflicts: the annotation says that it was kubectl's
    assert taken == "configmap/m serverside-applied\n"
    found = api.get(configmaps_path(ns, "m"))
    assert found["data"] == {"a": "2"}
    last = json.loads(found["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"])
    assert last["data"] == {"a": "2"}
    assert kk("apply", "-f", "-", stdin=with_data(b="3"))
    assert api.get(configmaps_path(ns, "m"))["data"] == {"b": "3"}


def test_options_of_writes_are_checked(api, ns):
    api.post(configmaps_path(ns), configmap("m", a="1"))
    for query, text in (({"fieldManager": "x" * 129}, "fieldManager: Too long: may not be more than 128 bytes"),
                        ({"fieldManager": "a\tb"}, "should only contain printable characters"),
                        ({"force": "true"}, "force: Forbidden: may not be specified for non-apply patch")):
        with pytest.raises(ApiError) as refused:
            api.call("PATCH", configmaps_path(ns, "m"), json.dumps({"data": {"a": "2"}}),
                     {"Content-Type": "application/merge-patch+json"}, query)
        assert refused.value.status == 422 and text in refused.value.body["message"]
        assert refused.value.body["message"].startswith('PatchOptions.meta.k8s.io "" is invalid: ')
    assert api.get(configmaps_path(ns, "m"))["data"] == {"a": "1"}


def test_the_python_client_applies(center, api, ns):
    import kubernetes
    from kubernetes import dynamic

    client = kubernetes.config.new_client_from_config(str(center.kubeconfig))
    configmaps = dynamic.DynamicClient(client).resources.get(api_version="v1", kind="ConfigMap")
    configmaps.server_side_apply(with_data(a="1"), "m", ns, field_manager="one")
    with pytest.raises(dynamic.exceptions.ConflictError) as refused:
        configmaps.server_side_apply(with_data(a="2"), "m", ns, field_manager="two")
    assert refused.value.status == 409
    cause = json.loads(refused.value.body)["details"]["causes"][0]
    assert cause == {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.a"}
    taken = configmaps.server_side_apply(with_data(a="2"), "m", ns, field_manager="two", force_conflicts=True)
    assert taken.data.a == "2"
    assert managers(api, configmaps_path(ns, "m")) == {("two", "Apply", ""): {"f:data": {"f:a": {}}}}
