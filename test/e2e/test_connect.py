# SPDX-License-Identifier: Apache-2.0
"""Connections to pods (exec, attach, port-forward, proxy) pass webhooks and policies as operation CONNECT."""
import pytest

from harness import ApiError, is_ready, pod, pods_path, until
from hooks import HookServer, json_patch
from test_policies import force  # noqa: F401 (a fixture)
from test_webhooks import configure, hook  # noqa: F401 (a fixture)

pytestmark = pytest.mark.usefixtures("edge")
CONNECTS = ("pods/exec", "pods/attach", "pods/portforward", "pods/proxy")


@pytest.fixture(scope="module")
def hooks(tmp_path_factory):
    with HookServer(tmp_path_factory.mktemp("hooks")) as server:
        yield server


@pytest.fixture
def box(k, api, ns):
    k.apply(pod("box"))
    until("the pod runs", lambda: is_ready(api.get(pods_path(ns, "box"))))


def test_a_webhook_sees_connections_and_refuses_them(hooks, configure, box, kk, api, ns):  # noqa: F811
    hooks.on("/connect", lambda r: {"allowed": r["object"].get("command", ["", "ok"])[-1] == "ok",
                                    "status": {"message": "not this"}})
    configure("Validating", "connect", hook("connect.example.com", hooks.client_config("/connect"), operations=["CONNECT"],
                                            resources=CONNECTS))
    def refused():
        r = kk.result("exec", "box", "--", "echo", "no")
        return "not this" in r.err and r.code != 0
    until("the hook is asked", refused)
    assert kk("exec", "box", "--", "echo", "ok") == "ok\n"
    asked = hooks.requests("/connect")[-1]
    assert (asked["operation"], asked["name"], asked["namespace"], asked["subResource"]) == ("CONNECT", "box", ns, "exec")
    assert asked["kind"] == {"group": "", "version": "v1", "kind": "PodExecOptions"}
    assert asked["resource"] == {"group": "", "version": "v1", "resource": "pods"}
    assert asked["object"] == {"kind": "PodExecOptions", "apiVersion": "v1", "stdout": True, "stderr": True,
                               "container": asked["object"]["container"], "command": ["echo", "ok"]}
    assert asked["oldObject"] is None and asked["options"] is None
    with pytest.raises(ApiError):
        api.get(pods_path(ns, "box") + "/proxy/x/y")
    asked = hooks.requests("/connect")[-1]
    assert asked["object"] == {"kind": "PodProxyOptions", "apiVersion": "v1", "path": "/x/y"}
    assert kk("logs", "box") == "" and asked == hooks.requests("/connect")[-1]    # a read, no connection


def test_a_mutating_webhook_changes_the_command(hooks, configure, box, k):  # noqa: F811
    hooks.on("/change", lambda r: json_patch({"op": "replace", "path": "/command/1", "value": "other"}))
    configure("Mutating", "change", hook("change.example.com", hooks.client_config("/change"), operations=["CONNECT"],
                                         resources=["pods/exec"]))
    until("the command is changed", lambda: k("exec", "box", "--", "echo", "one") == "other\n")


def test_an_eviction_is_asked_about(hooks, configure, box, api, ns):  # noqa: F811
    hooks.on("/evict", lambda r: {"allowed": False, "status": {"message": "it stays"}})
    configure("Validating", "evict", hook("evict.example.com", hooks.client_config("/evict"), resources=["pods/eviction"]))
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "box", "namespace": ns}}
    def refused():
        try:
            api.post(pods_path(ns, "box") + "/eviction?dryRun=All", body)
        except ApiError as e:
            return "it stays" in e.body["message"]
        return False
    until("the hook is asked", refused)
    asked = hooks.requests("/evict")[-1]
    assert (asked["operation"], asked["subResource"], asked["oldObject"]) == ("CREATE", "eviction", None)
    assert asked["kind"] == {"group": "policy", "version": "v1", "kind": "Eviction"}
    assert asked["object"]["kind"] == "Eviction" and asked["object"]["metadata"]["name"] == "box"


def test_a_policy_keeps_people_out_of_pods(force, box, kk, api, ns):  # noqa: F811
    name = force({"expression": "!object.?stdin.orValue(false) || 'debug' in request.userInfo.groups",
                  "message": "no shells here", "reason": "Forbidden"},
                 {"expression": "request.subResource != 'portforward'", "message": "no ports here"},
                 resources=CONNECTS, operations=["CONNECT"])
    def refused():
        r = kk.result("exec", "-i", "box", "--", "cat")
        return f"ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: no shells here" in r.err
    until("the policy is in force", refused)
    assert kk("exec", "box", "--", "echo", "ok") == "ok\n"
    with pytest.raises(ApiError) as e:
        api.post(pods_path(ns, "box") + "/portforward?ports=80", {})
    assert e.value.status == 422 and "no ports here" in e.value.body["message"]
    assert kk.result("attach", "-i", "box").code != 0
