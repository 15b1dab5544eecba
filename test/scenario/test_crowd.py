# SPDX-License-Identifier: Apache-2.0
"""A crowd at the door: ten thousand idle connections, a thousand watchers that do not read, callers that ask for
all they can. Another client's answers are timed all the while; memory stays bounded and comes back.

The times are printed, not judged. CROWD=N scales the idle connections (10000), the watchers are a tenth of them.
"""
import multiprocessing
import os
import resource
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import configmap, configmaps_path, pss_kib, until

CROWD = int(os.environ.get("CROWD", "10000"))
NS = "default"
IDLE_KIB = 48      # of the center's memory for an idle TLS connection, at most
WATCHER_KIB = 160  # for a watcher that does not read: its connection and a bounded queue


def percentile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * q))]


class Quiet:
    """One client that reads and writes a little; its times are what matters."""

    def __init__(self, api):
        self.api = api
        api.post(configmaps_path(NS), configmap("quiet", a="0"))

    def times(self, phase, count=300):
        seconds = []
        for i in range(count):
            begin = time.perf_counter()
            if i % 3 == 0:
                self.api.patch(configmaps_path(NS, "quiet"), {"data": {"a": str(i)}})
            else:
                self.api.get(configmaps_path(NS, "quiet"))
            seconds.append(time.perf_counter() - begin)
        print(f"{phase:<42} p50 {percentile(seconds, 0.5) * 1e3:6.2f} ms  p99 {percentile(seconds, 0.99) * 1e3:6.2f} ms", end="")


def open_many(center, count, talk=None):
    """count TLS connections; each thread makes a share."""
    api = center.api()

    def one(_):
        s = api.socket()
        if talk:
            s.sendall(talk)
        return s

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one, range(count)))


def account(api, name):
    """A token of a service account that may read and write configmaps."""
    api.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    api.post(f"/api/v1/namespaces/{name}/serviceaccounts",
             {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "caller"}})
    api.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
             {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
              "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
              "subjects": [{"kind": "ServiceAccount", "namespace": name, "name": "caller"}]})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    return api.post(f"/api/v1/namespaces/{name}/serviceaccounts/caller/token", request)["status"]["token"]


def api_of(center, token):
    """With a token instead of the administrator's certificate."""
    api = center.api()
    roots = b"".join(api.context.get_ca_certs(binary_form=True))
    api.token, api.client_cert, api.context = token, False, ssl.create_default_context(cadata=roots)
    return api


def greedy(api, done):
    """A process that lists everything, again and again."""
    while True:
        api.open("GET", configmaps_path(NS)).read()
        with done.get_lock():
            done.value += 1


@pytest.fixture
def lone_center(own_host):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield own_host.center(reachable=False).start()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_crowd_does_not_hold_up_a_quiet_client(lone_center):
    center, admin = lone_center, lone_center.api()
    quiet = Quiet(api_of(center, account(admin, "quiet")))
    greedy_token = account(admin, "greedy")
    for i in range(2000):
        admin.post(configmaps_path(NS), configmap(f"filler-{i}", text="x" * 500))
    start = pss_kib(center.pid)

    def memory():
        print(f"  center {pss_kib(center.pid) / 1024:7.1f} MiB")

    quiet.times("alone")
    memory()

    idle = open_many(center, CROWD)
    quiet.times(f"{CROWD} idle connections")
    memory()
    assert pss_kib(center.pid) - start < CROWD * IDLE_KIB
    for s in idle:
        s.close()

    target = f"GET {configmaps_path(NS)}?watch=true&resourceVersion=0 HTTP/1.1\r\nHost: x\r\n"
    slow = open_many(center, CROWD // 10, (target + "\r\n").encode())
    for i in range(2000):
        admin.patch(configmaps_path(NS, f"filler-{i}"), {"data": {"text": "y" * 500}})
    quiet.times(f"{CROWD // 10} watchers that do not read")
    memory()
    assert pss_kib(center.pid) - start < CROWD * IDLE_KIB + CROWD // 10 * 2 * 1100
    for s in slow:
        s.close()

    done = multiprocessing.Value("L", 0)
    callers = [multiprocessing.Process(target=greedy, args=(api_of(center, greedy_token), done), daemon=True) for _ in range(8)]
    for caller in callers:
        caller.start()
    until("the greedy are served", lambda: done.value > 20)
    quiet.times("a caller that lists without end")
    memory()
    for caller in callers:
        caller.kill()
        caller.join()
    quiet.times("alone again")
    memory()
    assert "ok" in admin.raw("GET", "/healthz")[2]
