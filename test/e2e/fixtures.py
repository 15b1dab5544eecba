# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests.

A session has one center and one edge that most tests share, each test in a namespace of its own.
Tests that kill, cut or count take a Host of their own.
"""
import re

import pytest

import harness
from harness import KUBECTL_OLD, Host, Program, hello_archives
from machine import until
from objects import SANITIZED

# Files whose requests are much the same from both kubectls. Over a sanitizer build the older one is left out
# there: the plain build runs both, and what differs on the wire (SPDY, discovery, patches) is in the other files.
ONE_KUBECTL = {"test_auth", "test_crd", "test_kinds", "test_policy", "test_replication", "test_verbs", "test_workloads"}


def pytest_collection_modifyitems(config, items):
    if not SANITIZED:
        return
    left_out = [i for i in items if i.path.stem in ONE_KUBECTL and "[kubectl-1.20" in i.name]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [i for i in items if i not in left_out]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup(item):
    for program in Program.every:
        program.mark = program.log.stat().st_size if program.log.exists() else 0
    yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows what our programs said meanwhile."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for program in Program.every:
            text = program.log_tail(80, program.mark)
            if text:
                report.sections.append((f"log of {program.name}", text))


@pytest.fixture(scope="session")
def host():
    host = Host()
    yield host
    host.close()


@pytest.fixture(scope="session")
def center(host):
    return host.center().start()


@pytest.fixture(scope="session")
def edge(host, center):
    edge = host.edge(center)
    edge.start()
    edge.load(host.image_busybox())
    for archive in hello_archives():
        edge.load(archive)
    return edge


@pytest.fixture
def own_host():
    """A share of the machine for one test; it is checked and cleaned when the test ends."""
    host = Host()
    try:
        yield host
    finally:
        host.close()


def old_kubectl():
    if not KUBECTL_OLD.exists():
        pytest.fail(f"{KUBECTL_OLD} is missing: tools/setup test fetches it")
    return KUBECTL_OLD


@pytest.fixture(scope="session")
def api(center):
    return center.api()


@pytest.fixture(scope="session")
def admin(center):
    """kubectl without a namespace."""
    return center.kubectl()


def make_namespace(api, test_name):
    """Makes a namespace that is named after a test."""
    base = re.sub(r"[^a-z0-9]+", "-", test_name.lower()).strip("-")[:50].strip("-")
    created = api.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace",
                                              "metadata": {"generateName": base + "-"}})
    return created["metadata"]["name"]


@pytest.fixture
def ns(api, request):
    """A namespace for one test, with what controllers put into every one; its removal is not waited for."""
    name = make_namespace(api, request.node.name.removeprefix("test_"))
    for path in ("configmaps/kube-root-ca.crt", "serviceaccounts/default"):
        until(f"{name} has its {path}", lambda: not api.gone(f"/api/v1/namespaces/{name}/{path}"), pause=0.01)
    yield name
    harness.ignore_missing(lambda: api.delete(f"/api/v1/namespaces/{name}"))


@pytest.fixture
def k(admin, ns):
    """The machine's kubectl in the test's namespace."""
    return admin.within(ns)


@pytest.fixture(scope="module", params=["kubectl", "kubectl-1.20"])
def client(request, center):
    """kubectl, once the machine's own and once Debian's."""
    kubectl = center.kubectl("kubectl" if request.param == "kubectl" else old_kubectl())
    kubectl.forget()  # kinds that another file made and removed
    return kubectl


@pytest.fixture
def kk(client, ns):
    """Both kubectls in the test's namespace."""
    return client.within(ns)
