# SPDX-License-Identifier: Apache-2.0
"""`selvedge up` and `down`: a center and an edge on this machine, twice harmless, and nothing left."""
import contextlib
import os
import re
import subprocess

import pytest

from harness import (HELLO_YAML, SELVEDGE, Api, Host, Kubectl, all_pids, cgroups_named, mounts_below, pod_rules,
                     read_proc, read_proc_bytes, run, until)


class Machine:
    """This machine in a network namespace of its own, so that other uses of it do not matter."""

    def __init__(self, host):
        self.host = host
        self.netns = f"{host.tag}up"
        self.state = host.dir / "run"
        run("ip", "netns", "add", self.netns)
        run("ip", "-n", self.netns, "link", "set", "lo", "up")
        run("ip", "-n", self.netns, "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
        run("ip", "-n", self.netns, "addr", "add", "192.168.77.2/24", "dev", "eth0")
        for link in ("eth0", "eth1"):
            run("ip", "-n", self.netns, "link", "set", link, "up")
        run("ip", "-n", self.netns, "route", "add", "default", "via", "192.168.77.1")

    def selvedge(self, *args):
        done = subprocess.run(["nsenter", f"--net=/run/netns/{self.netns}", "--", SELVEDGE, *args],
                              stdin=subprocess.DEVNULL, text=True, capture_output=True,
                              env=dict(os.environ, SELVEDGE_E2E=self.host.tag))
        assert done.returncode == 0, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done.stdout + done.stderr

    def up(self):
        return self.selvedge("up", "--state", self.state)

    def down(self):
        return self.selvedge("down", "--state", self.state)

    def kubectl(self):
        return Kubectl(self.state / "kubeconfig", self.host.dir, netns=self.netns)

    def api(self):
        return Api(self.state / "kubeconfig", netns=self.netns)

    def logs(self):
        return "\n".join(f"{p}:\n" + "\n".join(p.read_text(errors="replace").splitlines()[-40:])
                         for p in sorted(self.state.rglob("*.log"))[:10])

    def programs(self):
        state = str(self.state).encode()
        return {p: read_proc(p, "cmdline").replace("\0", " ") for p in all_pids()
                if state in read_proc_bytes(p, "cmdline") and p != os.getpid()}

    def links(self):
        text = run("nsenter", f"--net=/run/netns/{self.netns}", "--", "ip", "-o", "link")
        return set(re.findall(r"^\d+: ([^:@]+)", text, re.M))

    def rules(self):
        return run("nsenter", f"--net=/run/netns/{self.netns}", "--", "iptables-save", check=False)

    def close(self):
        """Also after a failure nothing may stay."""
        subprocess.run(["nsenter", f"--net=/run/netns/{self.netns}", "--", SELVEDGE, "down", "--state",
                        self.state], stdin=subprocess.DEVNULL, capture_output=True)
        for pid in self.programs():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        subprocess.run(["ip", "netns", "del", self.netns], capture_output=True)


@pytest.fixture
def machine():
    host = Host()
    machine = Machine(host)
    try:
        yield machine
    finally:
        try:
            machine.close()
        finally:
            host.close()


def test_up_twice_then_hello_then_down_leaves_nothing(machine):
    links, groups = machine.links(), cgroups_named("selvedge")
    said = machine.up()
    assert str(machine.state / "kubeconfig") in said
    assert len(re.findall(r"\bkubectl\b.*(apply|get|logs|exec|describe)", said)) >= 2, said
    k = machine.kubectl()
    assert re.search(r"\sReady\s", k("get", "nodes"))
    assert "No resources found" in k.result("get", "pods", "-A").err, "nothing is applied by itself"
    before = machine.programs()
    again = machine.up()
    assert str(machine.state / "kubeconfig") in again
    assert machine.programs() == before, "the second time starts and stops nothing"

    k("apply", "-f", HELLO_YAML)
    assert "successfully rolled out" in k("rollout", "status", "deploy/hello")
    ips = k("get", "pods", "-l", "app=hello", "-o", "jsonpath={.items[*].status.podIP}").split()
    assert len(ips) == 2
    for ip in ips:
        assert "hello" in run("nsenter", f"--net=/run/netns/{machine.netns}", "--",
                              "curl", "-sS", f"http://{ip}:8080/").lower()

    machine.down()
    assert machine.programs() == {}
    assert mounts_below(machine.state) == []
    assert machine.links() == links
    assert pod_rules(machine.rules()) == []
    assert set(cgroups_named("selvedge")) <= set(groups)
    machine.down()


def test_down_and_up_again_keeps_what_was_declared(machine):
    machine.up()
    k = machine.kubectl()
    k("apply", "-f", HELLO_YAML)
    k("rollout", "status", "deploy/hello")
    uids = k("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}")
    machine.down()
    machine.up()
    until("hello runs again", lambda: k("get", "deploy", "hello", "-o",
                                        "jsonpath={.status.readyReplicas}") == "2")
    assert k("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}") == uids
    machine.down()
    assert machine.programs() == {}
