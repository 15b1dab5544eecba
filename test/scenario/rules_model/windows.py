# SPDX-License-Identifier: Apache-2.0
"""Windows: which rows are in one, and when it fires.

A window is told of rows and of time, and gives a list of firings (start, end, rows) each time. It keeps
every row it ever saw, and scans them. Times are in ms; a row is (time, source, row).
"""

from . import values

UNIT_MS = {"ms": 1, "ss": 1000, "mi": 60_000, "hh": 3_600_000, "dd": 86_400_000}


class Timed:
    """Tumbling and hopping: a firing at each multiple of `hop` since 1970, of the rows [end - length, end)."""

    def __init__(self, length, hop, begins, before=0):
        self.length, self.hop = length, hop
        self.seen, self.next = [], None
        self.before = before
        self.least = None  # the first window of event time begins with its first row, or a hop `before` it
        if begins is not None:
            self.begin(begins)

    def begin(self, at):
        self.next = at // self.hop * self.hop + self.hop

    def row(self, row, _):
        if self.next is None:  # event time: the first row begins it
            self.begin(row[0])
            self.least = row[0] - self.before
        self.seen.append(row)
        return []

    def time(self, now):
        fired = []
        while self.next is not None and self.next <= now:
            start = self.next - self.length
            fired.append((start if self.least is None else self.least, self.next,
                          [r for r in self.seen if start <= r[0] < self.next]))
            self.least = None
            self.next += self.hop
        return fired


class Sliding:
    """At each row that triggers: the rows of `length` before it, and those until `delay` after it.

    In event time it is told of all rows that go on together before it is told of their time.
    """

    def __init__(self, length, delay, event_time):
        self.length, self.delay, self.event_time = length, delay, event_time
        self.seen, self.waiting = [], []

    def row(self, row, triggers):
        self.seen.append(row)
        if triggers and (self.delay or self.event_time):
            self.waiting.append(row[0] + self.delay)
        elif triggers:
            return [self.firing(row[0], row[0] + 1)]
        return []

    def firing(self, end, before):
        start = end - self.delay - self.length
        return (start, end, [r for r in self.seen if start <= r[0] < before])

    def time(self, now):
        fired = []
        while self.waiting and self.waiting[0] <= now:
            end = self.waiting.pop(0)
            fired.append(self.firing(end, end if self.delay else end + 1))
        return fired


class Count:
    """At each `every`-th row the last `length`, once there are so many."""

    def __init__(self, length, every):
        self.length, self.every = length, every
        self.seen = []

    def row(self, row, _):
        self.seen.append(row)
        if len(self.seen) % self.every or len(self.seen) < self.length:
            return []
        rows = self.seen[-self.length:]
        return [(rows[0][0], rows[-1][0], rows)]

    def time(self, _):
        return []


class Session:
    """Rows with no gap longer than `timeout`, cut at a multiple of `longest` that is so far behind its first.

    By the clock it ends at the time-out or at the cut, whatever comes first. In event time a row exactly at
    the time-out belongs to it still, and only a row of it behind the cut cuts it. The session behind a cut begins there.
    """

    def __init__(self, longest, timeout, event_time):
        self.longest, self.timeout, self.event_time = longest, timeout, event_time
        self.rows, self.start, self.cut, self.continued = [], None, None, None

    def idle(self):
        return self.rows[-1][0] + self.timeout

    def close(self, end, cut):
        fired = [(self.start, end, self.rows)]
        self.continued = (end, self.idle()) if cut else None
        self.rows = []
        return fired

    def row(self, row, _):
        at, fired = row[0], []
        if self.rows and self.event_time and at > self.idle():
            fired = self.close(self.idle(), False)
        elif self.rows and self.event_time and at >= self.cut:
            fired = self.close(self.cut, True)
        if not self.rows:
            self.start = self.continued[0] if self.continued and at <= self.continued[1] else at
            self.cut = (at + self.longest - (0 if self.event_time else 1)) // self.longest * self.longest + self.longest
            self.continued = None
        self.rows.append(row)
        return fired

    def time(self, now):
        if not self.rows:
            return []
        if self.event_time:
            return self.close(self.idle(), False) if now > self.idle() else []
        if now >= self.cut and self.cut <= self.idle():
            return self.close(self.cut, True)
        return self.close(self.idle(), False) if now >= self.idle() else []


class State:
    """From a row that meets `begin` to a later one that meets `emit`; without `emit` up to the next that meets `begin`.

    Rows that `wants` does not want are left out of it, but begin and end it as others do.
    """

    def __init__(self, begins, emits, wants):
        self.begins, self.emits, self.wants = begins, emits, wants  # functions of a row
        self.start, self.rows = None, []

    def close(self, end):
        fired, self.start, self.rows = [(self.start, end, self.rows)], None, []
        return [f for f in fired if f[2]]

    def row(self, row, _):
        fired = []
        if self.start is None:
            if not self.begins(row):
                return []
            self.start = row[0]
        elif self.emits is None and self.begins(row):
            fired = self.close(row[0])
            self.start = row[0]
        elif self.emits is not None and self.emits(row):
            return self.take(row).close(row[0])
        self.take(row)
        return fired

    def take(self, row):
        self.rows += [row] if self.wants(row) else []
        return self

    def time(self, _):
        return []


class Partitioned:
    """A window of its own for each value of PARTITION BY."""

    def __init__(self, key_of, make):
        self.key_of, self.make = key_of, make  # of a row; of a window
        self.parts = []

    def row(self, row, triggers):
        key = self.key_of(row)
        part = next((w for k, w in self.parts if values.same(k, key)), None)
        if part is None:
            self.parts.append((key, part := self.make()))
        return part.row(row, triggers)

    def time(self, _):
        return []
