# SPDX-License-Identifier: Apache-2.0
"""The program `data` with rules on several threads: exact counts under a flood, sources that wait, changes meanwhile."""
import json
import tempfile
from pathlib import Path

import pytest

from machine import until
from objects import SANITIZED
from test_data import Data, file_sink, lines

EVENTS = 100000
NOP = {"nop": {}}


@pytest.fixture
def base():
    with tempfile.TemporaryDirectory(prefix="selvedge-threads-") as folder:
        yield Path(folder)


@pytest.fixture(params=["2", "4"])
def data(base, request):
    program = Data(base, "--threads", request.param).start()
    yield program
    program.stop()


def flood(data, base, rules, n=EVENTS):
    """Rules {id: (sql, action)} over a file of n events {n: 0}, {n: 1}, ...: all of them start before it is read."""
    with open(base / "demo", "w", encoding="utf-8") as f:
        f.writelines(f'{{"n":{i},"text":"room {i % 7}"}}\n' for i in range(n))
    stream = f'CREATE STREAM demo () WITH (DATASOURCE="{base}/demo", TYPE="file", FORMAT="json", EXTRA=\'{{"fileType": "lines"}}\')'
    rules = {name: json.dumps({"id": name, "sql": sql, "actions": [action]}) for name, (sql, action) in rules.items()}
    data.ok("POST", "/ruleset/import", {"content": json.dumps({"streams": {"demo": stream}, "tables": {}, "rules": rules})})


def count(data, rule, what="records_in_total", sink="nop"):
    return data.status(rule)[f"sink_{sink}_0_0_{what}"]


def test_a_file_waits_for_slow_rules_and_nothing_is_lost(data, base):
    slow = " AND ".join(f"regexp_matches(text, 'r{'o' * i}m')" for i in range(1, 9))
    before = data.memory()
    flood(data, base, {f"slow{i}": (f"SELECT n FROM demo WHERE n % 2 = {i % 2} OR ({slow})", NOP) for i in range(6)})
    until("all rules have seen all", lambda: [count(data, f"slow{i}") for i in range(6)] == [EVENTS // 2] * 6, pause=0.05)
    status = data.status("slow0")
    assert {data.status(f"slow{i}")["thread"] for i in range(6)} == ({0, 1} if "2" in data.options else {0, 1, 2, 3})
    assert status["source_demo_0_records_in_total"] == EVENTS and status["source_demo_0_records_dropped_total"] == 0
    assert SANITIZED or data.memory() - before < 32 << 20


def test_results_of_a_rule_keep_their_order(data, base):
    flood(data, base, {f"r{i}": ("SELECT n FROM demo", file_sink(base / f"out{i}")) for i in range(3)}, n=20000)
    for i in range(3):
        until("all is written", lambda i=i: len(lines(base / f"out{i}")) == 20000, pause=0.1)
        assert [r["n"] for r in lines(base / f"out{i}")] == list(range(20000))


def test_rules_change_during_a_flood(data, base):
    flood(data, base, {f"steady{i}": ("SELECT n FROM demo", NOP) for i in range(4)})
    for i in range(30):
        data.rule("guest", "SELECT count(*) AS c FROM demo GROUP BY COUNTWINDOW(10)", NOP)
        assert data.status("guest")["status"] == "running"
        data.ok("POST", "/rules/guest/stop")
        data.ok("POST", "/rules/guest/start")
        data.ok("PUT", "/rules/guest", {"id": "guest", "sql": "SELECT n FROM demo WHERE n > 5", "actions": [NOP]})
        assert "Filter" in data.ok("GET", "/rules/guest/explain")
        data.ok("DELETE", "/rules/guest")
    for i in range(4):
        until("all has come", lambda i=i: count(data, f"steady{i}") == EVENTS, pause=0.05)
    assert data.status("steady0")["source_demo_0_records_dropped_total"] == 0


def test_a_push_is_told_to_come_again_when_rules_are_behind(data):
    data.stream("demo", "/push")
    heavy = " OR ".join(f"regexp_matches(text, '(x|xx)+y{i}')" for i in range(4))
    data.rule("heavy", f"SELECT n FROM demo WHERE NOT ({heavy})", NOP)  # the first one is not on the loop's thread
    batch = json.dumps([{"n": i, "text": "x" * 150} for i in range(2000)])
    taken = refused = 0
    while refused < 2 and taken < 50:
        status, answer = data.call("POST", "/push", batch)
        taken += status == 200
        refused += status == 429
        assert status in (200, 429), answer
    assert refused == 2
    until("what was taken has come", lambda: count(data, "heavy") == 2000 * taken, pause=0.05)
    assert data.status("heavy")["source_demo_0_records_dropped_total"] == 0


def test_windows_lingering_batches_and_errors_come_from_other_threads(data, base):
    data.stream("demo", "/push")
    for i in range(4):
        data.rule(f"w{i}", "SELECT count(*) AS c FROM demo GROUP BY TUMBLINGWINDOW(ms, 50)", file_sink(base / f"w{i}"))
        data.rule(f"l{i}", "SELECT n FROM demo", file_sink(base / f"l{i}", batchSize=100, lingerInterval=30))
        data.rule(f"e{i}", "SELECT n / m AS q FROM demo", NOP)
    data.ok("POST", "/push", [{"n": 1, "m": 0}, {"n": 2, "m": 0}])
    for i in range(4):
        until("the window closed", lambda i=i: sum(r["c"] for r in lines(base / f"w{i}")) == 2, pause=0.02)
        until("the batch was sent", lambda i=i: lines(base / f"l{i}") == [[{"n": 1}, {"n": 2}]], pause=0.02)
        until("errors are told", lambda i=i: "divided by zero" in data.status(f"e{i}")["last_exception"], pause=0.02)
        assert data.status(f"e{i}")["exceptions_total"] == 2


def test_a_table_and_its_streams_meet_on_one_thread(data, base):
    (base / "rooms").write_text('[{"id": 1, "name": "hall"}]')
    data.ok("POST", "/tables", {"sql": f'CREATE TABLE rooms (id bigint, name string) WITH (DATASOURCE="{base}/rooms", '
                                       'TYPE="file", FORMAT="json")'})
    data.stream("demo", "/push")
    for i in range(4):
        data.rule(f"r{i}", "SELECT rooms.name AS name FROM demo INNER JOIN rooms ON demo.id = rooms.id", file_sink(base / f"r{i}"))
    for i in range(4):
        def joined(i=i):
            data.ok("POST", "/push", {"id": 1})
            return lines(base / f"r{i}")[-1:] == [{"name": "hall"}]
        until("it was joined", joined, pause=0.05)
