#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""MQTT into the ring of the node's broker, on loopback, 93-byte payloads, one publisher.

Rates: a publisher that costs little floods the broker until it has taken the last message. "Alone" is the same
mosquitto with the plugin where no rule asked for the topic; "ring" has every message handed to a reader that only
counts. Not included: rules. The machine's cores are shared by publisher, broker and reader.
Latency: from the publisher's clock before the write to the reader's callback.
"""
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from objects import BUILD  # noqa: E402
from test_mqtt import Broker  # noqa: E402

FLOOD = BUILD / "src/part/data/broker_flood"
SIZE, RUNS = 93, 5


def flood(broker, qos, count, rate=0):
    done = subprocess.run([FLOOD, *map(str, (broker.port, qos, count, SIZE, rate))], capture_output=True, check=True)
    answer = json.loads(done.stdout)
    return answer["sent"] / answer["seconds"]


def rates(broker, qos, count):
    """Medians of (alone, into the ring), and how many were dropped. The two take turns."""
    figures = {"alone": [], "ring": []}
    before = broker.status()["dropped"]
    for _ in range(RUNS):
        for name, topic in (("alone", "other"), ("ring", "bench")):
            broker.topics(topic)
            figures[name].append(flood(broker, qos, count))
    return (statistics.median(figures["alone"]), statistics.median(figures["ring"]),
            broker.status()["dropped"] - before)


def main():
    base = Path(tempfile.mkdtemp(prefix="selvedge-mqtt-bench-"))
    base.chmod(0o711)
    broker = Broker(base, anonymous="true", quiet="true", ephemeral="true")
    try:
        for qos, count in ((0, 400000), (1, 100000)):
            alone, ring, dropped = rates(broker, qos, count)
            print(f"MQTT QoS {qos}, broker alone".ljust(40), f"{alone:,.0f} messages/s   (median of {RUNS} x {count})")
            print(f"MQTT QoS {qos}, into the ring".ljust(40), f"{ring:,.0f} messages/s   ({ring / alone:.1%} of the broker "
                  f"alone, {dropped} dropped)")
        broker.topics("bench")
        for rate, count in ((1000, 5000), (50000, 250000)):
            broker.ask("latency")
            flood(broker, 0, count, rate)
            broker.ask("count")
            t = broker.ask("latency")
            print(f"publisher to ring's reader, {rate}/s".ljust(40), f"p50 {t['p50']} us   p99 {t['p99']} us   p99.9 "
                  f"{t['p999']} us   ({t['samples']} messages)")
        rss = next(line.split()[1] for line in Path(f"/proc/{broker.status()['pid']}/status").read_text().splitlines()
                   if line.startswith("VmRSS"))
        print("memory of the broker afterwards".ljust(40), f"{int(rss) / 1024:.1f} MB RSS")
    finally:
        broker.stop()
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
