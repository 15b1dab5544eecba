# SPDX-License-Identifier: Apache-2.0
"""The broker of a node with our plugin: mosquitto's own clients and paho against `broker_probe`, which
prints what comes through the ring. Paho's interoperability expectations that mosquitto meets are at the end."""
import contextlib
import hashlib
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from machine import free_port, run, until
from objects import BUILD

PROBE = BUILD / "src/part/data/broker_probe"
PLUGIN = BUILD / "libexec/selvedge/broker_plugin.so"
V4, V5 = paho.MQTTv311, paho.MQTTv5


class Broker:
    """broker_probe and its mosquitto in a folder of their own."""

    def __init__(self, base, **options):
        self.port = free_port()
        self.base = base
        self.log = base / "log"
        self.events, self.states, self.answers = [], [], queue.Queue()
        words = [f"{k}={v}" for k, v in {"port": self.port, **options}.items()]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([PROBE, base / "broker", PLUGIN, *words], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=log, text=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        until("the broker answers", self.running, pause=0.02)

    def _read(self):
        for line in self.process.stdout:
            answer = json.loads(line)
            if "topic" in answer:
                self.events.append(answer)
            elif "state" in answer:
                self.states.append(answer)
            else:
                self.answers.put(answer)

    def running(self):
        assert self.process.poll() is None, self.log.read_text()
        return bool(self.states) and self.states[-1]["state"] == "running"

    def say(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def ask(self, text):
        self.say(text)
        return self.answers.get()

    def topics(self, *filters):
        assert self.ask(" ".join(["topics", *filters]))["code"] == 0

    def status(self):
        n = len(self.states)
        self.say("status")
        until("a status", lambda: len(self.states) > n, pause=0.01)
        return self.states[-1]

    def wait_events(self, n):
        until(f"{n} events", lambda: len(self.events) >= n, pause=0.01)
        return self.events[:n]

    def stop(self):
        if self.process.poll() is None:
            self.say("quit")
            assert self.process.wait() == 0, self.log.read_text()
        self.reader.join()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def base():
    path = Path(tempfile.mkdtemp(prefix="selvedge-mqtt-"))
    path.chmod(0o711)  # the broker's own user passes through it
    yield path
    shutil.rmtree(path)


@pytest.fixture
def brokers(base):
    """Makes brokers; all are stopped at the end and leave nothing but their database."""
    with contextlib.ExitStack() as stack:
        def make(**options):
            broker = Broker(base, **options)
            stack.callback(broker.stop)
            return broker
        yield make
    left = sorted(p.name for p in (base / "broker").iterdir()) if (base / "broker").exists() else []
    assert left in ([], ["db"])


class Client:
    """A paho client whose callbacks become queues."""

    def __init__(self, port, version=V5, client_id="", user=None, password=None, clean=True, will=None,
                 properties=None, connect=True):
        options = {} if version == V5 else {"clean_session": clean}
        self.paho = paho.Client(client_id, protocol=version, **options)
        self.version, self.port, self.clean = version, port, clean
        self.messages, self.granted, self.codes = queue.Queue(), queue.Queue(), queue.Queue()
        self.flags, self.ended = None, queue.Queue()
        self.paho.on_connect = self._on_connect
        self.paho.on_message = lambda c, u, m: self.messages.put(m)
        self.paho.on_subscribe = lambda c, u, mid, granted, *p: self.granted.put([getattr(g, "value", g) for g in granted])
        self.paho.on_disconnect = lambda c, u, rc, *p: self.ended.put(rc)
        if user:
            self.paho.username_pw_set(user, password)
        if will:
            self.paho.will_set(**will)
        self.properties = properties
        if connect:
            assert self.connect() == 0

    def _on_connect(self, client, userdata, flags, code, properties=None):
        self.flags, self.connack = flags, properties
        self.codes.put(getattr(code, "value", code))

    def connect(self):
        options = {"clean_start": self.clean, "properties": self.properties} if self.version == V5 else {}
        self.paho.connect("127.0.0.1", self.port, **options)
        self.paho.loop_start()
        return self.codes.get()

    def subscribe(self, *args, **options):
        self.paho.subscribe(*args, **options)
        return self.granted.get()

    def publish(self, topic, payload=b"", **options):
        self.paho.publish(topic, payload, **options).wait_for_publish()

    def next(self):
        return self.messages.get(timeout=20)

    def drained(self):
        """What came before a message that this client sends to itself."""
        seen = []
        self.subscribe("end/" + str(id(self)), 2)
        self.publish("end/" + str(id(self)), b"", qos=2)
        while True:
            m = self.next()
            if m.topic.startswith("end/"):
                return seen
            seen.append(m)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.paho.disconnect()
        self.paho.loop_stop()


def properties(kind=PacketTypes.PUBLISH, **values):
    p = Properties(kind)
    for name, value in values.items():
        setattr(p, name, value)
    return p


def pub(broker, *words, check=True):
    return run("mosquitto_pub", "-p", broker.port, *words, check=check)


def test_clients_of_both_versions_reach_the_ring_with_every_qos(brokers):
    b = brokers(anonymous="true")
    b.topics("a/#")
    for version in ("mqttv311", "mqttv5"):
        for qos in "012":
            pub(b, "-V", version, "-t", f"a/{version}/{qos}", "-q", qos, "-m", "hello", "-i", "me")
            pub(b, "-V", version, "-t", "b", "-q", qos, "-m", "not asked for")
    pub(b, "-V", "5", "-t", "a/last", "-r", "-m", "kept", "-D", "publish", "user-property", "site", "ü 1")
    events = b.wait_events(7)
    assert [(e["topic"], e["qos"], e["payload"]) for e in events[:6]] == [
        (f"a/{v}/{q}", q, "hello") for v in ("mqttv311", "mqttv5") for q in range(3)]
    assert events[0]["client"] == "me" and events[0]["user"] == "" and not events[0]["retain"]
    assert events[6]["retain"] and events[6]["properties"] == ["site", "ü 1"]
    assert b.status()["events"] == 7 and b.status()["dropped"] == 0
    got = run("mosquitto_sub", "-p", b.port, "-t", "a/#", "-C", "1", "-v")
    assert got == "a/last kept\n"


def test_topics_change_while_messages_flow(brokers):
    b = brokers(anonymous="true")
    with Client(b.port) as c:
        for i in range(30):
            b.topics(f"x/{i}", "+/all")
            for topic in (f"x/{i}", f"x/{i + 1}", "y/all", "y/none"):
                c.publish(topic, str(i), qos=1)
        events = b.wait_events(60)
        assert [(e["topic"], e["payload"]) for e in events] == [
            (t, str(i)) for i in range(30) for t in (f"x/{i}", "y/all")]
        b.topics()
        c.publish("y/all", "after", qos=1)
        assert b.status()["events"] == 60
    b.say("topics a/# b/#/c")
    answer = b.answers.get()
    assert answer["code"] < 0 and "'b/#/c' is no topic filter" in answer["error"]


def passwd(path, *users, hash="sha512-pbkdf2"):
    run("mosquitto_passwd", "-c", "-b", "-H", hash, path, *users[0])
    for user in users[1:]:
        run("mosquitto_passwd", "-b", "-H", hash, path, *user)


@pytest.mark.parametrize("hash", ["sha512", "sha512-pbkdf2"])
def test_wrong_credentials_are_refused_and_files_are_read_again(brokers, base, hash):
    users = base / "users"
    passwd(users, ("jo", "secret"), ("ann", "other"), hash=hash)
    b = brokers(users=users)
    for version, refused in ((V4, 5), (V5, 0x87)):
        for user, password in (("jo", "wrong"), ("jo", ""), ("nobody", "secret"), (None, None), ("jo", "other")):
            with Client(b.port, version, user=user, password=password, connect=False) as c:
                assert c.connect() == refused, (user, password)
        with Client(b.port, version, user="jo", password="secret"):
            pass
    local = b.status()
    with Client(b.port, user=local["user"], password="guess", connect=False) as c:
        assert c.connect() == 0x87
    text = users.read_text()
    run("mosquitto_passwd", "-b", users, "new", "pass")

    def admitted():
        with Client(b.port, user="new", password="pass", connect=False) as c:
            return c.connect() == 0
    until("the new user is admitted", admitted)
    users.write_text(text + "broken line\n")
    until("the broken line is told", lambda: f"{users}:3: this is not NAME:HASH; the old state stays" in b.log.read_text())
    assert admitted()
    answer = b.ask("reload")
    assert answer["code"] < 0 and answer["error"].startswith(f"{users}:3:")


ACL = """\
# anonymous
topic read public/#

user jo
topic readwrite jo/#
topic deny jo/secret
topic write cmd/+/set
pattern readwrite devices/%u/#
pattern write clients/%c/up
"""


def test_access_rules_bind_readers_writers_and_subscribers(brokers, base):
    users, acl = base / "users", base / "acl"
    passwd(users, ("jo", "1"), ("ann", "2"))
    acl.write_text(ACL)
    b = brokers(users=users, acl=acl, anonymous="true")
    b.topics("#")
    with Client(b.port, user="jo", password="1", client_id="c1") as jo, \
            Client(b.port, user="ann", password="2", client_id="c2") as ann, Client(b.port) as nobody:
        assert jo.subscribe([("jo/#", SubscribeOptions(1)), ("jo/secret", SubscribeOptions(1)),
                             ("devices/jo/+", SubscribeOptions(1)), ("devices/ann/+", SubscribeOptions(1)),
                             ("cmd/1/set", SubscribeOptions(1)), ("$share/g/jo/x", SubscribeOptions(1)),
                             ("#", SubscribeOptions(0))]) == [1, 0x87, 1, 0x87, 0x87, 1, 0]
        assert nobody.subscribe([("public/a", SubscribeOptions(0)), ("jo/a", SubscribeOptions(0))]) == [0, 0x87]
        sent = {jo: ["jo/a", "jo/secret", "cmd/1/set", "cmd/1/get", "devices/jo/t", "devices/ann/t", "clients/c1/up",
                     "clients/c2/up", "public/a"],
                ann: ["devices/ann/t", "jo/a", "clients/c2/up"],
                nobody: ["public/a", "devices/ann/t"]}
        for client, topics in sent.items():
            for topic in topics:
                client.publish(topic, client.paho._client_id, qos=1)
        allowed = ["jo/a", "cmd/1/set", "devices/jo/t", "clients/c1/up", "devices/ann/t", "clients/c2/up"]
        assert [e["topic"] for e in b.wait_events(6)] == allowed
        assert {m.topic for m in (jo.next(), jo.next())} <= {"jo/a", "devices/jo/t"}
    with Client(b.port, V4, user="jo", password="1") as old:
        assert old.subscribe([("jo/secret", 1), ("jo/a", 1)]) == [0x80, 1]
    with Client(b.port, client_id="+") as bad:
        bad.publish("clients/x/up", "1", qos=1)
    assert b.status()["events"] == 6
    acl.write_text("topic readwrit a\n")
    answer = b.ask("reload")
    assert answer["code"] < 0 and answer["error"].startswith(f"{acl}:1: 'readwrit' is none of")


def make_certificates(base):
    """A CA, a server of it, a client of it, and a client of another CA."""
    def openssl(*words):
        run("openssl", *words, cwd=base)
    for ca in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", f"/CN={ca}", "-keyout", f"{ca}.key", "-out", f"{ca}.crt")
    for name, ca, subject, extra in (("server", "ca", "/CN=localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
                                     ("client", "ca", "/O=system:nodes/CN=pump7", "extendedKeyUsage=clientAuth"),
                                     ("stranger", "other", "/CN=pump7", "extendedKeyUsage=clientAuth")):
        (base / "ext").write_text(extra)
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
                "-keyout", f"{name}.key", "-out", "csr")
        openssl("x509", "-req", "-in", "csr", "-CA", f"{ca}.crt", "-CAkey", f"{ca}.key", "-CAcreateserial",
                "-days", "2", "-extfile", "ext", "-out", f"{name}.crt")


def test_tls_with_our_certificates_names_the_user(brokers, base):
    make_certificates(base)
    acl, tls = base / "acl", free_port()
    acl.write_text("pattern readwrite devices/%u/#\n")
    b = brokers(tls_port=tls, cert=base / "server.crt", key=base / "server.key", ca=base / "ca.crt", require="true",
                acl=acl)
    b.topics("devices/#")

    def send(who, topic, ca="ca", check=True):
        certificate = ["--cert", base / f"{who}.crt", "--key", base / f"{who}.key"] if who else []
        return subprocess.run(["mosquitto_pub", "-V", "5", "-h", "localhost", "-p", str(tls), "--cafile",
                               base / f"{ca}.crt", *certificate, "-u", "someone", "-q", "1", "-t", topic, "-m", "x"],
                              capture_output=True, stdin=subprocess.DEVNULL).returncode
    assert send("client", "devices/pump7/t") == 0
    send("client", "devices/someone/t")  # taken and thrown away: what counts is the ring
    assert send("stranger", "devices/pump7/t") != 0
    assert send(None, "devices/pump7/t") != 0
    assert send("client", "devices/pump7/t", ca="other") != 0
    assert send("client", "devices/pump7/u") == 0
    events = b.wait_events(2)
    assert [(e["topic"], e["user"]) for e in events] == [("devices/pump7/t", "pump7"), ("devices/pump7/u", "pump7")]
    assert b.status()["events"] == 2


def test_a_message_of_ten_megabytes_passes_and_a_larger_one_is_refused(brokers):
    b = brokers(anonymous="true", max_message=10 << 20)
    b.topics("big")
    payload = os.urandom(10 << 20)
    with Client(b.port) as c:
        c.publish("big", b"small", qos=1)
        c.publish("big", payload, qos=1)
        c.publish("big", b"after", qos=1)
    events = b.wait_events(3)
    assert [e["length"] for e in events] == [5, 10 << 20, 5]
    assert events[1]["sha256"] == hashlib.sha256(payload).hexdigest()
    with Client(b.port, V4) as c:
        c.paho.publish("big", payload + bytes(1 << 20), qos=0)
        c.ended.get()
    with Client(b.port) as c:
        c.publish("big", b"still there", qos=1)
    assert [e["length"] for e in b.wait_events(4)][3] == 11
    assert b.status()["dropped"] == 0 and b.status()["restarts"] == 0


def test_a_killed_broker_is_started_again_and_topics_stay(brokers):
    b = brokers(anonymous="true")
    b.topics("t/#")
    for round in range(3):
        with Client(b.port) as c:
            c.publish("t/x", str(round), qos=1)
        b.wait_events(round + 1)
        pid = b.status()["pid"]
        os.kill(pid, signal.SIGKILL)
        until("another broker", lambda: b.running() and b.states[-1]["pid"] not in (0, pid), pause=0.02)
        assert b.states[-1]["restarts"] == round + 1
    with Client(b.port) as c:
        c.publish("t/x", "end", qos=1)
    assert [e["payload"] for e in b.wait_events(4)] == ["0", "1", "2", "end"]
    assert any("killed by signal 9" in s["why"] for s in b.states)


def test_the_broker_ends_with_a_killed_owner(brokers, base):
    b = brokers(anonymous="true")
    pid = b.status()["pid"]
    b.process.kill()
    b.process.wait()

    def gone():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    until("the broker is gone", gone)
    again = brokers(anonymous="true")  # over what the killed one left
    again.topics("a")
    pub(again, "-t", "a", "-m", "1")
    again.wait_events(1)


def test_a_flood_drops_only_where_the_ring_is_full_and_counts_it(brokers):
    b = brokers(anonymous="true", ring=1, max_message=1 << 20, quiet="true")  # makes 4 MB
    b.topics("f")
    with Client(b.port) as c:
        for _ in range(2000):
            c.paho.publish("f", bytes(1000), qos=0)
        c.publish("f", bytes(1000), qos=1)
        until("all of it", lambda: b.status()["events"] == 2001)
        assert b.status()["dropped"] == 0
        b.process.send_signal(signal.SIGSTOP)
        for _ in range(6000):
            c.paho.publish("f", bytes(1000), qos=0)
        c.publish("f", bytes(1000), qos=1)  # the broker answers though its reader does not
        b.process.send_signal(signal.SIGCONT)
        until("what was kept", lambda: b.status()["events"] + b.status()["dropped"] == 8002)
        kept = b.status()["events"] - 2001
        assert 3500 < kept < 4200  # 4 MB of records of a little more than 1000 bytes
        c.publish("f", bytes(1000), qos=1)
        until("the next one", lambda: b.status()["events"] == 2001 + kept + 1)
        assert b.status()["broken"] == 0


# ---- expectations of Paho's interoperability suite that mosquitto 2.0 meets, with our plugin loaded ----

@pytest.fixture(scope="module")
def plain():
    base = Path(tempfile.mkdtemp(prefix="selvedge-mqtt-"))
    base.chmod(0o711)
    (base / "acl").write_text("pattern readwrite #\npattern readwrite $SYS/#\npattern deny test/nosubscribe\n")
    broker = Broker(base, anonymous="true", acl=base / "acl")
    broker.topics("#")
    yield broker
    broker.stop()
    shutil.rmtree(base)


VERSIONS = pytest.mark.parametrize("version", [V4, V5], ids=["3.1.1", "5"])


@VERSIONS
def test_basic_exchange(plain, version):
    with Client(plain.port, version) as c:
        c.subscribe("basic/t", 2)
        for qos in range(3):
            c.publish("basic/t", f"qos {qos}", qos=qos)
        assert [(m.payload, m.qos) for m in (c.next(), c.next(), c.next())] == [
            (b"qos 0", 0), (b"qos 1", 1), (b"qos 2", 2)]


@VERSIONS
def test_retained_messages(plain, version):
    with Client(plain.port, version) as c:
        for qos in range(3):
            c.publish(f"kept/{version}/{qos}", b"r", qos=qos, retain=True)
        c.subscribe(f"kept/{version}/+", 2)
        assert sorted((m.topic, m.retain) for m in (c.next(), c.next(), c.next())) == [
            (f"kept/{version}/{q}", True) for q in range(3)]
        for qos in range(3):
            c.publish(f"kept/{version}/{qos}", b"", qos=qos, retain=True)
    with Client(plain.port, version) as c:
        c.subscribe(f"kept/{version}/+", 2)
        assert c.drained() == []


@VERSIONS
def test_will_message(plain, version):
    with Client(plain.port, version) as watcher:
        watcher.subscribe("will/t", 2)
        dying = Client(plain.port, version, will={"topic": "will/t", "payload": "gone", "qos": 1})
        dying.paho.loop_stop()
        dying.paho.socket().shutdown(socket.SHUT_RDWR)
        assert watcher.next().payload == b"gone"


@VERSIONS
def test_offline_queueing(plain, version):
    kept = properties(PacketTypes.CONNECT, SessionExpiryInterval=60) if version == V5 else None
    name = f"offline-{version}"
    with Client(plain.port, version, client_id=name, clean=False, properties=kept) as c:
        c.subscribe("off/+", 2)
    with Client(plain.port, version) as other:
        other.publish("off/1", b"1", qos=1)
        other.publish("off/2", b"2", qos=2)
    with Client(plain.port, version, client_id=name, clean=False, properties=kept) as c:
        assert c.flags["session present"] == 1
        assert [c.next().payload, c.next().payload] == [b"1", b"2"]


@VERSIONS
def test_dollar_topics_do_not_match_leading_wildcards(plain, version):
    with Client(plain.port, version) as c:
        c.subscribe("+/dollar", 2)
        c.publish("$x/dollar", b"no", qos=1)
        c.publish("x/dollar", b"yes", qos=1)
        assert [m.topic for m in c.drained()] == ["x/dollar"]


@VERSIONS
def test_unsubscribe(plain, version):
    with Client(plain.port, version) as c:
        for topic in ("un/a", "un/b"):
            c.subscribe(topic, 2)
        done = threading.Event()
        c.paho.on_unsubscribe = lambda *a: done.set()
        c.paho.unsubscribe("un/a")
        done.wait()
        c.publish("un/a", b"1", qos=1)
        c.publish("un/b", b"2", qos=1)
        assert [m.topic for m in c.drained()] == ["un/b"]


@VERSIONS
def test_zero_length_client_id(plain, version):
    with Client(plain.port, version, client_id="") as c:
        if version == V5:
            assert c.connack.AssignedClientIdentifier


@VERSIONS
def test_a_denied_subscription_fails(plain, version):
    with Client(plain.port, version) as c:
        if version == V5:
            assert c.subscribe("test/nosubscribe", 2) == [0x87]
        else:
            assert c.subscribe("test/nosubscribe", 2) == [0x80]


def test_second_client_of_a_name_takes_over(plain):
    with Client(plain.port, client_id="twin") as first:
        with Client(plain.port, client_id="twin"):
            assert first.ended.get() is not None
        first.paho.loop_stop()


def test_user_properties_and_request_response(plain):
    with Client(plain.port) as c:
        c.subscribe("prop/t", 2)
        p = properties(UserProperty=[("a", "2"), ("c", "3"), ("a", "4")], ResponseTopic="back", CorrelationData=b"334",
                       ContentType="text", PayloadFormatIndicator=1)
        c.publish("prop/t", b"x", qos=1, properties=p)
        got = c.next().properties
        assert got.UserProperty == [("a", "2"), ("c", "3"), ("a", "4")]
        assert (got.ResponseTopic, got.CorrelationData, got.ContentType, got.PayloadFormatIndicator) == (
            "back", b"334", "text", 1)
        until("the ring", lambda: any(e["topic"] == "prop/t" and e["properties"] == ["a", "2", "c", "3", "a", "4"]
                                      for e in plain.events))


def test_expired_messages_are_not_delivered(plain):
    kept = properties(PacketTypes.CONNECT, SessionExpiryInterval=60)
    with Client(plain.port, client_id="exp", properties=kept) as c:
        c.subscribe("exp/+", 2)
    with Client(plain.port) as other:
        other.publish("exp/short", b"1", qos=1, properties=properties(MessageExpiryInterval=1))
        other.publish("exp/long", b"2", qos=1, properties=properties(MessageExpiryInterval=100))
    # Time must pass for the broker's clock of whole seconds.
    threading.Event().wait(2.2)
    with Client(plain.port, client_id="exp", clean=False, properties=kept) as c:
        m = c.next()
        assert m.topic == "exp/long" and 90 < m.properties.MessageExpiryInterval < 100


def test_subscribe_options(plain):
    with Client(plain.port) as c, Client(plain.port) as other:
        c.subscribe("opt/local", options=SubscribeOptions(2, noLocal=True))
        c.publish("opt/local", b"own", qos=1)
        other.publish("opt/local", b"other", qos=1)
        assert [m.payload for m in c.drained()] == [b"other"]
        c.publish("opt/kept", b"r", qos=1, retain=True)
        c.subscribe("opt/kept", options=SubscribeOptions(1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND))
        assert c.drained() == []
        other.subscribe("opt/kept", options=SubscribeOptions(1, retainAsPublished=True))
        assert other.next().retain
        c.publish("opt/kept", b"2", qos=1, retain=True)
        assert other.next().retain and not c.next().retain


def test_shared_subscriptions_divide_messages(plain):
    with Client(plain.port) as a, Client(plain.port) as b, Client(plain.port) as sender:
        assert a.subscribe("$share/g/work", 2) == [2]
        assert b.subscribe("$share/g/work", 2) == [2]
        for i in range(10):
            sender.publish("work", str(i), qos=2)
        got = [m.payload for c in (a, b) for m in c.drained()]
        assert sorted(got) == sorted(str(i).encode() for i in range(10))


def test_client_topic_alias(plain):
    with Client(plain.port) as c:
        assert c.connack.TopicAliasMaximum > 0
        c.subscribe("alias/t", 2)
        c.publish("alias/t", b"1", qos=1, properties=properties(TopicAlias=1))
        c.publish("", b"2", qos=1, properties=properties(TopicAlias=1))
        assert [(m.topic, m.payload) for m in (c.next(), c.next())] == [("alias/t", b"1"), ("alias/t", b"2")]
        until("both in the ring", lambda: [e["payload"] for e in plain.events if e["topic"] == "alias/t"] == ["1", "2"])


def test_maximum_packet_size_of_a_client(plain):
    small = properties(PacketTypes.CONNECT, MaximumPacketSize=64)
    with Client(plain.port, properties=small) as c, Client(plain.port) as sender:
        c.subscribe("size", 1)
        sender.publish("size", bytes(200), qos=1)
        sender.publish("size", b"fits", qos=1)
        assert c.next().payload == b"fits"
