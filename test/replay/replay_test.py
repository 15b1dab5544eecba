# SPDX-License-Identifier: Apache-2.0
"""Replays recorded conversations of real clients with a real API server at a center of our own, request by request.

    replay_test.py CENTER PROTOBUF_DUMP FOLDER [-v]

FOLDER holds the recordings (*.jsonl.gz, one request or response a line); they are no part of the repository, and
without them the test is skipped. Every answer must have the recorded status, and the same shape: the same members
with values of the same types, and where the answer is to a write, the same values. What differs on purpose stands in
explained.py with its reason; the reasons are printed with how often they were needed, and one that nothing needs is an
error, as is a difference that nobody explains.

The recorded server had a past and a node that ours has not. So the world as its answers show it is kept beside
the replay, and an object that a request is about is first brought into the state that it had (seed).
"""
import json
import os
import re
import sys
import tempfile
from collections import Counter

from center import Center
from explained import EXPLAINED
from recording import conversations

MADE_ANEW = {"uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "managedFields", "selfLink", "time"}
# Members that controllers write on their own time.
WRITTEN_LATER = {"status", "deployment.kubernetes.io/revision", "generation"}


FROM_SERVER = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "ownerReferences",
               "deletionTimestamp", "deletionGracePeriodSeconds")


def same(wanted, ours):
    """Whether ours has all of the spec and labels that are wanted."""
    return all(wanted.get(k) == ours.get(k) for k in set(wanted) - {"metadata", "status"}) and \
        all(wanted["metadata"].get(k) == ours["metadata"].get(k) for k in ("labels", "annotations", "finalizers"))


def kind_of(value):
    return {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null",
            dict: "object", list: "array"}[type(value)]


def differences(theirs, ours, path, exact):
    """Texts that say where ours is not like theirs."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(set(theirs) | set(ours)):
            if key in MADE_ANEW or (key in WRITTEN_LATER and path == "") or key in WRITTEN_LATER and "annotations" in path:
                continue
            if key not in ours:
                yield f"{path}.{key}: missing"
            elif key not in theirs:
                yield f"{path}.{key}: not theirs"
            else:
                yield from differences(theirs[key], ours[key], f"{path}.{key}", exact)
    elif isinstance(theirs, list) and isinstance(ours, list):
        if exact and len(theirs) != len(ours):
            yield f"{path}: {len(theirs)} items became {len(ours)}"
        for i, (a, b) in enumerate(zip(theirs, ours)):
            yield from differences(a, b, f"{path}[{i}]", exact)
    elif kind_of(theirs) != kind_of(ours):
        yield f"{path}: {kind_of(theirs)} became {kind_of(ours)}"
    elif exact and theirs != ours:
        yield f"{path}: {str(theirs)[:100]!r} became {str(ours)[:100]!r}"


def table_differences(theirs, ours):
    """Columns exactly; cells by their types."""
    yield from differences([{k: c[k] for k in ("name", "type", "format", "priority")} for c in theirs["columnDefinitions"]],
                           [{k: c[k] for k in ("name", "type", "format", "priority")} for c in ours["columnDefinitions"]],
                           ".columnDefinitions", True)


class World:
    """The objects as the recorded answers showed them: path -> object."""

    def __init__(self):
        self.objects = {}

    def see(self, path, obj):
        if isinstance(obj, dict) and obj.get("metadata", {}).get("name") and obj.get("kind") not in ("Status", "Scale", "Table"):
            self.objects[path] = obj

    def learn(self, request, answer):
        body = answer.json
        if not isinstance(body, dict) or answer.status >= 300:
            if answer.status == 404 and request.name:
                self.objects.pop(request.object_path, None)
            return
        kind = body.get("kind", "")
        if kind.endswith("List") and not request.name:
            for item in body.get("items") or []:
                item = {"apiVersion": body["apiVersion"], "kind": kind[:-4], **item}
                self.see(request.path_of(item), item)
        elif request.method == "DELETE":
            self.objects.pop(request.object_path, None)
        elif request.method == "POST" and not request.subresource:
            self.see(request.path_of(body), body)
        elif request.subresource in ("", "status", "ephemeralcontainers"):
            self.see(request.object_path, body)


class Replay:
    def __init__(self, center):
        self.center, self.world = center, World()
        self.uids = {}  # theirs -> ours
        self.found, self.used, self.compared, self.unknown = [], Counter(), 0, []

    # ---- the state before a request ----

    def seed(self, path, wanted):
        """Makes our object at path what theirs was."""
        body = json.loads(json.dumps(wanted))
        for key in FROM_SERVER:
            body["metadata"].pop(key, None)
        body = self.translate(body)
        status, ours = self.center.call("GET", path)
        going = status == 200 and "deletionTimestamp" in ours["metadata"]
        if going and "deletionTimestamp" in wanted["metadata"]:
            return
        if status == 200 and (going or not same(body, ours)):
            status, _ = self.center.call("PUT", path, body)
            if going:  # held by a finalizer that no controller takes off
                self.center.call("PATCH", path, {"metadata": {"finalizers": None}})
                status = 404
            elif status >= 300:  # what cannot be changed is made anew
                self.center.call("DELETE", path + "?gracePeriodSeconds=0")
                status = 404
        if status == 404:
            status, ours = self.center.call("POST", path.rsplit("/", 1)[0], body)
            if status >= 300:
                self.judge(f"seed {path}: {status} {str(ours)[:300]}")
        if "status" in wanted:
            self.center.call("PUT", path + "/status", body)
        self.note_uid(wanted, self.center.call("GET", path)[1])

    def note_uid(self, theirs, ours):
        if isinstance(theirs, dict) and isinstance(ours, dict):
            a, b = theirs.get("metadata", {}).get("uid"), ours.get("metadata", {}).get("uid")
            if a and b:
                self.uids[a] = b

    def translate(self, body):
        text = json.dumps(body)
        for theirs, ours in self.uids.items():
            text = text.replace(theirs, ours)
        return json.loads(text)

    def prepare(self, request, answer):
        """False when the recording does not hold the state that the request met."""
        if request.method == "POST" and not request.subresource:
            self.prepare_create(request, answer)
        elif request.name:
            return self.prepare_object(request, answer)
        elif request.method == "GET" and isinstance(answer.json, dict) and answer.json.get("items"):
            self.prepare_list(request, answer.json)
        return True

    def prepare_create(self, request, answer):
        if answer.status == 201 and answer.json and not request.dry_run and answer.json.get("metadata", {}).get("name"):
            self.center.call("DELETE", request.path_of(answer.json) + "?gracePeriodSeconds=0")
        elif answer.status == 409 and request.path_of(request.json or {}) in self.world.objects:
            path = request.path_of(request.json)
            self.seed(path, self.world.objects[path])

    def prepare_object(self, request, answer):
        path, known = request.object_path, self.world.objects.get(request.object_path)
        if request.method == "GET" and answer.status == 200 and not request.subresource and answer.json:
            known = answer.json
        made_by_apply = answer.status == 201 and request.method == "PATCH"
        if answer.status == 404 or made_by_apply:
            self.center.call("DELETE", path + "?gracePeriodSeconds=0")
        elif not known or "metadata" not in known:
            return False
        else:
            self.seed(path, known)
        return True

    def prepare_list(self, request, body):
        wanted = {}
        for item in body["items"]:
            item = {"apiVersion": body["apiVersion"], "kind": body["kind"][:-4], **item}
            wanted[request.path_of(item)] = item
        for path, item in wanted.items():
            self.seed(path, item)
        ours = self.center.call("GET", request.base)[1]
        for item in ours.get("items", []) if isinstance(ours, dict) else []:
            path = request.path_of(item)
            if path not in wanted and not request.base.endswith("/namespaces"):
                self.center.call("DELETE", path + "?gracePeriodSeconds=0")

    def make_account(self):
        """What a controller would make: pods need it."""
        self.center.call("POST", "/api/v1/namespaces/default/serviceaccounts",
                         {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})

    # ---- a request ----

    def fresh_target(self, request):
        """A list or watch from a revision that ours has not reached starts from ours."""
        if not re.search(r"resourceVersion=[1-9]", request.target):
            return request.target
        revision = self.center.call("GET", request.base + "?limit=1")[1].get("metadata", {}).get("resourceVersion", "0")
        return re.sub(r"resourceVersion=\d+", f"resourceVersion={revision}", request.target)

    def fresh_body(self, request):
        """The body with our uids and our present revision."""
        if request.json is None:
            return request.body
        body = self.translate(request.json)
        meta = body.get("metadata") if isinstance(body, dict) else None
        if isinstance(meta, dict) and meta.get("resourceVersion") and request.name:
            ours = self.center.call("GET", request.object_path)[1]
            meta["resourceVersion"] = ours.get("metadata", {}).get("resourceVersion")
        return json.dumps(body).encode()

    def compare(self, request, answer, status, ours):
        if status != answer.status:
            message = ours.get("message", "") if isinstance(ours, dict) else ""
            yield f"status {answer.status} became {status} {message[:160]}"
            return
        theirs = answer.json
        if not isinstance(theirs, dict) or not isinstance(ours, dict):
            return
        if theirs.get("kind") == "Table" and ours.get("kind") == "Table":
            yield from table_differences(theirs, ours)
        elif "openapi" in request.path or theirs.get("kind", "").startswith("API"):
            yield from differences({k: theirs.get(k) for k in ("kind", "apiVersion")},
                                   {k: ours.get(k) for k in ("kind", "apiVersion")}, "", True)
        else:
            exact = request.method != "GET"
            yield from differences(self.translate(theirs), ours, "", exact)

    def one(self, request, answer):
        if not self.prepare(request, answer):
            self.unknown.append(request.label)
            return
        status, ours = self.center.send(request, self.fresh_target(request), self.fresh_body(request))
        self.note_uid(answer.json, ours)
        for text in self.compare(request, answer, status, ours):
            self.judge(f"{request.label}: {text}")
        self.world.learn(request, answer)
        self.compared += 1

    def judge(self, text):
        for pattern, reason in EXPLAINED:
            if re.search(pattern, text):
                self.used[reason] += 1
                return
        self.found.append(text)


def main():
    program, dump, folder = sys.argv[1:4]
    folder = os.environ.get("SELVEDGE_DATA", folder)
    recorded = conversations(folder, dump)
    if not recorded:
        print("skipped: the recorded conversations are not at hand")
        return 77
    with tempfile.TemporaryDirectory(prefix="selvedge-replay-") as data:
        center = Center(program, data)
        replay = Replay(center)
        try:
            replay.make_account()
            for request, answer in recorded:
                replay.one(request, answer)
        finally:
            code = center.stop()
    print("explained:")
    for reason in dict.fromkeys(reason for _, reason in EXPLAINED):
        print(f"  {replay.used[reason]:5}  {reason}")
    unused = [reason for _, reason in EXPLAINED if not replay.used[reason]]
    for label in replay.unknown:
        print("not replayed, the recording has cut the state that it met:", label)
    for text in replay.found:
        print("DIFFERENT", text)
    for reason in unused:
        print("NOT NEEDED any more:", reason)
    print(f"{replay.compared} answers compared, {len(replay.found)} unexplained differences")
    return 1 if replay.found or unused or code or not replay.compared else 0


if __name__ == "__main__":
    sys.exit(main())
