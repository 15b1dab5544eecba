# SPDX-License-Identifier: Apache-2.0
"""FlowSchemas and PriorityLevelConfigurations: whether a schema's level exists, and requests that go by them."""
import pytest

from harness import configmap, configmaps_path, until

GROUP = "/apis/flowcontrol.apiserver.k8s.io/v1"


def level(name, **spec):
    return {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration", "metadata": {"name": name},
            "spec": spec}


def schema(name, level_name, user, ns):
    return {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": name},
            "spec": {"priorityLevelConfiguration": {"name": level_name}, "matchingPrecedence": 100,
                     "distinguisherMethod": {"type": "ByUser"},
                     "rules": [{"subjects": [{"kind": "User", "user": {"name": user}}],
                                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"],
                                                   "namespaces": [ns]}]}]}}


@pytest.fixture
def made(api):
    paths = []
    def make(plural, body):
        api.post(f"{GROUP}/{plural}", body)
        paths.append(f"{GROUP}/{plural}/{body['metadata']['name']}")
        return paths[-1]
    yield make
    for path in paths:
        if not api.gone(path):
            api.delete(path)


def test_a_schema_says_whether_its_level_exists(made, api, k, ns):
    path = made("flowschemas", schema(f"{ns}-s", f"{ns}-l", "ann", ns))
    def dangling():
        return {c["type"]: (c["status"], c["reason"], c["message"]) for c in api.get(path).get("status", {}).get("conditions", [])}
    words = f'This FlowSchema references the PriorityLevelConfiguration object named "{ns}-l"'
    until("the level is missed", lambda: dangling() == {"Dangling": ("True", "NotFound", f"{words} but there is no such object")})
    assert k("get", "flowschema", f"{ns}-s").splitlines()[1].split()[-1] == "True"
    level_path = made("prioritylevelconfigurations", level(f"{ns}-l", type="Limited", limited={
        "nominalConcurrencyShares": 60, "limitResponse": {"type": "Reject"}}))
    until("the level is found", lambda: dangling() == {"Dangling": ("False", "Found", f"{words} and it exists")})
    assert k("get", "flowschema", f"{ns}-s").splitlines()[1].split()[-1] == "False"
    api.delete(level_path)
    until("the level is missed again", lambda: dangling()["Dangling"][0] == "True")


def test_requests_go_by_a_schema(made, api, k, ns):
    """A level that is exempt, and one that queues, let everything pass that their share allows."""
    k("create", "role", "maps", "--verb=*", "--resource=configmaps")
    k("create", "rolebinding", "maps", "--role=maps", "--user=ann", "--user=bob")
    made("prioritylevelconfigurations", level(f"{ns}-free", type="Exempt"))
    made("prioritylevelconfigurations", level(f"{ns}-low", type="Limited", limited={
        "nominalConcurrencyShares": 1, "limitResponse": {"type": "Queue", "queuing": {}}}))
    made("flowschemas", schema(f"{ns}-free", f"{ns}-free", "ann", ns))
    made("flowschemas", schema(f"{ns}-low", f"{ns}-low", "bob", ns))
    for user in ("ann", "bob"):
        for i in range(20):
            api.call("POST", configmaps_path(ns), configmap(f"{user}-{i}"), {"Impersonate-User": user})
    assert len(k("get", "configmaps", "--as=bob", "-o", "name").splitlines()) >= 40
