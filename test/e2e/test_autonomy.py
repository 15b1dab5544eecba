# SPDX-License-Identifier: Apache-2.0
"""The link is cut, the agent is killed, the power is lost: pods go on, and a rejoin touches only what changed.

The story is told in one test, step after step, because each step stands on the one before.
"""
import os
import re
import signal

import pytest

from harness import (ApiError, configmap, configmaps_path, deployment, deployments_path, is_ready, pod,
                     pods_path, read_proc, until)

NS = "story"


class Pods:
    """The pods of the story as an API server tells them."""

    def __init__(self, api):
        self.api = api

    def all(self):
        return {p["metadata"]["name"]: p for p in self.api.items(pods_path(NS))}

    def running(self, count):
        pods = self.all()
        return pods if len(pods) == count and all(map(is_ready, pods.values())) else None


def identity(pods):
    """What must not change: the pod, its address, its containers and their restarts."""
    return {name: (p["metadata"]["uid"], p["status"]["podIP"],
                   [(s["name"], s["containerID"], s["restartCount"])
                    for s in p["status"]["containerStatuses"]])
            for name, p in pods.items()}


def containers(pods):
    return [s["containerID"] for p in pods.values() for s in p["status"]["containerStatuses"]]


def start_times(edge, pods):
    """Container -> (pid of its process 1, when that began)."""
    found = {}
    for container in containers(pods):
        pid = edge.container_init(container)
        found[container] = pid, read_proc(pid, "stat").rsplit(")", 1)[1].split()[19]
    return found


@pytest.fixture
def place(own_host):
    """A center, an edge with images, and ten pods: seven of a deployment, three alone."""
    center = own_host.center().start()
    edge = own_host.edge(center).start()
    edge.load(own_host.image_busybox())
    k = center.kubectl()
    k("create", "namespace", NS)
    k = k.within(NS)
    mounted = {"volumes": [{"name": "m", "configMap": {"name": "settings"}}],
               "volumeMounts": [{"name": "m", "mountPath": "/m"}]}
    k.apply(configmap("settings", color="red"),
            deployment("seven", replicas=7, script="cat /m/color; sleep 100000", **mounted),
            pod("alone"), pod("leaving"), pod("restless"))
    until("ten pods run", lambda: Pods(center.api()).running(10))
    return center, edge, k


def test_a_node_lives_on_without_its_center(place):
    center, edge, k = place
    above = Pods(center.api())
    before = above.running(10)
    times = start_times(edge, before)
    until("the node's own API knows all that", lambda: identity(Pods(edge.local_api()).all())
          == identity(before))
    local = edge.local_api()
    below = Pods(local)

    # The link is cut. A container that dies is back.
    edge.cut()
    victim = before["restless"]["status"]["containerStatuses"][0]["containerID"]
    os.kill(edge.container_init(victim), signal.SIGKILL)
    revived = until("the killed container is back, as the node tells", lambda: (
        lambda p: is_ready(p) and p["status"]["containerStatuses"][0]["restartCount"] == 1 and p)(
            below.all()["restless"]))
    assert revived["status"]["containerStatuses"][0]["containerID"] != victim
    assert above.all()["restless"]["status"]["containerStatuses"][0]["restartCount"] == 0, "still cut"

    # kubectl on the node works meanwhile, and may not change what the center owns.
    here = edge.kubectl().within(NS)
    assert len(here("get", "pods", "--no-headers").splitlines()) == 10
    assert here("exec", "alone", "--", "echo", "inside") == "inside\n"
    name = next(n for n in before if n.startswith("seven-"))
    assert here("logs", name) == "red"
    refused = here.fails("delete", "pod", "alone")
    assert "Forbidden" in refused or "forbidden" in refused
    for write in (("label", "pod", "alone", "a=b"), ("scale", "deploy/seven", "--replicas=1"),
                  ("create", "configmap", "new", "--from-literal=a=b")):
        assert here.result(*write).code != 0, write
    with pytest.raises(ApiError) as caught:
        local.patch(pods_path(NS, "alone"), {"spec": {"activeDeadlineSeconds": 5}})
    assert caught.value.status == 403 and caught.value.body["kind"] == "Status"
    assert caught.value.body["message"]

    # The agent is killed with -9 and started without the center: it adopts the same processes.
    mine = below.running(10)
    times = start_times(edge, mine)
    edge.kill()
    assert start_times(edge, mine) == times, "containers do not depend on the agent"
    edge.start(wait=False)
    until("the node's API answers again", lambda: edge.local_api().raw("GET", "/readyz")[0] == 200)
    below = Pods(edge.local_api())
    adopted = until("ten pods run as the new agent tells", lambda: below.running(10))
    assert identity(adopted) == identity(mine)
    assert start_times(edge, adopted) == times, "the same processes as before"
    until("their ends are noticed: a killed container is back", lambda: _kill_and_see(edge, below))

    # The power is lost: agent, conmon and containers at once. Started without the center, all run again.
    mine = below.running(10)
    edge.power_cut()
    edge.start(wait=False)
    until("the node's API answers again", lambda: edge.local_api().raw("GET", "/readyz")[0] == 200)
    below = Pods(edge.local_api())
    risen = until("ten pods run again", lambda: (
        lambda pods: pods and len(start_times_or_none(edge, pods)) == 10 and pods)(below.running(10)))
    assert {n: p["metadata"]["uid"] for n, p in risen.items()} == \
        {n: p["metadata"]["uid"] for n, p in before.items()}
    assert not set(containers(risen)) & set(containers(mine)), "those had ended"
    assert edge.kubectl().within(NS)("logs", name) == "red", "settings came from the node's own store"

    # Meanwhile, at the center: one pod is deleted, settings change, a pod and a replica are new.
    k("delete", "pod", "leaving", "--wait=false")
    k("patch", "cm", "settings", "--type=merge", "-p", '{"data":{"color":"blue"}}')
    k.apply(pod("late"))
    k("label", "pod", "alone", "seen=later")
    k("scale", "deploy/seven", "--replicas=8")
    assert "leaving" in above.all(), "the node has not said that its containers are gone"

    # The link returns: what did not change is not touched.
    times = start_times(edge, risen)
    edge.mend()
    until("the center sees eleven pods run", lambda: above.running(11))
    after = above.all()
    assert "leaving" not in after
    kept = [n for n in risen if n != "leaving"]
    assert {n: identity(after)[n] for n in kept} == {n: identity(risen)[n] for n in kept}
    still = start_times(edge, {n: after[n] for n in kept})
    assert still == {c: t for c, t in times.items() if c in still}
    assert len(still) == len(kept), "not one container was started again"
    assert after["late"]["status"]["containerStatuses"][0]["restartCount"] == 0
    until("settings have travelled", lambda: k("exec", name, "--", "cat", "/m/color") == "blue")
    until("labels have travelled", lambda: edge.local_api().get(pods_path(NS, "alone"))
          ["metadata"]["labels"].get("seen") == "later")
    assert edge.local_api().gone(pods_path(NS, "leaving"))
    gone = risen["leaving"]["status"]["containerStatuses"][0]["containerID"]
    assert not edge.container_pids(gone)
    edge.wait_ready()
    until("the deployment is content", lambda: center.api().get(deployments_path(NS, "seven"))
          ["status"].get("readyReplicas") == 8)
    settled = identity(above.running(11))

    # A second, short cut with nothing to say changes nothing.
    edge.cut()
    until("the node notices nothing", lambda: edge.local_api().raw("GET", "/healthz")[0] == 200)
    edge.mend()
    edge.wait_ready()
    assert k("exec", "alone", "--", "echo", "again") == "again\n"
    assert identity(above.all()) == settled


def start_times_or_none(edge, pods):
    try:
        return start_times(edge, pods)
    except LookupError:
        return {}


def _kill_and_see(edge, below):
    """Kills the container of `restless` once; true when a further restart is told."""
    state = below.all()["restless"]["status"]["containerStatuses"][0]
    if state["restartCount"] == 1 and "running" in state["state"]:
        try:
            os.kill(edge.container_init(state["containerID"]), signal.SIGKILL)
        except LookupError:
            pass
        return False
    return state["restartCount"] == 2 and below.running(10)


def test_changes_at_the_center_are_applied_once(place):
    """A configmap that changed ten times during a cut arrives as one change; pods are not started again."""
    center, edge, k = place
    local = edge.local_api()
    until("settings are on the node", lambda: local.get(configmaps_path(NS, "settings")))
    start = local.get(configmaps_path(NS))["metadata"]["resourceVersion"]
    edge.cut()
    for i in range(10):
        k("patch", "cm", "settings", "--type=merge", "-p", f'{{"data":{{"color":"shade{i}"}}}}')
    edge.mend()
    seen = []
    for event in edge.local_api().watch(configmaps_path(NS), resourceVersion=start,
                                        fieldSelector="metadata.name=settings"):
        seen.append(event["object"]["data"]["color"])
        if seen[-1] == "shade9":
            break
    assert len(seen) <= 10 and len(set(seen)) == len(seen), "nothing is applied twice"
    pods = Pods(center.api()).running(10) or Pods(center.api()).all()
    assert all(s["restartCount"] == 0 for p in pods.values() for s in p["status"]["containerStatuses"])


def test_the_center_restarts_under_its_node(place):
    """kill -9 of the center: the node reconnects, its pods are as they were, logs and exec work again."""
    center, edge, k = place
    above = Pods(center.api())
    before = identity(above.running(10))
    center.kill()
    victim = next(iter(start_times(edge, Pods(edge.local_api()).all())))
    assert edge.container_init(victim)
    center.start()
    edge.wait_ready()
    until("exec reaches the node again", lambda: k.result("exec", "alone", "--", "true").code == 0)
    assert identity(Pods(center.api()).all()) == before


def test_an_agent_that_is_stopped_leaves_its_pods_running(place):
    center, edge, k = place
    times = start_times(edge, Pods(center.api()).all())
    edge.stop()
    assert {c: edge.container_init(c) for c in times} == {c: t[0] for c, t in times.items()}
    k("delete", "pod", "leaving", "--wait=false")
    edge.start()
    until("the deleted pod is gone", lambda: center.api().gone(pods_path(NS, "leaving")))
    assert len(re.findall("Running", k("get", "pods"))) == 9
