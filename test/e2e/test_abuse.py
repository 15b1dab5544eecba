# SPDX-License-Identifier: Apache-2.0
"""What strangers and broken clients send: each gets a clear answer, and the server lives on as before."""
import base64
import contextlib
import json
import os
import socket
import ssl
import threading

import pytest
import yaml

from harness import (Api, ApiError, Host, configmap, configmaps_path, deployment, deployments_path, pss_kib,
                     run, until)
from objects import SANITIZED

NS = "default"
MIB = 1 << 20


@pytest.fixture(scope="module")
def victim():
    """A center on loopback that only this file speaks to."""
    host = Host()
    try:
        yield host.center("victim", reachable=False).start()
    finally:
        host.close()


@pytest.fixture
def wire(victim):
    return victim.api()


@pytest.fixture(autouse=True)
def lives_on(victim):
    """After each test the same process answers as before."""
    pid = victim.pid
    yield
    victim.assert_alive()
    assert victim.pid == pid and victim.api().raw("GET", "/readyz")[0] == 200


def status_of(wire, method, path, body=None, headers=None, query=None):
    """The answer must be a Kubernetes Status that names its code and says something."""
    code, _, answer = wire.raw(method, path, body, headers, query)
    assert isinstance(answer, dict) and answer["kind"] == "Status", (code, answer)
    assert answer["status"] == "Failure" and answer["code"] == code, answer
    assert answer["message"] and answer["reason"], answer
    assert answer["apiVersion"] == "v1"
    return answer


def exchange(wire, data, tls=True, half_close=False):
    """Sends bytes as they are and returns all that comes back."""
    wire.timeout = 60
    received = b""
    with wire.socket(tls) as s:
        with contextlib.suppress(OSError):
            for at in range(0, len(data), 65536):
                s.sendall(data[at:at + 65536])
            if half_close:
                s.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError, ssl.SSLError):
            while True:
                piece = s.recv(65536)
                if not piece:
                    break
                received += piece
    return received


# ---------------------------------------------------------------- HTTP


BROKEN_HTTP = {
    "no http at all": b"hello\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "unknown version": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "space in a header name": b"GET / HTTP/1.1\r\nHost: x\r\nBad Name: x\r\n\r\n",
    "a line without a colon": b"GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n",
    "zero byte in a header": b"GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
    "no host": b"GET /api HTTP/1.1\r\n\r\n",
    "negative length": b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    "two lengths": b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "length and chunked": b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
                          b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "length overflow": b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "broken chunk": b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\n"
                    b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "unknown coding": b"POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: unicorn\r\n\r\n",
    "huge header": b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * (200 << 10) + b"\r\n\r\n",
    "huge line": b"GET /" + b"a" * (200 << 10) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"A%d: b\r\n" % i for i in range(3000)) + b"\r\n",
    "folded header": b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
}


@pytest.mark.parametrize("name", BROKEN_HTTP)
def test_broken_http_is_refused(wire, name):
    answer = exchange(wire, BROKEN_HTTP[name])
    assert answer.startswith(b"HTTP/1.1 4") or answer.startswith(b"HTTP/1.1 5"), answer[:200]
    head, _, body = answer.partition(b"\r\n\r\n")
    assert json.loads(body)["kind"] == "Status", body[:500]
    assert b"connection: close" in head.lower()


def test_a_broken_body_that_nobody_reads_gets_no_second_answer(wire):
    answer = exchange(wire, b"POST /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    assert answer.startswith(b"HTTP/1.1 404") and answer.count(b"HTTP/1.1") == 1


def test_a_request_that_ends_halfway_frees_its_connection(victim, wire):
    for part in (b"GET /api HT", b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"):
        exchange(wire, part, half_close=True)
    before = open_files(victim)
    for _ in range(20):
        with wire.socket() as s:
            s.sendall(b"GET /api HT")
    until("their connections are closed", lambda: open_files(victim) <= before)


def open_files(program):
    return len(os.listdir(f"/proc/{program.pid}/fd"))


def test_pipelined_requests_are_answered_in_order(wire):
    data = b"".join(b"GET /api/v1/namespaces/n%d HTTP/1.1\r\nHost: x\r\n%s\r\n" %
                    (i, b"Connection: close\r\n" if i == 9 else b"") for i in range(10))
    answer = exchange(wire, data).decode()
    assert [f'namespaces \\"n{i}\\" not found' in answer for i in range(10)] == [True] * 10
    places = [answer.index(f'namespaces \\"n{i}\\" not found') for i in range(10)]
    assert places == sorted(places)


def test_strange_methods_and_paths(wire):
    assert status_of(wire, "BREW", "/api/v1/pods")["code"] == 405
    assert status_of(wire, "POST", "/api/v1/nodes/x")["code"] == 405
    assert status_of(wire, "GET", "/api/v1/unicorns")["code"] == 404
    for path in ("/nothing/here", "/apis/apps/v7/deployments"):
        assert wire.raw("GET", path)[0] == 404
    for path in ("/api/v1/namespaces/../../etc/passwd", "/api/v1/namespaces/%2e%2e%2f/pods/x",
                 "/api/v1/namespaces/%00/pods", "/api/v1/namespaces/a%ZZ/pods", "/" + "a/" * 5000,
                 "//api//v1///pods", "/api/v1/namespaces/default/pods/x/y/z/w"):
        code, _, _ = wire.raw("GET", path)
        assert code in (400, 404, 414, 431), path


# ---------------------------------------------------------------- TLS


def test_garbage_instead_of_tls(wire):
    for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(5000), b"\x16\x03\x01\xff\xff" + b"\0" * 70000,
                 b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"):
        exchange(wire, data, tls=False, half_close=True)


def test_old_tls_is_refused(wire):
    wire.context.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        with wire.socket() as s:
            assert s.version() == "TLSv1.2", "the least that is acceptable"
    except ssl.SSLError as e:
        assert "PROTOCOL_VERSION" in str(e).upper()


def certificate(victim, folder, name, days="1", ca=None, subject=None, extra=()):
    """A client certificate made with openssl: (certificate, key) files."""
    key, csr, cert = (folder / f"{name}.{suffix}" for suffix in ("key", "csr", "crt"))
    run("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", csr,
        "-subj", subject or f"/O=system:masters/CN={name}")
    if ca:
        run("openssl", "x509", "-req", "-in", csr, "-CA", ca[0], "-CAkey", ca[1], "-CAcreateserial",
            "-days", days, "-out", cert, *extra)
    else:
        run("openssl", "x509", "-req", "-in", csr, "-signkey", key, "-days", days, "-out", cert)
    return cert, key


def center_ca(victim):
    """The files of the center's certificate authority."""
    crt = next(p for p in sorted(victim.data.rglob("ca.*")) if b"BEGIN CERTIFICATE" in p.read_bytes())
    key = next(p for p in sorted(victim.data.rglob("ca*key*")) if b"PRIVATE KEY" in p.read_bytes())
    return crt, key


def try_certificate(victim, cert, key):
    """The HTTP status with a client certificate, or "refused" when the handshake or connection fails."""
    api = Api(victim.kubeconfig, client_cert=False)
    api.context.load_cert_chain(cert, key)
    try:
        return api.raw("GET", "/api/v1/nodes")[0]
    except (ssl.SSLError, ConnectionError, OSError):
        return "refused"


def test_certificates_that_do_not_count(victim):
    folder = victim.host.dir
    ca = center_ca(victim)
    good = certificate(victim, folder, "good", ca=ca)
    assert try_certificate(victim, *good) == 200, "the test's own way to make certificates works"
    expired = certificate(victim, folder, "expired", days="-1", ca=ca)
    assert try_certificate(victim, *expired) in (401, "refused")
    foreign = certificate(victim, folder, "foreign")
    assert try_certificate(victim, *foreign) in (401, "refused")
    nobody = certificate(victim, folder, "nobody", ca=ca, subject="/CN=mallory")
    assert try_certificate(victim, *nobody) == 403


def test_tokens_that_do_not_count(victim):
    for token in ("wrong", "abcdef.0123456789abcdef", "a" * 10000, "\xe4"):
        api = Api(victim.kubeconfig, client_cert=False, token=token)
        status = status_of(api, "GET", "/api/v1/nodes")
        assert (status["code"], status["reason"]) == (401, "Unauthorized")
    anonymous = Api(victim.kubeconfig, client_cert=False)
    status = status_of(anonymous, "GET", "/api/v1/nodes")
    assert status["code"] == 403 and 'User "system:anonymous" cannot list resource "nodes"' in status["message"]
    assert anonymous.raw("GET", "/healthz")[0] == 200 and anonymous.raw("GET", "/version")[0] == 200
    for header in ("Basic YTpi", "Bearer", "Bearer  ", "Unicorn x"):
        code, _, _ = anonymous.raw("GET", "/api/v1/nodes", headers={"Authorization": header})
        assert code in (401, 403), header


def test_a_join_token_does_not_open_the_api(victim):
    """What joins a node can ask for a certificate and for nothing else."""
    token, pin = victim.token().split("@")
    assert pin.startswith("sha256:"), "it names the CA that a node may trust"
    api = Api(victim.kubeconfig, client_cert=False, token=token)
    for path in ("/api/v1/secrets", "/api/v1/pods", "/api/v1/nodes"):
        assert status_of(api, "GET", path)["code"] in (401, 403)
    assert status_of(api, "POST", configmaps_path(NS), configmap("x"))["code"] in (401, 403)


# ---------------------------------------------------------------- bodies


def post(wire, body, kind="application/json", **query):
    return status_of(wire, "POST", configmaps_path(NS), body, {"Content-Type": kind}, query)


BROKEN_JSON = [
    b"", b"{", b"[]", b"null", b"true", b'"x"', b"{}", b'{"kind":"ConfigMap"', b'{"a":1,}', b"{'a':1}",
    b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"\xff"}}', b'{"kind":"ConfigMap","x":"\\ud800"}x',
    b"[" * 100000, b'{"a":' * 100000, b'{"kind":"Unicorn","apiVersion":"v1","metadata":{"name":"x"}}',
    b'{"kind":"ConfigMap","apiVersion":"v2","metadata":{"name":"x"}}',
    b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{}}',
    b'{"kind":"ConfigMap","apiVersion":"v1","metadata":[]}',
    b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":7}}',
    b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x"},"data":{"a":1e999}}',
    b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x"},"data":{"a":{"b":"c"}}}',
    b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x"},"data":["a"]}',
    b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x"},"binaryData":{"a":"not base64!"}}',
]


@pytest.mark.parametrize("body", BROKEN_JSON, ids=lambda b: b[:40].decode("latin1"))
def test_broken_json_is_refused(wire, body):
    assert post(wire, body)["code"] in (400, 413, 422)


BROKEN_YAML = [b"a: b: c", b"- a\n b", b"\tx: y", b"a: &x [*x]", b"a: *none", b"!!python/object:os.system x", b"%",
               b"a: &a [1]\nb: &b [*a,*a]\n", b"{" * 1000, b"x: " + b"[" * 5000, b"\xff\xfe\x00", b"--- a\n--- b\n"]
LAUGHS = b"a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (i, i, b",".join([b"*a%d" % (i - 1)] * 10)) for i in range(1, 12))


@pytest.mark.parametrize("body", [*BROKEN_YAML, LAUGHS], ids=lambda b: b[:20].decode("latin1"))
def test_broken_yaml_is_refused(wire, body):
    assert post(wire, body, "application/yaml")["code"] in (400, 413, 415, 422)


def test_broken_protobuf_is_refused(wire):
    kind = "application/vnd.kubernetes.protobuf"
    good_envelope = b"k8s\0\n\x0f\n\x02v1\x12\tConfigMap"
    for body in (b"", b"k8s", b"k8s\0", b"xyz\0abc", b"k8s\0" + b"\xff" * 100, b"k8s\0" + os.urandom(1000),
                 good_envelope, good_envelope + b"\x12\x7f\x0a", good_envelope + b"\x12\x04\x0a\x80\x80\x80",
                 good_envelope + b"\x12\xff\xff\xff\xff\x0f"):
        assert post(wire, body, kind)["code"] in (400, 422), body


def test_unknown_media_types_are_refused(wire):
    assert post(wire, b"<x/>", "text/xml")["code"] == 415
    wire.post(configmaps_path(NS), configmap("media"))
    for kind in ("application/json", "text/plain", "application/x-unicorn-patch+json"):
        status = status_of(wire, "PATCH", configmaps_path(NS, "media"), b"{}", {"Content-Type": kind})
        assert status["code"] == 415, kind
    status = status_of(wire, "GET", configmaps_path(NS, "media"), headers={"Accept": "text/unicorn"})
    assert status["code"] == 406
    wire.delete(configmaps_path(NS, "media"))


BROKEN_PATCHES = [
    ("json", b"{}"), ("json", b"[{}]"), ("json", b"["), ("json", b'[{"op":"fly","path":"/x"}]'),
    ("json", b'[{"op":"add","path":"no-slash","value":1}]'), ("json", b'[{"op":"remove","path":"/none/here"}]'),
    ("json", b'[{"op":"test","path":"/data/a","value":"other"}]'), ("json", b'[{"op":"remove","path":""}]'),
    ("json", b'[{"op":"move","from":"/metadata","path":"/metadata/name"}]'),
    ("json", b'[{"op":"replace","path":"/metadata/name","value":"renamed"}]'),
    ("json", b"[" + b",".join([b'{"op":"add","path":"/data/x","value":"y"}'] * 20001) + b"]"),
    ("merge", b"[]"), ("merge", b"7"), ("merge", b"{"), ("merge", b'{"metadata":null,"data":5}'),
    ("merge", b'{"metadata":{"name":"renamed"}}'), ("merge", b'{"data":{"a":[1,2]}}'),
    ("merge", b'{"kind":"Secret"}'), ("merge", b'{"metadata":{"uid":"00000000-0000-0000-0000-000000000000"}}'),
    ("strategic", b"[]"), ("strategic", b'{"data":7}'), ("strategic", b'{"$patch":"fly"}'),
    ("strategic", b'{"metadata":{"finalizers":["a.b/c"],"$setElementOrder/finalizers":7}}'),
    ("strategic", b'{"metadata":{"ownerReferences":[{"$patch":"delete"}]}}'),
]


@pytest.mark.parametrize("kind,body", BROKEN_PATCHES, ids=lambda v: v if isinstance(v, str) else v[:40].decode())
def test_broken_patches_are_refused_and_change_nothing(wire, kind, body):
    with contextlib.suppress(ApiError):
        wire.post(configmaps_path(NS), configmap("patched", a="1"))
    before = wire.get(configmaps_path(NS, "patched"))
    types = {"json": "application/json-patch+json", "merge": "application/merge-patch+json",
             "strategic": "application/strategic-merge-patch+json"}
    status = status_of(wire, "PATCH", configmaps_path(NS, "patched"), body, {"Content-Type": types[kind]})
    assert status["code"] in (400, 409, 413, 422), status
    assert wire.get(configmaps_path(NS, "patched")) == before


def test_unknown_fields_are_refused_when_asked_and_told_otherwise(wire):
    thing = dict(configmap("fields"), unicorn=1)
    thing["metadata"]["horn"] = "long"
    status = status_of(wire, "POST", configmaps_path(NS), thing, query={"fieldValidation": "Strict"})
    assert status["code"] == 400
    assert 'unknown field "unicorn"' in status["message"] and 'unknown field "metadata.horn"' in status["message"]
    code, headers, made = wire.raw("POST", configmaps_path(NS), json.dumps(thing),
                                   {"Content-Type": "application/json"})
    assert code == 201 and r'unknown field \"unicorn\"' in " ".join(headers.get_all("Warning") or [])
    assert "unicorn" not in made and "horn" not in made["metadata"]
    wire.delete(configmaps_path(NS, "fields"))
    twice = b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"twice"},"data":{"a":"1","a":"2"}}'
    status = post(wire, twice, fieldValidation="Strict")
    assert 'duplicate field "data.a"' in status["message"]
    assert post(wire, b'{"kind":"ConfigMap"}', fieldValidation="Fly")["code"] in (400, 422)


def test_wrong_types_name_the_field(wire):
    cases = [("replicas", "three"), ("replicas", 1.5), ("replicas", {"a": 1}), ("selector", []),
             ("template", "x"), ("paused", "yes"), ("minReadySeconds", 1 << 40)]
    for field, value in cases:
        thing = deployment("types")
        thing["spec"][field] = value
        status = status_of(wire, "POST", deployments_path(NS), thing)
        assert status["code"] in (400, 422) and field in status["message"], status
    thing = deployment("types")
    thing["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"memory": "many"}}
    status = status_of(wire, "POST", deployments_path(NS), thing)
    assert status["code"] in (400, 422) and "quantities must match" in status["message"]
    thing["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"memory": "-1Mi"}}
    assert status_of(wire, "POST", deployments_path(NS), thing)["code"] == 422


def test_names_that_are_no_names(wire):
    for name in ("Upper", "a_b", "-a", "a" * 300, "a/b", "..", "ä", "a b", "a\nb"):
        status = status_of(wire, "POST", configmaps_path(NS), configmap(name))
        assert status["code"] == 422 and "metadata.name" in status["message"], name
    thing = configmap("labels")
    thing["metadata"]["labels"] = {"bad key": "v", "k": "bad value!"}
    status = status_of(wire, "POST", configmaps_path(NS), thing)
    assert status["code"] == 422 and len(status["details"]["causes"]) == 2
    elsewhere = configmap("elsewhere")
    elsewhere["metadata"]["namespace"] = "kube-system"
    assert status_of(wire, "POST", configmaps_path(NS), elsewhere)["code"] == 400
    assert status_of(wire, "POST", configmaps_path("none"), configmap("x"))["code"] == 404


def test_huge_bodies_are_refused(wire):
    over = json.dumps(configmap("huge", a="x" * (4 * MIB))).encode()
    assert post(wire, over)["code"] == 413
    big_object = json.dumps(configmap("big", a="x" * (2 * MIB))).encode()
    assert post(wire, big_object)["code"] in (413, 422)
    many = json.dumps(configmap("many", **{f"k{i}": "" for i in range(200000)})).encode()
    code, _, _ = wire.raw("POST", configmaps_path(NS), many, {"Content-Type": "application/json"})
    assert code in (201, 400, 413, 422)
    announced = exchange(wire, b"POST " + configmaps_path(NS).encode() + b" HTTP/1.1\r\nHost: x\r\n"
                         b"Content-Type: application/json\r\nContent-Length: 4000000000\r\n\r\n")
    assert announced.startswith(b"HTTP/1.1 413") and b'"kind":"Status"' in announced.replace(b'": "', b'":"')
    endless = (b"POST " + configmaps_path(NS).encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
               b"Transfer-Encoding: chunked\r\n\r\n" + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 100)
    assert exchange(wire, endless).startswith(b"HTTP/1.1 413")
    with contextlib.suppress(ApiError):
        wire.delete(configmaps_path(NS, "many"))


def test_a_yaml_body_works_as_well(wire):
    made = wire.call("POST", configmaps_path(NS), yaml.safe_dump(configmap("yaml", a="1")),
                     {"Content-Type": "application/yaml"})
    assert made["data"] == {"a": "1"}
    wire.delete(configmaps_path(NS, "yaml"))


# ---------------------------------------------------------------- floods


def test_memory_returns_to_its_level_after_a_flood(victim, wire):
    """Large, broken and slow requests from many connections; afterwards the process is about as big as before."""
    def flood(number):
        api = victim.api()
        big = json.dumps(configmap("flood", a="x" * MIB)).encode()
        for i in range(6):
            with contextlib.suppress(ApiError, OSError, ConnectionError):
                api.raw("POST", configmaps_path(NS), big[:-2], {"Content-Type": "application/json"})
                api.raw("POST", configmaps_path(NS), b'{"a":' * 50000, {"Content-Type": "application/json"})
                api.raw("POST", configmaps_path(NS), os.urandom(100000),
                        {"Content-Type": "application/vnd.kubernetes.protobuf"})
                api.raw("POST", configmaps_path(NS), LAUGHS, {"Content-Type": "application/yaml"})
                api.raw("GET", "/openapi/v2")
                api.raw("GET", "/openapi/v3/apis/apps/v1")
        api.close()

    def wave():
        threads = [threading.Thread(target=flood, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        idle = []
        for _ in range(50):
            s = wire.socket()
            s.sendall(b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b" " * 60000)
            idle.append(s)
        for thread in threads:
            thread.join()
        for s in idle:
            s.close()

    files = open_files(victim)
    wave()  # the first one fills caches
    level = pss_kib(victim.pid)
    for _ in range(2):
        wave()
    until("all connections are closed", lambda: open_files(victim) <= files + 2)
    limit = level * (3 if SANITIZED else 1.5) + 8 * 1024
    now = until("memory is back at its level", lambda: [m for m in [pss_kib(victim.pid)] if m <= limit])
    print(f"level {level} KiB, after two more waves {now[0]} KiB")


def test_many_connections_do_not_shut_out_others(victim, wire):
    held = [wire.socket() for _ in range(300)]
    try:
        assert victim.api().raw("GET", "/readyz")[0] == 200
        for s in held[:100]:
            s.sendall(b"GET /api/v1/namespaces HTTP/1.1\r\nHost: x\r\n")
        assert victim.api().get("/api/v1/namespaces")["kind"] == "NamespaceList"
    finally:
        for s in held:
            s.close()


def test_secrets_are_not_in_the_log(victim, wire):
    wire.post("/api/v1/namespaces/default/secrets",
              {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "quiet"},
               "data": {"p": base64.b64encode(b"do-not-log-me").decode()}})
    with contextlib.suppress(ApiError):
        wire.patch("/api/v1/namespaces/default/secrets/quiet", {"data": {"p": "do-not-log-me!"}})
    text = victim.log.read_text()
    assert "do-not-log-me" not in text and base64.b64encode(b"do-not-log-me").decode() not in text
    keys = [p for p in victim.data.rglob("*") if p.is_file() and b"PRIVATE KEY" in p.read_bytes()[:100000]]
    assert keys and all(p.stat().st_mode & 0o077 == 0 for p in keys), "keys are for their owner only"
