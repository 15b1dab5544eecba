# SPDX-License-Identifier: Apache-2.0
"""Centers and edges for tests: real programs in a temporary folder, each edge in a network namespace.

    Host         what belongs to the whole run: the temporary folder, a bridge, subnets, names
    Center       one `center` process and its kubeconfig
    Edge         one `edge` process in its own network namespace, with a link that can be cut
    Kubectl      the real kubectl over a kubeconfig
    Api          plain HTTPS with a client certificate, for polling and for raw requests

         host:  bridge 10.X.Y.1 (centers listen here)          netns of an edge: 10.X.Y.n
                  +-- veth ---------------- link ------------------- eth0
                  +-- veth ...                                       selvedge bridge, pods 10.P.Q.0/24

Waiting: until() polls a condition. It has no limit of its own (the net of test/conftest.py ends a
test that hangs) but gives up at once when a program that should run has died. Logs of all programs
are attached to a failed test by fixtures.py.

Cleaning: Host.close() ends everything and then raises when something of ours is left on the machine.
"""
import http.client
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from clients import *  # noqa: F401,F403  tests find everything here
from clients import Kubectl
from machine import *  # noqa: F401,F403
from machine import (all_pids, cgroups_named, free_port, in_netns, mounts_below, must_run, read_proc,
                     read_proc_bytes, run, until)
from objects import *  # noqa: F401,F403
from objects import BUILD, BUSYBOX, ROOT, condition, pods_path
from wire import *  # noqa: F401,F403
from wire import Api, ignore_missing

SELVEDGE = BUILD / "selvedge"
LIBEXEC = BUILD / "libexec" / "selvedge"
KUBECTL_OLD = ROOT / ".cache/kubectl-1.20/usr/bin/kubectl"


class Program:
    """A daemon of ours. Its output goes to a file; must_run holds those that must be alive."""

    every = []

    def __init__(self, host, name):
        self.host, self.name = host, name
        self.log = host.dir / "logs" / f"{name}.log"
        self.process = None
        self.exits = []
        self.mark = 0  # where the log stood when the present test began
        Program.every.append(self)

    def spawn(self, command):
        assert self.process is None
        with open(self.log, "ab") as log:
            log.write(f"--- {' '.join(map(str, command))}\n".encode())
            log.flush()
            self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, cwd=self.host.dir,
                                            env=dict(os.environ, SELVEDGE_E2E=self.host.tag))
        must_run.append(self)

    @property
    def pid(self):
        return self.process.pid

    def assert_alive(self):
        if self.process is not None and self.process.poll() is not None:
            raise ProgramDied(f"{self.name} ended by itself with status {self.process.returncode}:\n"
                              f"{self.log_tail()}")

    def log_tail(self, lines=60, since=0):
        data = self.log.read_bytes()[since:] if self.log.exists() else b""
        return "\n".join(data.decode(errors="replace").splitlines()[-lines:])

    def kill(self):
        """SIGKILL, as a power cut or an OOM killer would."""
        self._forget()
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self):
        """SIGTERM; the program must end with status 0."""
        if self.process is None:
            return
        self.assert_alive()
        self._forget()
        self.process.terminate()
        try:
            code = self.process.wait()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.process = None
        assert code == 0, f"{self.name} ended with status {code} after SIGTERM:\n{self.log_tail()}"

    def _forget(self):
        if self in must_run:
            must_run.remove(self)


class ProgramDied(Exception):
    """Not an AssertionError: until() lets it pass."""


class Center(Program):
    def __init__(self, host, name="center", address=None, options=()):
        super().__init__(host, name)
        self.address = address or "127.0.0.1"
        self.port = free_port(self.address)
        self.data = host.dir / name
        self.kubeconfig = self.data / "kubeconfig"
        self.options = list(options)
        self._api = None

    @property
    def url(self):
        return f"https://{self.address}:{self.port}"

    def command(self):
        return [LIBEXEC / "center", "--data-dir", self.data, "--listen", f"{self.address}:{self.port}",
                *self.options]

    def start(self):
        self.spawn(self.command())
        until(f"{self.name} is ready", self.is_ready)
        return self

    def is_ready(self):
        if not self.kubeconfig.exists():
            return False
        if self._api is None:
            self._api = Api(self.kubeconfig)
        return self._api.raw("GET", "/readyz")[0] == 200

    def kill(self):
        super().kill()
        if self._api:
            self._api.close()

    def api(self):
        return Api(self.kubeconfig)

    def kubectl(self, binary="kubectl"):
        home = self.host.dir / f"home-{self.name}-{'old' if binary != 'kubectl' else 'new'}"
        home.mkdir(exist_ok=True)
        return Kubectl(self.kubeconfig, home, binary)

    def token(self):
        return run(SELVEDGE, "token", "create", "--kubeconfig", self.kubeconfig).strip()


class Edge(Program):
    """An edge in its own network namespace. It is a number on its host: names and subnets follow."""

    def __init__(self, host, center, name=None, options=()):
        self.number = host.next_number()
        super().__init__(host, name or f"{host.tag}-n{self.number}")
        self.center = center
        self.node = self.name
        self.state = host.dir / self.name
        self.netns = f"{host.tag}n{self.number}"
        self.link = f"{host.tag}v{self.number}"
        self.bridge = "selvedge0"
        self.address = f"{host.subnet}.{self.number + 1}"
        self.pod_subnet = f"10.{host.pod_net}.{self.number}.0/24"
        self.cgroup = f"{host.tag}n{self.number}"
        self.port = 10443
        self.options = list(options)
        self.state.mkdir()
        self.token_file = host.dir / f"{self.name}.token"
        self._make_network()

    def _make_network(self):
        run("ip", "netns", "add", self.netns)
        run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.netns)
        run("ip", "link", "set", self.link, "master", self.host.bridge, "up")
        run("ip", "-n", self.netns, "addr", "add", f"{self.address}/24", "dev", "eth0")
        run("ip", "-n", self.netns, "link", "set", "lo", "up")
        run("ip", "-n", self.netns, "link", "set", "eth0", "up")
        run("ip", "-n", self.netns, "route", "add", "default", "via", f"{self.host.subnet}.1")

    def start(self, wait=True):
        if not self.token_file.exists():
            self.token_file.touch(0o600)
            self.token_file.write_text(self.center.token() + "\n")
        self.spawn(["nsenter", f"--net=/run/netns/{self.netns}", "--", LIBEXEC / "edge",
                    "--state-dir", self.state, "--parent", self.center.url,
                    "--token-file", self.token_file, "--node-name", self.node,
                    "--local-listen", f"127.0.0.1:{self.port}", "--bridge", self.bridge,
                    "--pod-subnet", self.pod_subnet, "--cgroup-parent", self.cgroup, *self.options])
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        api = self.center.api()
        until(f"node {self.node} is Ready",
              lambda: condition(api.get(f"/api/v1/nodes/{self.node}"), "Ready")["status"] == "True")

    def teardown(self):
        """What `selvedge down` does after the agent has ended."""
        run("nsenter", f"--net=/run/netns/{self.netns}", "--", LIBEXEC / "edge", "--state-dir", self.state,
            "--teardown")

    def cut(self):
        run("ip", "link", "set", self.link, "down")

    def mend(self):
        run("ip", "link", "set", self.link, "up")

    def exec(self, *command, check=True):
        """Runs a command in the node's network namespace."""
        return run("nsenter", f"--net=/run/netns/{self.netns}", "--", *command, check=check)

    def http(self, address, port, path="/"):
        """The body of a GET from the node."""
        def connect():
            return socket.create_connection((address, port), timeout=10)

        connection = http.client.HTTPConnection(address, port)
        connection.sock = in_netns(self.netns, connect)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read().decode()
            assert response.status == 200, f"{response.status} {body}"
            return body
        finally:
            connection.close()

    def load(self, archive):
        run(SELVEDGE, "image", "import", archive, "--state", self.state)

    @property
    def local_kubeconfig(self):
        return self.state / "kubeconfig"

    def local_api(self):
        return Api(self.local_kubeconfig, netns=self.netns)

    def kubectl(self):
        home = self.host.dir / f"home-{self.name}"
        home.mkdir(exist_ok=True)
        return Kubectl(self.local_kubeconfig, home, netns=self.netns)

    def container_pids(self, container_id=""):
        """Host pids of the processes in a container (of every container without an id)."""
        bare = container_id.split("://")[-1]
        found = []
        for pid in all_pids():
            text = read_proc(pid, "cgroup")
            if f"/{self.cgroup}/kubepods" in text and bare in text:
                found.append(pid)
        return found

    def container_init(self, container_id):
        """The host pid of a container's process 1."""
        for pid in self.container_pids(container_id):
            nspid = re.search(r"^NSpid:\s*(.*)$", read_proc(pid, "status"), re.M)
            if nspid and nspid.group(1).split()[-1] == "1" and len(nspid.group(1).split()) > 1:
                return pid
        raise LookupError(f"no process 1 of {container_id}")

    def helper_pids(self):
        """conmon and other programs that the agent left beside itself."""
        state = str(self.state).encode()
        return [pid for pid in all_pids() if state in read_proc_bytes(pid, "cmdline") and pid != os.getpid()]

    def power_cut(self):
        """Everything that runs on the node ends at once, and what lived in memory is gone."""
        self.kill()
        while True:
            pids = set(self.helper_pids()) | set(self.container_pids())
            if not pids:
                break
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)
        for point in reversed(mounts_below(self.state)):
            run("umount", "-l", point)
        for link in self.links():
            self.exec("ip", "link", "del", link, check=False)
        self.exec("iptables", "-F", check=False)
        self.exec("iptables", "-t", "nat", "-F", check=False)
        self.exec("iptables", "-t", "nat", "-X", check=False)

    def remains(self, pods_only=False):
        """What this edge left on the machine: lines for people; [] is as it should be.

        pods_only: only what pods leave; the node's own bridge and cgroup may stay for the next start.
        """
        agent = {self.process.pid} if self.process else set()
        left = [f"process {p}: {read_proc(p, 'cmdline')}".replace("\0", " ")
                for p in sorted((set(self.helper_pids()) | set(self.container_pids())) - agent)]
        left += [f"mount {m}" for m in mounts_below(self.state)]
        for top in cgroups_named(self.cgroup):
            left += [f"cgroup {folder}" for folder, _, _ in os.walk(top)
                     if not pods_only or re.search(r"/pod[0-9a-f-]{36}", folder)]
        if os.path.exists(f"/run/netns/{self.netns}"):
            for link in self.links():
                if not (pods_only and link == self.bridge):
                    left.append(f"link {link}")
            left += [f"iptables {r}" for r in pod_rules(self.exec("iptables-save", check=False))]
        return left

    def links(self):
        """Network devices that are not there in a new namespace with our veth."""
        found = re.findall(r"^\d+: ([^:@]+)", self.exec("ip", "-o", "link", "show"), re.M)
        return [n for n in found if n not in ("lo", "eth0") and not re.match(r"ifb\d|tunl0|sit0|gre", n)]

    def delete_network(self):
        subprocess.run(["ip", "netns", "del", self.netns], capture_output=True)
        subprocess.run(["ip", "link", "del", self.link], capture_output=True)


def pod_rules(rules):
    """The iptables rules of single pods. The portmap plugin's own chains stay, as it means them to."""
    return [r for r in rules.splitlines() if re.search("CNI-(?!HOSTPORT-)", r)]


class Host:
    """One run's share of this machine."""

    def __init__(self):
        self.tag = "se" + secrets.token_hex(2)
        self.dir = Path(tempfile.mkdtemp(prefix=f"selvedge-e2e-{self.tag}-"))
        (self.dir / "logs").mkdir()
        number = secrets.randbelow(1 << 14)
        self.subnet = f"10.{64 + (number >> 8)}.{number & 255}"
        self.pod_net = 128 + secrets.randbelow(100)
        self.bridge = f"{self.tag}br"
        self.numbers = 0
        self.edges = []
        self.centers = []
        self.has_bridge = False
        self.images = {}

    def next_number(self):
        self.numbers += 1
        return self.numbers

    def _make_bridge(self):
        if not self.has_bridge:
            run("ip", "link", "add", self.bridge, "type", "bridge")
            run("ip", "addr", "add", f"{self.subnet}.1/24", "dev", self.bridge)
            run("ip", "link", "set", self.bridge, "up")
            self.has_bridge = True

    def center(self, name="center", reachable=True, **options):
        """A center that edges can reach, or one on loopback."""
        if reachable:
            self._make_bridge()
        center = Center(self, name, address=f"{self.subnet}.1" if reachable else None, **options)
        self.centers.append(center)
        return center

    def edge(self, center, **options):
        self._make_bridge()
        edge = Edge(self, center, **options)
        self.edges.append(edge)
        return edge

    def image_busybox(self):
        """A packed image with Debian's static busybox; its archive."""
        if "busybox" not in self.images:
            root = self.dir / "busybox"
            for folder in ("bin", "etc", "tmp", "root", "proc", "sys", "dev", "var", "home"):
                (root / folder).mkdir(parents=True)
            (root / "tmp").chmod(0o1777)
            shutil.copy("/bin/busybox", root / "bin" / "busybox")
            for applet in run("/bin/busybox", "--list").split():
                if applet != "busybox":
                    (root / "bin" / applet).symlink_to("busybox")
            (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n"
                                                  "guest:x:1000:1000:guest:/home:/bin/sh\n")
            (root / "etc" / "group").write_text("root:x:0:\nguest:x:1000:\n")
            archive = self.dir / "busybox.tar"
            run(SELVEDGE, "image", "pack", root, "-t", BUSYBOX, "-o", archive)
            self.images["busybox"] = archive
        return self.images["busybox"]

    def remove_pods(self, center, edges):
        """Deletes what runs and waits until the edges have let go of it."""
        api = center.api()
        for kind in ("/apis/apps/v1/deployments", "/apis/apps/v1/replicasets"):
            for item in api.items(kind):
                meta = item["metadata"]
                base = kind.replace("/v1/", f"/v1/namespaces/{meta['namespace']}/")
                ignore_missing(lambda: api.delete(f"{base}/{meta['name']}",
                                                  {"propagationPolicy": "Background"}))
        for pod in api.items("/api/v1/pods"):
            meta = pod["metadata"]
            ignore_missing(lambda: api.delete(pods_path(meta["namespace"], meta["name"]),
                                              {"gracePeriodSeconds": 1}))
        until("all pods are gone", lambda: api.items("/api/v1/pods") == [])
        for edge in edges:
            until(f"{edge.name} has cleaned up", lambda: edge.remains(pods_only=True) == [])

    def close(self):
        """Stops everything, then raises when something is left."""
        problems = []

        def attempt(what, function):
            try:
                function()
            except BaseException as e:  # the rest must be cleaned as well
                problems.append(f"{what}: {e}")

        for center in self.centers:
            edges = [e for e in self.edges if e.center is center and e.process]
            if center.process and edges:
                attempt("remove pods", lambda: self.remove_pods(center, edges))
        for program in [*self.edges, *self.centers]:
            attempt(f"stop {program.name}", program.stop)
        for edge in self.edges:
            attempt(f"{edge.name} left", lambda: no_lines(edge.remains(pods_only=True)))
            attempt(f"tear down {edge.name}", edge.teardown)
            attempt(f"{edge.name} left after its teardown", lambda: no_lines(edge.remains()))
        problems += self._force()
        assert not problems, "\n".join(problems)

    def _force(self):
        """Removes whatever is still there, so that a failed run leaves the machine clean."""
        left = []
        marker = f"SELVEDGE_E2E={self.tag}".encode()
        ours = [p for p in all_pids() if p != os.getpid() and
                (marker in read_proc_bytes(p, "environ").split(b"\0") or
                 str(self.dir).encode() in read_proc_bytes(p, "cmdline") or
                 any(f"/{e.cgroup}/" in read_proc(p, "cgroup") for e in self.edges))]
        for pid in ours:
            left.append(f"process {pid} was left: {read_proc(pid, 'cmdline')}".replace("\0", " "))
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for edge in self.edges:
            edge.delete_network()
        for point in reversed(mounts_below(self.dir)):
            left.append(f"mount {point} was left")
            subprocess.run(["umount", "-l", point], capture_output=True)
        for edge in self.edges:
            for top in cgroups_named(edge.cgroup):
                for folder, _, _ in os.walk(top, topdown=False):
                    try:
                        os.rmdir(folder)
                    except OSError:
                        pass
        if self.has_bridge:
            run("ip", "link", "del", self.bridge)
        names = os.listdir("/run/netns") if os.path.isdir("/run/netns") else []
        left += [f"network namespace {n} was left" for n in names if n.startswith(self.tag)]
        if os.environ.get("E2E_KEEP"):
            print(f"kept: {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
        for program in [*self.edges, *self.centers]:
            if program in Program.every:
                Program.every.remove(program)
        return left


def no_lines(lines):
    assert not lines, "; ".join(lines)
