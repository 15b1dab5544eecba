# SPDX-License-Identifier: Apache-2.0
"""A rule over a list of events. A rule is a dict:

    id, options {isEventTime, lateTolerance, ...}
    fields      [(expression or "*", alias or None)]
    sources     [(stream, alias)], joins [(kind, on)] between them
    inner       None, or the rule that is the only source;  union  None, or the rules it consists of
    where, group [expressions], having, order [(expression, descending)], limit, distinct
    window      None, or a dict: kind, unit, length, second, filter, when, begin, emit, partition
"""
import itertools

from . import expressions, functions, values, windows
from .expressions import Scope, evaluate, sql
from .values import Wrong

TIMED = ("tumbling", "hopping", "sliding", "session")


# ---- as SQL ----

def window_sql(w):
    args = ([sql(w["begin"])] + ([sql(w["emit"])] if w.get("emit") else []) if w["kind"] == "state" else
            ([w["unit"]] if w["kind"] != "count" else []) + [str(w["length"])]
            + ([str(w["second"])] if w.get("second") else []))
    return (f"{w['kind'].upper()}WINDOW({', '.join(args)})"
            + (f" FILTER (WHERE {sql(w['filter'])})" if w.get("filter") else "")
            + (f" OVER (WHEN {sql(w['when'])})" if w.get("when") else "")
            + (f" OVER (PARTITION BY {expressions.list_sql(w['partition'])})" if w.get("partition") else ""))


def from_sql(rule):
    text = f"({statement(rule['inner'])}) AS " if rule.get("inner") else ""
    for i, (stream, alias) in enumerate(rule["sources"]):
        join = rule["joins"][i - 1] if i else None
        text += (f" {join[0].upper()} JOIN " if join else "") + stream + (f" AS {alias}" if alias != stream else "")
        text += f" ON {sql(join[1])}" if join and join[1] else ""
    return text


def statement(rule):
    if rule.get("union"):
        return " UNION ALL ".join(statement(r) for r in rule["union"])
    fields = ", ".join(e if e == "*" else sql(e) + (f" AS {expressions.name_sql(a)}" if a else "")
                       for e, a in rule["fields"])
    group = [sql(e) for e in rule["group"]] + ([window_sql(rule["window"])] if rule["window"] else [])
    order = [sql(e) + (" DESC" if d else "") for e, d in rule["order"]]
    return (f"SELECT {'DISTINCT ' if rule['distinct'] else ''}{fields} FROM {from_sql(rule)}"
            + (f" WHERE {sql(rule['where'])}" if rule["where"] else "")
            + (f" GROUP BY {', '.join(group)}" if group else "")
            + (f" HAVING {sql(rule['having'])}" if rule["having"] else "")
            + (f" ORDER BY {', '.join(order)}" if order else "")
            + (f" LIMIT {rule['limit']}" if rule["limit"] is not None else ""))


# ---- at work ----

class Rule:
    """on_rows(rows, time) gets each emission; without a window that is one row."""

    def __init__(self, rule, tables, start, on_rows):
        self.rule, self.tables, self.on_rows = rule, tables, on_rows
        self.event_time = bool(rule["options"].get("isEventTime"))
        self.window = self.make_window(rule["window"], None if self.event_time else start) if rule["window"] else None
        self.aliases = {a: e for e, a in rule["fields"] if a}
        every = [e for e, _ in rule["fields"] if e != "*"] + [rule["where"], rule["having"]]
        every += rule["group"] + [e for e, _ in rule["order"]]
        if rule["window"]:
            every += [rule["window"].get(x) for x in ("filter", "when", "begin", "emit")]
        self.analytic = [x for e in every for x in expressions.walk(e) if x[0] == "analytic"]
        self.aggregates = [x for e in every for x in expressions.walk(e) if x[0] == "aggregate"]
        self.grouped = bool(rule["group"] or self.aggregates)
        self.taken_in = {}   # id(analytic) -> [(partition, [arguments])]
        self.computed = {}   # id(row) -> {id(analytic): value}
        self.kept = []       # rows, so that their ids stay theirs
        self.waiting = []    # event time: (time, number, source, row)
        self.newest = {}     # event time: alias -> the greatest time
        self.watermark = None

    def make_window(self, w, start):
        ms = windows.UNIT_MS.get(w.get("unit"), 1)
        if w["kind"] == "tumbling":
            return windows.Timed(w["length"] * ms, w["length"] * ms, start)
        if w["kind"] == "hopping":
            return windows.Timed(w["length"] * ms, w["second"] * ms, start, w["second"] * ms)
        if w["kind"] == "sliding":
            return windows.Sliding(w["length"] * ms, w.get("second", 0) * ms, self.event_time)
        if w["kind"] == "count":
            return windows.Count(w["length"], w.get("second") or w["length"])
        if w["kind"] == "session":
            return windows.Session(w["length"] * ms, w["second"] * ms, self.event_time)

        def meets(e):
            return lambda row: self.holds(e, self.scope_of(row))
        def state():
            return windows.State(meets(w["begin"]), meets(w["emit"]) if w.get("emit") else None, meets(w.get("filter")))

        if w.get("partition"):
            return windows.Partitioned(lambda row: [evaluate(e, self.scope_of(row)) for e in w["partition"]], state)
        return state()

    # -- scopes --

    def scope_of(self, row):
        return self.scope({row[1]: row[2]})

    def scope(self, rows, **more):
        first = rows.get(self.rule["sources"][0][1])
        return Scope(rows, self.computed.get(id(first), {}), aliases=self.aliases, **more)

    @staticmethod
    def holds(e, scope):
        """A condition of a row: an error is told, and the row goes."""
        try:
            return e is None or values.truth(evaluate(e, scope))
        except Wrong:
            return False

    # -- rows in --

    def event(self, stream, rows, at):
        """Rows of a stream that come together; `ts` is a row's own time, `at` that of its arrival."""
        for name, alias in self.rule["sources"]:
            if name != stream or name in self.tables:
                continue
            for row in rows:
                row = dict(row)
                self.kept.append(row)
                if self.event_time:
                    self.wait(alias, row, row["ts"])
                else:
                    self.take(alias, row, at)
        if self.waiting and self.watermark is not None:
            self.release()

    def wait(self, alias, row, time):
        if self.watermark is not None and time < self.watermark:
            self.release()  # what came together before a late row goes on first
            return
        self.waiting.append((time, len(self.kept), alias, row))
        self.newest[alias] = max(time, self.newest.get(alias, time))
        streams = [a for name, a in self.rule["sources"] if name not in self.tables]
        if len(self.newest) == len(streams):
            self.watermark = min(self.newest.values()) - self.rule["options"].get("lateTolerance", 0)

    def release(self):
        due = sorted((w for w in self.waiting if w[0] <= self.watermark), key=lambda w: w[:2])
        self.waiting = [w for w in self.waiting if w[0] > self.watermark]
        for time, _, alias, row in due:
            self.time(time - 1)
            self.take(alias, row, time)
        self.time(self.watermark)

    def take(self, alias, row, time):
        if alias == self.rule["sources"][0][1] and self.analytic and not self.analyse(row, alias):
            return
        scope = self.scope_of((time, alias, row))
        if not self.wanted_before_joins(alias, scope):
            return
        if self.window is None:
            self.alone((time, alias, row), scope)
            return
        w = self.rule["window"]
        if not self.where_after() and not self.holds(self.rule["where"], scope):
            return
        if w["kind"] != "state" and not self.holds(w.get("filter"), scope):
            return
        triggers = self.holds(w.get("when"), scope)
        for fired in self.window.row((time, alias, row), triggers):
            self.fire(*fired)

    def wanted_before_joins(self, alias, scope):
        """What WHERE asks of the first source alone is asked before it is joined, where rows do not make the window."""
        first = self.rule["sources"][0][1]
        if (not self.rule["joins"] or alias != first or any(kind in ("right", "full") for kind, _ in self.rule["joins"])
                or (self.rule["window"] or {}).get("kind") in ("count", "sliding", "state")):
            return True
        return all(self.holds(c, scope) for c in expressions.conjuncts(self.rule["where"])
                   if all(x[1] == first for x in expressions.walk(c) if x[0] == "field"))

    def alone(self, row, scope):
        """Without a window each row is its own result, joined to tables."""
        if len(self.rule["sources"]) > 1:
            try:
                tuples = [s for s in self.joined([row]) if self.holds(self.rule["where"], s)]
            except Wrong:
                return
            if tuples:
                self.emit(tuples, row[0])
        elif self.holds(self.rule["where"], scope):
            self.emit([scope], row[0])

    def joined(self, rows):
        """The tuples of a window: source after source is joined to what stands left of it."""
        names = [alias for _, alias in self.rule["sources"]]
        left = [{names[0]: r[2]} for r in rows if r[1] == names[0]]
        for (stream, name), (kind, on) in zip(self.rule["sources"][1:], self.rule["joins"]):
            right = [{name: r} for r in self.tables[stream]] if stream in self.tables else [
                {name: r[2]} for r in rows if r[1] == name]
            pairs = [(x, y) for x in left for y in right
                     if on is None or values.truth(evaluate(on, self.scope({**x, **y})))]
            left = self.pairs_to_tuples(kind, left, right, pairs)
        return [self.scope({n: t.get(n) for n in names}) for t in left]

    @staticmethod
    def pairs_to_tuples(kind, left, right, pairs):
        """By left tuple, then by right row; RIGHT the other way round; FULL with its lone right rows at the end."""
        made = []
        for one in right if kind == "right" else left:
            found = [{**x, **y} for x, y in pairs if one is (y if kind == "right" else x)]
            made += found or ([one] if kind in ("left", "right", "full") else [])
        if kind == "full":
            made += [y for y in right if not any(y is z for _, z in pairs)]
        return made

    def time(self, now):
        for fired in self.window.time(now) if self.window else []:
            self.fire(*fired)

    def where_after(self):
        """Rows make these windows, whether they meet WHERE or not; and WHERE is of joined rows."""
        return self.rule["window"]["kind"] in ("count", "sliding", "state") or len(self.rule["sources"]) > 1

    def analyse(self, row, alias):
        """Analytic functions see every row before WHERE, in order."""
        computed = self.computed[id(row)] = {}
        scope = Scope({alias: row}, computed, aliases=self.aliases)
        try:
            for e in self.analytic:
                _, name, args, partition, when = e
                taken = self.taken_in.setdefault(id(e), [])
                arguments = [evaluate(a, scope) for a in args]
                key = [evaluate(p, scope) for p in partition]
                before = [a for k, a in taken if values.same(k, key)]
                if when is None or values.truth(evaluate(when, scope)):
                    computed[id(e)] = functions.ANALYTIC[name](before, arguments)
                    taken.append((key, arguments))
                else:
                    computed[id(e)] = functions.SKIPPED[name](before, arguments)
            return True
        except Wrong:
            return False

    # -- results out --

    def fire(self, start, end, rows):
        joins = len(self.rule["sources"]) > 1
        try:
            tuples = self.joined(rows) if joins else [self.scope_of(r) for r in rows]
        except Wrong:
            return  # the join of the window
        if self.where_after():
            tuples = [s for s in tuples if self.holds(self.rule["where"], s)]
            if (rows or joins) and not tuples:
                return
        for s in tuples:
            s.range = (start, end)
        if self.grouped:
            tuples = self.groups(tuples, (start, end))
            if not tuples and self.rule["group"]:
                return
        self.emit(tuples, end)

    def groups(self, tuples, range_):
        """A row whose key fails is in no group."""
        groups = []
        for s in tuples:
            try:
                key = [evaluate(e, s) for e in self.rule["group"]]
            except Wrong:
                continue
            found = next((g for k, g in groups if values.same(k, key)), None)
            if found is None:
                groups.append((key, found := []))
            found.append(s)
        if not groups and not self.rule["group"]:
            return [self.scope({}, group=[], range_=range_)]
        return [Scope(g[0].rows, g[0].computed, group=g, range_=range_, aliases=self.aliases) for _, g in groups]

    def emit(self, tuples, time):
        try:
            rows = self.finish(tuples)
        except Wrong:
            return
        if rows or not tuples:
            self.on_rows(rows, time)

    def finish(self, tuples):
        rule = self.rule
        if rule["having"]:
            tuples = [s for s in tuples if values.truth(evaluate(rule["having"], s))]
        keyed = [([values.order_key(evaluate(e, s)) for e, _ in rule["order"]], s) for s in tuples]
        for i, (_, descending) in reversed(list(enumerate(rule["order"]))):
            if len({k[i][0] for k, _ in keyed} - {0}) > 1:
                raise Wrong("kinds that cannot be ordered")
            keyed.sort(key=lambda pair, i=i: pair[0][i], reverse=descending)
        rows = [row for _, s in keyed for row in self.project(s)]
        if rule["distinct"]:
            rows = functions.distinct(rows)
        return rows if rule["limit"] is None else rows[:rule["limit"]]

    def project(self, scope):
        """A row, or with unnest one for each item; of two columns of one name the later stands."""
        columns = []
        for e, alias in self.rule["fields"]:
            if e == "*":
                columns.append([dict(sum((list((part or {}).items()) for part in scope.rows.values()), []))])
            elif e[0] == "unnest":
                items = evaluate(e[1], scope)
                if not isinstance(items, list):
                    raise Wrong(f"unnest({items!r})")
                columns.append([x if isinstance(x, dict) else {alias: x} for x in items])
            else:
                columns.append([{alias or e[2]: evaluate(e, scope)}])
        return [{k: v for part in parts for k, v in part.items()} for parts in itertools.product(*columns)]


class Union:
    """UNION ALL, each row to one branch after the other."""

    def __init__(self, branches):
        self.branches = branches
        self.event_time = any(b.event_time for b in branches)

    def event(self, stream, rows, at):
        for b in self.branches:
            b.event(stream, rows, at)

    def time(self, now):
        for b in self.branches:
            b.time(now)


class Nested:
    """A query over the results of another, which is its source `name`."""

    def __init__(self, inner, outer):
        self.inner, self.outer = inner, outer
        self.event_time = inner.event_time

    def event(self, stream, rows, at):
        self.inner.event(stream, rows, at)

    def time(self, now):
        self.inner.time(now)
        self.outer.time(now)


def model_of(rule, tables, start, on_rows):
    if rule.get("union"):
        return Union([model_of(r, tables, start, on_rows) for r in rule["union"]])
    outer = Rule(rule, tables, start, on_rows)
    if not rule.get("inner"):
        return outer
    name = rule["sources"][0][0]
    return Nested(model_of(rule["inner"], tables, start, lambda rows, time: outer.event(name, rows, time)), outer)
