# SPDX-License-Identifier: Apache-2.0
"""Streams, tables and rules as objects: kubectl at the center, results on the nodes, whatever is cut or killed meanwhile."""
import http.client
import json
import os
import signal
import socket
import ssl
from pathlib import Path

import pytest

from harness import until
from machine import all_pids, read_proc

EXAMPLES = Path(__file__).resolve().parents[2] / "examples/rules"


def thing(kind, name, **spec):
    return {"apiVersion": "data.selvedge.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def ticks(name, stream, value, **place):
    """A stream with an event every 20 ms."""
    extra = json.dumps({"data": [{"t": value}], "interval": 20})
    return thing("Stream", name, sql=f"CREATE STREAM {stream} () WITH (TYPE=\"simulator\", FORMAT=\"json\", EXTRA='{extra}')",
                 **place)


def rule(name, sql, path, **spec):
    return thing("Rule", name, sql=sql, actions=[{"file": {"path": str(path), "sendSingle": True}}], **spec)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def rest(edge, method, path, body=None):
    """eKuiper's interface of a node: (status, text)."""
    connection = UnixConnection(edge.state / "data/rest.sock")
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def data_pid(edge):
    folder = f"--state-dir\0{edge.state}/data\0"
    return next((p for p in all_pids() if folder in read_proc(p, "cmdline")), None)


def report(center, edge, body):
    """What a node's certificate may say: the status of the answer."""
    context = ssl.create_default_context(cafile=edge.state / "node/ca.crt")
    context.load_cert_chain(edge.state / "node/node.crt", edge.state / "node/node.key")
    connection = http.client.HTTPSConnection(center.address, center.port, context=context)
    try:
        connection.request("POST", "/selvedge/v1/report", json.dumps(body))
        return connection.getresponse().status
    finally:
        connection.close()


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def grows(path, wanted):
    """A line that comes from now on, and fulfils a condition."""
    begin = len(lines(path))
    until(f"{path.name} grows", lambda: any(wanted(json.loads(line)) for line in lines(path)[begin + 1:]), pause=0.02)


def told(k, name, kind="rule"):
    return json.loads(k("get", kind, name, "-o", "json")).get("status", {})


def ready(k, name, kind="rule"):
    """The condition Ready and the whole status, when it speaks of the newest spec."""
    found = json.loads(k("get", kind, name, "-o", "json"))
    status = found.get("status", {})
    condition = (status.get("conditions") or [{}])[0]
    return (condition, status) if condition.get("observedGeneration") == found["metadata"]["generation"] else None


def fails(k, name, words, kind="rule"):
    def failed():
        condition, status = ready(k, name, kind) or ({}, {})
        return condition.get("reason") == "Failed" and words in condition["message"] and status
    return until(f"{kind} {name} fails: {words}", failed, pause=0.05)


@pytest.fixture
def place(own_host):
    center = own_host.center().start()
    edge = own_host.edge(center, options=["--node-labels", "site=north"]).start()
    return center, edge, center.kubectl().within("default")


def test_rules_are_written_at_the_center_and_run_on_the_node(place):
    center, edge, k = place
    out = edge.state / "out"
    assert data_pid(edge) is None, "a node without rules pays nothing"

    # A rule before its stream: it heals itself.
    k.apply(rule("warm", "SELECT t, 1 AS v FROM ticks WHERE t > 1", out))
    fails(k, "warm", "ticks")
    k.apply(ticks("field-ticks", "ticks", 7))
    k("wait", "--for=condition=Ready", "stream/field-ticks", "rule/warm", "--timeout=60s")
    grows(out, lambda row: row == {"t": 7, "v": 1})
    shown = k("get", "rules", "--no-headers").split()
    assert shown[:3] == ["warm", "1/1", "Running"]
    status = told(k, "warm")
    assert status["summary"] == {"desired": 1, "ready": 1, "running": 1}
    assert status["nodes"][0]["name"] == edge.node and status["nodes"][0]["state"] == "Running"
    assert k("get", "streams", "--no-headers").split()[:3] == ["field-ticks", "1/1", "Defined"]
    assert "CREATE STREAM" in k("explain", "stream.spec.sql") and edge.node in k("describe", "rule", "warm")

    # Changed SQL, broken SQL, mended SQL.
    k("patch", "rule", "warm", "--type=merge", "-p", json.dumps({"spec": {"sql": "SELECT t, 2 AS v FROM ticks"}}))
    grows(out, lambda row: row["v"] == 2)
    k("patch", "rule", "warm", "--type=merge", "-p", json.dumps({"spec": {"sql": "SELECT FROM WHERE"}}))
    status = fails(k, "warm", edge.node)
    assert status["summary"] == {"desired": 1, "ready": 0, "failed": 1} and status["nodes"][0]["message"]
    size = len(lines(out))
    k("patch", "rule", "warm", "--type=merge", "-p",
      json.dumps({"spec": {"sql": "SELECT t, 3 AS v FROM ticks", "triggered": False}}))
    until("it is mended, and stopped as the spec says", lambda: told(k, "warm").get("state") == "Stopped", pause=0.05)
    assert len(lines(out)) <= size + 1, "what does not work does not run"
    k("patch", "rule", "warm", "--type=merge", "-p", json.dumps({"spec": {"triggered": True}}))
    grows(out, lambda row: row["v"] == 3)

    # REST sees what objects define and may not change it.
    assert json.loads(rest(edge, "GET", "/rules/warm")[1])["id"] == "warm"
    for method, path, body in (("DELETE", "/rules/warm", None), ("POST", "/rules/warm/stop", None),
                               ("PUT", "/rules/warm", {"id": "warm", "sql": "SELECT * FROM ticks", "actions": [{"log": {}}]}),
                               ("DELETE", "/streams/ticks", None),
                               ("PUT", "/streams/ticks", {"sql": "CREATE STREAM ticks () WITH (TYPE=\"memory\", DATASOURCE=\"a\")"})):
        status, text = rest(edge, method, path, body)
        assert status == 409 and ("Stream default/field-ticks" in text or "Rule default/warm" in text), (method, path, status, text)

    # Names are apart by namespaces; one name in one namespace belongs to the older object.
    k("create", "namespace", "south")
    south, there = k.within("south"), edge.state / "south"
    south.apply(ticks("t", "ticks", 40), rule("warm", "SELECT ticks.t FROM ticks", there))
    south("wait", "--for=condition=Ready", "rule/warm", "--timeout=60s")
    grows(there, lambda row: row == {"t": 40})
    grows(out, lambda row: row["t"] == 7)
    south.apply(ticks("twice", "ticks", 1))
    fails(south, "twice", "Stream south/t", kind="stream")

    # The link is cut: the rule goes on, also over kill -9 of data and of the agent.
    edge.cut()
    victim = data_pid(edge)
    os.kill(victim, signal.SIGKILL)
    until("data is back", lambda: data_pid(edge) not in (None, victim))
    grows(out, lambda row: row["v"] == 3)
    survivor = data_pid(edge)
    edge.kill()
    grows(out, lambda row: row["v"] == 3)
    edge.start(wait=False)
    until("the node's API answers again", lambda: edge.local_api().raw("GET", "/readyz")[0] == 200)
    grows(out, lambda row: row["v"] == 3)
    assert data_pid(edge) == survivor, "the new agent goes on with the process that it found"
    here = edge.kubectl().within("default")
    until("the node's own API tells", lambda: told(here, "warm")["state"] == "Running")
    assert "Forbidden" in here.fails("delete", "rule", "warm") or "mirrored" in here.fails("delete", "rule", "warm")

    # What changed meanwhile arrives with the link.
    k("delete", "stream", "twice", "-n", "south")
    k("patch", "rule", "warm", "--type=merge", "-p", json.dumps({"spec": {"sql": "SELECT t, 4 AS v FROM ticks"}}))
    edge.mend()
    until("the new rule runs", lambda: (ready(k, "warm") or ({},))[0].get("status") == "True", pause=0.05)
    grows(out, lambda row: row["v"] == 4)

    # Nodes by label and by name; who does not match any more has it not, and tells nothing.
    k("patch", "rule", "warm", "--type=merge", "-p", json.dumps({"spec": {"nodeSelector": {"site": "south"}}}))
    until("no node is meant", lambda: (ready(k, "warm") or ({}, {}))[1].get("state") == "NoNode", pause=0.05)
    until("the node forgot it", lambda: rest(edge, "GET", "/rules/warm")[0] == 404, pause=0.05)
    assert not told(k, "warm").get("nodes")
    k("label", "node", edge.node, "site=south", "--overwrite")
    k("wait", "--for=condition=Ready", "rule/warm", "--timeout=60s")
    grows(out, lambda row: row["v"] == 4)

    # The last one gone, data ends.
    k("delete", "rule,stream", "--all")
    south("delete", "rule,stream", "--all")
    until("data ended", lambda: data_pid(edge) is None)


def test_two_nodes_have_one_status_and_the_examples_run(own_host):
    center = own_host.center().start()
    first, second = [own_host.edge(center).start() for _ in range(2)]
    k = center.kubectl().within("default")
    k("apply", "-f", EXAMPLES)
    k.apply(ticks("t", "ticks", 1), rule("both", "SELECT t FROM ticks", own_host.dir / "both"),
            rule("one", "SELECT t FROM ticks", own_host.dir / "one", nodeName=second.node),
            rule("none", "SELECT t FROM ticks", own_host.dir / "none", nodeName="no-such-node"),
            thing("Rule", "half", sql="SELECT t FROM ticks", actions=[{"file": {"path": str(first.state / "only-here/out")}}]))
    k("wait", "--for=condition=Ready", "stream/t", "stream/cold-store", "rule/both", "rule/one", "rule/too-warm",
      "--timeout=60s")
    until("one for one, none for none", lambda: [told(k, n)["summary"]["desired"] for n in ("both", "one", "none")] == [2, 1, 0])
    names = [n["name"] for n in told(k, "both")["nodes"]]
    assert names == sorted([first.node, second.node]) and told(k, "one")["nodes"][0]["name"] == second.node

    # The center is killed and begins anew: it knows what the nodes told, and hears what they tell.
    center.kill()
    center.start()
    until("both are back", lambda: ready(k, "both")[1]["summary"] == {"desired": 2, "ready": 2, "running": 2})
    k("patch", "rule", "both", "--type=merge", "-p", json.dumps({"spec": {"sql": "SELECT t + 1 AS t FROM ticks"}}))
    k("wait", "--for=condition=Ready", "rule/both", "--timeout=60s")
    grows(own_host.dir / "both", lambda row: row["t"] == 2)

    # A node may tell of itself, and only of what is meant for it.
    uid = json.loads(k("get", "rule", "one", "-o", "json"))["metadata"]["uid"]
    body = {"key": "rules.data.selvedge.dev/default/one", "uid": uid, "entry": {"state": "Failed", "name": second.node}}
    assert report(center, first, body) == 404
    body["entry"] = {"state": "Nonsense"}
    assert report(center, second, body) == 400
    assert center.api().raw("POST", "/selvedge/v1/report", body)[0] == 403, "an administrator is no node"
    k("delete", "rule,stream", "--all")


def test_what_makes_no_sense_is_refused(center):
    k = center.kubectl().within("default")
    for wrong, words in ((thing("Rule", "r", sql="SELECT 1 FROM x", actions=[]), "spec.actions"),
                         (thing("Rule", "r", sql="SELECT 1 FROM x", actions=["log"]), "spec.actions[0]"),
                         (thing("Rule", "r", sql="", actions=[{"log": {}}]), "spec.sql"),
                         (thing("Rule", "r", sql="SELECT 1 FROM x", actions=[{"log": {}}], options=[1]), "spec.options"),
                         (thing("Stream", "s", sql="CREATE STREAM s ()", nodeName="No Node"), "spec.nodeName"),
                         (thing("Table", "t", sql="CREATE TABLE t ()", nodeSelector={"a": "b c"}), "spec.nodeSelector")):
        assert words in k.fails("create", "-f", "-", stdin=json.dumps(wrong)), wrong
