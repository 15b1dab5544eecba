# SPDX-License-Identifier: Apache-2.0
"""What eKuiper's users have beside streams and rules: schedules, schemas, lookup tables; in the program `data`."""
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
    assert data.ok("GET", "/rules") == [{"id": "r", "status": "Stopped: waiting for next schedule."}]
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
