# SPDX-License-Identifier: Apache-2.0
"""Jobs are counted exactly while the center is killed with -9 again and again.

No node runs here: the test itself ends pods, as an agent would, and deletes a few. What it did and what the Jobs say
must agree at the end: not one pod counted twice, none forgotten, none made in vain.
"""
import http.client
import os
import random
import threading
import time
from collections import Counter

from harness import ApiError, condition, pods_path, until

NS = "default"
KILLS = 15
JOBS = f"/apis/batch/v1/namespaces/{NS}/jobs"
TEMPLATE = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "none"}]}}
LOST = (OSError, http.client.HTTPException)


def job(name, completions, parallelism, **spec):
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
            "spec": {"completions": completions, "parallelism": parallelism, "template": TEMPLATE, **spec}}


WANTED = {
    "one": job("one", 1, 1),
    "row": job("row", 12, 1),
    "crowd": job("crowd", 40, 10),
    "wide": job("wide", 25, 25),
    "indexed": job("indexed", 20, 6, completionMode="Indexed"),
    "clumsy": job("clumsy", 6, 3, backoffLimit=6),
    "robbed": job("robbed", 6, 3, backoffLimit=6),
}


class Agent:
    """Ends pods in a random order; remembers what took effect."""

    def __init__(self, center, chance):
        self.center, self.chance = center, chance
        self.failed, self.robbed = set(), set()    # uids of pods that failed, and of those that were deleted
        self.most = Counter()                      # the most pods of a Job that were there unfinished
        self.done = threading.Event()

    def run(self):
        while not self.done.is_set():
            try:
                self.round(self.center.api())
            except LOST:
                time.sleep(0.02)
            except ApiError as e:
                if e.status not in (404, 409, 429, 500, 503):
                    raise

    def round(self, api):
        pods = [p for p in api.items(pods_path(NS)) if "deletionTimestamp" not in p["metadata"]
                and p["status"].get("phase", "Pending") == "Pending"]
        for name, count in Counter(owner(p) for p in pods).items():
            self.most[name] = max(self.most[name], count)
        self.chance.shuffle(pods)
        for p in pods[:5]:
            self.end(api, p)
        api.close()
        time.sleep(0.01)

    def end(self, api, p):
        path, uid = pods_path(NS, p["metadata"]["name"]), p["metadata"]["uid"]
        if owner(p) == "clumsy" and not self.failed:
            self.failed.add(uid)
        if owner(p) == "robbed" and not self.robbed:
            self.robbed.add(uid)
        if uid in self.robbed:
            api.delete(path)
        else:
            phase = "Failed" if uid in self.failed else "Succeeded"
            api.patch(path + "/status", {"metadata": {"uid": uid}, "status": {"phase": phase}})


def owner(p):
    return p["metadata"]["labels"]["batch.kubernetes.io/job-name"]


def test_jobs_are_counted_exactly_while_the_center_is_killed(own_host):
    seed = int(os.environ.get("E2E_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"seed: {seed}")
    chance = random.Random(seed)
    center = own_host.center(reachable=False).start()
    for wanted in WANTED.values():
        center.api().post(JOBS, wanted)
    agent = Agent(center, random.Random(seed + 1))
    thread = threading.Thread(target=agent.run)
    thread.start()
    try:
        for _ in range(KILLS):
            time.sleep(chance.random() * 0.4)
            center.kill()
            center.start()
        api = center.api()
        for name in WANTED:
            until(f"the job {name} is complete",
                  lambda: condition(api.get(f"{JOBS}/{name}"), "Complete").get("status") == "True")
    finally:
        agent.done.set()
        thread.join()
    pods = api.items(pods_path(NS))
    for name, wanted in WANTED.items():
        status = api.get(f"{JOBS}/{name}")["status"]
        mine = Counter(p["status"]["phase"] for p in pods if owner(p) == name)
        lost = len(agent.failed) if name == "clumsy" else len(agent.robbed) if name == "robbed" else 0
        told = f"{name}: {status} pods {mine}"
        assert status["succeeded"] == wanted["spec"]["completions"] == mine["Succeeded"], told
        assert status.get("failed", 0) == lost and status.get("active", 0) == 0, told
        assert status["uncountedTerminatedPods"] == {}, told
        assert agent.most[name] <= wanted["spec"]["parallelism"], (told, agent.most)
    assert api.get(f"{JOBS}/indexed")["status"]["completedIndexes"] == "0-19"
    assert not [p["metadata"]["name"] for p in pods if p["metadata"].get("finalizers")]
