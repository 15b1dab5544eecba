# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the center at random moments, twenty times, under concurrent writers and watchers.

A writer notes what the server acknowledged. After every start, what was acknowledged must be there, and nothing
that no writer asked for. A watcher resumes at the last revision it saw; over all rounds it must have
seen each change of each object exactly once, in order.
"""
import http.client
import os
import random
import threading
import time

from harness import ApiError, configmap, configmaps_path, until

ROUNDS = 20
WRITERS = 4
WATCHERS = 3
NS = "default"


class Writer:
    """Creates, updates and deletes configmaps of its own, and notes what was acknowledged.

    known[name] is the state after the last acknowledged write: (value, revision), or None when deleted. A write
    without an answer (the center died) makes a second state possible: pending[name].
    """

    def __init__(self, api, number, seed):
        self.api, self.number = api, number
        self.random = random.Random(f"{seed}-{number}")
        self.known, self.pending = {}, {}
        self.made = 0
        self.acknowledged = 0

    def run(self, stop):
        while not stop.is_set():
            try:
                self.step()
            except (OSError, http.client.HTTPException, ApiError) as e:
                if isinstance(e, ApiError) and e.status < 500:
                    raise
                self.api.close()
                time.sleep(0.005)

    def step(self):
        name = f"w{self.number}-{self.random.randrange(12)}"
        if name in self.pending:
            self.learn(name)
        self.made += 1
        value = str(self.made)
        old = self.known.get(name)
        path = configmaps_path(NS, name)
        if old is None:
            self.pending[name] = value
            done = self.api.post(configmaps_path(NS), configmap(name, v=value))
        elif self.random.random() < 0.2:
            self.pending[name] = None
            self.api.delete(path)
            done = None
        else:
            self.pending[name] = value
            body = configmap(name, v=value)
            body["metadata"]["resourceVersion"] = old[1]
            done = self.api.put(path, body)
        self.note(name, done)
        self.acknowledged += 1

    def note(self, name, found):
        self.known[name] = found and (found["data"]["v"], found["metadata"]["resourceVersion"])
        self.pending.pop(name, None)

    def learn(self, name):
        """Reads what became of a write without an answer; it must be one of the two possible states."""
        found = self.read(name)
        possible = [self.known.get(name) and self.known[name][0], self.pending[name]]
        value = found and found["data"]["v"]
        assert value in possible, f"{name} is {value}, none of {possible}"
        self.note(name, found)

    def read(self, name):
        try:
            return self.api.get(configmaps_path(NS, name))
        except ApiError as e:
            if e.status != 404:
                raise
            return None

    def check(self):
        """After a start: every acknowledged write is there."""
        for name in list(self.pending):
            self.learn(name)
        for name, state in self.known.items():
            found = self.read(name)
            there = found and (found["data"]["v"], found["metadata"]["resourceVersion"])
            assert there == state, f"{name}: acknowledged {state}, found {there}"


class Watcher:
    """Lists once, then watches and resumes for ever; history[name] = [(type, value, revision)]."""

    def __init__(self, api):
        self.api = api
        self.history = {}
        self.revision = 0
        self.resumed = 0
        self.objects = {}

    def begin(self):
        listed = self.api.get(configmaps_path(NS))
        self.revision = int(listed["metadata"]["resourceVersion"])

    def run(self, stop):
        while not stop.is_set():
            try:
                stream = self.api.watch(configmaps_path(NS), resourceVersion=str(self.revision),
                                        allowWatchBookmarks="true", timeoutSeconds="600")
                for event in stream:
                    self.see(event)
                    if stop.is_set():
                        return
            except (OSError, http.client.HTTPException, ValueError):
                pass  # the center died, perhaps in the middle of a line
            self.resumed += 1
            time.sleep(0.005)

    def see(self, event):
        assert event["type"] != "ERROR", event
        meta = event["object"]["metadata"]
        revision = int(meta["resourceVersion"])
        if event["type"] == "BOOKMARK":
            assert revision >= self.revision
            self.revision = revision
            return
        assert revision > self.revision, f"{event['type']} {meta['name']} at {revision} was told before"
        self.revision = revision
        if meta["name"].startswith("w"):
            self.history.setdefault(meta["name"], []).append(
                (event["type"], event["object"].get("data", {}).get("v"), revision))

    def check_order(self):
        """Each object's life is ADDED MODIFIED* DELETED, and again."""
        for name, events in self.history.items():
            alive = False
            for kind, _, revision in events:
                assert (kind == "ADDED") != alive, f"{name}: {kind} at {revision} in {events}"
                alive = kind != "DELETED"


def test_kill_of_the_center_loses_no_acknowledged_write_and_no_event(own_host):
    seed = int(os.environ.get("E2E_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"seed: {seed} (E2E_SEED={seed} repeats the moments as far as a machine can)")
    chance = random.Random(seed)
    center = own_host.center(reachable=False).start()
    writers = [Writer(center.api(), i, seed) for i in range(WRITERS)]
    watchers = [Watcher(center.api()) for _ in range(WATCHERS)]
    for watcher in watchers:
        watcher.begin()
    over = threading.Event()
    errors = []

    def guarded(function, stop):
        try:
            function(stop)
        except BaseException as e:
            errors.append(e)

    watching = [threading.Thread(target=guarded, args=(w.run, over), daemon=True) for w in watchers]
    for thread in watching:
        thread.start()
    try:
        for round_number in range(ROUNDS):
            stop = threading.Event()
            writing = [threading.Thread(target=guarded, args=(w.run, stop), daemon=True) for w in writers]
            goal = sum(w.acknowledged for w in writers) + chance.randrange(1, 150)
            for thread in writing:
                thread.start()
            until(f"writes of round {round_number}", lambda: errors or
                  sum(w.acknowledged for w in writers) >= goal, pause=0.001)
            time.sleep(chance.random() * 0.02)
            center.kill()
            stop.set()
            for thread in writing:
                thread.join()
            assert not errors, errors
            center.start()
            for writer in writers:
                writer.api.close()
                writer.check()
        last = center.api().post(configmaps_path(NS), configmap("last"))["metadata"]["resourceVersion"]
        until("the watchers have seen all", lambda: errors or
              all(w.revision >= int(last) for w in watchers))
        assert not errors, errors
    finally:
        over.set()
        if center.process:
            center.api().post(configmaps_path(NS), configmap("end-of-run"))
            for thread in watching:
                thread.join()
    acknowledged = sum(w.acknowledged for w in writers)
    print(f"{acknowledged} writes acknowledged, "
          f"{sum(len(e) for w in watchers for e in w.history.values())} events seen, "
          f"resumed {[w.resumed for w in watchers]} times")
    assert acknowledged > ROUNDS and all(w.resumed >= ROUNDS for w in watchers)
    for watcher in watchers:
        watcher.check_order()
        assert watcher.history == watchers[0].history, "every watcher saw the same"
    for writer in writers:
        for name, state in writer.known.items():
            end = watchers[0].history[name][-1]
            if state is None:
                assert end[0] == "DELETED"
            else:
                assert end[0] != "DELETED" and (end[1], str(end[2])) == state
    final = {m["metadata"]["name"] for m in center.api().items(configmaps_path(NS))
             if m["metadata"]["name"].startswith("w")}
    assert final == {n for w in writers for n, s in w.known.items() if s}


def test_kill_of_the_center_during_its_first_start_is_harmless(own_host):
    """Keys, kubeconfig and store are made whole or not at all."""
    chance = random.Random(7)
    center = own_host.center(reachable=False)
    for _ in range(10):
        center.spawn(center.command())
        time.sleep(chance.random() * 0.15)
        center.kill()
    center.start()
    assert center.api().get("/api/v1/namespaces/default")["status"]["phase"] == "Active"
    center.stop()
    before = center.kubeconfig.read_bytes()
    center.start()
    assert center.kubeconfig.read_bytes() == before, "a start changes no keys"
