# SPDX-License-Identifier: Apache-2.0
"""What eKuiper's users have beside streams and rules: schedules, schemas, lookup tables; in the program `data`."""
import subprocess
import time
from datetime import datetime, timedelta, timezone

import pytest

from machine import until
from test_data import base, data, file_sink, lines, make  # noqa: F401 (fixtures)

WAITING = "stopped: waiting for next schedule."


def range_of(begin, end):
    """A range of cronDatetimeRange, in seconds from now."""
    now = time.time()
    return {"beginTimestamp": int((now + begin) * 1000), "endTimestamp": int((now + end) * 1000)}


def state(data, rule):
    return data.status(rule)["status"]


# ---- schedules ----

def test_a_rule_waits_for_its_range_runs_in_it_and_is_over_after_it(data, base):
    data.stream("demo", "/push")
    when = range_of(1, 2.5)
    data.rule("r", "SELECT a FROM demo", file_sink(base / "out"), cronDatetimeRange=[when])
    status = data.status("r")
    assert status["status"] == WAITING and status["nextStartTimestamp"] == when["beginTimestamp"]
    assert data.ok("GET", "/rules") == [{"id": "r", "name": "r", "status": "Stopped: waiting for next schedule."}]
    until("it runs", lambda: state(data, "r") == "running", pause=0.05)
    data.ok("POST", "/push", {"a": 1})
    until("it is over", lambda: state(data, "r") == "stopped", pause=0.05)
    assert data.status("r")["message"] == "schedule terminated"
    assert lines(base / "out") == [{"a": 1}]


def test_a_cron_runs_a_rule_now_or_later_by_the_zone_of_the_rule(data):
    data.stream("demo", "/push")
    berlin = datetime.now(timezone.utc).astimezone(timezone(timedelta(hours=5, minutes=30)))
    for name, hours in ("now", 0), ("later", 2):
        at = berlin + timedelta(hours=hours, minutes=-30)
        data.rule(name, "SELECT a FROM demo", {"nop": {}}, cron=f"{at.minute} {at.hour} * * *", duration="1h",
                  timezone="Asia/Kolkata")
    assert (state(data, "now"), state(data, "later")) == ("running", WAITING)
    assert 5300 < data.status("later")["nextStartTimestamp"] / 1000 - time.time() < 5500


def test_a_schedule_goes_on_after_a_kill_and_ends_by_a_stop(data):
    data.stream("demo", "/push")
    data.rule("waits", "SELECT a FROM demo", {"nop": {}}, cronDatetimeRange=[range_of(1000, 2000)])
    data.rule("runs", "SELECT a FROM demo", {"nop": {}}, cronDatetimeRange=[range_of(-1000, 2000)])
    data.rule("over", "SELECT a FROM demo", {"nop": {}}, cronDatetimeRange=[range_of(-2000, -1000)])
    data.kill()
    data.start()
    assert [state(data, r) for r in ("waits", "runs", "over")] == [WAITING, "running", "stopped"]
    data.ok("POST", "/rules/waits/stop")
    data.ok("POST", "/rules/runs/stop")
    data.kill()
    data.start()
    assert [data.status(r)["nextStartTimestamp"] for r in ("waits", "runs")] == [0, 0]
    assert [state(data, r) for r in ("waits", "runs")] == ["stopped", "stopped"]
    data.ok("POST", "/rules/waits/start")
    assert state(data, "waits") == WAITING


def test_a_duration_alone_ends_a_rule(data):
    data.stream("demo", "/push")
    data.rule("r", "SELECT a FROM demo", {"nop": {}}, duration="300ms")
    until("it has ended", lambda: state(data, "r") == "stopped", pause=0.05)
    assert data.status("r")["message"] == "duration terminated"


# ---- schemas ----

PROTO = """
syntax = "proto3";
package lab;
message Reading {
  string id = 1; double t = 2; repeated sint32 codes = 3; map<string, Place> places = 4;
  optional bool ok = 5; Kind kind = 6;
  oneof either { bytes raw = 7; uint64 big = 8; }
  message Place { float x = 1; Place inner = 2; }
}
enum Kind { NONE = 0; SOME = 1; }
"""
PROTO_TEXT = 'id: "a" t: 21.5 codes: -1 codes: 300 places {key: "k" value {x: 0.5 inner {x: 2}}} ok: false kind: SOME big: 7'


def protoc(base, verb, message, data, text=PROTO):
    """Messages of a foreign writer and reader."""
    (base / "x.proto").write_text(text)
    return subprocess.run(["protoc", f"--{verb}={message}", f"-I{base}", "x.proto"], input=data, check=True,
                          stdout=subprocess.PIPE).stdout


def protobuf_stream(data, name, schema):
    data.ok("POST", "/streams", {"sql": f'CREATE STREAM {name} () WITH (DATASOURCE="/pb", TYPE="httppush", '
                                        f'FORMAT="protobuf", SCHEMAID="{schema}")'})


def test_schemas_live_as_in_ekuiper(data, base):
    status, answer = data.call("POST", "/schemas/protobuf", {"name": "lab", "content": PROTO})
    assert (status, answer) == (201, "protobuf schema lab is created")
    assert data.call("POST", "/schemas/protobuf", {"name": "lab", "content": PROTO})[0] == 400
    (base / "b.proto").write_text("message Book {required string title = 1; required int32 price = 2;}")
    data.ok("POST", "/schemas/protobuf", {"name": "books", "file": f"file://{base}/b.proto"})
    assert data.ok("GET", "/schemas/protobuf") == ["books", "lab"]
    assert data.ok("GET", "/schemas/protobuf/books") == {
        "type": "protobuf", "name": "books", "content": (base / "b.proto").read_text(), "file": "", "soFile": ""}
    status, answer = data.call("GET", "/schemas/protobuf/other")
    assert (status, answer["error"]) == (404, 1002)
    protobuf_stream(data, "demo", "lab.Reading")
    status, answer = data.call("DELETE", "/schemas/protobuf/lab")
    assert status == 400 and "used by stream demo" in answer["message"]
    status, answer = data.call("PUT", "/schemas/protobuf/lab", {"content": PROTO.replace("Reading", "Other")})
    assert status == 400 and "stream demo: the schema has no message 'Reading'" in answer["message"]
    data.kill()
    data.start()
    assert data.ok("GET", "/schemas/protobuf/lab")["content"] == PROTO
    assert data.ok("GET", "/streams") == ["demo"]
    data.ok("DELETE", "/streams/demo")
    assert data.ok("DELETE", "/schemas/protobuf/lab") == "protobuf schema lab is deleted"
    assert data.ok("GET", "/schemas/protobuf") == ["books"]


@pytest.mark.parametrize("body, said", [
    ({"content": "message A {}"}, "name is required"),
    ({"name": "x"}, "must specify content or file"),
    ({"name": "x", "content": "message A {}", "file": "file:///x.proto"}, "cannot specify both"),
    ({"name": "x", "file": "file:///etc/hostname"}, "the ending .proto"),
    ({"name": "x", "file": "http://127.0.0.1/x.proto"}, "give the content"),
    ({"name": "x", "content": "message A {", "soFile": "x.so"}, "plugins"),
    ({"name": "x", "content": 'import "y.proto";'}, "line 1: import is not supported"),
    ({"name": "a.b", "content": "message A {}"}, "neither '.' nor '/'"),
])
def test_a_wrong_schema_is_refused_with_a_reason(data, body, said):
    status, answer = data.call("POST", "/schemas/protobuf", body)
    assert status in (400, 501) and said in answer["message"], answer
    assert data.ok("GET", "/schemas/protobuf") == []


@pytest.mark.parametrize("threads", ["1", "2"])
def test_messages_of_protoc_go_in_and_come_out(make, base, threads):
    data = make("--threads", threads)
    data.ok("POST", "/schemas/protobuf", {"name": "lab", "content": PROTO})
    protobuf_stream(data, "demo", "lab.Reading")
    data.rule("json", "SELECT * FROM demo", file_sink(base / "out"))
    data.rule("again", "SELECT * FROM demo", {"file": {"path": str(base / "pb"), "format": "protobuf",
                                                       "schemaId": "lab.Reading"}})
    data.ok("POST", "/pb", protoc(base, "encode", "lab.Reading", PROTO_TEXT.encode()))
    until("both rules wrote", lambda: len(lines(base / "out")) == 1 and (base / "pb").read_bytes(), pause=0.02)
    assert lines(base / "out") == [{"id": "a", "t": 21.5, "codes": [-1, 300], "kind": 1, "ok": False, "big": 7,
                                    "places": {"k": {"x": 0.5, "inner": {"x": 2}}}}]
    again = protoc(base, "decode", "lab.Reading", (base / "pb").read_bytes().removesuffix(b"\n"))
    assert again == protoc(base, "decode", "lab.Reading", protoc(base, "encode", "lab.Reading", PROTO_TEXT.encode()))
    data.ok("PUT", "/schemas/protobuf/lab", {"content": PROTO.replace("double t", "double temperature")})
    data.ok("POST", "/pb", protoc(base, "encode", "lab.Reading", b"t: 1"))
    until("the new schema holds", lambda: lines(base / "out")[1]["temperature"] == 1, pause=0.02)
    data.ok("POST", "/pb", b"\xff\xff")
    until("it is told", lambda: "no message lab.Reading" in data.status("json")["last_exception"], pause=0.02)
    status, answer = data.call("POST", "/streams", {"sql": 'CREATE STREAM x () WITH (FORMAT="protobuf", SCHEMAID="none.A")'})
    assert status == 400 and "schema none is not registered" in answer["message"]
    status, answer = data.call("DELETE", "/schemas/protobuf/lab")
    assert status == 400 and "used by" in answer["message"]


# ---- lookup tables ----

def lookup_table(data, name="alarms", kind="memory"):
    return data.call("POST", "/tables", {"sql": f'CREATE TABLE {name} () WITH (DATASOURCE="alarm/levels", TYPE="{kind}", '
                                                'KIND="lookup", KEY="id")'})


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_lookup_table_follows_what_a_rule_says(make, base, threads):
    data = make("--threads", threads)
    data.stream("demo", "/push")
    data.stream("commands", "/commands")
    assert lookup_table(data) == (201, "Table alarms is created.")
    assert data.ok("GET", "/tables?kind=lookup") == ["alarms"] and data.ok("GET", "/tables?kind=scan") == []
    data.rule("update", "SELECT * FROM commands", {"memory": {
        "topic": "alarm/levels", "rowkindField": "action", "keyField": "id", "sendSingle": True}})
    data.ok("POST", "/commands", [{"action": "upsert", "id": 1, "alarm": 50}, {"action": "insert", "id": 2, "alarm": 80},
                                  {"id": 3, "alarm": 20}])  # no rule reads the table yet
    data.rule("alert", "SELECT device, value FROM demo INNER JOIN alarms ON demo.kind = alarms.id "
                       "WHERE demo.value > alarms.alarm", file_sink(base / "out"))
    data.rule("all", "SELECT device, alarm FROM demo LEFT JOIN alarms ON demo.kind = alarms.id", file_sink(base / "all"))

    def levels():
        """What the table says of the kinds 1, 2, 3 now."""
        before = len(lines(base / "all"))
        data.ok("POST", "/push", [{"device": f"d{k}", "kind": k, "value": 54} for k in (1, 2, 3)])
        return [line.get("alarm") for line in lines(base / "all")[before:]]

    until("the table has its rows", lambda: levels() == [50, 80, 20], pause=0.02)
    assert {line["device"] for line in lines(base / "out")} >= {"d1", "d3"}
    assert "d2" not in {line["device"] for line in lines(base / "out")}
    data.ok("POST", "/commands", [{"action": "update", "id": 1, "alarm": 55}, {"action": "delete", "id": 3}])
    until("the table has changed", lambda: levels() == [55, 80, None], pause=0.02)
    data.ok("POST", "/commands", [{"action": "explode", "id": 1}, {"action": "delete"}, {"action": 5, "id": 1}])
    until("the sink told", lambda: data.status("update")["sink_memory_0_0_exceptions_total"] == 3, pause=0.02)
    assert levels() == [55, 80, None]
    data.ok("DELETE", "/rules/alert")
    data.ok("DELETE", "/rules/all")
    assert data.ok("DELETE", "/tables/alarms") == "Table alarms is dropped."


def test_what_cannot_be_looked_up_is_refused(data):
    data.stream("demo", "/push")
    status, answer = lookup_table(data, kind="sql")
    assert status == 501 and "lookup tables of TYPE sql are not supported" in answer["message"]
    lookup_table(data)
    status, answer = data.call("POST", "/rules", {"id": "r", "sql": "SELECT * FROM demo FULL JOIN alarms ON demo.a = alarms.id",
                                                  "actions": [{"nop": {}}]})
    assert status == 400 and "INNER, LEFT and CROSS joins only" in answer["message"]
    status, answer = data.call("POST", "/rules", {"id": "r", "sql": "SELECT * FROM demo", "actions": [
        {"memory": {"topic": "t", "rowkindField": "action"}}]})
    assert status == 400 and "keyField is required" in answer["message"]


# ---- requests that should not get far ----

@pytest.mark.parametrize("kind, datasource, options, said", [
    ("httppush", "/rules", "", "is a path of the REST interface"),
    ("httppush", "/rules/x/start", "", "is a path of the REST interface"),
    ("httppush", "push", "", "is no path"),
    ("httppull", "/x y", "", "blanks"),
    ("httppull", "/x", ', EXTRA="{\\"url\\": \\"http://h/\\", \\"method\\": \\"GET / HTTP\\"}"', "is not GET"),
    ("httppull", "/x", ', EXTRA="{\\"url\\": \\"http://h/\\", \\"interval\\": 0}"', "interval is not between"),
])
def test_a_source_that_cannot_be_opened_is_told(data, kind, datasource, options, said):
    data.stream("demo", datasource, kind, options)
    data.rule("r", "SELECT * FROM demo", {"nop": {}})
    assert said in data.status("r")["source_demo_0_last_exception"], data.log()
    data.ok("POST", "/rules/r/stop")


def test_streams_may_share_a_path(data, base):
    for name in "ab":
        data.stream(name, "/push")
        data.rule(name, f"SELECT v FROM {name}", file_sink(base / name))
    data.ok("POST", "/push", {"v": 1})
    assert lines(base / "a") == lines(base / "b") == [{"v": 1}]


def test_a_body_that_is_too_large_is_refused(data):
    assert data.call("POST", "/rules", b" " * (5 << 20))[0] == 413
    assert data.call("GET", "/rules") == (200, [])
