# SPDX-License-Identifier: Apache-2.0
"""ValidatingAdmissionPolicies: rules in CEL that refuse, warn and read parameters, as kubectl's users see them."""
import json

import pytest

from harness import ApiError, condition, configmap, configmaps_path, deployment, until
from test_crd import CRDS, definition, obj, version

GROUP = "/apis/admissionregistration.k8s.io/v1"
POLICIES, BINDINGS = f"{GROUP}/validatingadmissionpolicies", f"{GROUP}/validatingadmissionpolicybindings"


def policy(name, *validations, resources=("configmaps",), groups=("",), operations=("CREATE", "UPDATE"), **spec):
    rule = {"apiGroups": list(groups), "apiVersions": ["v1"], "operations": list(operations), "resources": list(resources)}
    checks = [{"expression": v} if isinstance(v, str) else v for v in validations]
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
            "spec": {"matchConstraints": {"resourceRules": [rule]}, "validations": checks, **spec}}


def binding(name, namespace, actions=("Deny",), **spec):
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": list(actions),
                     "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}},
                     **spec}}


@pytest.fixture
def force(api, k, ns):
    """force(validation..., actions=, bind={}, **spec) puts a policy into force in this test's namespace; its name."""
    made = []

    def make(*validations, actions=("Deny",), bind=None, **spec):
        name = f"{ns}-{len(made)}"
        api.post(POLICIES, policy(name, *validations, **spec))
        made.append(name)
        api.post(BINDINGS, binding(name, ns, actions, **(bind or {})))
        return name

    yield make
    for name in made:
        api.delete(f"{BINDINGS}/{name}")
        api.delete(f"{POLICIES}/{name}")


def dry(k, who, *literals):
    """What the server would say to a config map."""
    r = k.result("create", "configmap", who, *[f"--from-literal={x}" for x in literals], "--dry-run=server")
    return r.out + r.err


def test_a_refusal_names_policy_and_binding(force, k, ns):
    name = force("object.data.?size.orValue('1') == '1'")
    until("the policy is in force", lambda: "denied" in dry(k, "x", "size=2"), pause=0.02)
    out = k.fails("create", "-f", "-", stdin=json.dumps(configmap("big", size="2")))
    assert (f"The configmaps \"big\" is invalid: : ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: "
            "failed expression: object.data.?size.orValue('1') == '1'") in out
    assert "created" in k("create", "configmap", "small", "--from-literal=size=1")
    out = k.fails("patch", "configmap", "small", "-p", '{"data":{"size":"3"}}')
    assert "denied request: failed expression" in out
    assert "configmap/small labeled" in k("label", "configmap", "small", "a=b")
    assert "deleted" in k("delete", "configmap", "small")


def test_reason_message_and_variables(force, k, api, ns):
    name = force({"expression": "variables.size <= variables.most", "reason": "Forbidden",
                  "messageExpression": "'%d is more than %d in ' .format([variables.size, variables.most]) + "
                                       "namespaceObject.metadata.name"},
                 {"expression": "!('secret' in object.data)", "message": "no secrets in maps"},
                 variables=[{"name": "size", "expression": "int(object.data.size)"},
                            {"name": "most", "expression": "variables.size > 100 ? 1 : 2"}])
    until("the policy is in force", lambda: "denied" in dry(k, "x", "size=5"), pause=0.02)
    with pytest.raises(ApiError) as e:
        api.post(configmaps_path(ns), configmap("a", size="7"))
    status = e.value.body
    assert (status["code"], status["reason"]) == (403, "Forbidden")
    said = f"ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: 7 is more than 2 in {ns}"
    assert status["message"] == f'configmaps "a" is forbidden: {said}'
    assert status["details"] == {"name": "a", "kind": "configmaps", "causes": [{"message": said}]}
    assert "denied request: no secrets in maps" in k.fails("create", "configmap", "a", "--from-literal=size=1",
                                                           "--from-literal=secret=x")
    out = k.fails("create", "configmap", "a", "--from-literal=size=many")
    assert "composited variable \"size\" fails to evaluate" in out and "resulted in error" in out


def test_a_failing_expression_is_ignored_where_the_policy_says_so(force, k):
    force({"expression": "object.data.missing == 'x'"}, failurePolicy="Ignore")
    strict = force("object.data.keep == 'yes'", matchConditions=[
        {"name": "only-checked", "expression": "'checked' in object.metadata.?labels.orValue({})"}])
    assert "created" in k("create", "configmap", "free", "--from-literal=a=b")
    body = configmap("strict", a="b")
    body["metadata"]["labels"] = {"checked": "yes"}
    until("the policy is in force",
          lambda: "no such key: keep" in k.result("create", "--dry-run=server", "-f", "-", stdin=json.dumps(body)).err,
          pause=0.02)
    out = k.fails("create", "-f", "-", stdin=json.dumps(body))
    assert strict in out and "expression 'object.data.keep == 'yes'' resulted in error: no such key: keep" in out


def test_a_warning_lets_the_write_pass(force, k):
    name = force({"expression": "false", "message": "think again"}, actions=("Warn", "Audit"))
    until("the policy is in force", lambda: "think again" in dry(k, "x"), pause=0.02)
    r = k.result("create", "configmap", "warned")
    assert r.code == 0 and "configmap/warned created" in r.out
    assert f"Warning: Validation failed for ValidatingAdmissionPolicy '{name}' with binding '{name}': think again" in r.err


def test_parameters_come_from_a_config_map(force, k, ns):
    name = force({"expression": "object.spec.replicas <= int(params.data.most)",
                  "messageExpression": "'at most ' + params.data.most + ' replicas'"},
                 resources=("deployments",), groups=("apps",), paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
                 bind={"paramRef": {"name": "limits", "parameterNotFoundAction": "Deny"}})
    body = json.dumps(deployment("web", replicas=9))
    def attempt():
        return k.result("create", "--dry-run=server", "-f", "-", stdin=body).err
    until("the policy is in force", lambda: "denied" in attempt(), pause=0.02)
    assert (f"ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: failed to configure binding: "
            "no params found for policy binding with `Deny` parameterNotFoundAction") in attempt()
    k("create", "configmap", "limits", "--from-literal=most=3")
    assert "at most 3 replicas" in attempt()
    k("patch", "configmap", "limits", "-p", '{"data":{"most":"10"}}')
    assert attempt() == ""
    assert f"{name}   1             v1/ConfigMap   " in k("get", "validatingadmissionpolicies", name)
    assert f"{name}   {name}   */limits   " in k("get", "validatingadmissionpolicybindings", name)


def test_parameters_are_custom_objects_chosen_by_label(force, api, k, ns):
    group = f"{ns}.policies.example.com"
    crd = definition(group, plural="limits", kind="Limit", versions=[
        version(schema=obj({"most": {"type": "integer"}}))])
    api.post(CRDS, crd)
    path = f"{CRDS}/{crd['metadata']['name']}"
    until("the kind is established", lambda: condition(api.get(path), "Established").get("status") == "True")
    for who, most, team in (("a", 2, "x"), ("b", 4, "x"), ("c", 1, "y")):
        api.post(f"/apis/{group}/v1/namespaces/{ns}/limits", {
            "apiVersion": f"{group}/v1", "kind": "Limit", "metadata": {"name": who, "labels": {"team": team}}, "most": most})
    force({"expression": "size(object.data) <= params.most",
           "messageExpression": "'%s allows %d'.format([params.metadata.name, params.most])"},
          paramKind={"apiVersion": f"{group}/v1", "kind": "Limit"},
          bind={"paramRef": {"selector": {"matchLabels": {"team": "x"}}, "parameterNotFoundAction": "Allow"}})
    until("the policy is in force", lambda: "a allows 2" in dry(k, "x", "a=1", "b=2", "c=3"), pause=0.02)
    assert "created" in k("create", "configmap", "two", "--from-literal=a=1", "--from-literal=b=2")
    api.delete(path)
    until("the kind is gone", lambda: "paramKind kind `&ParamKind{" in dry(k, "y", "a=1"))


def test_deletions_and_exclusions(force, api, k, ns):
    force({"expression": "request.userInfo.username == 'nobody' || !('kept' in oldObject.metadata.?labels.orValue({}))",
           "message": "it is kept"}, operations=("DELETE",),
          matchConstraints={"resourceRules": [{"apiGroups": [""], "apiVersions": ["*"], "operations": ["DELETE"],
                                               "resources": ["configmaps", "secrets"]}],
                            "excludeResourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"],
                                                      "resources": ["configmaps"], "resourceNames": ["spare"]}]})
    for who in ("held", "spare"):
        body = configmap(who)
        body["metadata"]["labels"] = {"kept": "yes"}
        api.post(configmaps_path(ns), body)
    until("the policy is in force", lambda: "it is kept" in k.result("delete", "configmap", "held", "--dry-run=server").err,
          pause=0.02)
    assert "it is kept" in k.fails("delete", "configmap", "held")
    assert "deleted" in k("delete", "configmap", "spare")
    k("label", "configmap", "held", "kept-")
    assert "deleted" in k("delete", "configmap", "held")


def test_the_authorizer_answers(force, k, api, ns):
    force({"expression": "authorizer.group('').resource('secrets').namespace(request.namespace).check('get').allowed()",
           "message": "you read secrets or you write none"},
          {"expression": "!authorizer.serviceAccount(request.namespace, 'default').group('').resource('pods').check('create')"
                         ".allowed()", "message": "accounts make no pods"},
          {"expression": "authorizer.requestResource.check('create').allowed() && authorizer.path('/metrics').check('get')"
                         ".allowed()"})
    k("create", "role", "writer", "--verb=create,get", "--resource=configmaps")
    k("create", "rolebinding", "writer", "--role=writer", "--user=ann")
    until("the policy is in force", lambda: "you read secrets" in k.result(
        "create", "configmap", "x", "--dry-run=server", "--as=ann").err, pause=0.02)
    assert "created" in k("create", "configmap", "mine")
    assert "you read secrets or you write none" in k.fails("create", "configmap", "hers", "--as=ann")


def test_a_broken_policy_is_refused_in_known_words(k, api, ns):
    out = k.fails("create", "-f", "-", stdin=json.dumps(policy(
        f"{ns}-bad", "object.data.x ==", {"expression": "1 + 1", "messageExpression": "7", "reason": "NotFound"},
        "variables.nope", "authorizer.check", {"expression": " ", "message": "a\nb"},
        variables=[{"name": "a-b", "expression": "1"}, {"name": "ok", "expression": "request.nope"}])))
    for text in ('The ValidatingAdmissionPolicy "' + ns + '-bad" is invalid:',
                 'spec.validations[0].expression: Invalid value: "object.data.x ==": compilation failed: ERROR: <input>:1:17: '
                 "Syntax error: mismatched input '<EOF>' expecting",
                 'spec.validations[1].expression: Invalid value: "1 + 1": must evaluate to bool',
                 'spec.validations[1].messageExpression: Invalid value: "7": must evaluate to string',
                 'spec.validations[1].reason: Unsupported value: "NotFound": supported values: "Forbidden", "Invalid", '
                 '"RequestEntityTooLarge"',
                 "undefined field 'nope'",
                 "type 'kubernetes.authorization.Authorizer' does not support field selection",
                 "spec.validations[4].expression: Required value: expression is not specified",
                 "message must not contain line breaks",
                 'spec.variables[0].name: Invalid value: "a-b": name is not a valid CEL identifier'):
        assert text in out, (text, out)
    out = k.fails("create", "-f", "-", stdin=json.dumps(policy(f"{ns}-many", *["true"] * 300)))
    assert "spec.validations: Too many: " in out and "must have at most 256 items" in out
    out = k.fails("create", "-f", "-", stdin=json.dumps(policy(f"{ns}-empty")))
    assert "spec.validations: Required value: validations or auditAnnotations must be supplied" in out
    body = binding(f"{ns}-bad", ns, ("Deny", "Warn", "Deny"), paramRef={"parameterNotFoundAction": "Maybe"}, policyName="")
    out = k.fails("create", "-f", "-", stdin=json.dumps(body))
    for text in ("spec.policyName: Required value", "must not contain both Deny and Warn", "spec.validationActions",
                 "spec.paramRef: Required value: one of name or selector must be specified",
                 'parameterNotFoundAction: Unsupported value: "Maybe": supported values: "Allow", "Deny"'):
        assert text in out, (text, out)


def test_who_refers_to_parameters_must_be_allowed_to_read_them(k, api, ns):
    k("create", "clusterrole", f"{ns}-policies", "--verb=create",
      "--resource=validatingadmissionpolicies.admissionregistration.k8s.io")
    k("create", "clusterrolebinding", f"{ns}-policies", f"--clusterrole={ns}-policies", "--user=eve")
    body = json.dumps(policy(f"{ns}-spy", {"expression": "false", "messageExpression": "string(params.data.password)"},
                             paramKind={"apiVersion": "v1", "kind": "Secret"}))
    out = k.fails("create", "-f", "-", "--as=eve", stdin=body)
    assert ('must have "get" permission on all objects of the referenced paramKind (kind=Secret, apiVersion=v1)') in out
    k("delete", "clusterrole,clusterrolebinding", f"{ns}-policies")


def test_what_costs_too_much_is_stopped(force, k):
    loop = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"
    force({"expression": f"{loop}.all(a, {loop}.all(b, {loop}.all(c, {loop}.all(d, {loop}.all(e, {loop}.all(f, true))))))"})
    until("the policy is in force", lambda: "cost limit exceeded" in dry(k, "x"), pause=0.05)


def test_types_are_checked(api, ns):
    """What a kind's type says to an expression stands in the status; the policy counts nevertheless."""
    made = policy(f"{ns}-typed", "object.spec.replicas > 1 && object.metadata.labels['a'] == 'b'",
                  {"expression": "object.spec.replica > 1", "messageExpression": "object.spec.nope"},
                  "object.spec.template.spec.containers.all(c, c.image.contains(variables.tag)) && params.data['x'] == 'y'",
                  resources=("deployments", "replicasets"), groups=("apps",), paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
                  variables=[{"name": "tag", "expression": "object.spec.bad"}])
    name = api.post(POLICIES, made)["metadata"]["name"]
    status = until("types are checked", lambda: api.get(f"{POLICIES}/{name}").get("status", {}).get("typeChecking") and
                   api.get(f"{POLICIES}/{name}")["status"])
    assert status["observedGeneration"] == 1
    def told(kind, text, expression, column):
        return (f"apps/v1, Kind={kind}: ERROR: <input>:1:{column}: undefined field '{text}'\n | {expression}\n | "
                + "." * (column - 1) + "^\n")
    assert status["typeChecking"]["expressionWarnings"] == [
        {"fieldRef": "spec.validations[1].expression",
         "warning": told("Deployment", "replica", "object.spec.replica > 1", 12) + "\n" +
                    told("ReplicaSet", "replica", "object.spec.replica > 1", 12)},
        {"fieldRef": "spec.validations[1].messageExpression",
         "warning": told("Deployment", "nope", "object.spec.nope", 12) + "\n" + told("ReplicaSet", "nope", "object.spec.nope", 12)}]
    made["metadata"]["resourceVersion"] = api.get(f"{POLICIES}/{name}")["metadata"]["resourceVersion"]
    made["spec"]["validations"] = [{"expression": "object.spec.replicas > 1"}]
    assert api.put(f"{POLICIES}/{name}", made)["metadata"]["generation"] == 2
    until("types are checked again", lambda: api.get(f"{POLICIES}/{name}")["status"] ==
          {"observedGeneration": 2, "typeChecking": {}})
    api.delete(f"{POLICIES}/{name}")


def test_a_policy_as_people_write_them(k, api, ns):
    """Applied by the server, with variables over variables and the labels of the namespace."""
    k("label", "namespace", ns, "environment=staging")
    name = f"{ns}-images"
    body = policy(name, {
        "expression": "variables.exempt || variables.containersToCheck.all(c, c.image.startsWith(variables.environment + '.'))",
        "messageExpression": "'only ' + variables.environment + ' images are allowed in namespace ' + namespaceObject.metadata.name"},
        resources=("deployments",), groups=("apps",), failurePolicy="Fail", variables=[
            {"name": "environment", "expression": "'environment' in namespaceObject.metadata.labels ? "
                                                  "namespaceObject.metadata.labels['environment'] : 'prod'"},
            {"name": "exempt", "expression": "has(object.metadata.labels) && 'exempt' in object.metadata.labels && "
                                             "object.metadata.labels['exempt'] == 'true'"},
            {"name": "containers", "expression": "object.spec.template.spec.containers"},
            {"name": "containersToCheck", "expression": "variables.containers.filter(c, c.image.contains('example.com/'))"}])
    for _ in range(2):
        assert "serverside-applied" in k("apply", "--server-side", "-f", "-", stdin=json.dumps(body))
    k("apply", "-f", "-", stdin=json.dumps(binding(name, ns)))
    def attempt(image, **labels):
        d = deployment("web", replicas=0)
        d["spec"]["template"]["spec"]["containers"][0]["image"] = image
        d["metadata"]["labels"] = labels
        return k.result("create", "--dry-run=server", "-f", "-", stdin=json.dumps(d)).err
    said = f"denied request: only staging images are allowed in namespace {ns}"
    until("the policy is in force", lambda: said in attempt("prod.example.com/nginx"), pause=0.02)
    assert attempt("staging.example.com/nginx") == attempt("docker.io/nginx") == ""
    assert attempt("prod.example.com/nginx", exempt="true") == ""
    status = until("types are checked", lambda: api.get(f"{POLICIES}/{name}").get("status", {}).get("typeChecking") is not None
                   and api.get(f"{POLICIES}/{name}")["status"])
    assert status["typeChecking"] == {}
    assert "containersToCheck" in k("describe", "validatingadmissionpolicy", name)
    told = k("explain", "validatingadmissionpolicy.spec.matchConstraints.resourceRules")
    assert "resourceNames" in told and "apiGroups" in told
    k("delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", name)
    until("the policy is gone", lambda: attempt("prod.example.com/nginx") == "", pause=0.02)
