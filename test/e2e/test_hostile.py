# SPDX-License-Identifier: Apache-2.0
"""Input that is well-formed and meant to hurt: CEL, regular expressions, patches, apply bodies, selectors.

Each attack is sent by several clients at once. Every answer is a clear one, the center's memory is bounded and comes
back, and a bystander's answers are timed all the while; the times are printed, not judged.
"""
import contextlib
import json
import threading
import time

import pytest

from harness import Host, configmap, configmaps_path, condition, pss_kib, until
from objects import SANITIZED
from test_crd import CRDS, definition, obj, version

NS = "default"
MIB = 1 << 20
CLIENTS = 3
GROWTH_KIB = 64 * 1024     # what attacks may take while they run
APPLY = "application/apply-patch+yaml"
TYPED = "failed to create typed patch object"    # Kubernetes, too, answers 500 to equal keys in an applied list
PATCH = {"json": "application/json-patch+json", "merge": "application/merge-patch+json",
         "strategic": "application/strategic-merge-patch+json"}


@pytest.fixture(scope="module")
def victim():
    host = Host()
    try:
        yield host.center("hostile", reachable=False).start()
    finally:
        host.close()


class Bystander:
    """A client that reads and writes a little, on and on."""

    def __init__(self, center):
        self.api, self.pid = center.api(), center.pid
        self.seconds, self.peak = [], 0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.work)

    def work(self):
        turn = 0
        while not self.done.is_set() or turn < 20:
            begin = time.perf_counter()
            if turn % 3:
                self.api.get(configmaps_path(NS, "bystander"))
            else:
                self.api.patch(configmaps_path(NS, "bystander"), {"data": {"a": str(turn)}})
            self.seconds.append(time.perf_counter() - begin)
            if turn % 10 == 0:
                self.peak = max(self.peak, pss_kib(self.pid))
            turn += 1
            self.done.wait(0.005)

    def told(self):
        ordered = sorted(self.seconds)
        at = [ordered[min(len(ordered) - 1, int(len(ordered) * q))] * 1e3 for q in (0.5, 0.99, 1)]
        return f"bystander p50 {at[0]:.1f} ms, p99 {at[1]:.1f} ms, max {at[2]:.1f} ms; peak {self.peak} KiB"


@pytest.fixture
def siege(victim, request):
    """siege(requests) sends (method, path, body, content type, query) from several clients; the answers of the first."""
    api = victim.api()
    with contextlib.suppress(AssertionError):
        api.post(configmaps_path(NS), configmap("bystander", a="0"))
    pid, level = victim.pid, pss_kib(victim.pid)
    bystander = Bystander(victim)
    answers = []

    def attack(number, requests):
        mine = victim.api()
        told = []
        for method, path, body, kind, query in requests:
            begin = time.perf_counter()
            code, _, answer = mine.raw(method, path, body, {"Content-Type": kind} if kind else None, query)
            told.append((code, answer, time.perf_counter() - begin))
        if number == 0:
            answers.extend(told)

    def siege(requests):
        bystander.thread.start()
        threads = [threading.Thread(target=attack, args=(i, requests)) for i in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        bystander.done.set()
        bystander.thread.join()
        assert len(answers) == len(requests), "each got an answer"
        longest = max(answers, key=lambda a: a[2])
        print(f"{request.node.name}: {bystander.told()}; the longest attack took {longest[2] * 1e3:.0f} ms "
              f"(request {answers.index(longest)})")
        for code, answer, _ in answers:
            assert isinstance(answer, dict) and (code < 500 or TYPED in answer["message"]), (code, str(answer)[:500])
            assert answer["kind"] != "Status" or code < 300 or answer["message"], answer
        if not SANITIZED:  # a sanitizer keeps what was freed
            assert bystander.peak < level + GROWTH_KIB, (level, bystander.peak)
        victim.assert_alive()
        assert victim.pid == pid
        return answers

    yield siege
    limit = level * 1.5 + 16 * 1024
    until("memory is back", lambda: SANITIZED or pss_kib(victim.pid) <= limit)


# ---------------------------------------------------------------- CEL


def rule_crd(number, rule, **field):
    schema = obj({"spec": obj({"s": {"type": "string", "maxLength": 4096},
                               "l": {"type": "array", "maxItems": 100, "items": {"type": "string", "maxLength": 100}},
                               **field}, **{"x-kubernetes-validations": [{"rule": rule}]})})
    return definition(f"hostile{number}.example.com", versions=[version(schema=schema)])


BOMBS = {
    "parentheses": "(" * 3000 + "true" + ")" * 3000,
    "negations": "!" * 4000 + "true",
    "a long sum": " + ".join(["1"] * 5000) + " > 0",
    "a long choice": "true ? " * 3000 + "true" + " : true" * 3000,
    "a long path": "self" + ".s" * 4000 + " == 'x'",
    "indexes": "self.l" + "[0]" * 3000 + " == 'x'",
    "a huge list": "size([" + ",".join(["1"] * 20000) + "]) > 0",
    "lists in lists": "[" * 3000 + "]" * 3000 + " == []",
    "maps in maps": "{'a':" * 2000 + "1" + "}" * 2000 + " != {}",
    "a huge text": "'" + "x" * 60000 + "' == self.s",
    "nested macros": "".join(f"self.l.all(x{i}, " for i in range(30)) + "true" + ")" * 30,
    "macros over a literal": "".join(f"[{','.join('1' * 50)}].all(x{i}, " for i in range(12)) + "true" + ")" * 12,
    "growing lists": "self.l.map(a, self.l.map(b, self.l.map(c, self.l.map(d, self.l.map(e, e))))).size() > 0",
    "growing texts": "(" * 20 + "self.s" + "".join(" + self.s + self.s)" for _ in range(20)) + " == 'x'",
    "repetitions": "self.s.matches('((a{1000}){1000}){1000}')",
    "many choices": "self.s.matches('" + "|".join(["(a|b)*c"] * 3000) + "')",
    "groups": "self.s.matches('" + "(" * 5000 + "a" + ")" * 5000 + "')",
    "a class of all": "self.s.matches('[" + "\\\\u00e9-\\\\uffff" * 2000 + "]*')",
    "unclosed": "((((self.s.matches('(((')",
    "no end": "self.l.all(x, x == 'a",
    "not a bool": "1",
}


def test_hostile_rules_are_refused_or_harmless(victim, siege):
    answers = siege([("POST", CRDS, json.dumps(rule_crd(i, rule)), "application/json", {"dryRun": "All"})
                     for i, rule in enumerate(BOMBS.values())])
    for (name, _), (code, answer, seconds) in zip(BOMBS.items(), answers):
        print(f"  {name:22} {code} {seconds * 1e3:8.1f} ms  {str(answer.get('message', ''))[-90:]!r}")
        assert code in (201, 422, 400), (name, answer)
    refused = [name for name, (code, _, _) in zip(BOMBS, answers) if code != 201]
    assert {"nested macros", "growing lists", "unclosed", "no end", "not a bool", "repetitions"} <= set(refused), refused


RULES = {
    "s": r"!self.s.matches('^(a+)+$') || self.s.size() < 9999",
    "t": r"!self.s.matches('(a|aa)*b') && !self.s.matches('(a?){40}a{40}b')",
    "l": "self.l.all(x, self.l.exists(y, x == y))",
    "m": "self.l.map(x, x + x).all(y, y.size() < 999)",
}


@pytest.fixture
def ruled(victim):
    """A kind with rules that are dear and just allowed."""
    api = victim.api()
    spec = obj({"s": {"type": "string", "maxLength": 20000},
                "l": {"type": "array", "maxItems": 300, "items": {"type": "string", "maxLength": 64}}},
               **{"x-kubernetes-validations": [{"rule": r} for r in RULES.values()]})
    crd = definition("ruled.example.com", versions=[version(schema=obj({"spec": spec}))])
    name = crd["metadata"]["name"]
    api.post(CRDS, crd)
    until("it is established", lambda: condition(api.get(f"{CRDS}/{name}"), "Established").get("status") == "True")
    yield lambda **spec: json.dumps({"apiVersion": "ruled.example.com/v1", "kind": "CronTab",
                                     "metadata": {"generateName": "r-"}, "spec": spec})
    api.delete(f"{CRDS}/{name}")
    until("it is gone", lambda: api.gone(f"{CRDS}/{name}"))


def test_dear_rules_and_expressions_that_look_catastrophic_end(ruled, siege):
    worst = "a" * 19999
    bodies = [ruled(s=worst, l=[]), ruled(s=worst + "b", l=[]), ruled(s="ab" * 9999, l=["x"]),
              ruled(s="a", l=[f"{i:064}" for i in range(300)]), ruled(s="a", l=["same" * 16] * 300),
              ruled(s=worst, l=[f"{i:064}" for i in range(300)])]
    path = f"/apis/ruled.example.com/v1/namespaces/{NS}/crontabs"
    for code, answer, _ in siege([("POST", path, body, "application/json", {"dryRun": "All"}) for body in bodies]):
        assert code in (201, 422), answer


# ---------------------------------------------------------------- patches and applies


def deep(depth, inner="1"):
    return '{"a":' * depth + inner + "}" * depth


def test_hostile_patches_are_refused_or_harmless(victim, siege):
    api = victim.api()
    api.post(configmaps_path(NS), configmap("target", a="x" * 1000, **{f"k{i}": "v" for i in range(2000)}))
    doubling = [{"op": "copy", "from": "/data", "path": f"/x{i}"} for i in range(50)] + \
               [{"op": "copy", "from": "", "path": f"/y{i}"} for i in range(40)]
    front = [{"op": "add", "path": "/metadata/finalizers", "value": []}] + \
            [{"op": "add", "path": "/metadata/finalizers/0", "value": f"a.b/{i}"} for i in range(9000)]
    moves = [{"op": "move", "from": "/data", "path": "/date"}, {"op": "move", "from": "/date", "path": "/data"}] * 4000
    tests = [{"op": "test", "path": "", "value": {"data": {"a": "b"}}}] * 5000
    owners = [{"apiVersion": "v1", "kind": "Pod", "name": f"n{i}", "uid": f"u{i}"} for i in range(8000)]
    order = {"metadata": {"$setElementOrder/ownerReferences": [{"uid": f"u{i}"} for i in range(8000)][::-1],
                          "ownerReferences": owners}}
    directives = {"metadata": {"ownerReferences": [{"$patch": "delete", "uid": f"u{i}"} for i in range(8000)]},
                  "data": {"$retainKeys": [f"k{i}" for i in range(8000)]}}
    patches = [("json", json.dumps(p)) for p in (doubling, front, moves, tests)]
    patches += [("json", json.dumps([{"op": "add", "path": "/a" * 50000, "value": 1}])),
                ("json", json.dumps([{"op": "add", "path": "/data/" + "~0~1" * 50000, "value": "1"}])),
                ("json", '[{"op":"add","path":"/data/z","value":' + "[" * 9000 + "]" * 9000 + "}]"),
                ("merge", deep(9999)), ("merge", '{"data":' + deep(500, "null") + "}"),
                ("merge", json.dumps({"data": {f"n{i}": None for i in range(40000)}})),
                ("merge", json.dumps({"metadata": {"labels": {f"l{i}": "x" for i in range(20000)}}})),
                ("strategic", deep(9999)), ("strategic", json.dumps(order)), ("strategic", json.dumps(directives)),
                ("strategic", json.dumps({"metadata": {"$patch": "replace"}, "$retainKeys": ["data"] * 9000}))]
    path = configmaps_path(NS, "target")
    answers = siege([("PATCH", path, body, PATCH[kind], {"dryRun": "All"}) for kind, body in patches])
    for (kind, body), (code, answer, seconds) in zip(patches, answers):
        print(f"  {kind:10} {body[:40]!r:46} {code} {seconds * 1e3:8.1f} ms {str(answer.get('message', ''))[:60]!r}")
    assert len(api.get(path)["data"]) == 2001
    api.delete(path)


def apply_body(**more):
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, **more})


def test_hostile_applies_are_refused_or_harmless(victim, siege):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "applied"}}
    ports = [{"containerPort": 1 + i % 60000, "protocol": "TCP"} for i in range(8000)]
    same = [{"containerPort": 80, "protocol": "TCP"}] * 8000
    env = [{"name": f"E{i}", "value": "x"} for i in range(8000)]
    fields = {"f:data": {f"f:k{i}": {} for i in range(20000)}}
    nested = json.loads('{"f:a":' * 900 + "{}" + "}" * 900)
    entry = {"manager": "m", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields}
    laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{c}: &{c} [{','.join(['*' + p] * 9)}]\n"
                                                     for p, c in zip("abcdefgh", "bcdefghi"))
    bodies = [
        (configmaps_path(NS, "applied"), apply_body(data={f"k{i}": "v" for i in range(20000)})),
        (configmaps_path(NS, "applied"), apply_body(data=json.loads(deep(900)))),
        (configmaps_path(NS, "applied"), deep(9999)),
        (configmaps_path(NS, "applied"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied}\n" + laughs),
        (configmaps_path(NS, "applied"), json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": "applied", "managedFields": [entry]}})),
        (configmaps_path(NS, "applied"), json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": "applied", "managedFields": [dict(entry, fieldsV1=nested)]}})),
    ]
    for container in ({"name": "c", "image": "i", "ports": ports}, {"name": "c", "image": "i", "ports": same},
                      {"name": "c", "image": "i", "env": env}, {"name": "c", "image": "i", "env": env + env}):
        bodies.append((f"/api/v1/namespaces/{NS}/pods/applied", json.dumps(dict(pod, spec={"containers": [container]}))))
    bodies.append((f"/api/v1/namespaces/{NS}/pods/applied",
                   json.dumps(dict(pod, spec={"containers": [{"name": f"c{i}", "image": "i"} for i in range(3000)]}))))
    query = {"fieldManager": "hostile", "force": "true", "dryRun": "All"}
    answers = siege([("PATCH", path, body, APPLY, query) for path, body in bodies])
    for (path, body), (code, answer, seconds) in zip(bodies, answers):
        print(f"  {body[:60]!r:64} {code} {seconds * 1e3:8.1f} ms {str(answer.get('message', ''))[:60]!r}")


def test_many_managers_are_kept_within_bounds(victim, siege):
    """A thousand managers of one object: the oldest updates are put together, as in Kubernetes."""
    api = victim.api()
    api.post(configmaps_path(NS), configmap("many", a="x"))
    path = configmaps_path(NS, "many")
    siege([("PATCH", path, json.dumps({"data": {f"k{i}": "v"}}), PATCH["merge"], {"fieldManager": f"m{i}"})
           for i in range(150)])
    managers = [f["manager"] for f in api.get(path)["metadata"]["managedFields"] if f["operation"] == "Update"]
    assert len(managers) <= 12 and "ancient-changes" in managers, managers
    api.delete(path)


# ---------------------------------------------------------------- selectors and other words of a query


def test_hostile_selectors_are_refused_or_harmless(victim, siege):
    api = victim.api()
    for i in range(200):
        api.post(configmaps_path(NS), dict(configmap(f"s{i}"), metadata={"name": f"s{i}", "labels": {"n": str(i)}}))
    path = configmaps_path(NS)
    selectors = [
        ",".join(f"k{i}!=v" for i in range(5000)), f"n in ({','.join(str(i) for i in range(8000))})",
        f"n notin ({','.join(['x'] * 8000)})", "n in (" * 2000, "(" * 9000, "!" * 9000 + "n", "," * 9000,
        "a=" + "b" * 9000, "a" * 9000, "n in (a,,,,b)", "n=a=b", "n==" + "=" * 5000, "n>1,n<9223372036854775808", "n>x", "\0", "é=ü"]
    fields = [",".join(f"metadata.name!=x{i}" for i in range(3000)), "metadata.name" * 500 + "=x", "=" * 5000,
              "metadata.name=" + "\\" * 5000, "metadata.name=a\\", "spec.nodeName=x", "metadata.namespace in (a,b)"]
    queries = [{"labelSelector": s} for s in selectors] + [{"fieldSelector": f} for f in fields]
    queries += [{"continue": "x" * 9000}, {"continue": "e30="}, {"limit": "9" * 400}, {"limit": "-1"},
                {"resourceVersion": "9" * 400}, {"resourceVersion": "-5"}, {"resourceVersionMatch": "Perhaps", "resourceVersion": "1"},
                {"timeoutSeconds": "9" * 100}, {"fieldManager": "m" * 9000}, {"sendInitialEvents": "maybe", "watch": "1"}]
    answers = siege([("GET", path, None, None, q) for q in queries])
    for query, (code, answer, seconds) in zip(queries, answers):
        print(f"  {str(query)[:60]:62} {code} {seconds * 1e3:8.1f} ms {str(answer.get('message', ''))[:60]!r}")
        assert code in (200, 400, 410, 413, 414, 422, 431, 504), (query, answer)
    for broken in ("%00", "%zz", "%4", "n%3D1%00"):
        code, _, _ = api.raw("DELETE", f"{path}?labelSelector={broken}")
        assert code == 400, "a selector that cannot be read must not select everything"
    for i in range(200):
        api.delete(configmaps_path(NS, f"s{i}"))
