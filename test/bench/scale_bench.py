# SPDX-License-Identifier: Apache-2.0
"""Measures a center with many objects: loading, memory for each, listing, starting again, many controllers' pods.

    PODS   how many pods (default 100000)

The pods are bound to nodes that do not exist as agents, so that nothing runs; what is measured is the center.
"""
import json
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
from harness import Host, pss_kib, until  # noqa: E402

PODS = int(os.environ.get("PODS", "100000"))
NODES = 1000
BATCH = 20
CONNECTIONS = 64
PATH = "/api/v1/namespaces/default/pods"


def show(what, value, note=""):
    print(f"{what:<38} {value:<34} {'(' + note + ')' if note else ''}", flush=True)


def bare_pod(i):
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": f"pod-{i}", "labels": {"app": f"app-{i % 100}", "tier": "edge"}},
            "spec": {"nodeName": f"node-{i % NODES}", "automountServiceAccountToken": False,
                     "containers": [{"name": "main", "image": "registry.example.com/team/app:1.2.3",
                                     "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}]}}


class Pipeline:
    """Many requests on one connection before the first answer is read: the client is not what is measured."""

    def __init__(self, api):
        self.socket, self.rest = api.socket(), b""

    def send(self, path, bodies):
        out = []
        for body in bodies:
            data = json.dumps(body).encode()
            out.append(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                       % (path.encode(), len(data)) + data)
        self.socket.sendall(b"".join(out))

    def answer(self):
        while b"\r\n\r\n" not in self.rest:
            self.rest += self.socket.recv(1 << 18)
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        if not head.startswith(b"HTTP/1.1 201"):
            raise RuntimeError(head.decode() + self.rest[:500].decode())
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(self.rest) < length:
            self.rest += self.socket.recv(1 << 18)
        self.rest = self.rest[length:]


def load(center, path, bodies):
    """Creates all bodies; returns the seconds that it took."""
    pipelines, begin = [Pipeline(center.api()) for _ in range(CONNECTIONS)], time.monotonic()
    batches = [bodies[i:i + BATCH] for i in range(0, len(bodies), BATCH)]
    for first in range(0, len(batches), CONNECTIONS):
        pairs = list(zip(pipelines, batches[first:first + CONNECTIONS]))
        for pipeline, batch in pairs:
            pipeline.send(path, batch)
        for pipeline, batch in pairs:
            for _ in batch:
                pipeline.answer()
    return time.monotonic() - begin


def load_pods(center):
    nodes = [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-{i}"}} for i in range(NODES)]
    load(center, "/api/v1/nodes", nodes)
    seconds = load(center, PATH, [bare_pod(i) for i in range(PODS)])
    show(f"load {PODS} pods", f"{PODS / seconds:.0f}/s", f"{seconds:.1f} s, {CONNECTIONS} connections, durable, client in Python")


def timed_get(api, target):
    begin = time.monotonic()
    response = api.open("GET", target)
    size = len(response.read())
    return time.monotonic() - begin, size


def lists(center):
    api = center.api()
    for name, target in (("list of 10000 pods", PATH + "?limit=10000"),
                         (f"list of {PODS} pods", PATH),
                         ("list by label, 1 of 100", PATH + "?labelSelector=app%3Dapp-7"),
                         ("list by node, 1 of 1000", PATH + "?fieldSelector=spec.nodeName%3Dnode-7")):
        runs = [timed_get(api, target) for _ in range(3)]
        show(name, f"{statistics.median(t for t, _ in runs) * 1e3:.1f} ms", f"{runs[0][1] / 1e6:.1f} MB over TLS")


def main():
    host = Host()
    try:
        center = host.center().start()
        time.sleep(2)
        idle = pss_kib(center.pid)
        show("idle center, PSS", f"{idle / 1024:.1f} MiB", "aim 20; the reference's four programs 470")
        load_pods(center)
        time.sleep(5)  # until the controllers have seen the last one
        api = center.api()
        text = len(json.dumps(api.get(PATH + "/pod-1"), separators=(",", ":")))
        each = (pss_kib(center.pid) - idle) * 1024 / PODS
        show("memory a pod, whole center", f"{each:.0f} bytes", f"of which its JSON {text}; {each - text:.0f} more, aim 4096")
        lists(center)
        center.stop()
        begin = time.monotonic()
        center.start()
        ready = time.monotonic() - begin
        until("a list works", lambda: len(center.api().items(PATH + "?limit=1")) == 1)
        show(f"start with {PODS} objects", f"{ready:.2f} s", "until /readyz")
        time.sleep(5)
        show("memory after the start", f"{pss_kib(center.pid) / 1024:.0f} MiB", "PSS")
    finally:
        host.close()


if __name__ == "__main__":
    main()
