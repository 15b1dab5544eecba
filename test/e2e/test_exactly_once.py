# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: `data` is killed at random moments, again and again, and what its sinks got is counted. A seed that
failed is given again by SEED=..."""
import contextlib
import json
import os
import random
import subprocess
import threading
import time
from collections import Counter

import pytest

from machine import free_port, until
from objects import SANITIZED
from test_data import Data, Server, base, data, file_sink, lines, make  # noqa: F401 (fixtures)

SEED = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
KILLS = 6 if SANITIZED else 16
EVENTS = 20000 if SANITIZED else 60000
WINDOW = "SELECT count(*) AS c, sum(n) AS s, min(n) AS a, max(n) AS z FROM numbers GROUP BY COUNTWINDOW(5)"


def numbers(path, count=EVENTS):
    path.write_text("".join(json.dumps({"n": i}) + "\n" for i in range(count)))


def file_stream(data, name, path, **options):
    conf = {"fileType": "lines", **options}
    data.ok("POST", "/streams", {"sql": f"CREATE STREAM {name} () WITH (DATASOURCE=\"{path}\", TYPE=\"file\", FORMAT=\"json\", "
                                        f"EXTRA='{json.dumps(conf)}')"})


def count_lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def windows(count=EVENTS):
    return [{"c": 5, "s": 5 * i + 10, "a": i, "z": i + 4} for i in range(0, count - 4, 5)]


def begun(data, base, rules, count=EVENTS, **options):
    """Rules that all read one file from its beginning: they start together, over a file that was empty before."""
    (base / "in").touch()
    file_stream(data, "numbers", base / "in")
    for name, sql, sink in rules:
        data.rule(name, sql, sink, **options)
    until("first checkpoints", lambda: all(data.status(name)["checkpoints_total"] for name, _, _ in rules), pause=0.01)
    data.kill()
    numbers(base / "in", count)
    data.start()


def killed_at_random(data, chance, pause, done):
    """Kills it KILLS times, then lets it come to the end."""
    for i in range(KILLS):
        time.sleep(chance.uniform(*pause))
        data.kill()
        data.start()
    until("the end", done, pause=0.05)


def test_a_file_through_a_window_into_a_file_is_counted_exactly_once(data, base):
    print(f"SEED={SEED}")
    chance = random.Random(SEED)
    begun(data, base, [("window", WINDOW, file_sink(base / "window")),
                       ("filter", "SELECT n FROM numbers WHERE n % 3 = 0", file_sink(base / "filter"))],
          qos=2, checkpointInterval=20)
    killed_at_random(data, chance, (0.0, 0.12), lambda: count_lines(base / "filter") >= (EVENTS + 2) // 3)
    until("all checkpoints", lambda: count_lines(base / "window") >= EVENTS // 5, pause=0.05)
    assert lines(base / "window") == windows()
    assert lines(base / "filter") == [{"n": i} for i in range(0, EVENTS, 3)]


def test_with_qos_1_nothing_is_missing(data, base):
    print(f"SEED={SEED}")
    chance = random.Random(SEED + 1)
    begun(data, base, [("cached", WINDOW, file_sink(base / "cached", enableCache=True)),
                       ("plain", WINDOW, file_sink(base / "plain"))], qos=1, checkpointInterval=20)
    killed_at_random(data, chance, (0.0, 0.12), lambda: all(
        f'"z":{EVENTS - 1}}}' in (base / name).read_text() for name in ("cached", "plain")))
    for name in ("cached", "plain"):
        got = [tuple(line.items()) for line in lines(base / name)]
        assert set(got) == {tuple(w.items()) for w in windows()}
        print(f"{name}: {len(got) - len(set(got))} repetitions of {len(set(got))}")


class Receiver(Server):
    """Keeps what it is sent by its Idempotency-Key, as a careful consumer does."""

    def __init__(self):
        self.by_key, self.repeated = {}, 0
        super().__init__()
        outer, handler = self, self.http.RequestHandlerClass

        class Keyed(handler):
            wbufsize = -1  # head and body leave together

            def do_POST(self):
                key = self.headers["idempotency-key"]
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.repeated += key in outer.by_key
                outer.by_key.setdefault(key, body)
                assert outer.by_key[key] == body, "one key, two messages"
                self.reply()

        self.http.RequestHandlerClass = Keyed


def test_a_rest_receiver_that_drops_repeated_keys_has_each_result_once(data, base):
    print(f"SEED={SEED}")
    chance, count = random.Random(SEED + 2), 3000
    with Receiver() as receiver:
        sink = {"rest": {"url": f"http://127.0.0.1:{receiver.port}/in", "sendSingle": True, "retryInterval": 10}}
        begun(data, base, [("r-1", WINDOW, sink)], count=count, qos=2, checkpointInterval=20)
        killed_at_random(data, chance, (0.0, 0.1), lambda: len(receiver.by_key) >= len(windows(count)))
        assert sorted(receiver.by_key.values(), key=lambda w: w["a"]) == windows(count)
        assert all(key.startswith("r-1/0/") for key in receiver.by_key)
        print(f"{receiver.repeated} repetitions of {len(receiver.by_key)}")


def test_what_http_push_acknowledged_is_not_lost(data, base):
    print(f"SEED={SEED}")
    chance = random.Random(SEED + 3)
    data.stream("pushed", "/push")
    data.rule("r", "SELECT a FROM pushed", file_sink(base / "out"), qos=1, checkpointInterval=10)
    sent = 0
    for _ in range(KILLS):
        for _ in range(chance.randrange(1, 60)):
            data.ok("POST", "/push", {"a": sent})
            sent += 1
        data.kill()
        data.start()
    until("all arrived", lambda: {line["a"] for line in lines(base / "out")} == set(range(sent)), pause=0.05)
    print(f"{len(lines(base / 'out')) - sent} repetitions of {sent}")


@contextlib.contextmanager
def outside_broker(base):
    """mosquitto alone, which outlives `data`."""
    port = free_port()
    (base / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n")
    with open(base / "mosquitto.log", "wb") as log:
        process = subprocess.Popen(["mosquitto", "-c", base / "mosquitto.conf"], stdout=log, stderr=log)
    try:
        until("the broker listens", lambda: subprocess.run(
            ["mosquitto_pub", "-p", str(port), "-t", "x", "-n"], stderr=subprocess.DEVNULL).returncode == 0, pause=0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def ended(status):
    """Whether the sinks got rid of all that they took since the start."""
    counts = {key: n for key, n in status.items() if key.startswith("sink_mqtt")}
    out, = (n for key, n in counts.items() if key.endswith("records_out_total"))
    taken, = (n for key, n in counts.items() if key.endswith("records_in_total"))
    return out == taken


def test_no_message_of_a_broker_is_missing(data, base):
    print(f"SEED={SEED}")
    chance = random.Random(SEED + 4)
    with outside_broker(base) as port:
        conf = json.dumps({"server": f"tcp://127.0.0.1:{port}"})
        data.ok("POST", "/streams", {"sql": f"CREATE STREAM m () WITH (DATASOURCE=\"in/#\", TYPE=\"mqtt\", FORMAT=\"json\", EXTRA='{conf}')"})
        data.rule("r", "SELECT n FROM m", file_sink(base / "out", enableCache=True),
                  {"mqtt": {"server": f"tcp://127.0.0.1:{port}", "topic": "out", "qos": 1, "sendSingle": True}}, qos=1,
                  checkpointInterval=30)
        until("it is connected", lambda: data.status("r")["source_m_0_connection_status"] == 1, pause=0.02)
        subscriber = subprocess.Popen(["mosquitto_sub", "-p", str(port), "-t", "out", "-q", "1"], stdout=subprocess.PIPE, text=True)
        got = Counter()
        reader = threading.Thread(target=lambda: got.update(json.loads(line)["n"] for line in subscriber.stdout))
        reader.start()
        sent = 0
        for _ in range(KILLS):
            part = chance.randrange(1, 400)
            pub = subprocess.Popen(["mosquitto_pub", "-p", str(port), "-t", "in/a", "-q", "1", "-l"], stdin=subprocess.PIPE, text=True)
            pub.stdin.write("".join(f'{{"n": {n}}}\n' for n in range(sent, sent + part)))
            pub.stdin.close()
            time.sleep(chance.uniform(0, 0.06))
            data.kill()
            assert pub.wait() == 0
            data.start()
            sent += part
        try:
            until("all are in the file", lambda: {line["n"] for line in lines(base / "out")} == set(range(sent)), pause=0.05)
            until("all are published", lambda: ended(data.status("r")), pause=0.05)
        finally:
            data.ok("DELETE", "/rules/r")
            subscriber.terminate()
            reader.join()
        assert set(got) == set(range(sent))
        print(f"{sum(got.values()) - sent} repetitions of {sent}")


def test_the_own_broker_keeps_a_session_for_rules_with_qos(make, base):
    port = free_port()
    data = make("--mqtt", f"127.0.0.1:{port}", "--mqtt-anonymous")
    data.stream("m", "in/#", "mqtt")
    data.rule("r", "SELECT n, meta(topic) AS t FROM m", file_sink(base / "out"), qos=2, checkpointInterval=20)

    def connected():
        return data.status("r")["source_m_0_connection_status"] == 1

    for part in range(3):
        until("it is connected", connected, pause=0.02)
        until("the broker listens", lambda: subprocess.run(
            ["mosquitto_pub", "-p", str(port), "-t", "x", "-n"], stderr=subprocess.DEVNULL).returncode == 0, pause=0.05)
        subprocess.run(["mosquitto_pub", "-p", str(port), "-t", "in/a", "-q", "1", "-l"], check=True, text=True,
                       input="".join(f'{{"n": {n}}}\n' for n in range(part * 100, part * 100 + 100)))
        until("all arrived", lambda: count_lines(base / "out") == part * 100 + 100, pause=0.02)
        data.kill()
        data.start()
    until("the file is whole again", lambda: count_lines(base / "out") == 300, pause=0.02)
    assert lines(base / "out") == [{"n": n, "t": "in/a"} for n in range(300)]


def test_a_full_disk_holds_a_rule_up_and_loses_nothing(data, base):
    """A receiver that is down, and a state folder with room for a part of the results: the source waits."""
    disk, count = base / "disk", 150000
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("mounting is not allowed here")
    small = Data(disk)
    try:
        small.start()
        with Server() as server:
            server.status = 503
            numbers(base / "in", count)
            file_stream(small, "numbers", base / "in")
            small.rule("r", "SELECT n, 'some text that takes its place' AS t FROM numbers", {"rest": {
                "url": f"http://127.0.0.1:{server.port}/in", "batchSize": 2000, "enableCache": True, "retryInterval": 20,
                "retryMaxInterval": 100}}, qos=1, checkpointInterval=50)
            until("the disk is full", lambda: "takes no more" in small.status("r")["checkpoint_last_exception"], pause=0.05)
            assert small.status("r")["source_numbers_0_records_in_total"] < count
            server.status = 200
            until("all arrived", lambda: sum(len(b) for b in server.bodies) >= count, pause=0.1)
            assert {row["n"] for body in server.bodies for row in body} == set(range(count))
    finally:
        small.stop()
        subprocess.run(["umount", "-l", disk], check=True)
