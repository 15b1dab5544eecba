# SPDX-License-Identifier: Apache-2.0
"""CEL: rules of custom kinds and conditions of webhooks, as people write and break them with kubectl."""
import json

import pytest

from harness import condition, configmap, configmaps_path, until
from hooks import HookServer
from test_crd import CRDS, definition, obj, version

ADMISSION = "/apis/admissionregistration.k8s.io/v1"

SPEC = obj({
    "replicas": {"type": "integer"}, "maxReplicas": {"type": "integer"},
    "host": {"type": "string", "maxLength": 253},
    "size": {"x-kubernetes-int-or-string": True},
    "memory": {"type": "string", "maxLength": 20},
    "until": {"type": "string", "format": "date-time"},
    "ports": {"type": "array", "maxItems": 10, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
              "items": obj({"name": {"type": "string", "maxLength": 20},
                            "number": {"type": "integer", "x-kubernetes-validations": [
                                {"rule": "self == oldSelf", "message": "a port does not move"}]}},
                           required=["name", "number"])},
}, **{"x-kubernetes-validations": [
    {"rule": "self.replicas <= self.maxReplicas",
     "messageExpression": "'%d replicas are more than %d'.format([self.replicas, self.maxReplicas])"},
    {"rule": "!has(self.host) || !format.dns1123Subdomain().validate(self.host).hasValue()",
     "message": "host is no name", "fieldPath": ".host"},
    {"rule": "!has(self.size) || (type(self.size) == int ? self.size < 100 : self.size.matches('^[0-9]+%$'))",
     "message": "size is a number or a percentage"},
    {"rule": "!has(self.memory) || quantity(self.memory).isLessThan(quantity('1Gi'))", "message": "too much memory",
     "reason": "FieldValueForbidden"},
    {"rule": "!has(self.until) || self.until.getFullYear() >= 2026", "message": "it is over"},
    {"rule": "!has(self.ports) || self.ports.all(p, self.ports.exists_one(q, q.number == p.number))",
     "message": "a port is taken"}]})


@pytest.fixture
def kind(api, ns):
    """A custom kind with rules, and a function that makes its objects."""
    group = f"{ns}.cel.example.com"
    crd = definition(group, plural="gates", kind="Gate", versions=[version(schema=obj({"spec": SPEC}))])
    api.post(CRDS, crd)
    name = crd["metadata"]["name"]
    until("the kind is established", lambda: condition(api.get(f"{CRDS}/{name}"), "Established").get("status") == "True")
    yield lambda who, **spec: json.dumps({
        "apiVersion": f"{group}/v1", "kind": "Gate", "metadata": {"name": who},
        "spec": {"replicas": 1, "maxReplicas": 3, **spec}})
    api.delete(f"{CRDS}/{name}")
    until("the kind is gone", lambda: api.gone(f"{CRDS}/{name}"))


def test_kubectl_shows_what_a_rule_says(kind, k):
    assert "created" in k("create", "-f", "-", stdin=kind("good", host="a.example.com", size="5%", memory="512Mi",
                                                           until="2026-11-21T05:00:00Z"))
    told = k.fails("create", "-f", "-", stdin=kind("bad", replicas=5, host="-a", size="5", memory="2Gi",
                                                   until="2025-01-01T00:00:00Z"))
    assert 'spec: Invalid value: "object": 5 replicas are more than 3' in told
    assert 'spec.host: Invalid value: "object": host is no name' in told
    assert 'spec: Invalid value: "object": size is a number or a percentage' in told
    assert "spec: Forbidden: too much memory" in told
    assert 'spec: Invalid value: "object": it is over' in told


def test_transition_rules_compare_items_by_their_keys(kind, k):
    two = [{"name": "a", "number": 80}, {"name": "b", "number": 443}]
    k("create", "-f", "-", stdin=kind("g", ports=two))
    assert "configured" in k("apply", "-f", "-", stdin=kind("g", ports=[{"name": "c", "number": 1}] + two[::-1]))
    told = k.fails("apply", "-f", "-", stdin=kind("g", ports=[{"name": "a", "number": 81}]))
    assert 'spec.ports[0].number: Invalid value: "integer": a port does not move' in told
    told = k.fails("apply", "-f", "-", stdin=kind("g", ports=two + [{"name": "d", "number": 80}]))
    assert 'spec: Invalid value: "object": a port is taken' in told


def test_rules_that_are_wrong_or_too_costly_are_refused_with_the_definition(k, api, ns):
    def refused(schema):
        crd = definition(f"{ns}.cel.example.com", plural="walls", kind="Wall", versions=[version(schema=schema)])
        return k.fails("create", "-f", "-", stdin=json.dumps(crd))

    told = refused(obj({"spec": obj({"a": {"type": "integer"}}, **{"x-kubernetes-validations": [{"rule": "self.a + 'b' == 1"}]})}))
    assert ("spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: Invalid value: "
            "apiextensions.ValidationRule{Rule:\"self.a + 'b' == 1\"") in told
    assert "compilation failed: ERROR: <input>:1:8: found no matching overload for '_+_' applied to '(int, string)'" in told
    told = refused(obj({"l": {"type": "array", "items": {"type": "string"},
                              "x-kubernetes-validations": [{"rule": "self.all(x, self.exists_one(y, x == y))"}]}}))
    assert "Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule" in told


def test_a_hook_is_called_when_its_conditions_hold(k, api, ns, tmp_path):
    name = f"{ns}-conditional"
    with HookServer(tmp_path) as hooks:
        hooks.on("/deny", lambda r: {"allowed": False, "status": {"message": "no"}})

        def configuration(expression, **more):
            return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
                    "metadata": {"name": name}, "webhooks": [{
                        "name": "deny.example.com", "clientConfig": hooks.client_config("/deny"), "sideEffects": "None",
                        "admissionReviewVersions": ["v1"],
                        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns}},
                        "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
                        "matchConditions": [{"name": "c", "expression": expression}], **more}]}

        told = k.fails("create", "-f", "-", stdin=json.dumps(configuration("request.nope")))
        assert "webhooks[0].matchConditions[0].expression: Invalid value" in told and "undefined field 'nope'" in told
        api.post(f"{ADMISSION}/validatingwebhookconfigurations", configuration(
            "!('system:nodes' in request.userInfo.groups) && object.data.env == 'prod'"))
        try:
            assert api.post(configmaps_path(ns), configmap("test", env="test"))["data"] == {"env": "test"}
            assert not hooks.requests("/deny")
            assert "denied the request: no" in k.fails("create", "configmap", "prod", "--from-literal=env=prod")
            told = k.fails("create", "configmap", "none", "--from-literal=a=b")
            assert "is forbidden" in told and "resulted in error: no such key: env" in told
        finally:
            api.delete(f"{ADMISSION}/validatingwebhookconfigurations/{name}")
