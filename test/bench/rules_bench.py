#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Rules end to end: MQTT into the node's broker, through rules, out by MQTT, on loopback, events of 93 bytes.

Publisher, broker, `data` and reader share the machine's cores; the publisher and reader are one program in C that
costs little (broker_flood). Rates count until the rule has taken the last event. "Alone" is the same broker with no
rule that reads the topic. Latency is from the publisher's clock before the write to the reader's after the read; each
event is a message out, or one in ten. Memory is the private memory of `data` and, for a rule, how much a thousand
(and ten thousand) of them that wait add to it, through REST, kept in its store. Scaling is `rule bench` with one
thread and with two: of eight rules dealt out to them, and of one rule over a share of the events each.
"""
import contextlib
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from machine import free_port, until  # noqa: E402
from objects import BUILD  # noqa: E402
from test_data import Data  # noqa: E402

FLOOD = BUILD / "src/part/data/broker_flood"
RUNS = 5
EVENTS = 500000


def show(what, value, note):
    print(f"{what:<52} {value:<44} ({note})", flush=True)


@contextlib.contextmanager
def program(*options):
    base = Path(tempfile.mkdtemp(prefix="selvedge-rules-bench-"))
    base.chmod(0o711)
    port = free_port()
    data = Data(base, "--mqtt", f"127.0.0.1:{port}", "--mqtt-anonymous", *options)
    try:
        data.start()
        data.mqtt = port
        until("the broker runs", lambda: "the broker runs" in data.log(), pause=0.02)
        data.stream("bench", "bench", "mqtt")
        yield data
    finally:
        data.stop()
        shutil.rmtree(base)


def flood(data, count, rate, out):
    done = subprocess.run([FLOOD, *map(str, (data.mqtt, 0, count, 93, rate, out))], capture_output=True, check=True)
    return json.loads(done.stdout)


def taken(data):
    """Events that the source gave the rule "r"."""
    status = data.status("r")
    return next(v for k, v in status.items() if k.startswith("source_") and k.endswith("records_in_total"))


def through_rule(data):
    """Events a second until the rule has seen the last, and how many it did not see."""
    before = taken(data)
    began = time.monotonic()
    flood(data, EVENTS, 0, "-")
    seen, last = 0, time.monotonic()
    while seen < EVENTS and time.monotonic() - last < 2:
        now = taken(data) - before
        last = time.monotonic() if now > seen else last
        seen = now
    return seen / (last - began), EVENTS - seen


def rates():
    rules = {"filter and project": "SELECT device, temp FROM bench WHERE temp > 80",
             "group by 1,000 devices": "SELECT device, count(*) AS n, avg(temp) AS t FROM bench GROUP BY device, "
                                       "TUMBLINGWINDOW(ss, 1)"}
    with program() as data:
        alone = statistics.median(EVENTS / flood(data, EVENTS, 0, "-")["seconds"] for _ in range(RUNS))
        show("MQTT QoS 0, broker alone", f"{alone:,.0f} events/s", f"median of {RUNS} x {EVENTS}")
        for name, sql in rules.items():
            data.rule("r", sql, {"nop": {}})
            runs = [through_rule(data) for _ in range(RUNS)]
            rate = statistics.median(rate for rate, _ in runs)
            show(f"MQTT QoS 0, through a rule: {name}", f"{rate:,.0f} events/s   {rate / alone:.1%} of the broker alone",
                 f"aim 90 %, {sum(lost for _, lost in runs)} lost")
            data.ok("DELETE", "/rules/r")


def latencies():
    # Temperatures go round from 10 to 89.
    cases = (("each acts", 10, ((1000, 5000), (10000, 50000), (50000, 250000))), ("one in ten acts", 82, ((50000, 250000),)))
    with program() as data:
        for name, above, loads in cases:
            data.rule("r", f"SELECT device, t FROM bench WHERE temp >= {above}",
                      {"mqtt": {"topic": "out", "sendSingle": True, "bufferLength": 65536}})
            flood(data, 1000, 1000, "out")  # the connections are there, the programs are warm
            for rate, count in loads:
                t = flood(data, count, rate, "out")
                show(f"event to action, MQTT to MQTT, {rate:,}/s, {name}",
                     f"p50 {t['p50']:.0f} us   p99 {t['p99']:.0f} us   p99.9 {t['p999']:.0f} us",
                     f"aim p99 1000 us, {t['back']} actions of {count} events")
            data.ok("DELETE", "/rules/r")


def private(data):
    for line in open(f"/proc/{data.process.pid}/smaps_rollup"):
        if line.startswith("Private_Dirty"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no Private_Dirty")


def memory():
    plain = "SELECT a, b FROM bench WHERE a > 30"
    windowed = "SELECT a, count(*) AS n, avg(a) AS m FROM bench WHERE a > 30 GROUP BY a, TUMBLINGWINDOW(ss, 10)"
    for name, sql, action, count in (("filter, action nop", plain, {"nop": {}}, 10000),
                                     ("filter, action mqtt", plain, {"mqtt": {"topic": "out"}}, 5000),
                                     ("window of groups, action nop", windowed, {"nop": {}}, 5000)):
        with program() as data:
            rss = [data.memory()]
            for i in range(50):
                data.rule(f"first{i}", sql, action)
            before = private(data)
            for i in range(count):
                data.rule(f"r{i}", sql, action)
                if i in (950, count - 1):
                    rss.append(data.memory())
            show(f"memory of an idle rule: {name}", f"{(private(data) - before) / count:,.0f} bytes",
                 f"aim 4096, {count} rules; eKuiper 400 to 500 kB")
            show("  RSS of data", "   ".join(f"{n / 2**20:.1f} MB" for n in rss),
                 f"no rule, 1,000, {count}; without the broker's process")


def bench(file, events, threads):
    done = subprocess.run([BUILD / "libexec/selvedge/rule", "bench", file, str(events), "--threads", str(threads)],
                          capture_output=True, check=True, text=True)
    return float(re.search(r"([0-9]+) events/s", done.stdout.splitlines()[-1]).group(1))


def scaling():
    sql = "SELECT device, count(*) AS n, avg(temp) AS t, max(temp) AS m FROM s WHERE hum > {} GROUP BY device, TUMBLINGWINDOW(ss, 1)"
    event = {"ts": 1600000000977, "status": "nominal-steady"}
    with tempfile.TemporaryDirectory(prefix="selvedge-rules-bench-") as base:
        for rules, events in ((1, 2000000), (8, 1000000)):
            path = Path(base) / f"{rules}.json"
            path.write_text(json.dumps({
                "streams": ['CREATE STREAM s () WITH (FORMAT="json")'],
                "rules": [{"id": f"r{i}", "sql": sql.format(10 + i)} for i in range(rules)],
                "events": [{"stream": "s", "at": 0, "data": {"device": f"pump-a-{i:04}", **event, "temp": 10.25 + i % 80,
                                                             "hum": 12.5 + i % 77}} for i in range(1000)]}))
            one, two = (statistics.median(bench(path, events, threads) for _ in range(RUNS)) for threads in (1, 2))
            show(f"JSON, {rules} windowed rule{'s' * (rules > 1)}, one thread and two",
                 f"{one / 1e6:.2f} and {two / 1e6:.2f} M events/s, {two / one:.2f} times", f"median of {RUNS} x {events}")


if __name__ == "__main__":
    for part in (rates, latencies, memory, scaling):
        if len(sys.argv) < 2 or part.__name__ in sys.argv[1:]:
            part()
