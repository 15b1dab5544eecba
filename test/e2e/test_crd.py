# SPDX-License-Identifier: Apache-2.0
"""Custom kinds: definitions and their objects, as people, operators and client libraries use them."""
import copy
import json

import pytest

from harness import ApiError, configmap, condition, configmaps_path, until
from hooks import HookServer

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(group, plural="crontabs", kind="CronTab", versions=None, scope="Namespaced", **spec):
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {"group": group, "scope": scope, "versions": versions,
                     "names": {"plural": plural, "kind": kind, **spec.pop("names", {})}, **spec}}


def version(name="v1", schema=None, served=True, storage=True, **more):
    return {"name": name, "served": served, "storage": storage,
            "schema": {"openAPIV3Schema": schema or {"type": "object"}}, **more}


def obj(properties, **more):
    return {"type": "object", "properties": properties, **more}


CRON_SPEC = obj({
    "cronSpec": {"type": "string", "description": "When it runs.",
                 "pattern": r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$"},
    "image": {"type": "string"},
    "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 2},
    "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
    "port": {"x-kubernetes-int-or-string": True},
    "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
    "extra": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
}, description="What is wanted.", required=["cronSpec"])
CRON_SPEC["x-kubernetes-validations"] = [
    {"rule": "self.replicas < 9 || self.mode == 'b'", "message": "nine need mode b"},
    {"rule": "!has(oldSelf.image) || self.image == oldSelf.image", "fieldPath": ".image",
     "reason": "FieldValueForbidden", "message": "image is immutable"}]

CRON_STATUS = obj({
    "replicas": {"type": "integer"}, "labelSelector": {"type": "string"},
    "conditions": {"type": "array", "items": obj({"type": {"type": "string"},
                                                  "status": {"type": "string"}})}})

CRON_VERSION = version(
    schema=obj({"spec": CRON_SPEC, "status": CRON_STATUS}, required=["spec"], description="A job at times."),
    subresources={"status": {}, "scale": {"specReplicasPath": ".spec.replicas",
                                          "statusReplicasPath": ".status.replicas",
                                          "labelSelectorPath": ".status.labelSelector"}},
    selectableFields=[{"jsonPath": ".spec.image"}],
    additionalPrinterColumns=[
        {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"},
        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}])


def cron(group, name, labels=None, **spec):
    return {"apiVersion": f"{group}/v1", "kind": "CronTab", "metadata": {"name": name, "labels": labels or {}},
            "spec": {"cronSpec": "* * * * */5", **spec}}


def cron_path(group, ns, name=""):
    return f"/apis/{group}/v1/namespaces/{ns}/crontabs" + (f"/{name}" if name else "")


@pytest.fixture
def install(api):
    """install(definition) makes a custom kind and waits for it; it goes when the test ends."""
    made = []

    def install(crd):
        name = crd["metadata"]["name"]
        api.post(CRDS, crd)
        made.append(name)
        until(f"{name} is established",
              lambda: condition(api.get(f"{CRDS}/{name}"), "Established").get("status") == "True")
        return crd

    yield install
    for name in made:
        if not api.gone(f"{CRDS}/{name}"):
            api.delete(f"{CRDS}/{name}")
        until(f"{name} is gone", lambda n=name: api.gone(f"{CRDS}/{n}"))


@pytest.fixture
def group(ns):
    """A group of this test's own."""
    return f"{ns}.example.com"


@pytest.fixture
def cron_kind(install, group):
    return install(definition(group, names={"shortNames": ["ct"], "categories": ["all"]}, versions=[CRON_VERSION]))


def resource(group):
    return f"crontabs.v1.{group}"


# ---------------------------------------------------------------- kubectl


def test_kubectl_makes_shows_changes_and_removes_custom_objects(client, kk, api, ns, group):
    crd = definition(group, names={"shortNames": ["ct"], "categories": ["all"]}, versions=[CRON_VERSION])
    name = crd["metadata"]["name"]
    assert "created" in client.apply(crd)
    client("wait", "--for", "condition=established", f"crd/{name}")
    assert "created" in kk.apply(cron(group, "one", {"a": "b"}, image="img", port=80, extra={"x": [1]}))
    assert "unchanged" in kk.apply(cron(group, "one", {"a": "b"}, image="img", port=80, extra={"x": [1]}))
    head, row = kk("get", resource(group)).splitlines()
    assert head.split() == ["NAME", "SPEC", "REPLICAS", "READY", "AGE"]
    assert row.split()[:-1] == ["one", "*", "*", "*", "*", "*/5", "2"]
    shown = kk.json("get", resource(group), "one")
    assert shown["spec"] == {"cronSpec": "* * * * */5", "image": "img", "port": 80, "extra": {"x": [1]},
                             "replicas": 2, "mode": "a"}
    assert "Cron Spec:  * * * * */5" in kk("describe", resource(group), "one")
    assert f"crontab.{group}/one" in kk("get", "all", "-o", "name")
    kk("scale", resource(group), "one", "--replicas=4")
    kk("label", resource(group), "one", "x=y")
    kk("patch", resource(group), "one", "--type=merge", "-p", '{"spec":{"tags":["t"]}}')
    now = kk.json("get", resource(group), "one")
    assert (now["spec"]["replicas"], now["spec"]["tags"], now["metadata"]["generation"]) == (4, ["t"], 3)
    explained = kk("explain", f"crontabs.spec", f"--api-version={group}/v1")
    assert "What is wanted." in explained and "cronSpec" in explained and "-required-" in explained
    assert "cronSpec" in kk("explain", "crontabs", "--recursive", f"--api-version={group}/v1")
    assert "deleted" in client("delete", "crd", name)
    assert api.gone(cron_path(group, ns, "one")) and api.gone(f"{CRDS}/{name}")


def test_short_names_selectors_and_an_editor(cron_kind, k, group, tmp_path):
    k.apply(cron(group, "one", {"a": "b"}, image="img"), cron(group, "two", image="other"))
    assert k("get", "ct", "-o", "name").split() == [f"crontab.{group}/one", f"crontab.{group}/two"]
    assert k("get", "ct", "-l", "a=b", "-o", "name").split() == [f"crontab.{group}/one"]
    assert k("get", "ct", "--field-selector=spec.image=other", "-o", "name").split() == [f"crontab.{group}/two"]
    assert "field label not supported: spec.mode" in k.fails("get", "ct", "--field-selector=spec.mode=a")
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nexec sed -i 's/mode: a/mode: b/' \"$1\"\n")
    editor.chmod(0o755)
    assert "edited" in k("edit", "ct", "one", env={"EDITOR": str(editor)})
    assert k("get", "ct", "one", "-o", "jsonpath={.spec.mode}") == "b"
    assert k.result("diff", "-f", "-", stdin=json.dumps(cron(group, "one", {"a": "b"}, image="img"))).code == 0


def test_wrong_objects_are_refused_in_kubernetes_words(cron_kind, k, api, ns, group):
    path = cron_path(group, ns)
    wrong = cron(group, "bad", replicas=20, mode="z", image=3, port=True, tags=["a", "a"])
    wrong["spec"]["cronSpec"] = "x"
    with pytest.raises(ApiError) as caught:
        api.post(path, wrong)
    assert caught.value.status == 422
    causes = {(c["field"], c["reason"], c["message"]) for c in caught.value.body["details"]["causes"]}
    pattern = CRON_SPEC["properties"]["cronSpec"]["pattern"]
    assert causes >= {
        ("spec.cronSpec", "FieldValueInvalid",
         f"Invalid value: \"x\": spec.cronSpec in body should match '{pattern}'"),
        ("spec.replicas", "FieldValueInvalid",
         "Invalid value: 20: spec.replicas in body should be less than or equal to 10"),
        ("spec.mode", "FieldValueNotSupported", 'Unsupported value: "z": supported values: "a", "b"'),
        ("spec.image", "FieldValueTypeInvalid",
         'Invalid value: "integer": spec.image in body must be of type string: "integer"'),
        ("spec.port", "FieldValueTypeInvalid",
         'Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"'),
        ("spec.tags[1]", "FieldValueDuplicate", 'Duplicate value: "a"')}
    with pytest.raises(ApiError) as caught:
        api.post(path, {"apiVersion": f"{group}/v1", "kind": "CronTab", "metadata": {"name": "bad"}})
    assert caught.value.body["message"].startswith(f'CronTab.{group} "bad" is invalid: [spec: Required value, ')
    assert caught.value.body["details"]["causes"][1]["message"] == (
        "Invalid value: null: some validation rules were not checked because the object was invalid; "
        "correct the existing errors to complete validation")
    assert api.gone(cron_path(group, ns, "bad"))


def test_unknown_members_are_pruned_with_a_warning_or_refused(cron_kind, k, api, ns, group):
    body = cron(group, "one", bogus=1)
    told = k.fails("create", "-f", "-", stdin=json.dumps(body))
    assert ('CronTab in version "v1" cannot be handled as a CronTab: strict decoding error: '
            'unknown field "spec.bogus"') in told
    done = k.result("create", "--validate=warn", "-f", "-", stdin=json.dumps(body))
    assert done.code == 0 and 'Warning: unknown field "spec.bogus"' in done.err
    assert "bogus" not in api.get(cron_path(group, ns, "one"))["spec"]
    body["metadata"]["name"] = "two"
    api.post(cron_path(group, ns), body, fieldValidation="Ignore")
    assert "bogus" not in api.get(cron_path(group, ns, "two"))["spec"]


def test_rules_see_the_new_object_and_the_old_one(cron_kind, api, ns, group):
    path = cron_path(group, ns)
    api.post(path, cron(group, "one", image="a"))
    for patch, told in [({"replicas": 9}, 'spec: Invalid value: "object": nine need mode b'),
                        ({"image": "b"}, "spec.image: Forbidden: image is immutable")]:
        with pytest.raises(ApiError) as caught:
            api.patch(f"{path}/one", {"spec": patch})
        assert caught.value.status == 422 and told in caught.value.body["message"]
    assert api.patch(f"{path}/one", {"spec": {"replicas": 9, "mode": "b"}})["spec"]["replicas"] == 9


def test_status_and_scale_are_parts_of_their_own(cron_kind, api, ns, group):
    path = cron_path(group, ns, "one")
    body = cron(group, "one")
    body["status"] = {"replicas": 7}
    made = api.post(cron_path(group, ns), body)
    assert "status" not in made
    seen = api.patch(f"{path}/status", {"spec": {"image": "no"}, "metadata": {"labels": {"no": "no"}},
                                        "status": {"replicas": 3, "labelSelector": "a=b"}})
    assert seen["status"] == {"replicas": 3, "labelSelector": "a=b"}
    assert "image" not in seen["spec"] and seen["metadata"]["generation"] == 1
    assert "no" not in seen["metadata"].get("labels", {})
    assert api.patch(path, {"status": {"replicas": 9}})["status"]["replicas"] == 3
    scale = api.get(f"{path}/scale")
    assert (scale["spec"], scale["status"]) == ({"replicas": 2}, {"replicas": 3, "selector": "a=b"})
    scale["spec"]["replicas"] = 5
    assert api.put(f"{path}/scale", scale)["spec"]["replicas"] == 5
    assert api.get(path)["metadata"]["generation"] == 2


def test_a_definition_is_refused_in_kubernetes_words(api, group):
    def refusal(crd):
        with pytest.raises(ApiError) as caught:
            api.post(CRDS, crd)
        assert caught.value.status == 422
        return caught.value.body["message"]

    assert "spec.validation.openAPIV3Schema.type: Required value: must not be empty at the root" in refusal(
        definition(group, versions=[version(schema={"properties": {}})]))
    assert "must have exactly one version marked as storage version" in refusal(
        definition(group, versions=[version(storage=False)]))
    wrong = definition(group, versions=[version()])
    wrong["metadata"]["name"] = f"others.{group}"
    assert ('metadata.name: Invalid value: "others.' in (told := refusal(wrong))
            and 'must be spec.names.plural+"."+spec.group' in told)
    told = refusal(definition(group, versions=[version(schema=obj({"a": {"type": "int"}, "b": {}, "c": {
        "type": "integer", "default": "x"}}))]))
    assert 'properties[a].type: Unsupported value: "int"' in told
    assert "properties[b].type: Required value: must not be empty for specified object fields" in told
    assert "properties[c].default: Invalid value" in told
    told = refusal(definition(group, versions=[version(schema=obj({"spec": obj(
        {"n": {"type": "integer"}}, **{"x-kubernetes-validations": [{"rule": "self.m > 1"}]})}))]))
    assert "x-kubernetes-validations[0].rule" in told and "undefined field 'm'" in told


def test_a_taken_name_is_not_accepted_until_it_is_free(install, api, group):
    install(definition(group, names={"shortNames": ["ct"]}, versions=[version()]))
    other = definition(group, plural="cronies", kind="CronTab", versions=[version()])
    name = other["metadata"]["name"]
    api.post(CRDS, other)
    refused = until("the names are not accepted",
                    lambda: next((c for c in api.get(f"{CRDS}/{name}").get("status", {}).get("conditions", [])
                                  if c["type"] == "NamesAccepted" and c["status"] == "False"), None))
    assert (refused["reason"], refused["message"]) == ("ListKindConflict", '"CronTabList" is already in use')
    assert api.gone(f"/apis/{group}/v1/cronies")
    api.delete(f"{CRDS}/crontabs.{group}")
    until("the names are free", lambda: condition(api.get(f"{CRDS}/{name}"), "Established").get("status") == "True")
    assert api.items(f"/apis/{group}/v1/cronies") == []
    api.delete(f"{CRDS}/{name}")
    until("it is gone", lambda: api.gone(f"{CRDS}/{name}"))


# ---------------------------------------------------------------- versions


def test_versions_without_a_webhook_differ_in_their_name_alone(install, api, ns, group):
    schema = obj({"spec": obj({"n": {"type": "integer", "default": 1}})})
    crd = install(definition(group, versions=[version("v1", schema, storage=False, deprecated=True),
                                              version("v2", schema)]))
    path = f"/apis/{group}/%s/namespaces/{ns}/crontabs"
    made = api.post(path % "v1", {"metadata": {"name": "one"}, "spec": {}})
    assert made["apiVersion"] == f"{group}/v1" and made["spec"] == {"n": 1}
    assert api.get(path % "v2" + "/one")["apiVersion"] == f"{group}/v2"
    assert [o["apiVersion"] for o in api.items(path % "v1")] == [f"{group}/v1"]
    status, headers, _ = api.raw("GET", path % "v1" + "/one")
    assert f"{group}/v1 CronTab is deprecated" in dict(headers).get("Warning", dict(headers).get("warning", ""))
    groups = api.get(f"/apis/{group}")
    assert [v["version"] for v in groups["versions"]] == ["v2", "v1"]
    # A default that comes later is there for objects that were written before.
    crd = api.get(f"{CRDS}/crontabs.{group}")
    for v in crd["spec"]["versions"]:
        v["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["later"] = {"type": "string",
                                                                                       "default": "x"}
    crd["spec"]["versions"][0]["served"] = False
    api.put(f"{CRDS}/crontabs.{group}", crd)
    until("v1 is not served any more", lambda: api.raw("GET", path % "v1")[0] == 404)
    assert api.get(path % "v2" + "/one")["spec"] == {"n": 1, "later": "x"}
    assert api.items(path % "v2")[0]["spec"] == {"n": 1, "later": "x"}


def convert(request):
    """hostPort of v1 is host and port in v2."""
    objects = []
    for o in copy.deepcopy(request["objects"]):
        spec = o["spec"]
        if request["desiredAPIVersion"].endswith("/v2"):
            host, port = spec["hostPort"].split(":")
            o["spec"] = {"host": host, "port": port}
        else:
            o["spec"] = {"hostPort": f"{spec['host']}:{spec['port']}"}
        o["apiVersion"] = request["desiredAPIVersion"]
        objects.append(o)
    return {"result": {"status": "Success"}, "convertedObjects": objects}


def test_a_webhook_converts_reads_writes_lists_and_watches(install, api, ns, group, tmp_path):
    text = {"type": "string"}
    with HookServer(tmp_path) as hooks:
        hooks.on("/convert", convert)
        install(definition(group, plural="hosts", kind="Host", versions=[
            version("v1", obj({"spec": obj({"hostPort": text})})),
            version("v2", obj({"spec": obj({"host": text, "port": text}, required=["host"])}), storage=False)],
            conversion={"strategy": "Webhook", "webhook": {
                "conversionReviewVersions": ["v1"], "clientConfig": hooks.client_config("/convert")}}))
        v1, v2 = (f"/apis/{group}/{v}/namespaces/{ns}/hosts" for v in ("v1", "v2"))
        api.post(v1, {"metadata": {"name": "a"}, "spec": {"hostPort": "h:1"}})
        made = api.post(v2, {"metadata": {"name": "b"}, "spec": {"host": "x", "port": "2"}})
        assert made["apiVersion"] == f"{group}/v2" and made["spec"] == {"host": "x", "port": "2"}
        assert api.get(f"{v1}/b")["spec"] == {"hostPort": "x:2"}
        assert [o["spec"] for o in api.items(v2)] == [{"host": "h", "port": "1"}, {"host": "x", "port": "2"}]
        with pytest.raises(ApiError) as caught:
            api.patch(f"{v2}/a", {"spec": {"host": None}})
        assert "spec.host: Required value" in caught.value.body["message"]
        assert api.patch(f"{v2}/a", {"spec": {"port": "9"}})["spec"] == {"host": "h", "port": "9"}
        assert api.get(f"{v1}/a")["spec"] == {"hostPort": "h:9"}
        events = api.watch(v2, resourceVersion="0", timeoutSeconds="30")
        assert [next(events)["object"]["spec"]["port"] for _ in range(2)] == ["9", "2"]
        api.patch(f"{v1}/b", {"spec": {"hostPort": "w:7"}})
        event = next(events)
        assert event["type"] == "MODIFIED" and event["object"]["spec"] == {"host": "w", "port": "7"}
        hooks.on("/convert", lambda r: {"result": {"status": "Failed", "message": "no such host"}})
        with pytest.raises(ApiError) as caught:
            api.get(f"{v2}/a")
        assert caught.value.status == 500
        assert caught.value.body["message"] == (
            f"conversion webhook for {group}/v1, Kind=Host failed: no such host")
        assert api.get(f"{v1}/a")["spec"] == {"hostPort": "h:9"}


# ---------------------------------------------------------------- controllers and crashes


def test_owners_and_namespaces_take_custom_objects_along(cron_kind, api, ns, group):
    path = cron_path(group, ns)
    owner = api.post(path, cron(group, "owner"))
    ref = {"apiVersion": f"{group}/v1", "kind": "CronTab", "name": "owner", "uid": owner["metadata"]["uid"]}
    owned = configmap("owned")
    owned["metadata"]["ownerReferences"] = [ref]
    api.post(configmaps_path(ns), owned)
    child = cron(group, "child")
    child["metadata"]["ownerReferences"] = [ref]
    api.post(path, child)
    api.delete(f"{path}/owner", {"propagationPolicy": "Foreground"})
    until("the dependents go, then the owner", lambda: api.gone(f"{path}/owner"))
    assert api.gone(f"{path}/child") and api.gone(f"{configmaps_path(ns)}/owned")
    api.post(path, cron(group, "last"))
    api.delete(f"/api/v1/namespaces/{ns}")
    until("the namespace is gone", lambda: api.gone(f"/api/v1/namespaces/{ns}"))
    assert api.items(f"/apis/{group}/v1/crontabs") == []


def test_custom_objects_outlive_a_kill(own_host):
    center = own_host.center().start()
    api, group = center.api(), "killed.example.com"
    api.post(CRDS, definition(group, versions=[CRON_VERSION]))
    until("it is served", lambda: api.raw("GET", f"/apis/{group}/v1/crontabs")[0] == 200)
    made = api.post(cron_path(group, "default"), cron(group, "one", {"a": "b"}, image="img"))
    center.kill()
    center.start()
    api = center.api()
    assert api.get(cron_path(group, "default", "one")) == made
    selected = api.items(f"/apis/{group}/v1/crontabs", labelSelector="a=b", fieldSelector="spec.image=img")
    assert [o["metadata"]["name"] for o in selected] == ["one"]
    with pytest.raises(ApiError) as caught:
        api.post(cron_path(group, "default"), cron(group, "two", replicas=99))
    assert caught.value.status == 422


# ---------------------------------------------------------------- Python


def test_python_clients_work_with_custom_objects(cron_kind, center, ns, group):
    import kubernetes
    from kubernetes import dynamic

    client = kubernetes.config.new_client_from_config(str(center.kubeconfig))
    custom = kubernetes.client.CustomObjectsApi(client)
    where = (group, "v1", ns, "crontabs")
    custom.create_namespaced_custom_object(*where, cron(group, "one"))
    custom.patch_namespaced_custom_object(*where, "one", {"spec": {"image": "p"}})
    custom.patch_namespaced_custom_object_status(*where, "one", {"status": {"replicas": 1}})
    seen = custom.get_namespaced_custom_object(*where, "one")
    assert seen["spec"]["image"] == "p" and seen["status"] == {"replicas": 1}
    kinds = dynamic.DynamicClient(client).resources.get(api_version=f"{group}/v1", kind="CronTab")
    kinds.create(body=cron(group, "two", {"x": "y"}), namespace=ns)
    assert [o.metadata.name for o in kinds.get(namespace=ns, label_selector="x=y").items] == ["two"]
    watch = kubernetes.watch.Watch()
    names = []
    for event in watch.stream(custom.list_namespaced_custom_object, *where, timeout_seconds=30):
        names.append((event["type"], event["object"]["metadata"]["name"]))
        if len(names) == 2:
            watch.stop()
    assert names == [("ADDED", "one"), ("ADDED", "two")]
    custom.delete_collection_namespaced_custom_object(*where)
    assert custom.list_namespaced_custom_object(*where)["items"] == []
    client.close()


# ---------------------------------------------------------------- large


def large_schema(fields, description):
    return obj({f"field{i}": obj({f"part{k}": {"type": "string", "description": description, "maxLength": 100}
                                  for k in range(20)}) for i in range(fields)})


def test_a_definition_of_a_megabyte_is_served_explained_and_removed(install, api, k, ns, group):
    crd = definition(group, plural="larges", kind="Large",
                     versions=[version(schema=obj({"spec": large_schema(110, "d" * 400)}))])
    assert 1_000_000 < len(json.dumps(crd)) < 1_400_000
    install(crd)
    api.post(f"/apis/{group}/v1/namespaces/{ns}/larges",
             {"metadata": {"name": "one"}, "spec": {"field7": {"part3": "x", "none": 1}}})
    assert api.get(f"/apis/{group}/v1/namespaces/{ns}/larges/one")["spec"] == {"field7": {"part3": "x"}}
    assert "part19" in k("explain", "larges.spec.field109", f"--api-version={group}/v1")
