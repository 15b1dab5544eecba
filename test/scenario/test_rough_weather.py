# SPDX-License-Identifier: Apache-2.0
"""Cuts, kills and changes in a random order; when the sky clears, the center, the node and the machine agree."""
import os
import random
import time

from harness import (configmap, configmaps_path, deployment, deployments_path, ignore_missing, is_ready, pod,
                     pods_path, read_proc, until)

NS = "weather"
STEPS = 30


class Weather:
    """One random step after the other; what was asked for last is what must be at the end."""

    def __init__(self, seed, center, edge):
        self.chance = random.Random(seed)
        self.center, self.edge = center, edge
        self.replicas, self.color = 3, "0"
        self.singles = set()
        self.is_cut = False
        self.steps = [self.cut_or_mend, self.cut_or_mend, self.scale, self.paint, self.add_or_remove,
                      self.kill_center, self.kill_agent, self.kill_container, self.lose_power]

    def step(self):
        step = self.chance.choice(self.steps)
        print(step.__name__, end=" ")
        step()
        time.sleep(self.chance.random() * 0.4)

    def cut_or_mend(self):
        self.edge.mend() if self.is_cut else self.edge.cut()
        self.is_cut = not self.is_cut

    def scale(self):
        self.replicas = self.chance.randrange(1, 6)
        self.center.api().patch(deployments_path(NS, "crew"), {"spec": {"replicas": self.replicas}})

    def paint(self):
        self.color = str(self.chance.randrange(1000000))
        self.center.api().patch(configmaps_path(NS, "paint"), {"data": {"color": self.color}})

    def add_or_remove(self):
        name = f"single-{self.chance.randrange(3)}"
        if name in self.singles:
            self.singles.remove(name)
            self.center.api().delete(pods_path(NS, name))
        else:
            api = self.center.api()
            until("the former one is gone", lambda: self.is_cut or api.gone(pods_path(NS, name)))
            if api.gone(pods_path(NS, name)):
                api.post(pods_path(NS), pod(name))
                self.singles.add(name)

    def kill_center(self):
        self.center.kill()
        time.sleep(self.chance.random() * 0.3)
        self.center.start()

    def kill_agent(self):
        self.edge.kill()
        time.sleep(self.chance.random() * 0.3)
        self.edge.start(wait=False)

    def kill_container(self):
        pids = self.edge.container_pids()
        if pids:
            ignore_process(lambda: os.kill(self.chance.choice(pids), 9))

    def lose_power(self):
        self.edge.power_cut()
        self.edge.start(wait=False)


def ignore_process(function):
    try:
        function()
    except ProcessLookupError:
        pass


def view(api):
    """What an API server says of the pods: identity, place, containers and restarts."""
    return {p["metadata"]["name"]: (p["metadata"]["uid"], p["status"].get("podIP"),
                                    [(s["containerID"], s["restartCount"], s["ready"])
                                     for s in p["status"].get("containerStatuses", [])])
            for p in api.items(pods_path(NS))}


def test_after_rough_weather_everybody_agrees(own_host):
    seed = int(os.environ.get("E2E_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"seed: {seed}")
    center = own_host.center().start()
    edge = own_host.edge(center).start()
    edge.load(own_host.image_busybox())
    api = center.api()
    api.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}})
    api.post(configmaps_path(NS), configmap("paint", color="0"))
    api.post(deployments_path(NS), deployment(
        "crew", replicas=3, volumes=[{"name": "m", "configMap": {"name": "paint"}}],
        volumeMounts=[{"name": "m", "mountPath": "/m"}]))
    until("the crew is ready", lambda: center.api().get(deployments_path(NS, "crew"))["status"]["readyReplicas"] == 3)
    weather = Weather(seed, center, edge)
    for _ in range(STEPS):
        weather.step()
    if weather.is_cut:
        edge.mend()

    edge.wait_ready()
    api = center.api()

    def settled():
        pods = api.items(pods_path(NS))
        crew = [p for p in pods if p["metadata"]["name"].startswith("crew-")]
        singles = {p["metadata"]["name"] for p in pods} - {p["metadata"]["name"] for p in crew}
        assert (len(crew), singles) == (weather.replicas, weather.singles)
        return all(map(is_ready, pods)) and crew

    crew = until("what was asked for last runs", settled)
    until("the node tells the same", lambda: view(api) == view(edge.local_api()))
    wanted = {c[0].split("://")[-1] for _, _, containers in view(api).values() for c in containers}

    def strangers():
        return {p: groups_of(p) + cmdline_of(p) for p in edge.container_pids()
                if not any(c in groups_of(p) for c in wanted)}

    until("nothing else runs on the machine", lambda: no_strangers(strangers()))
    assert all(edge.container_pids(c) for c in wanted)
    k = center.kubectl().within(NS)
    for p in crew:
        until("the last paint has arrived", lambda: k(
            "exec", p["metadata"]["name"], "--", "cat", "/m/color") == weather.color)
    addresses = [p["status"]["podIP"] for p in api.items(pods_path(NS))]
    assert len(set(addresses)) == len(addresses), "no address is given twice"
    for name in weather.singles:
        ignore_missing(lambda: api.delete(pods_path(NS, name)))


def no_strangers(found):
    assert not found, found
    return True


def groups_of(pid):
    return read_proc(pid, "cgroup")


def cmdline_of(pid):
    return read_proc(pid, "cmdline").replace("\0", " ")
