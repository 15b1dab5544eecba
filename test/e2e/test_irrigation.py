# SPDX-License-Identifier: Apache-2.0
"""The example examples/irrigation, run faster than it is meant to be looked at: one command, and what it prints."""
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from objects import BUILD, ROOT

LINE = re.compile(r"command (\w+): (\w+) moisture=([0-9.]+) rain=([0-9.]+)")
LOW, HIGH = 22, 35  # the marks of ruleset.json


def example(base, *options):
    """Starts it with its temporary folder inside base."""
    return subprocess.Popen([ROOT / "examples/irrigation/run", "--build", BUILD, "--speed", "6", *options],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": str(base)})


@pytest.fixture
def base():
    path = Path(tempfile.mkdtemp(prefix="selvedge-ex-"))  # short: the broker's socket lies below
    path.chmod(0o711)  # the broker may run as a user of its own
    yield path
    left = list(path.iterdir())
    shutil.rmtree(path)
    assert not left, "the example left something behind"


def commands(text):
    return [(zone, word, float(moisture), float(rain)) for zone, word, moisture, rain in LINE.findall(text)]


def test_valves_follow_the_marks_and_the_rain_and_a_stuck_one_is_reported(base):
    process = example(base, "--seconds", "10", "--stuck", "south")
    text = process.communicate()[0]
    assert process.returncode == 0, text
    seen = commands(text)
    for zone, word, moisture, rain in seen:
        if word == "open":
            assert moisture < LOW and rain == 0, (zone, text)
        else:
            assert word == "close" and (moisture > HIGH or rain > 0), (zone, text)
    for zone in ("north", "middle", "south"):  # between the marks nothing is said twice
        words = [word for name, word, *_ in seen if name == zone]
        assert words and all(a != b for a, b in zip(words, words[1:])), text
    assert any(word == "open" for _, word, *_ in seen), text
    assert any(word == "close" and moisture > HIGH and rain == 0 for _, word, moisture, rain in seen), text
    assert any(word == "close" and moisture < HIGH and rain > 0 for _, word, moisture, rain in seen), text
    assert "valve north: opened" in text and "valve north: closed" in text
    assert "valve south" not in text
    alerts = re.findall(r"ALERT (\w+): no answer to (\w+)", text)
    assert ("south", "open") in alerts and {zone for zone, _ in alerts} == {"south"}, text


def test_ctrl_c_ends_it_and_leaves_nothing(base):
    process = example(base)
    for line in process.stdout:
        if line.startswith("rules: "):
            break
    process.send_signal(signal.SIGINT)
    rest = process.communicate()[0]
    assert process.returncode == 0, rest
    assert "Traceback" not in rest and "ALERT" not in rest
