# SPDX-License-Identifier: Apache-2.0
"""Many clients create, patch, apply, replace, delete, read and list the same few objects while the center is killed
again and again; afterwards there is one history that explains every answer that anybody got.

The revision makes the search for that history short: the watch shows every change with its revision, so the order
is known, and what is left to check is that each answer fits it in real time (linearizability):

    - an acknowledged write is one event, with its content; a write without an answer is one event or none;
    - what was finished before an operation began has a smaller revision than what the operation did or saw;
    - a read shows the state of a moment between its begin and its end, a list shows all objects at its revision;
    - a refusal (exists, not found, conflict) was true at such a moment;
    - all watchers saw the same events, and at the end their objects are the store's.

    HISTORY_SECONDS   how long the clients work (default 12)
"""
import bisect
import http.client
import itertools
import os
import random
import threading
import time

import pytest

from harness import ApiError, configmap, configmaps_path, until

NS = "default"
SECONDS = float(os.environ.get("HISTORY_SECONDS", "12"))
CLIENTS, WATCHERS, NAMES = 8, 3, [f"h{i}" for i in range(5)]
APPLY = "application/apply-patch+yaml"


class Operation:
    def __init__(self, kind, name, mark=None):
        self.kind, self.name, self.mark = kind, name, mark
        self.begin = time.monotonic()
        self.end = None     # None: no answer came
        self.status = None  # 2xx, or the refusal's
        self.answer = None

    def __repr__(self):
        return f"{self.kind} {self.name} mark={self.mark} status={self.status} [{self.begin:.4f}, {self.end}]"


class Client:
    """Writes carry a mark that no other write has: data[<client's own key>] = "<client>:<number>"."""

    def __init__(self, api, number, seed):
        self.api, self.number, self.count = api, number, 0
        self.chance = random.Random(f"{seed}/{number}")
        self.log, self.seen = [], {}

    def run(self, stop):
        while not stop.is_set():
            kind = self.chance.choice(["create", "create", "merge", "merge", "apply", "apply", "replace", "delete",
                                       "get", "get", "list"])
            self.operate(kind, self.chance.choice(NAMES))

    def operate(self, kind, name):
        self.count += 1
        operation = Operation(kind, name, f"{self.number}:{self.count}")
        try:
            operation.answer = getattr(self, kind)(name, operation.mark)
            operation.status = 200
        except ApiError as e:
            operation.status = e.status
            if e.status >= 500:
                operation.status = None
        except (OSError, http.client.HTTPException, ValueError):
            self.api.close()
            time.sleep(0.01)
        if operation.status:
            operation.end = time.monotonic()
        self.log.append(operation)

    def data(self, mark):
        return {f"k{self.number}": mark}

    def create(self, name, mark):
        return self.api.post(configmaps_path(NS), configmap(name, **self.data(mark)))

    def merge(self, name, mark):
        return self.api.patch(configmaps_path(NS, name), {"data": self.data(mark)})

    def apply(self, name, mark):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": self.data(mark)}
        return self.api.call("PATCH", configmaps_path(NS, name), body, {"Content-Type": APPLY},
                             {"fieldManager": f"m{self.number}", "force": "true"})

    def replace(self, name, mark):
        body = configmap(name, **self.data(mark))
        body["metadata"]["resourceVersion"] = self.seen.get(name, "1")
        return self.api.put(configmaps_path(NS, name), body)

    def delete(self, name, mark):
        return self.api.delete(configmaps_path(NS, name))

    def get(self, name, mark):
        found = self.api.get(configmaps_path(NS, name))
        self.seen[name] = found["metadata"]["resourceVersion"]
        return found

    def list(self, name, mark):
        return self.api.get(configmaps_path(NS), labelSelector="")


class Watcher:
    def __init__(self, api, revision):
        self.api, self.revision, self.events, self.failure = api, revision, [], None

    def run(self, stop):
        while not stop.is_set():
            try:
                for event in self.api.watch(configmaps_path(NS), resourceVersion=str(self.revision),
                                            allowWatchBookmarks="true", timeoutSeconds="600"):
                    if event["type"] == "ERROR":
                        self.failure = event
                        return
                    self.revision = int(event["object"]["metadata"]["resourceVersion"])
                    if event["type"] != "BOOKMARK" and event["object"]["metadata"]["name"] in NAMES:
                        self.events.append(event)
                    if stop.is_set():
                        return
            except (OSError, http.client.HTTPException, ValueError, ApiError):
                time.sleep(0.01)


class History:
    """The objects over the revisions, from one watcher's events."""

    def __init__(self, events):
        self.changes = {name: [(0, None)] for name in NAMES}  # name -> [(revision, object or None)], ascending
        self.by_revision, self.deleted = {}, {}
        for event in events:
            meta = event["object"]["metadata"]
            revision, gone = int(meta["resourceVersion"]), event["type"] == "DELETED"
            before = self.changes[meta["name"]]
            assert revision > before[-1][0], f"{event} comes after {before[-1]}"
            assert (event["type"] == "ADDED") == (before[-1][1] is None), f"{event['type']} after {before[-1]}"
            before.append((revision, None if gone else event["object"]))
            self.by_revision[revision] = event
            if gone:
                self.deleted[meta["uid"]] = revision

    def at(self, name, revision):
        changes = self.changes[name]
        return changes[bisect.bisect_right([r for r, _ in changes], revision) - 1][1]

    def states_between(self, name, low, high):
        """(revision, object) of every state that was the newest at some revision in [low, high]."""
        changes = self.changes[name]
        for i, (revision, state) in enumerate(changes):
            until_revision = changes[i + 1][0] - 1 if i + 1 < len(changes) else float("inf")
            if revision <= high and until_revision >= low:
                yield revision, state


def marks_of(state):
    return set(state["data"].values()) if state and state.get("data") else set()


def revision_of(operation, history):
    """The revision that the operation's answer names; None when it names none."""
    if not 200 <= (operation.status or 0) < 300:
        return None
    if operation.kind == "delete":
        return history.deleted.get(operation.answer["details"]["uid"])
    return int(operation.answer["metadata"]["resourceVersion"])


def check_answer(operation, history, low, high):
    name, kind = operation.name, operation.kind
    if operation.status >= 400:
        found = list(history.states_between(name, low, high))
        if operation.status == 404:
            assert any(state is None for _, state in found), f"{operation}: it was there all the time"
        elif kind == "create":
            assert any(state is not None for _, state in found), f"{operation}: it was never there"
        else:
            assert operation.status == 409 and kind == "replace", f"{operation} was refused"
        return
    if kind == "list":
        revision = int(operation.answer["metadata"]["resourceVersion"])
        listed = {o["metadata"]["name"]: o["metadata"]["resourceVersion"] for o in operation.answer["items"]
                  if o["metadata"]["name"] in NAMES}
        stored = {n: history.at(n, revision) for n in NAMES}
        assert listed == {n: o["metadata"]["resourceVersion"] for n, o in stored.items() if o}, f"{operation} at {revision}"
        return
    revision = revision_of(operation, history)
    if kind == "delete":
        assert revision, f"{operation}: acknowledged, but no watcher saw it"
        return
    state = history.at(name, revision)
    assert state and state["data"] == operation.answer["data"], f"{operation}: {operation.answer} is not in the history"
    if kind == "get":
        assert any(r == revision for r, _ in history.states_between(name, low, high)), f"{operation}: stale, {low} was known"
    else:
        assert operation.mark in marks_of(state), f"{operation}: its mark is lost"


class Bounds:
    """What had to be seen by an operation, and what could not yet be, from the operations around it."""

    def __init__(self, operations, history):
        named = [(o, revision_of(o, history)) for o in operations if o.end]
        named = [(o, revision) for o, revision in named if revision]
        ends = sorted((o.end, revision) for o, revision in named)
        begins = sorted(((o.begin, revision) for o, revision in named if o.kind not in ("get", "list")), reverse=True)
        self.ends, self.begins = [e for e, _ in ends], [b for b, _ in reversed(begins)]
        self.newest = list(itertools.accumulate((r for _, r in ends), max))
        self.oldest = list(itertools.accumulate((r for _, r in begins), min))[::-1]

    def low(self, operation):
        before = bisect.bisect_left(self.ends, operation.begin)
        return self.newest[before - 1] if before else 0

    def high(self, operation):
        after = bisect.bisect_right(self.begins, operation.end)
        return self.oldest[after] - 1 if after < len(self.begins) else float("inf")


def check_order(operations, history):
    """What was finished before something began is older than it."""
    bounds, checked = Bounds(operations, history), 0
    for o in operations:
        if not o.end:
            continue
        low, revision = bounds.low(o), revision_of(o, history)
        if revision and o.kind == "list":
            assert revision >= low, f"{o}: revision {revision}, but {low} was known"
        elif revision and o.kind != "get":
            assert revision > low, f"{o}: revision {revision}, but {low} was known"
        check_answer(o, history, low, bounds.high(o))
        checked += 1
    return checked


def check_events_have_causes(operations, history):
    writes = {o.mark: o for o in operations if o.kind in ("create", "merge", "apply", "replace")}
    applied = set()
    for name, changes in history.changes.items():
        for (_, before), (revision, after) in zip(changes, changes[1:]):
            new = marks_of(after) - marks_of(before) if after else set()
            if after is None:
                continue
            assert len(new) == 1, f"{name} at {revision}: {new} at once"
            mark = new.pop()
            assert mark in writes and mark not in applied, f"{name} at {revision}: {mark} was written twice or by nobody"
            assert writes[mark].name == name and (writes[mark].status or 200) < 400, f"{writes[mark]} was refused but is there"
            applied.add(mark)
    lost = [o for mark, o in writes.items() if o.status == 200 and mark not in applied]
    assert not lost, f"acknowledged and lost: {lost}"


@pytest.fixture
def lone_center(own_host):
    return own_host.center(reachable=False).start()


def test_every_answer_fits_one_history(lone_center):
    seed = os.environ.get("E2E_SEED") or str(random.randrange(1 << 32))
    print(f"seed {seed}")
    center, chance = lone_center, random.Random(seed)
    revision = int(center.api().get(configmaps_path(NS))["metadata"]["resourceVersion"])
    clients = [Client(center.api(), i, seed) for i in range(CLIENTS)]
    watchers = [Watcher(center.api(), revision) for _ in range(WATCHERS)]
    stop, stop_watching = threading.Event(), threading.Event()
    threads = [threading.Thread(target=c.run, args=(stop,), daemon=True) for c in clients]
    watching = [threading.Thread(target=w.run, args=(stop_watching,), daemon=True) for w in watchers]
    for thread in threads + watching:
        thread.start()
    kills, end = 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(0.2 + chance.random() * 1.5)
        center.kill()
        kills += 1
        center.start()
    stop.set()
    for thread in threads:
        thread.join()
    api = center.api()
    last = api.post(configmaps_path(NS), configmap("the-end"))
    until("the watchers have seen the end",
          lambda: all(w.failure or w.revision >= int(last["metadata"]["resourceVersion"]) for w in watchers))
    stop_watching.set()
    assert not any(w.failure for w in watchers), [w.failure for w in watchers]
    seen = [[(e["type"], e["object"]) for e in w.events] for w in watchers]
    assert all(s == seen[0] for s in seen), "the watchers saw different histories"
    operations = [o for c in clients for o in c.log]
    history = History(watchers[0].events)
    stored = {o["metadata"]["name"]: o for o in api.items(configmaps_path(NS)) if o["metadata"]["name"] in NAMES}
    assert stored == {n: c[-1][1] for n, c in history.changes.items() if c[-1][1]}
    check_events_have_causes(operations, history)
    checked = check_order(operations, history)
    unknown = sum(o.end is None for o in operations)
    print(f"{len(operations)} operations, {checked} answers checked, {unknown} without an answer, "
          f"{len(seen[0])} events, {kills} kills")
    assert checked > 100 and kills > 3
