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
import base64
import ctypes
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import yaml

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BUILD", ROOT / "build"))
SELVEDGE = BUILD / "selvedge"
LIBEXEC = BUILD / "libexec" / "selvedge"
KUBECTL_OLD = ROOT / ".cache/kubectl-1.20/usr/bin/kubectl"
CLONE_NEWNET = 0x40000000


def run(*command, check=True, **options):
    """Runs a command to its end; stdout as text. A failure shows what it printed."""
    done = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}\n"
                             f"{done.stdout}{done.stderr}")
    return done.stdout


def until(what, probe, pause=0.1):
    """Calls probe() until it returns something true, which is returned.

    An AssertionError or a failed look-up inside the probe means "not yet". Ends early, with the last
    answer, when a program died that should be running.
    """
    last = None
    try:
        while True:
            try:
                last = probe()
                if last:
                    return last
            except (AssertionError, LookupError, TypeError, OSError, http.client.HTTPException) as e:
                last = e
            for program in Program.running:
                program.assert_alive()
            time.sleep(pause)
    except BaseException:
        print(f"waiting for: {what}\nlast seen: {shorten(last)}")
        raise


def shorten(value, limit=6000):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else text[:limit] + f"... ({len(text)} characters)"


def free_port(address="127.0.0.1"):
    with socket.socket() as s:
        s.bind((address, 0))
        return s.getsockname()[1]


def in_netns(name, function):
    """Runs function() in a thread that has entered the network namespace; sockets keep it."""
    result = []

    def body():
        try:
            with open(f"/run/netns/{name}") as f:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(f.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"setns {name}")
            result.append((function(), None))
        except Exception as e:  # handed to the caller
            result.append((None, e))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    value, error = result[0]
    if error:
        raise error
    return value


# ---------------------------------------------------------------- HTTP


class ApiError(AssertionError):
    """An answer that is not 2xx; .status (HTTP code) and .body (the Status object)."""

    def __init__(self, what, status, body):
        super().__init__(f"{what}: {status} {shorten(body, 2000)}")
        self.status = status
        self.body = body


class Api:
    """Raw HTTPS with what a kubeconfig holds. One connection, opened again when it was closed.

    Not for several threads: each makes its own by clone().
    """

    def __init__(self, kubeconfig, netns=None, token=None, client_cert=True, timeout=None):
        self.kubeconfig = Path(kubeconfig)
        self.netns = netns
        self.token = token
        self.timeout = timeout
        config = yaml.safe_load(self.kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        user = config["users"][0]["user"]
        url = urlsplit(cluster["server"])
        self.host, self.port = url.hostname, url.port
        self.context = ssl.create_default_context(cadata=self._pem(cluster, "certificate-authority"))
        if client_cert and ("client-certificate" in user or "client-certificate-data" in user):
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as f:
                f.write(self._pem(user, "client-certificate") + "\n" + self._pem(user, "client-key"))
                f.flush()
                self.context.load_cert_chain(f.name)
        elif client_cert and "token" in user:
            self.token = user["token"]
        self.client_cert = client_cert
        self.connection = None

    def _pem(self, holder, name):
        if name + "-data" in holder:
            return base64.b64decode(holder[name + "-data"]).decode()
        return (self.kubeconfig.parent / holder[name]).read_text()

    def clone(self):
        return Api(self.kubeconfig, self.netns, self.token, self.client_cert, self.timeout)

    def socket(self, tls=True):
        def connect():
            return socket.create_connection((self.host, self.port), timeout=self.timeout)

        raw = in_netns(self.netns, connect) if self.netns else connect()
        return self.context.wrap_socket(raw, server_hostname=self.host) if tls else raw

    def connect(self):
        connection = http.client.HTTPConnection(self.host, self.port)
        connection.sock = self.socket()
        return connection

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def open(self, method, path, body=None, headers=None, query=None, connection=None):
        """Sends one request and returns the http.client response, unread."""
        if query:
            path += "?" + urlencode(query)
        headers = dict(headers or {})
        headers.setdefault("Accept", "application/json")
        if self.token:
            headers["Authorization"] = "Bearer " + self.token
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        if connection:
            connection.request(method, path, body, headers)
            return connection.getresponse()
        fresh = self.connection is None
        if fresh:
            self.connection = self.connect()
        try:
            self.connection.request(method, path, body, headers)
            return self.connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self.close()
            if fresh or method != "GET":
                raise
            return self.open(method, path, body, headers)
        except BaseException:
            self.close()
            raise

    def raw(self, method, path, body=None, headers=None, query=None):
        """(status, headers, body): the body parsed when it is JSON."""
        response = self.open(method, path, body, headers, query)
        try:
            data = response.read()
        except BaseException:
            self.close()
            raise
        if response.will_close:
            self.close()
        kind = response.headers.get("Content-Type", "")
        if "json" in kind:
            return response.status, response.headers, json.loads(data)
        return response.status, response.headers, data.decode(errors="replace")

    def call(self, method, path, body=None, headers=None, query=None):
        """The body of a 2xx answer; ApiError otherwise."""
        status, _, answer = self.raw(method, path, body, headers, query)
        if not 200 <= status < 300:
            raise ApiError(f"{method} {path}", status, answer)
        return answer

    def get(self, path, **query):
        return self.call("GET", path, query=query or None)

    def items(self, path, **query):
        return self.get(path, **query)["items"]

    def post(self, path, body, **query):
        return self.call("POST", path, body, query=query or None)

    def put(self, path, body):
        return self.call("PUT", path, body)

    def patch(self, path, body, kind="merge", **query):
        kinds = {"merge": "application/merge-patch+json", "json": "application/json-patch+json",
                 "strategic": "application/strategic-merge-patch+json"}
        return self.call("PATCH", path, json.dumps(body), {"Content-Type": kinds[kind]}, query or None)

    def delete(self, path, body=None):
        return self.call("DELETE", path, body)

    def gone(self, path):
        try:
            self.get(path)
        except ApiError as e:
            return e.status == 404
        return False

    def watch(self, path, connection=None, **query):
        """Yields the events of a watch until the server ends it. Uses a connection of its own."""
        connection = connection or self.connect()
        try:
            response = self.open("GET", path, query=dict(query, watch="true"), connection=connection)
            if response.status != 200:
                raise ApiError(f"watch {path}", response.status, response.read().decode())
            for line in response:
                yield json.loads(line)
        finally:
            connection.close()


def pods_path(namespace, name=""):
    return f"/api/v1/namespaces/{namespace}/pods" + (f"/{name}" if name else "")


def configmaps_path(namespace, name=""):
    return f"/api/v1/namespaces/{namespace}/configmaps" + (f"/{name}" if name else "")


def deployments_path(namespace, name=""):
    return f"/apis/apps/v1/namespaces/{namespace}/deployments" + (f"/{name}" if name else "")


def condition(obj, name):
    """The condition of that type, or {}."""
    found = [c for c in obj.get("status", {}).get("conditions", []) if c["type"] == name]
    return found[0] if found else {}


def is_ready(pod):
    return pod["status"].get("phase") == "Running" and condition(pod, "Ready").get("status") == "True"


# ---------------------------------------------------------------- kubectl


class Result:
    def __init__(self, command, code, out, err):
        self.command, self.code, self.out, self.err = command, code, out, err

    def __repr__(self):
        return f"{' '.join(self.command)}: exit {self.code}\n{shorten(self.out)}\n{shorten(self.err)}"


class Kubectl:
    """kubectl over a kubeconfig, with its cache and home in the temporary folder.

    k("get", "pods") returns stdout and fails when kubectl does; k.result() never fails.
    """

    def __init__(self, kubeconfig, home, binary="kubectl", namespace=None, netns=None):
        self.kubeconfig, self.home, self.binary = Path(kubeconfig), Path(home), str(binary)
        self.namespace, self.netns = namespace, netns
        self.old = binary != "kubectl"

    def within(self, namespace):
        return Kubectl(self.kubeconfig, self.home, self.binary, namespace, self.netns)

    def command(self, *args):
        command = ["nsenter", f"--net=/run/netns/{self.netns}", "--"] if self.netns else []
        command += [self.binary, f"--kubeconfig={self.kubeconfig}"]
        if self.namespace:
            command.append(f"--namespace={self.namespace}")
        return command + [str(a) for a in args]

    def environment(self, **more):
        return dict(os.environ, HOME=str(self.home), KUBECACHEDIR=str(self.home / "cache"), **more)

    def result(self, *args, stdin=None, env=None):
        command = self.command(*args)
        done = subprocess.run(command, input=stdin if stdin is not None else "", text=True,
                              capture_output=True, env=self.environment(**(env or {})))
        return Result(command, done.returncode, done.stdout, done.stderr)

    def __call__(self, *args, stdin=None, env=None):
        result = self.result(*args, stdin=stdin, env=env)
        assert result.code == 0, repr(result)
        return result.out

    def fails(self, *args, stdin=None):
        """stderr of a kubectl that must fail."""
        result = self.result(*args, stdin=stdin)
        assert result.code != 0, repr(result)
        return result.err

    def json(self, *args):
        return json.loads(self(*args, "-o", "json"))

    def apply(self, *objects):
        return self("apply", "-f", "-", stdin=to_yaml(*objects))

    def create(self, *objects):
        return self("create", "-f", "-", stdin=to_yaml(*objects))

    def start(self, *args, stdin=subprocess.DEVNULL):
        return Stream(self.command(*args), self.environment(), stdin)


class Stream:
    """A command that goes on: its lines are gathered while it runs. A context manager that ends it."""

    def __init__(self, command, env=None, stdin=subprocess.DEVNULL):
        self.command = command
        self.lines = []
        self.process = subprocess.Popen(command, env=env, stdin=stdin, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, bufsize=1)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def text(self):
        return "\n".join(self.lines)

    def expect(self, pattern, after=0):
        """Waits for a line that matches; its index."""
        def look():
            for i, line in enumerate(self.lines[after:], after):
                if re.search(pattern, line):
                    return i + 1
            return 0

        def probe():
            found = look()
            ended = self.process.poll() is not None and not self.thread.is_alive()
            if not found and ended:
                found = look()
                if not found:
                    raise EndedEarly(f"{' '.join(self.command)} ended with {self.process.returncode} "
                                     f"before /{pattern}/:\n{shorten(self.text())}")
            return found

        return until(f"/{pattern}/ from {' '.join(self.command)}; so far:\n{self.text()}", probe) - 1

    def wait(self):
        code = self.process.wait()
        self.thread.join()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.thread.join()


class EndedEarly(Exception):
    """A stream ended before what was awaited; not an AssertionError, so that until() lets it pass."""


def to_yaml(*objects):
    return "---\n".join(o if isinstance(o, str) else yaml.safe_dump(o) for o in objects)


# ---------------------------------------------------------------- programs


class Program:
    """A daemon of ours. Its output goes to a file; `running` holds those that must be alive."""

    running = []
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
        Program.running.append(self)

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
        if self in Program.running:
            Program.running.remove(self)


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
            if f"/{self.cgroup}" in text and bare in text:
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
        left = [f"process {p}: {read_proc(p, 'cmdline')}".replace("\0", " ")
                for p in sorted(set(self.helper_pids()) | set(self.container_pids()))]
        left += [f"mount {m}" for m in mounts_below(self.state)]
        for top in cgroups_named(self.cgroup):
            left += [f"cgroup {folder}" for folder, _, _ in os.walk(top)
                     if not pods_only or re.search(r"/pod[0-9a-f-]{36}", folder)]
        if os.path.exists(f"/run/netns/{self.netns}"):
            for link in self.links():
                if not (pods_only and link == self.bridge):
                    left.append(f"link {link}")
            rules = self.exec("iptables-save", check=False)
            own = r"CNI-DN-|--to-dest" if pods_only else "CNI-"
            left += [f"iptables {r}" for r in rules.splitlines() if re.search(own, r)]
        return left

    def links(self):
        """Network devices that are not there in a new namespace with our veth."""
        found = re.findall(r"^\d+: ([^:@]+)", self.exec("ip", "-o", "link", "show"), re.M)
        return [n for n in found if n not in ("lo", "eth0") and not re.match(r"ifb\d|tunl0|sit0|gre", n)]

    def delete_network(self):
        subprocess.run(["ip", "netns", "del", self.netns], capture_output=True)
        subprocess.run(["ip", "link", "del", self.link], capture_output=True)


# ---------------------------------------------------------------- the machine


def all_pids():
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]


def read_proc_bytes(pid, name):
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def read_proc(pid, name):
    return read_proc_bytes(pid, name).decode(errors="replace")


def mounts_below(folder):
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].replace("\\040", " ")
        if point == str(folder) or point.startswith(f"{folder}/"):
            points.append(point)
    return points


def cgroups_named(name):
    top = Path("/sys/fs/cgroup")
    return [str(p) for p in [*top.glob(name), *top.glob(f"*/{name}")] if p.is_dir()]


def cgroup_value(pid, v1_controller, v1_file, v2_file):
    """A limit of the cgroup that a process is in, whichever hierarchy the machine has."""
    for line in read_proc(pid, "cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if v1_controller in controllers.split(","):
            file = Path(f"/sys/fs/cgroup/{v1_controller}{path}/{v1_file}")
            if file.exists():
                return file.read_text().strip()
    for line in read_proc(pid, "cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if not controllers:
            file = Path(f"/sys/fs/cgroup{path}/{v2_file}")
            if file.exists():
                return file.read_text().strip()
    raise LookupError(f"no {v1_file} or {v2_file} for process {pid}")


def pss_kib(pid):
    """Proportional memory of a process."""
    return int(re.search(r"^Pss:\s+(\d+)", read_proc(pid, "smaps_rollup"), re.M).group(1))


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


def ignore_missing(function):
    try:
        function()
    except ApiError as e:
        if e.status not in (404, 409):
            raise


BUSYBOX = "e2e/busybox:1"
HELLO_YAML = ROOT / "examples/hello/hello.yaml"


def hello_archive():
    found = sorted((BUILD / "examples" / "hello").glob("*.tar"))
    assert found, f"no image archive in {BUILD}/examples/hello"
    return found[0]


def pod(name, script="sleep 100000", **more):
    """A pod object that runs a shell script in busybox. `more` goes into the spec, or the container
    when it is one of the container's fields."""
    container = {"name": "c", "image": BUSYBOX, "command": ["sh", "-c", script]}
    spec = {"terminationGracePeriodSeconds": 1}
    metadata = {"name": name}
    for key, value in more.items():
        if key in ("labels", "annotations", "finalizers"):
            metadata[key] = value
        elif key in ("env", "envFrom", "resources", "ports", "livenessProbe", "readinessProbe",
                     "startupProbe", "lifecycle", "volumeMounts", "image", "imagePullPolicy", "args",
                     "command", "workingDir", "stdin", "tty", "terminationMessagePath",
                     "terminationMessagePolicy", "container_securityContext"):
            container["securityContext" if key.startswith("container_") else key] = value
        else:
            spec[key] = value
    spec.setdefault("containers", [container])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def deployment(name, replicas=1, script="sleep 100000", labels=None, **spec):
    labels = labels or {"app": name}
    template = pod(name, script, **spec)
    return {"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "labels": labels},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels},
                     "template": {"metadata": {"labels": labels}, "spec": template["spec"]}}}


def configmap(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def path_quote(text):
    return quote(text, safe="")
