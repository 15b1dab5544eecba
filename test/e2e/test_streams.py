# SPDX-License-Identifier: Apache-2.0
"""Streams to pods and nodes: attach, port-forward, proxy, cp, debug, figures and resize, with both
kubectls and python3-kubernetes; what a cut link does to them, and that nothing is left."""
import base64
import hashlib
import json
import os
import pty
import re
import select
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from kubernetes import client as kube
from kubernetes import config as kube_config
from kubernetes.stream import portforward, stream

from harness import (BUSYBOX, ROOT, cgroup_value, free_port, hello_archives, is_ready, pod, pods_path,
                     until)

# The script reads all before it answers: Go's HTTP/1 server, which kubectl proxy is, swallows the rest of
# a body when the answer begins first.
SERVE = r"""mkdir -p /w/cgi-bin; cd /w/cgi-bin; echo page > /w/index.html
{ echo '#!/bin/sh'; echo 'n=$(wc -c); printf "Content-type: text/plain\r\n\r\n$n\n"'; } > count; chmod +x count
httpd -p 8080 -h /w; nc -ll -p 9000 -e cat & exec sleep 100000"""


@pytest.fixture(scope="module")
def shared_ns(api):
    name = api.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace",
                                           "metadata": {"generateName": "streams-"}})["metadata"]["name"]
    yield name
    api.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture(scope="module")
def web(center, edge, api, shared_ns):
    """A pod that serves a page on 8080 and echoes on 9000."""
    center.kubectl().within(shared_ns).apply(pod("web", SERVE, ports=[{"containerPort": 8080}]))
    return until("web is ready", lambda: is_ready(api.get(pods_path(shared_ns, "web")))
                 and api.get(pods_path(shared_ns, "web")))


@pytest.fixture
def ks(client, shared_ns):
    """Both kubectls in the module's namespace."""
    return client.within(shared_ns)


@pytest.fixture(scope="module")
def core(center):
    """python3-kubernetes' client of v1."""
    def make():
        configuration = kube.Configuration()
        kube_config.load_kube_config(str(center.kubeconfig), client_configuration=configuration)
        return kube.CoreV1Api(kube.ApiClient(configuration))
    return make


def in_terminal(kubectl, *args, script=()):
    """Runs kubectl in a terminal; each (awaited, typed) of the script in turn. (output, exit code)"""
    pid, terminal = pty.fork()
    if pid == 0:
        command = kubectl.command(*args)
        os.execvpe(command[0], command, kubectl.environment())
    output, todo = b"", list(script)
    while True:
        select.select([terminal], [], [])
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the other side of the terminal is closed
            data = b""
        if not data:
            break
        output += data
        if todo and todo[0][0] in output:
            os.write(terminal, todo.pop(0)[1])
    os.close(terminal)
    status = os.waitpid(pid, 0)[1]
    return output.decode(errors="replace"), os.waitstatus_to_exitcode(status)


def dial_echo(port):
    """A connection that has echoed a byte. Busybox' nc has no room for many at the same moment."""
    s = socket.create_connection(("127.0.0.1", port), timeout=60)
    s.sendall(b".")
    assert s.recv(1) == b"."
    return s


def echo(s, payload):
    """Sends all of it, ends the sending side, and gathers what comes back."""
    with s:
        sender = threading.Thread(target=lambda: (s.sendall(payload), s.shutdown(socket.SHUT_WR)))
        sender.start()
        got = b""
        while data := s.recv(65536):
            got += data
        sender.join()
        return got


def http_get(port, path="/"):
    with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
        s.sendall(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
        got = b""
        while data := s.recv(65536):
            got += data
        return got.partition(b"\r\n\r\n")[2].decode()


def open_files(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


# ---------------------------------------------------------------- attach and run


def test_run_interactive_with_a_terminal(kk, edge):
    output, code = in_terminal(
        kk, "run", "-it", "--rm", "--restart=Never", f"--image={BUSYBOX}", "bb", "--", "sh",
        script=[(b"/ #", b"stty rows 33 cols 77 < /dev/null; echo $((6*7)); tty\n"), (b"/dev/", b"exit 3\n")])
    assert "42" in output and code == 3, output
    assert 'pod "bb" deleted' in output


def test_run_with_stdin_ends_when_the_input_ends(kk, edge):
    result = kk.result("run", "-i", "--rm", "--restart=Never", f"--image={BUSYBOX}", "cat", "--", "sh", "-c",
                       "cat; echo end", stdin="first\nsecond\n")
    assert result.code == 0, repr(result)
    assert result.out.startswith("first\nsecond\nend\n") or "second\nend" in kk("logs", "cat"), repr(result)


def test_several_attach_to_one_container_and_its_log_is_the_same(k, edge, api):
    k.apply(pod("loop", "while read line; do echo got $line; done", stdin=True))
    until("it runs", lambda: is_ready(api.get(pods_path(k.namespace, "loop"))))
    with k.start("attach", "loop") as watcher, k.start("attach", "-i", "loop", stdin=subprocess.PIPE) as writer:
        def say(word):
            writer.process.stdin.write(word + "\n")
            writer.process.stdin.flush()
            return any(f"got {word}" in line for line in writer.lines) and \
                any(f"got {word}" in line for line in watcher.lines)
        until("both hear the answer", lambda: say("hello"), pause=0.3)
    again = k.start("attach", "-i", "loop", stdin=subprocess.PIPE)
    with again:
        def ask():
            again.process.stdin.write("again\n")
            again.process.stdin.flush()
            return "got again" in again.text()
        until("its input is still open", ask, pause=0.3)
    log = k("logs", "loop")
    assert "got hello" in log and "got again" in log


def test_attach_to_what_does_not_run_is_refused(k, api, edge):
    k.apply(pod("done", "exit 0", restartPolicy="Never"))
    until("it has ended", lambda: api.get(pods_path(k.namespace, "done"))["status"]["phase"] == "Succeeded")
    error = k.fails("attach", "done")
    assert "cannot attach a container in a completed pod" in error or "is not running" in error


# ---------------------------------------------------------------- port-forward


@pytest.fixture
def forwarded(ks, web):
    """forwarded(port...) forwards ports of web; the local ports."""
    running = []

    def start(*ports):
        local = [free_port() for _ in ports]
        s = ks.start("port-forward", "--address=127.0.0.1", "pod/web",
                     *[f"{here}:{there}" for here, there in zip(local, ports)])
        running.append(s)
        for here in local:
            s.expect(f"Forwarding from 127.0.0.1:{here}")
        start.stream = s
        return local
    yield start
    for s in running:
        s.__exit__()


def test_many_connections_through_one_port_forward(forwarded):
    page, echoed = forwarded(8080, 9000)
    assert http_get(page) == "page\n"
    payloads = [bytes([i]) * (200_000 + i) for i in range(12)]
    got = [None] * len(payloads)
    connections = [dial_echo(echoed) for _ in payloads]

    def work(i):
        got[i] = echo(connections[i], payloads[i])
    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(payloads))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [hashlib.sha256(g).hexdigest() for g in got] == \
        [hashlib.sha256(p).hexdigest() for p in payloads]
    assert http_get(page) == "page\n"


def test_a_port_that_nobody_listens_on_is_told(forwarded):
    (port,) = forwarded(81)
    assert http_get(port) == ""
    forwarded.stream.expect(r"error forwarding port 81 to pod web, uid .*connection refused")


def test_a_reader_that_is_slow_holds_the_sender_back(forwarded, edge, center):
    (port,) = forwarded(9000)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
        s.setblocking(False)
        sent, stalled = 0, 0
        while stalled < 10 and sent < 256 << 20:
            try:
                sent += s.send(b"x" * 65536)
                stalled = 0
            except BlockingIOError:
                stalled += 1
                select.select([], [s], [], 0.1)
        assert sent < 128 << 20, "somebody stores what nobody reads"
        s.setblocking(True)
        s.shutdown(socket.SHUT_WR)
        got = 0
        while data := s.recv(1 << 20):
            got += len(data)
        assert got == sent


def test_port_forward_of_python(core, web, shared_ns):
    pf = portforward(core().connect_get_namespaced_pod_portforward, "web", shared_ns, ports="8080,81")
    s = pf.socket(8080)
    s.setblocking(True)
    s.sendall(b"GET / HTTP/1.0\r\n\r\n")
    got = b""
    while data := s.recv(65536):
        got += data
    s.close()
    assert got.endswith(b"page\n"), got
    assert pf.error(8080) is None
    until("the other port's error", lambda: "connection refused" in (pf.error(81) or ""))


# ---------------------------------------------------------------- exec by channels


def test_exec_and_attach_of_python(core, web, shared_ns):
    words = stream(core().connect_get_namespaced_pod_exec, "web", shared_ns,
                   command=["sh", "-c", "echo out; echo err >&2"], stdout=True, stderr=True, stdin=False, tty=False)
    assert sorted(words.split()) == ["err", "out"]
    session = stream(core().connect_get_namespaced_pod_exec, "web", shared_ns, command=["sh"], stdin=True,
                     stdout=True, stderr=True, tty=False, _preload_content=False)
    session.write_stdin("echo $((40+2)); exit 7\n")
    session.run_forever(timeout=30)
    assert session.read_stdout() == "42\n" and session.returncode == 7
    session.close()


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io", None,
                                      "v4.base64.channel.k8s.io", "base64.channel.k8s.io"])
def test_every_websocket_protocol_of_exec(center, web, shared_ns, protocol):
    import websocket
    kubeconfig = json.loads(subprocess.run(
        ["kubectl", f"--kubeconfig={center.kubeconfig}", "config", "view", "--raw", "-o", "json"],
        capture_output=True, check=True).stdout)
    user = kubeconfig["users"][0]["user"]
    folder = center.data / "ws"
    folder.mkdir(exist_ok=True)
    for name in ("client-certificate-data", "client-key-data"):
        (folder / name).write_bytes(base64.b64decode(user[name]))
    url = center.url.replace("https", "wss") + pods_path(shared_ns, "web") + \
        "/exec?command=sh&command=-c&command=echo+hi;exit+4&stdout=true&stderr=true"
    ws = websocket.create_connection(
        url, subprotocols=[protocol] if protocol else None,
        sslopt={"cert_reqs": 0, "certfile": str(folder / "client-certificate-data"),
                "keyfile": str(folder / "client-key-data")})
    assert ws.getsubprotocol() == protocol
    channels = {}
    while True:
        op, data = ws.recv_data()
        if op == websocket.ABNF.OPCODE_CLOSE:
            break
        if protocol and "base64" in protocol:
            channel, data = int(chr(data[0])), base64.b64decode(data[1:])
        else:
            channel, data = data[0], data[1:]
        channels[channel] = channels.get(channel, b"") + data
    ws.close()
    assert channels[1] == b"hi\n"
    if protocol and protocol.startswith("v"):
        assert json.loads(channels[3])["details"]["causes"][0]["message"] == "4"
    else:
        assert channels[3] == b"command terminated with non-zero exit code: exit code 4"


# ---------------------------------------------------------------- proxy


def test_pods_and_nodes_are_proxied(api, edge, web, shared_ns):
    status, headers, body = api.raw("GET", pods_path(shared_ns, "web:8080") + "/proxy/")[:3]
    assert (status, body) == (200, "page\n")
    assert api.raw("GET", pods_path(shared_ns, "web") + "/proxy/index.html?x=1")[0] == 200
    assert api.raw("GET", pods_path(shared_ns, "http:web:8080") + "/proxy/none")[0] == 404
    status, headers, _ = api.raw("GET", pods_path(shared_ns, "web:8080") + "/proxy")[:3]
    assert status == 301 and dict((k.lower(), v) for k, v in headers.items())["location"].endswith("/proxy/")
    status, _, body = api.raw("GET", pods_path(shared_ns, "web:81") + "/proxy/")[:3]
    assert status == 503 and "error trying to reach service" in body["message"]
    assert api.raw("GET", pods_path(shared_ns, "nobody") + "/proxy/")[0] == 404
    node = f"/api/v1/nodes/{edge.node}/proxy"
    assert api.raw("GET", node + "/healthz")[2] == "ok"
    names = [p["metadata"]["name"] for p in api.raw("GET", node + "/pods")[2]["items"]]
    assert "web" in names
    assert "node_cpu_usage_seconds_total" in api.raw("GET", node + "/metrics/resource")[2]
    summary = api.raw("GET", node + "/stats/summary")[2]
    assert summary["node"]["nodeName"] == edge.node
    assert "web" in [p["podRef"]["name"] for p in summary["pods"]]


def test_a_service_is_proxied_to_one_of_its_pods(k, api, edge):
    k.apply(pod("back", SERVE, labels={"app": "back"}),
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front"},
             "spec": {"selector": {"app": "back"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}})
    path = f"/api/v1/namespaces/{k.namespace}/services/"
    until("the page by the service", lambda: api.raw("GET", path + "front:http/proxy/")[2] == "page\n")
    assert api.raw("GET", path + "http:front:80/proxy/index.html")[2] == "page\n"
    assert api.raw("GET", path + "front:81/proxy/")[0] == 503
    k.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "lonely"},
             "spec": {"selector": {"app": "nobody"}, "ports": [{"port": 80}]}})
    status, _, body = api.raw("GET", path + "lonely/proxy/")[:3]
    assert status == 503 and "no endpoints available" in body["message"]


def test_kubectl_proxy(ks, web, shared_ns):
    port = free_port()
    with ks.start("proxy", f"--port={port}") as s:
        s.expect("Starting to serve")

        def curl(*args):
            return subprocess.run(["curl", "-s", *args], capture_output=True, text=True, check=True).stdout
        base = f"http://127.0.0.1:{port}"
        assert json.loads(curl(base + "/api/v1/namespaces/default"))["metadata"]["name"] == "default"
        assert curl(base + pods_path(shared_ns, "web:8080") + "/proxy/") == "page\n"
        counted = base + pods_path(shared_ns, "web:8080") + "/proxy/cgi-bin/count"
        assert curl("--data", "x" * 100_000, counted).strip() == "100000"


# ---------------------------------------------------------------- cp and debug


def test_cp_both_ways(ks, web, host):
    folder = host.dir / f"cp-{ks.old}"
    (folder / "sub").mkdir(parents=True)
    (folder / "big").write_bytes(os.urandom(2_000_000))
    (folder / "sub" / "small").write_text("small")
    there = f"web:/tmp/cp-{ks.old}"
    ks("cp", str(folder), there)
    ks("cp", there, str(folder) + "-back")
    assert (host.dir / f"cp-{ks.old}-back" / "big").read_bytes() == (folder / "big").read_bytes()
    assert (host.dir / f"cp-{ks.old}-back" / "sub" / "small").read_text() == "small"
    assert ks("exec", "web", "--", "cat", f"/tmp/cp-{ks.old}/sub/small") == "small"


def test_debug_with_an_ephemeral_container(k, api, edge):
    k.apply(pod("target", "exec sleep 100003"))
    path = pods_path(k.namespace, "target")
    until("it runs", lambda: is_ready(api.get(path)))
    output, code = in_terminal(k, "debug", "-it", "target", f"--image={BUSYBOX}", "--target=c", "-c", "dbg",
                               "--", "sh", script=[(b"/ #", b"ps; exit 5\n")])
    assert "sleep 100003" in output, output
    status = until("its end is told", lambda: next(
        (s for s in api.get(path)["status"]["ephemeralContainerStatuses"] if "terminated" in s["state"]), None))
    assert status["name"] == "dbg" and status["state"]["terminated"]["exitCode"] == 5
    assert is_ready(api.get(path)) and "1/1" in k("get", "pod", "target")
    error = k.fails("patch", "pod", "target", "--subresource=ephemeralcontainers", "--type=json", "-p",
                    '[{"op":"remove","path":"/spec/ephemeralContainers/0"}]')
    assert 'existing ephemeral containers "dbg" may not be removed' in error
    error = k.fails("patch", "pod", "target", "--subresource=ephemeralcontainers", "-p", json.dumps(
        {"spec": {"ephemeralContainers": [{"name": "c", "image": "x", "targetContainerName": "none",
                                           "ports": [{"containerPort": 1}]}]}}))
    for words in ("Duplicate value", "cannot be set for an Ephemeral Container", "targetContainerName: Not found"):
        assert words in error, error


def test_debug_a_node_and_a_copy(kk, api, edge):
    output, _ = in_terminal(kk, "debug", "-it", f"node/{edge.node}", f"--image={BUSYBOX}", "--", "sh",
                            script=[(b"/ #", b"ls -d /host/proc/1 && ps | grep -c edge; exit\n")])
    assert "/host/proc/1" in output, output
    kk.apply(pod("origin", "exec sleep 100004"))
    until("it runs", lambda: is_ready(api.get(pods_path(kk.namespace, "origin"))))
    output, _ = in_terminal(kk, "debug", "-it", "origin", "--copy-to=copy", "--share-processes",
                            f"--image={BUSYBOX}", "--", "sh", script=[(b"/ #", b"until ps | grep -q '1000[0]4'; do sleep 0.1; done; ps; exit\n")])
    assert "sleep 100004" in output and "/pause" in output, output


def test_containers_that_share_processes(k, api, edge):
    k.apply(pod("shared", shareProcessNamespace=True, containers=[
        {"name": n, "image": BUSYBOX, "command": ["sh", "-c", f"exec sleep 10010{i}"]}
        for i, n in enumerate("ab")]))
    p = until("it runs", lambda: is_ready(api.get(pods_path(k.namespace, "shared"))) and
              api.get(pods_path(k.namespace, "shared")))
    processes = k("exec", "shared", "-c", "a", "--", "ps")
    assert re.search(r"^\s+1 root\s+/pause", processes, re.M) and "sleep 100101" in processes
    restarts = p["status"]["containerStatuses"][0]["restartCount"]
    k("exec", "shared", "-c", "b", "--", "sh", "-c", "kill -9 $(ps | grep '[s]leep 100100' | awk '{print $1}')")
    until("the other began anew", lambda: api.get(pods_path(k.namespace, "shared"))["status"][
        "containerStatuses"][0]["restartCount"] == restarts + 1 and
        is_ready(api.get(pods_path(k.namespace, "shared"))))
    assert "sleep 100100" in k("exec", "shared", "-c", "b", "--", "ps")


# ---------------------------------------------------------------- figures and resize


def test_top(ks, web, edge):
    def numbers(*args):
        return ks.result("top", *args)
    until("figures of the node", lambda: re.search(
        rf"^{edge.node}\s+\d+m\s+\d+%\s+\d+Mi\s+\d+%", numbers("nodes").out, re.M))
    until("figures of containers", lambda: re.search(
        r"^web\s+c\s+\d+m\s+\d+Mi", numbers("pods", "--containers").out, re.M))
    assert re.search(r"^web\s+\d+m\s+\d+Mi", ks("top", "pod", "web"), re.M)
    assert "web" not in numbers("pods", "-l", "app=none").out


def test_figures_of_a_node_that_is_cut_off_are_left_out(own_host):
    center = own_host.center().start()
    one, two = own_host.edge(center), own_host.edge(center)
    one.start()
    two.start()
    api = center.api()
    path = "/apis/metrics.k8s.io/v1beta1/nodes"

    def names():
        return sorted(i["metadata"]["name"] for i in api.get(path)["items"])
    until("both are told", lambda: names() == sorted([one.node, two.node]))
    two.kill()
    until("one is left", lambda: names() == [one.node])
    assert api.get(f"{path}/{one.node}")["usage"]["cpu"].endswith("n")
    assert api.raw("GET", f"{path}/{two.node}")[0] == 404


def test_resize_in_place(k, api, edge):
    k.apply(pod("size", resources={"requests": {"cpu": "50m", "memory": "16Mi"},
                                   "limits": {"cpu": "100m", "memory": "32Mi"}}))
    path = pods_path(k.namespace, "size")
    p = until("it runs", lambda: is_ready(api.get(path)) and api.get(path))
    pid = edge.container_init(p["status"]["containerStatuses"][0]["containerID"])

    def patch(**resources):
        return k.result("patch", "pod", "size", "--subresource=resize", "-p",
                        json.dumps({"spec": {"containers": [{"name": "c", "resources": resources}]}}))
    assert patch(requests={"cpu": "60m"}, limits={"memory": "64Mi"}).code == 0

    def status():
        return api.get(path)["status"]
    until("it is in force", lambda: "resize" not in status() and status()["containerStatuses"][0][
        "resources"]["limits"]["memory"] == "64Mi")
    assert status()["containerStatuses"][0]["allocatedResources"]["cpu"] == "60m"
    assert status()["containerStatuses"][0]["restartCount"] == 0
    assert cgroup_value(pid, "memory", "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert "Pod QOS Class may not change" in patch(
        requests={"cpu": "100m", "memory": "64Mi"}).err
    assert patch(requests={"cpu": "999"}, limits={"cpu": "1000"}).code == 0
    until("it is too much for the node", lambda: status().get("resize") == "Infeasible")
    assert "pod updates may not change fields" in k.fails(
        "patch", "pod", "size", "-p", '{"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"2"}}}]}}')


# ---------------------------------------------------------------- hooks


def test_lifecycle_hooks_by_http_and_sleep(k, api, edge):
    k.apply(pod("hooks", "mkdir /w; cd /w; echo ok > start; exec httpd -f -p 8081 -h /w",
                lifecycle={"postStart": {"exec": {"command": ["sh", "-c", "sleep 0.3; touch /w/post"]}},
                           "preStop": {"sleep": {"seconds": 1}}}))
    until("it runs", lambda: is_ready(api.get(pods_path(k.namespace, "hooks"))))
    assert k("exec", "hooks", "--", "ls", "/w/post") == "/w/post\n"
    k("delete", "pod", "hooks", "--grace-period=2")


# ---------------------------------------------------------------- the local API, and cut links


def test_the_nodes_own_api_has_the_same_streams(edge, web, shared_ns):
    local = edge.kubectl().within(shared_ns)
    assert local("exec", "web", "--", "echo", "hi") == "hi\n"
    assert local("get", "--raw", pods_path(shared_ns, "web:8080") + "/proxy/") == "page\n"
    until("its own figures", lambda: edge.node in local.result("top", "nodes").out)
    with local.start("port-forward", "pod/web", "18099:8080") as s:
        s.expect("Forwarding from 127.0.0.1:18099")
        assert edge.http("127.0.0.1", 18099) == "page\n"


def test_a_cut_link_ends_streams_and_leaves_nothing(own_host):
    center = own_host.center().start()
    edge = own_host.edge(center)
    edge.start()
    edge.load(own_host.image_busybox())
    api = center.api()
    k = center.kubectl().within("default")
    k.apply(pod("web", SERVE, stdin=True))
    until("it runs", lambda: is_ready(api.get(pods_path("default", "web"))))
    before = open_files(center), open_files(edge)
    port = free_port()
    forward = k.start("port-forward", "--address=127.0.0.1", "pod/web", f"{port}:9000")
    shell = k.start("exec", "-i", "web", "--", "cat", stdin=subprocess.PIPE)
    attached = k.start("attach", "-i", "web", stdin=subprocess.PIPE)
    follower = k.start("logs", "-f", "web")
    with forward, shell, attached, follower:
        forward.expect("Forwarding from")
        with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
            s.sendall(b"ping")
            assert s.recv(4) == b"ping"
            shell.process.stdin.write("here\n")
            shell.process.stdin.flush()
            shell.expect("here")
            edge.kill()
            assert s.recv(4) == b"", "the connection has ended"
        assert shell.wait() != 0 and "connection" in shell.text()
        attached.wait()
        follower.wait()
    edge.start()
    until("the center let go of everything", lambda: open_files(center) <= before[0] + 2)
    until("the edge as well", lambda: open_files(edge) <= before[1] + 2)
    until("the pod is reached again", lambda: k.result("exec", "web", "--", "echo", "again").out == "again\n")


# ---------------------------------------------------------------- image garbage


def test_image_garbage_is_removed_but_nothing_that_is_in_use(own_host):
    center = own_host.center().start()
    edge = own_host.edge(center, options=["--image-gc-high-threshold", "1", "--image-gc-low-threshold", "1"])
    edge.start()
    edge.load(own_host.image_busybox())
    api = center.api()
    k = center.kubectl().within("default")
    k.apply(pod("user"))
    until("it runs", lambda: is_ready(api.get(pods_path("default", "user"))))
    for archive in hello_archives():
        edge.load(archive)

    def names():
        return sorted(p.name for p in (edge.state / "images" / "refs").iterdir())

    def layers():
        return len(list((edge.state / "images" / "layers").iterdir()))
    until("what nobody wants is gone", lambda: not [n for n in names() if "hello" in n])
    until("its layers are gone", lambda: layers() == 1)
    assert [n for n in names() if "busybox" in n]
    assert k("exec", "user", "--", "echo", "alive") == "alive\n"


# ---------------------------------------------------------------- Node.js


def test_the_client_of_node_js(center, web, shared_ns):
    folder = ROOT / ".cache" / "client-node"
    if not shutil.which("node") or not (folder / "node_modules").is_dir():
        pytest.skip("node or @kubernetes/client-node is missing: tools/setup test fetches it where npm is")
    done = subprocess.run(["node", Path(__file__).with_name("client_node.mjs"), folder, center.kubeconfig,
                           shared_ns, "web"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["exec"] == {"text": "out\nfrom node\n", "reason": "NonZeroExitCode", "code": "3"}
    assert result["informer"] == ["add 1", "update 2", "delete 2"]
    assert result["node"].startswith("v1.32.")


GRPC_HEALTH = """
const http2 = require('http2'), fs = require('fs');
http2.createServer().on('stream', (s, h) => {
    const chunks = [];
    s.on('data', (c) => chunks.push(c)).on('end', () => {
        const service = Buffer.concat(chunks).subarray(7).toString();
        const known = h[':path'] === '/grpc.health.v1.Health/Check' && service === 'db';
        s.respond({':status': 200, 'content-type': 'application/grpc'}, {waitForTrailers: true});
        s.on('wantTrailers', () => s.sendTrailers({'grpc-status': '0'}));
        s.end(Buffer.from([0, 0, 0, 0, 2, 8, known && fs.existsSync(process.argv[2]) ? 1 : 2]));
    });
}).listen(Number(process.argv[1]), '0.0.0.0');
"""


def test_grpc_probes(k, api, edge, host):
    if not shutil.which("node"):
        pytest.skip("node, which plays the gRPC server, is missing")
    flag, port = host.dir / "serving", 19555
    server = subprocess.Popen(["nsenter", f"--net=/run/netns/{edge.netns}", "--", "node", "-e", GRPC_HEALTH,
                               str(port), str(flag)])
    try:
        k.apply(pod("grpc", hostNetwork=True, readinessProbe={
            "grpc": {"port": port, "service": "db"}, "periodSeconds": 1}))
        until("an event tells why it is not ready", lambda: "NOT_SERVING" in k(
            "get", "events", "--field-selector=reason=Unhealthy", "-o", "jsonpath={.items[*].message}"))
        assert not is_ready(api.get(pods_path(k.namespace, "grpc")))
        flag.touch()
        until("it is ready", lambda: is_ready(api.get(pods_path(k.namespace, "grpc"))))
    finally:
        server.kill()
        server.wait()
