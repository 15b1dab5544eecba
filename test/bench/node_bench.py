# SPDX-License-Identifier: Apache-2.0
"""Measures a node and its center with real programs: memory, start times, idle traffic, idle writes.

Each figure names what it includes. conmon (one a container) is counted apart from our own processes. The edge
runs in a network namespace of its own; of its link the TCP frames are counted, with their Ethernet headers: the
kernels' own ARP and neighbour discovery are left out.

    IDLE_SECONDS   how long the idle link and disk are watched (default 60)
"""
import os
import re
import socket
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402
from harness import Host, deployment, pod, pods_path, until  # noqa: E402

IDLE_SECONDS = int(os.environ.get("IDLE_SECONDS", "60"))
SAMPLES = 30
KUBELET_START_S = 1.19
OPENYURT_OFFLINE_S = 49.9


def show(what, value, note):
    print(f"{what:<38} {value:<34} ({note})", flush=True)


def percentile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * q))]


def memory(center, edge):
    helpers = edge.helper_pids()
    conmons = [p for p in helpers if "conmon" in harness.read_proc(p, "comm")]
    agents = [p for p in helpers if p not in conmons]
    mib = [sum(map(harness.pss_kib, pids)) / 1024 for pids in (agents, conmons, [center.pid])]
    return mib, len(agents), len(conmons)


def idle_memory(center, edge):
    (agents, _, c), n, _ = memory(center, edge)
    show("idle edge, PSS", f"{agents:.1f} MiB", f"aim 10; {n} process; kubelet + containerd 121, KubeEdge 70 + runtime")
    show("idle center, PSS", f"{c:.1f} MiB", "aim 20; API server + etcd + controllers + scheduler 470")


def loaded_memory(center, edge):
    (agents, conmons, c), _, n = memory(center, edge)
    show("edge with ten pods, PSS", f"{agents:.1f} MiB", "our own processes")
    show("conmon of ten pods, PSS", f"{conmons:.1f} MiB", f"{n} processes")
    show("center with ten pods, PSS", f"{c:.1f} MiB", "")


def create_to_running(center):
    """From sending the create until a watch shows phase Running; one pod at a time."""
    api, seconds = center.api(), []
    started = {}
    seen = threading.Event()

    def follow():
        for event in center.api().watch(pods_path("default")):
            obj = event["object"]
            name = obj["metadata"].get("name")
            if name in started and obj.get("status", {}).get("phase") == "Running":
                seconds.append(time.monotonic() - started.pop(name))
                seen.set()

    threading.Thread(target=follow, daemon=True).start()
    time.sleep(1)  # the watch is open then; it only has to be earlier than the first pod
    for i in range(SAMPLES):
        seen.clear()
        started[f"start-{i}"] = time.monotonic()
        api.post(pods_path("default"), pod(f"start-{i}"))
        seen.wait()
        api.delete(pods_path("default", f"start-{i}"), {"gracePeriodSeconds": 0})
    p50, p99 = statistics.median(seconds), percentile(seconds, 0.99)
    show("create to Running, image present", f"p50 {p50:.3f} s  p99 {p99:.3f} s",
         f"{SAMPLES} pods; aim 0.3; kubelet {KUBELET_START_S}, {KUBELET_START_S / p50:.1f} x")
    until("the pods are gone", lambda: api.items(pods_path("default")) == [])


def ten_pods(center):
    api = center.api()
    api.post("/apis/apps/v1/namespaces/default/deployments", deployment("ten", replicas=10))
    until("ten pods run", lambda: sum(map(harness.is_ready, api.items(pods_path("default")))) == 10)


class LinkCounter(threading.Thread):
    """Counts the bytes of TCP frames that pass a network device, both directions."""

    def __init__(self, link):
        super().__init__(daemon=True)
        self.bytes = 0
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        self.socket.bind((link, 0))
        self.start()

    def run(self):
        while True:
            try:
                frame = self.socket.recv(65535)
            except OSError:  # the link is cut: the count is over by then
                return
            if frame[12:14] == b"\x08\x00" and frame[23] == socket.IPPROTO_TCP:
                self.bytes += len(frame)


def idle_traffic_and_writes(center, edge):
    def written(pid):
        return int(re.search(r"^write_bytes: (\d+)", harness.read_proc(pid, "io"), re.M).group(1))

    counter = LinkCounter(edge.link)
    time.sleep(10)  # let what ten new pods caused come to rest
    before = counter.bytes, written(edge.pid), written(center.pid)
    time.sleep(IDLE_SECONDS)
    after = counter.bytes, written(edge.pid), written(center.pid)
    link, edge_disk, center_disk = (int((b - a) * 3600 / IDLE_SECONDS) for a, b in zip(before, after))
    show("idle link, both directions", f"{link / 1024:.1f} KiB an hour",
         f"{link * 24 / 1e6:.2f} MB a day, aim 1; over {IDLE_SECONDS} s, TCP with Ethernet headers")
    show("written to disk by an idle edge", f"{edge_disk / 1024:.1f} KiB an hour", f"{edge_disk * 24 / 1e6:.2f} MB a day, aim 50")
    show("written to disk by an idle center", f"{center_disk / 1024:.1f} KiB an hour", f"{center_disk * 24 / 1e6:.2f} MB a day")


def offline_start(edge, rounds=5):
    """From starting the agent, after everything on the node was killed and with the link cut, until its own API shows ten pods Running and Ready."""
    seconds = []
    for _ in range(rounds):
        edge.cut()
        edge.power_cut()
        begin = time.monotonic()
        edge.start(wait=False)

        def ten():
            pods = edge.local_api().items("/api/v1/pods")
            fresh = [p for p in pods if harness.is_ready(p) and
                     all(edge.container_pids(s["containerID"]) for s in p["status"]["containerStatuses"])]
            return len(fresh) == 10

        until("ten pods run again", ten, pause=0.02)
        seconds.append(time.monotonic() - begin)
        edge.mend()
    median = statistics.median(seconds)
    show("offline start to ten pods running", f"median {median:.2f} s  max {max(seconds):.2f} s",
         f"{rounds} rounds; aim 2; OpenYurt {OPENYURT_OFFLINE_S}, {OPENYURT_OFFLINE_S / median:.0f} x")


def main():
    host = Host()
    try:
        center = host.center().start()
        edge = host.edge(center).start()
        edge.load(host.image_busybox())
        time.sleep(5)  # start-up work is over then
        idle_memory(center, edge)
        create_to_running(center)
        ten_pods(center)
        loaded_memory(center, edge)
        idle_traffic_and_writes(center, edge)
        offline_start(edge)
        edge.wait_ready()
    finally:
        host.close()


if __name__ == "__main__":
    main()
