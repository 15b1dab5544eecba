# SPDX-License-Identifier: Apache-2.0
"""The program `data`: eKuiper's REST interface, sources and sinks against real peers, its own broker, and what is left
after a kill -9."""
import base64
import contextlib
import hashlib
import http.client
import http.server
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from machine import free_port, until
from objects import BUILD, SANITIZED

DATA = BUILD / "libexec/selvedge/data"
JSON_STREAM = 'CREATE STREAM {} () WITH (DATASOURCE="{}", TYPE="{}", FORMAT="json")'


class Data:
    """The program in a folder of its own."""

    def __init__(self, base, *options):
        threads = os.environ.get("DATA_THREADS")  # the whole file with rules on more threads
        if threads and "--threads" not in options:
            options = ("--threads", threads, *options)
        self.base, self.options = base, options
        self.port = free_port()
        self.process = None

    def start(self):
        with open(self.base / "log", "ab") as log:
            self.process = subprocess.Popen([DATA, "--state-dir", self.base / "state", "--listen",
                                             f"127.0.0.1:{self.port}", *self.options], stdout=log, stderr=log)
        until("data answers", lambda: self.call("GET", "/ping")[0] == 200, pause=0.02)
        return self

    def call(self, method, path, body=None):
        """(status, the answer: parsed when it is JSON)"""
        assert self.process.poll() is None, self.log()
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            text = answer.read().decode()
        except ConnectionRefusedError:
            return 0, "refused"
        finally:
            connection.close()
        with contextlib.suppress(ValueError):
            return answer.status, json.loads(text)
        return answer.status, text

    def ok(self, method, path, body=None):
        status, answer = self.call(method, path, body)
        assert 200 <= status < 300, f"{method} {path}: {status} {answer}\n{self.log()}"
        return answer

    def stream(self, name, datasource, kind="httppush", options=""):
        sql = JSON_STREAM.format(name, datasource, kind)
        self.ok("POST", "/streams", {"sql": sql[:-1] + options + ")"})

    def rule(self, name, sql, *actions, **options):
        self.ok("POST", "/rules", {"id": name, "sql": sql, "actions": list(actions), "options": options})

    def status(self, name):
        return self.ok("GET", f"/rules/{name}/status")

    def log(self):
        return (self.base / "log").read_text()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait() == 0, self.log()

    def memory(self):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")


@pytest.fixture
def base():
    path = Path(tempfile.mkdtemp(prefix="selvedge-data-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def make(base):
    with contextlib.ExitStack() as stack:
        def start(*options):
            data = Data(base, *options)
            stack.callback(data.stop)
            return data.start()
        yield start


@pytest.fixture
def data(make):
    return make()


class Server:
    """An HTTP server that keeps what it is sent; `status` may be changed."""

    def __init__(self):
        self.bodies, self.status, self.answer = [], 200, b"ok"
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if outer.status == 200:
                    outer.bodies.append(json.loads(body))
                self.reply()

            def do_GET(self):
                self.reply()

            def reply(self):
                self.send_response(outer.status)
                self.send_header("content-length", str(len(outer.answer)))
                self.end_headers()
                self.wfile.write(outer.answer)

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.http.shutdown()
        self.http.server_close()


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def file_sink(path, **more):
    return {"file": {"path": str(path), "sendSingle": True, **more}}


# ---- the REST interface ----

def test_streams_are_defined_shown_and_dropped_as_in_ekuiper(data):
    sql = ('create stream my_stream (id bigint, name string, score float, tags array(string)) '
           'WITH ( datasource = "topic/temperature", FORMAT = "json", TYPE="memory")')
    assert data.ok("POST", "/streams", {"sql": sql}) == "Stream my_stream is created."
    assert data.ok("GET", "/streams") == ["my_stream"]
    assert data.ok("GET", "/streamdetails") == [{"name": "my_stream", "type": "memory", "format": "json"}]
    described = data.ok("GET", "/streams/my_stream")
    assert [f["Name"] for f in described["StreamFields"]] == ["id", "name", "score", "tags"]
    assert data.ok("GET", "/streams/my_stream/schema")["tags"] == {"type": "array", "items": {"type": "string"}}
    status, answer = data.call("POST", "/streams", {"sql": sql})
    assert status == 400 and answer["error"] == 1000 and "already exists" in answer["message"]
    status, answer = data.call("GET", "/streams/other")
    assert status == 404 and answer["error"] == 1002
    assert data.ok("DELETE", "/streams/my_stream") == "Stream my_stream is dropped."
    assert data.ok("GET", "/streams") == []
    assert data.call("POST", "/streams", {"sql": "create stream"})[0] == 400
    assert data.call("POST", "/streams", "no json")[0] == 400


def test_rules_live_as_in_ekuiper(data, base):
    data.stream("demo", "/push")
    rule = {"id": "r1", "sql": "SELECT a FROM demo WHERE a > 1", "actions": [file_sink(base / "out")]}
    assert data.ok("POST", "/rules", rule) == "Rule r1 was created successfully."
    assert data.ok("GET", "/rules") == [{"id": "r1", "name": "r1", "status": "Running"}]
    assert data.ok("GET", "/rules/r1")["sql"] == rule["sql"]
    data.ok("POST", "/push", {"a": 2})
    assert data.ok("POST", "/rules/r1/stop") == "Rule r1 was stopped."
    data.call("POST", "/push", {"a": 3})  # nobody reads the stream now
    assert data.ok("GET", "/rules")[0]["status"].startswith("Stopped: canceled manually")
    assert data.ok("POST", "/rules/r1/start") == "Rule r1 was started"
    data.ok("POST", "/push", {"a": 4})
    until("both are written", lambda: lines(base / "out") == [{"a": 2}, {"a": 4}])
    status = data.status("r1")
    assert status["status"] == "running" and status["sink_file_0_0_records_out_total"] == 1
    assert (status["op_2_filter_0_records_in_total"], status["op_2_filter_0_records_out_total"]) == (2, 2)
    assert "Filter" in data.ok("GET", "/rules/r1/explain")
    assert data.ok("GET", "/rules/r1/topo")["sources"] == ["source_demo"]
    status, answer = data.call("DELETE", "/streams/demo")
    assert status == 400 and "r1" in answer["message"]
    assert data.ok("PUT", "/rules/r1", dict(rule, sql="SELECT a + 1 AS b FROM demo")) == "Rule r1 was updated successfully."
    data.ok("POST", "/push", {"a": 5})
    until("the new one wrote", lambda: lines(base / "out")[-1] == {"b": 6})
    assert data.ok("DELETE", "/rules/r1") == "Rule r1 is dropped."
    assert data.ok("DELETE", "/streams/demo") == "Stream demo is dropped."


@pytest.mark.parametrize("body, said", [
    ({"id": "x", "actions": [{"log": {}}]}, "missing rule SQL"),
    ({"id": "x", "sql": "SELECT * FROM demo"}, "must specify actions"),
    ({"sql": "SELECT * FROM demo", "actions": [{"log": {}}]}, "missing rule id"),
    ({"id": "x", "sql": "SELECT * FROM nowhere", "actions": [{"log": {}}]}, "fail to get stream nowhere"),
    ({"id": "x", "sql": "SELECT * FROM demo", "actions": [{"pigeon": {}}]}, "unknown action type"),
    ({"id": "x", "sql": "SELECT * FROM demo", "actions": [{"log": {"dataTemplate": "{{.a"}}]}, "dataTemplate"),
    ({"id": "x", "sql": "SELECT * FROM demo", "actions": [{"log": {}}], "options": {"qos": 9}}, "qos"),
    ({"id": "x", "sql": "SELECT * FROM demo", "actions": [{"log": {}}], "options": {"cron": "* * * * *"}}, "duration"),
    ({"id": "x", "sql": "SELECT * FROM demo", "actions": [{"log": {}}], "options": {"sendMetaToSink": True}}, "meta"),
    ({"id": "x", "sql": "SELECT * FROM demo", "actions": [{"log": {"encryption": "aes"}}]}, "encryption"),
])
def test_a_wrong_rule_is_refused_with_a_reason(data, body, said):
    data.stream("demo", "/push")
    status, answer = data.call("POST", "/rules", body)
    assert status in (400, 501) and said in answer["message"], answer
    assert data.ok("GET", "/rules") == []


def test_validation_tells_the_sources_or_the_fault(data):
    data.stream("demo", "/push")
    assert data.ok("POST", "/rules/validate", {"id": "x", "sql": "SELECT * FROM demo", "actions": [{"log": {}}]}) == \
        {"sources": ["demo"], "valid": True}
    assert data.call("POST", "/rules/validate", {"id": "x", "sql": "SELECT", "actions": [{"log": {}}]})[0] == 422


def test_what_is_not_there_is_said(data):
    assert data.ok("GET", "/plugins/sources") == []
    status, answer = data.call("POST", "/plugins/sources", {"name": "x"})
    assert status == 501 and "not supported" in answer["message"]
    assert data.call("GET", "/nothing")[0] == 404
    assert data.call("PATCH", "/rules")[0] == 405


def test_a_rule_set_goes_out_and_in(data, base):
    data.stream("demo", "/push")
    data.rule("r1", "SELECT a FROM demo", file_sink(base / "out"))
    exported = data.ok("POST", "/ruleset/export")
    data.ok("DELETE", "/rules/r1")
    data.ok("DELETE", "/streams/demo")
    answer = data.ok("POST", "/ruleset/import", {"content": json.dumps(exported)})
    assert answer == "imported 1 streams, 0 tables and 1 rules"
    data.ok("POST", "/push", {"a": 1})
    until("it wrote", lambda: lines(base / "out") == [{"a": 1}], pause=0.02)
    broken = {"streams": {}, "tables": {}, "rules": {"b": '{"id": "b", "sql": "SELECT", "actions": [{"log": {}}]}'}}
    assert "rule b: " in data.ok("POST", "/ruleset/import", {"content": json.dumps(broken)})


def websocket(port, path):
    """A client's end after the handshake (RFC 6455)."""
    key = base64.b64encode(os.urandom(16)).decode()
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall((f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += s.recv(1)
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
    assert b" 101 " in head.splitlines()[0] and accept in head
    return s


def frame(s):
    head = s.recv(2)
    n = head[1] & 127
    n = struct.unpack(">H", s.recv(2))[0] if n == 126 else n
    text = b""
    while len(text) < n:
        text += s.recv(n - len(text))
    return text.decode()


def test_a_trial_run_shows_its_results_on_a_websocket(data):
    trial = {"id": "t1", "sql": "SELECT a * 2 AS b FROM nowhere WHERE a > 1",
             "mockSource": {"nowhere": {"data": [{"a": 1}, {"a": 2}, {"a": 3}], "interval": 10, "loop": False}},
             "sinkProps": {"sendSingle": True}}
    answer = data.ok("POST", "/ruletest", trial)
    assert answer["id"] == "t1"
    with contextlib.closing(websocket(answer["port"], "/test/t1")) as s:
        assert data.ok("POST", "/ruletest/t1/start") == "Test rule t1 was started"
        assert [json.loads(frame(s)), json.loads(frame(s))] == [{"b": 4}, {"b": 6}]
        assert data.ok("DELETE", "/ruletest/t1") == "Test rule t1 was stopped."
    assert data.call("POST", "/ruletest", {"id": "t2", "sql": "SELECT"})[0] == 400
    assert data.ok("GET", "/rules") == []


# ---- sources and sinks ----

def test_windows_close_by_the_clock(data, base):
    data.stream("demo", "/push")
    data.rule("w", "SELECT k, count(*) AS c, avg(v) AS m FROM demo GROUP BY k, TUMBLINGWINDOW(ss, 1)",
              file_sink(base / "out"))
    data.rule("each", "SELECT k, count(*) AS c FROM demo GROUP BY k, TUMBLINGWINDOW(ms, 100)", file_sink(base / "each"))
    data.ok("POST", "/push", [{"k": "x", "v": 1.5}, {"k": "x", "v": 2.5}, {"k": "y", "v": 4.0}])
    until("the window has closed", lambda: len(lines(base / "out")) >= 2, pause=0.05)
    data.ok("POST", "/push", {"k": "z", "v": 1})
    until("the next one has closed", lambda: lines(base / "out")[-1]["k"] == "z", pause=0.05)
    assert lines(base / "out") == [{"k": "x", "c": 2, "m": 2}, {"k": "y", "c": 1, "m": 4}, {"k": "z", "c": 1, "m": 1}]
    assert lines(base / "each") == [{"k": "x", "c": 2}, {"k": "y", "c": 1}, {"k": "z", "c": 1}]  # and nothing of the empty ones between and behind


def test_rules_feed_each_other_through_memory_topics(data, base):
    data.stream("demo", "/push")
    data.stream("mid", "alarms/+", "memory")
    data.rule("a", "SELECT a, a > 2 AS high FROM demo", {"memory": {"topic": "alarms/a"}})
    data.rule("b", "SELECT a, meta(topic) AS t FROM mid WHERE high", file_sink(base / "out"))
    data.ok("POST", "/push", [{"a": 1}, {"a": 3}])
    until("it went through both", lambda: lines(base / "out") == [{"a": 3, "t": "alarms/a"}], pause=0.02)


def test_late_events_correct_windows_or_go_to_a_topic_of_their_own(data, base):
    data.stream("demo", "/push", options=", TIMESTAMP='ts'")
    data.stream("late", "too/late", "memory")
    data.rule("w", "SELECT count(*) AS c, window_end() AS e, window_correction() AS n FROM demo GROUP BY TUMBLINGWINDOW(ss, 1)",
              file_sink(base / "out"), isEventTime=True, allowedLateness="2s", lateTopic="too/late")
    data.rule("l", "SELECT * FROM late", file_sink(base / "late"))
    data.ok("POST", "/push", [{"ts": 1500}, {"ts": 2500}, {"ts": 1600}, {"ts": 5000}, {"ts": 1700, "v": 7}])
    until("the late event has come", lambda: lines(base / "late") == [{"ts": 1700, "v": 7}], pause=0.02)
    until("the window was corrected", lambda: {"c": 2, "e": 2000, "n": 1} in lines(base / "out"), pause=0.02)
    assert lines(base / "out")[0] == {"c": 1, "e": 2000, "n": 0}
    status = data.status("w")
    assert (status["late_rows_total"], status["late_dropped_total"]) == (2, 1)
    refused = data.call("POST", "/rules/validate", {
        "sql": "SELECT ts FROM demo", "actions": [{"log": {}}], "options": {"lateTopic": "too/late"}})
    assert "without isEventTime no event is late" in str(refused)


def test_files_are_read_and_written_in_several_forms(data, base):
    (base / "in.lines").write_text('{"a": 1}\n{"a": 2}\nno event\n{"a": 3}\n')
    (base / "in.json").write_text('[{"a": 10}, {"a": 20}]')
    (base / "in.csv").write_text("4,x\n5,y\n")
    data.stream("l", base / "in.lines", "file", ", EXTRA='{\"fileType\": \"lines\"}'")
    data.stream("j", base / "in.json", "file")
    data.ok("POST", "/streams", {"sql": 'CREATE STREAM c (n BIGINT, t STRING) WITH (TYPE="file", FORMAT="delimited", '
                                        f'DATASOURCE="{base}/in.csv", EXTRA=\'{{"fileType": "csv"}}\')'})
    data.rule("l", "SELECT a FROM l", file_sink(base / "out.l"))
    data.rule("j", "SELECT a FROM j", {"file": {"path": str(base / "out.j"), "fileType": "json", "sendSingle": True}})
    data.rule("c", "SELECT t, n + 1 AS m FROM c", {"file": {"path": str(base / "out.c"), "fileType": "csv",
                                                           "format": "delimited", "sendSingle": True}})
    until("all lines came", lambda: lines(base / "out.l") == [{"a": 1}, {"a": 2}, {"a": 3}], pause=0.02)
    until("the table came", lambda: (base / "out.c").exists() and (base / "out.c").read_text() == "x,5\ny,6\n", pause=0.02)
    data.ok("DELETE", "/rules/j")  # closes the file
    assert json.loads((base / "out.j").read_text()) == [{"a": 10}, {"a": 20}]
    assert data.status("l")["exceptions_total"] == 1  # the line that is no event


def test_a_simulator_and_templates(data, base):
    events = json.dumps({"data": [{"t": 20.5, "name": "a"}, {"t": 31, "name": "b"}], "interval": 1, "loop": False})
    data.stream("s", "", "simulator", f", EXTRA='{events}'")
    data.rule("r", "SELECT * FROM s", {"file": {
        "path": str(base / "out"), "sendSingle": True,
        "dataTemplate": '{{if gt .t 30.0}}hot{{else}}mild{{end}} {{.name}} {{printf "%.1f" .t}} {{json .}}'}})
    until("both came", lambda: (base / "out").exists() and (base / "out").read_text().splitlines() == [
        'mild a 20.5 {"t":20.5,"name":"a"}', 'hot b 31.0 {"t":31,"name":"b"}'], pause=0.02)


def test_a_rest_sink_repeats_what_failed_and_a_pull_source_asks(data, base):
    with Server() as server:
        url = f"http://127.0.0.1:{server.port}/in"
        data.stream("demo", "/push")
        data.rule("r", "SELECT a FROM demo", {"rest": {"url": url, "sendSingle": True, "retryInterval": 10, "retryCount": 100}})
        server.status = 503
        data.ok("POST", "/push", [{"a": 1}, {"a": 2}])
        until("it was tried again", lambda: data.status("r")["sink_rest_0_0_retries_total"] > 1, pause=0.02)
        server.status = 200
        until("both arrived, in order", lambda: server.bodies == [{"a": 1}, {"a": 2}], pause=0.02)
        server.answer = b'{"b": 7}'
        data.stream("p", "", "httppull", f', EXTRA=\'{{"url": "http://127.0.0.1:{server.port}/out", "interval": 20}}\'')
        data.rule("p", "SELECT b FROM p", file_sink(base / "out"))
        until("it was asked twice", lambda: lines(base / "out")[:2] == [{"b": 7}, {"b": 7}], pause=0.02)


def test_a_socket_takes_frames_of_events(data, base):
    path = base / "events.sock"
    data.stream("s", path, "socket")
    data.rule("r", "SELECT a FROM s", file_sink(base / "out"))
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(path))
        for i in range(3):
            event = json.dumps({"a": i}).encode()
            s.sendall(struct.pack("<I", len(event)) + event)
        until("three events", lambda: lines(base / "out") == [{"a": 0}, {"a": 1}, {"a": 2}], pause=0.02)
        s.sendall(struct.pack("<I", 0xFFFFFFFF))
        assert s.recv(1) == b""  # a frame out of bounds ends the connection


# ---- the node's own broker ----

def test_mqtt_messages_reach_rules_and_their_results_go_back(make, base):
    port = free_port()
    data = make("--mqtt", f"127.0.0.1:{port}", "--mqtt-anonymous")
    data.stream("m", "sensors/+/t", "mqtt")
    data.rule("r", "SELECT t * 2 AS d, meta(topic) AS topic FROM m WHERE t > 10",
              {"mqtt": {"topic": "alarms", "sendSingle": True, "qos": 1}})
    pub = ["mosquitto_pub", "-p", str(port), "-q", "1"]
    until("the broker listens", lambda: subprocess.run([*pub, "-t", "other", "-n"]).returncode == 0)
    subscriber = subprocess.Popen(["mosquitto_sub", "-p", str(port), "-t", "alarms", "-C", "2", "-q", "1"],
                                  stdout=subprocess.PIPE, text=True)

    def publish():
        for topic, t in (("sensors/a/t", 20), ("sensors/b/t", 5), ("sensors/c/t", 30), ("other", 40)):
            subprocess.run([*pub, "-t", topic, "-m", json.dumps({"t": t})], check=True)
        return subscriber.poll() is not None

    until("the subscriber has both", publish, pause=0.2)  # it may not have subscribed at first
    got = [json.loads(line) for line in subscriber.stdout]
    assert {r["topic"] for r in got} == {"sensors/a/t", "sensors/c/t"} and {r["d"] for r in got} == {40, 60}


# ---- what is left after the worst ----

def test_definitions_survive_a_kill(data, base):
    data.stream("demo", "/push")
    data.rule("on", "SELECT a FROM demo", file_sink(base / "out"))
    data.rule("off", "SELECT a FROM demo", file_sink(base / "other"))
    data.ok("POST", "/rules/off/stop")
    data.kill()
    data.start()
    assert {r["id"]: r["status"].split(":")[0] for r in data.ok("GET", "/rules")} == {"on": "Running", "off": "Stopped"}
    data.ok("POST", "/push", {"a": 1})
    until("it wrote", lambda: lines(base / "out") == [{"a": 1}], pause=0.02)


def test_a_dead_peer_loses_nothing_that_has_a_cache_not_even_by_a_kill(data, base):
    with Server() as server:
        server.status = 503
        data.stream("demo", "/push")
        data.rule("r", "SELECT a FROM demo", {"rest": {"url": f"http://127.0.0.1:{server.port}/in", "sendSingle": True,
                                                      "enableCache": True, "retryInterval": 20, "retryMaxInterval": 100}}, qos=1)
        for i in range(200):
            data.ok("POST", "/push", {"a": i})
        until("all is on disk", lambda: data.status("r")["sink_rest_0_0_records_in_total"] == 200, pause=0.02)
        data.kill()
        data.start()
        for i in range(200, 300):
            data.ok("POST", "/push", {"a": i})
        server.status = 200
        until("all arrived", lambda: {b["a"] for b in server.bodies} == set(range(300)), pause=0.05)
        first = [b["a"] for n, b in enumerate(server.bodies) if b not in server.bodies[:n]]
        assert first == list(range(300))


def test_a_flood_into_a_dead_sink_is_bounded_and_counted(data):
    with Server() as server:
        server.status = 503
        data.stream("demo", "/push")
        data.rule("r", "SELECT * FROM demo", {"rest": {"url": f"http://127.0.0.1:{server.port}/in", "sendSingle": True,
                                                      "retryCount": 1000000, "bufferLength": 100}})
        before = data.memory()
        batch = json.dumps([{"a": i, "text": "x" * 100} for i in range(1000)])
        for _ in range(50):
            data.ok("POST", "/push", batch)
        status = data.status("r")
        assert status["sink_rest_0_0_records_in_total"] == 50000
        assert status["sink_rest_0_0_records_dropped_total"] >= 50000 - 101
        print(f"memory grew by {(data.memory() - before) >> 10} kB")
        assert SANITIZED or data.memory() - before < 32 << 20
        data.ok("DELETE", "/rules/r")  # else its end waits for the sink


def test_garbage_and_giants_are_told_and_the_rule_goes_on(data, base):
    data.stream("demo", "/push")
    data.rule("r", "SELECT a FROM demo WHERE a > 0", file_sink(base / "out"), sendError=True)
    for body in ("", "{", "[1, 2]", '{"a": "text"}', '{"a": ' + "[" * 1000 + "]" * 1000 + "}", "\xff\xfe"):
        data.call("POST", "/push", body.encode("latin-1"))
    data.ok("POST", "/push", json.dumps({"a": 1, "big": "x" * (10 << 20)}))
    assert data.call("POST", "/push", "x" * (17 << 20))[0] == 413
    data.ok("POST", "/push", {"a": 2})
    until("the last has come", lambda: {"a": 2} in lines(base / "out"), pause=0.02)
    got = lines(base / "out")
    assert [r for r in got if "a" in r] == [{"a": 1}, {"a": 2}]
    assert any("invalid operation string(text) > int64(0)" in r.get("error", "") for r in got)


def test_a_rule_with_qos_goes_on_with_its_window_after_a_kill(data, base):
    data.stream("demo", "/push")
    data.rule("r/1 %", "SELECT count(*) AS c FROM demo GROUP BY COUNTWINDOW(4)", file_sink(base / "out"), qos=1,
              checkpointInterval=10)
    data.ok("POST", "/push", [{"a": 1}, {"a": 2}, {"a": 3}])
    taken = data.status("r%2F1%20%25")["checkpoints_total"]
    until("a checkpoint", lambda: data.status("r%2F1%20%25")["checkpoints_total"] > taken, pause=0.01)
    data.stream("later", "/later")  # acknowledged: so all before it is on the disk
    data.kill()
    data.start()
    data.ok("POST", "/push", {"a": 4})
    until("the window was full", lambda: lines(base / "out") == [{"c": 4}], pause=0.02)
    data.ok("POST", "/push", [{"a": 5}, {"a": 6}, {"a": 7}, {"a": 8}, {"a": 9}])
    until("the next was full", lambda: len(lines(base / "out")) > 1, pause=0.02)
    assert lines(base / "out") == [{"c": 4}, {"c": 4}]


@pytest.mark.skipif(SANITIZED, reason="a sanitizer keeps what is freed")
def test_a_rule_that_waits_costs_little_memory(data):
    """Well below 4 kB where it was measured; eKuiper's documentation speaks of hundreds of kilobytes."""
    data.stream("demo", "/demo")
    for i in range(50):
        data.rule(f"first{i}", "SELECT a, b FROM demo WHERE a > 30", {"nop": {}})
    before = data.memory()
    for i in range(1000):
        data.rule(f"r{i}", "SELECT a, b FROM demo WHERE a > 30", {"nop": {}})
    assert (data.memory() - before) / 1000 < 6000
