# SPDX-License-Identifier: Apache-2.0
"""Rules, streams and events from a seed.

Expressions are made for a kind (number, string, boolean, array, struct), so that most rules compute
something; a few are of any kind, and a few fields of events are of another kind than their name says.
"""
import json

from . import expressions

START = 1_541_152_486_000  # ms; a whole second
TEXTS = ["", "a", "red", "Green", "blue blue", "\u00e4\u00f6\u00fc", "\u65e5\u672c\u8a9e", "\U0001f600", "x'y", 'q"z',
         "a_b%c", "tab\tnew\nline", "0", "12", "null", "\u0000z"[1:], "zz" * 20]
INTS = [0, 1, -1, 2, 3, 7, 10, 100, -100, 2 ** 31, 2 ** 53 + 1, 2 ** 63 - 1, -2 ** 63, 10 ** 25]
FLOATS = [0.5, -0.5, 1.0, 2.25, 1e-300, 1e300, -1e18, 0.1, 3.0e10, 123456.789]
KINDS = {"k": "string", "i": "number", "f": "number", "s": "string", "b": "boolean", "a": "array", "o": "struct"}
TYPES = {"k": "string", "i": "bigint", "f": "float", "s": "string", "b": "boolean", "ts": "bigint"}  # of the stream s3
DEFAULTS = {"i": 7, "k": "none"}
COMPARISONS = ["=", "!=", "<", "<=", ">", ">="]


def chance(r, p):
    return r.random() < p


class Expressions:
    """`fields` are (source or None, name, kind). `depth` bounds an expression."""

    def __init__(self, r, fields):
        self.r, self.fields = r, fields

    def of(self, kind, depth=2):
        if chance(self.r, 0.02):
            kind = self.r.choice(["number", "string", "boolean", "array", "struct"])
            return self.field(kind) or self.constant("null")
        if depth <= 0 or chance(self.r, 0.3):
            return self.leaf(kind)
        return getattr(self, kind)(depth - 1)

    def field(self, kind):
        of_kind = [f for f in self.fields if f[2] == kind]
        return ("field",) + self.r.choice(of_kind)[:2] if of_kind else None

    def leaf(self, kind):
        found = self.field(kind)
        if found and (kind in ("array", "struct") or chance(self.r, 0.75)):
            return found
        return self.constant(kind)

    def constant(self, kind):
        r = self.r
        if kind == "null" or chance(r, 0.03):
            return ("const", None)
        if kind == "number":
            return ("const", r.choice([0, 1, 2, 3, 5, 10, 100, 2 ** 53, 0.5, 2.5, 1e10, 0.1]))
        if kind == "string":
            return ("const", r.choice(TEXTS[:-2]))
        if kind == "boolean":
            return ("const", chance(r, 0.5))
        if kind == "array":
            return ("call", "array_create", [self.constant(r.choice(["number", "string"])) for _ in range(r.randint(1, 3))])
        return ("call", "object_construct", [("const", "x"), self.constant("number"), ("const", "y"), self.constant("string")])

    def number(self, d):
        r, of = self.r, self.of
        return r.choice([
            lambda: ("binary", r.choice("+-*/%+-*"), of("number", d), of("number", d)),
            lambda: ("binary", r.choice("+-*"), of("number", d), of("number", d)),
            lambda: ("minus", of("number", d)),
            lambda: ("call", r.choice(["abs", "floor", "ceil", "round", "sign"]), [of("number", d)]),
            lambda: ("call", "numbytes", [of("string", d)]),
            lambda: ("call", "indexof", [of("string", d), of("string", d)]),
            lambda: ("call", "array_cardinality", [of("array", d)]),
            lambda: ("call", "coalesce", [of("number", d), of("number", d)]),
            lambda: ("member", self.leaf("struct"), "x"),
            lambda: ("item", self.leaf("array"), ("const", r.randint(0, 3))),
            lambda: self.case("number", d),
        ])()

    def string(self, d):
        r, of = self.r, self.of
        return r.choice([
            lambda: ("call", r.choice(["upper", "reverse"]), [of("string", d)]),
            lambda: ("call", "coalesce", [of("string", d), of("string", d)]),
            lambda: ("member", self.leaf("struct"), "y"),
            lambda: self.case("string", d),
        ])()

    def boolean(self, d):
        r, of = self.r, self.of
        kind = r.choice(["number", "number", "string"])
        return r.choice([
            lambda: ("binary", r.choice(COMPARISONS), of(kind, d), of(kind, d)),
            lambda: ("binary", r.choice(COMPARISONS), self.leaf(kind), self.constant(kind)),
            lambda: ("and", of("boolean", d), of("boolean", d)),
            lambda: ("or", of("boolean", d), of("boolean", d)),
            lambda: ("not", of("boolean", d)),
            lambda: ("null?", chance(r, 0.5), of(r.choice(list(KINDS.values())), d)),
            lambda: ("between", chance(r, 0.3), of(kind, d), self.constant(kind), self.constant(kind)),
            lambda: ("in", chance(r, 0.3), of(kind, d), [self.constant(kind) for _ in range(r.randint(1, 4))]),
            lambda: ("like", chance(r, 0.3), of("string", d), r.choice(["%", "a%", "%e%", "_", "__%", "a\\_b\\%c", "%\u00f6%"])),
            lambda: ("call", r.choice(["startswith", "endswith"]), [of("string", d), of("string", d)]),
        ])()

    def array(self, d):
        r, of = self.r, self.of
        return r.choice([
            lambda: ("call", "array_create", [of(r.choice(["number", "string"]), d) for _ in range(r.randint(1, 3))]),
            lambda: ("call", "array_distinct", [of("array", d)]),
            lambda: ("call", "array_concat", [of("array", d), of("array", d)]),
            lambda: ("slice", self.leaf("array"), ("const", r.randint(0, 1)), r.choice([None, ("const", 2), ("const", -1)])),
        ])()

    def struct(self, d):
        return ("call", "object_construct", [("const", "x"), self.of("number", d), ("const", "y"), self.of("string", d)])

    def case(self, kind, d):
        r = self.r
        otherwise = self.of(kind, d) if chance(r, 0.7) else None
        if chance(r, 0.3):
            return ("case", self.leaf("string"), [(self.constant("string"), self.of(kind, d)) for _ in range(2)], otherwise)
        return ("case", None, [(self.boolean(d), self.of(kind, d)) for _ in range(r.randint(1, 2))], otherwise)


# ---- events ----

def value(r, kind):
    if chance(r, 0.06):
        return None
    if chance(r, 0.03):
        kind = r.choice(list(KINDS.values()))
    if kind == "number":
        return r.choice([lambda: r.randint(-5, 20), lambda: r.choice(INTS), lambda: r.choice(FLOATS),
                         lambda: round(r.uniform(-50, 50), 2), lambda: r.randint(-5, 20)])()
    if kind == "string":
        return r.choice(TEXTS)
    if kind == "boolean":
        return chance(r, 0.5)
    if kind == "array":
        return [value(r, r.choice(["number", "string"])) for _ in range(r.randint(0, 4))]
    return {"x": value(r, "number"), "y": value(r, "string")} if chance(r, 0.8) else {}


def row(r):
    made = {"k": r.choice(["a", "b", "c", "\u00e4"]), "i": r.randint(-5, 20), "f": round(r.uniform(-50, 50), 2)}
    for name, kind in KINDS.items():
        if name not in made or chance(r, 0.15):
            made[name] = value(r, kind)
        if chance(r, 0.05):
            made.pop(name, None)
    return made


def events(r, streams, n):
    """(stream, at, rows): times of rows are out of order, some too late; some rows come twice."""
    at, made = START + r.randint(0, 999), []
    for _ in range(n):
        at += r.choice([0, 1, 5, 20, 50, 100, 100, 250, 250, 400, 999, r.randint(0, 300), 2500 if chance(r, 0.05) else 10])
        rows = []
        for _ in range(1 if chance(r, 0.85) else r.randint(2, 5)):
            made_row = row(r)
            made_row["ts"] = at - (r.choice([0, 0, 0, 10, 100, 300, 700, 1500, 5000]) if chance(r, 0.5) else 0)
            rows.append(made_row)
        made.append((r.choice(streams), at, rows))
        if chance(r, 0.05):
            made.append(made[-1])
    return made


def event_text(r, rows):
    texts = [json.dumps(x, ensure_ascii=chance(r, 0.5)) for x in rows]
    return texts[0] if len(texts) == 1 else "[" + ",".join(texts) + "]"


# ---- rules ----

def window(r, x, event_time):
    kind = r.choice(["tumbling", "tumbling", "hopping", "sliding", "session", "count", "state"])
    w = {"kind": kind}
    if kind == "count":
        w["length"] = r.randint(1, 6)
        if chance(r, 0.5):
            w["second"] = r.randint(1, w["length"])
    elif kind == "state":
        w["begin"] = x.boolean(1)
        if chance(r, 0.6):
            w["emit"] = x.boolean(1)
        if x.field("string") and chance(r, 0.4):
            w["partition"] = [x.field("string")]
    else:
        w["unit"] = "ms" if chance(r, 0.6) else "ss"
        unit = 100 if w["unit"] == "ms" else 1
        w["length"] = unit * r.choice([1, 2, 3, 5, 7, 10] if unit > 1 else [1, 2, 3, 5])
        if kind == "hopping":
            w["second"] = unit * r.randint(1, w["length"] // unit)
        elif kind == "session":
            w["second"] = unit * r.randint(1, 3)
        elif kind == "sliding" and not event_time:
            w["second"] = r.choice([0, 0, 50 * unit if unit > 1 else 1])
            w["when"] = x.boolean(1) if chance(r, 0.4) else None
    if chance(r, 0.25):
        w["filter"] = x.boolean(1)
    return w


def aggregate(r, x):
    name = r.choice(["count", "count", "sum", "avg", "min", "max", "collect", "last_value", "stddev", "vars", "median"])
    args = [] if name == "count" and chance(r, 0.5) else [x.leaf("number")]
    if name == "last_value":
        args.append(("const", chance(r, 0.5)))
    if name == "collect":
        args = [x.leaf(r.choice(["number", "string"]))]
    distinct = bool(args) and name in ("count", "sum", "collect") and chance(r, 0.2)
    return ("aggregate", name, args, distinct, x.boolean(1) if chance(r, 0.2) else None)


def analytic(r, x):
    name = r.choice(["lag", "latest", "had_changed", "changed_col", "acc_sum", "acc_count", "acc_max"])
    v = x.leaf(r.choice(["number", "string"]) if name in ("lag", "latest", "had_changed", "changed_col") else "number")
    args = {"lag": lambda: [v] + ([("const", r.randint(1, 3))] + ([("const", -9)] if chance(r, 0.5) else [])
                                  if chance(r, 0.6) else []),
            "latest": lambda: [v] + ([("const", "none")] if chance(r, 0.3) else []),
            "had_changed": lambda: [("const", chance(r, 0.5)), v] + ([x.leaf("number")] if chance(r, 0.3) else []),
            "changed_col": lambda: [("const", chance(r, 0.5)), v]}.get(name, lambda: [v])()
    partition = [x.field("string") or x.leaf("string")] if chance(r, 0.4) else []
    return ("analytic", name, args, partition, x.boolean(1) if chance(r, 0.3) else None)


def empty_rule(sources):
    return {"id": "", "options": {"sendNilField": True}, "fields": [], "sources": sources, "joins": [], "where": None,
            "group": [], "window": None, "having": None, "order": [], "limit": None, "distinct": False}


def simple(r, stream, kinds=None):
    """One stream, with or without a window, grouped or not."""
    if stream == "s3":
        kinds = {n: k for n, k in KINDS.items() if n in TYPES}
    kinds = kinds or KINDS
    x = Expressions(r, [(None, n, k) for n, k in kinds.items()])
    event_time = kinds is KINDS and chance(r, 0.4)
    made = empty_rule([(stream, stream)])
    made["where"] = x.boolean(2) if chance(r, 0.5) else None
    if event_time:
        made["options"].update(isEventTime=True, lateTolerance=r.choice([0, 0, 100, 500, 1000]))
    if chance(r, 0.7):
        made["window"] = window(r, x, event_time)
    if made["window"] and chance(r, 0.65):
        grouped(r, x, made)
    else:
        plain(r, x, made)
    return made


def plain(r, x, made):
    made["fields"] = [(x.of(r.choice(["number", "number", "string", "boolean", "array", "struct"])), f"c{i}")
                      for i in range(r.randint(1, 4))]
    if chance(r, 0.15) and made["sources"][0][0] != "s3":
        made["fields"] = [("*", None)]
    elif chance(r, 0.25):
        made["fields"].append((analytic(r, x), "an"))
    elif chance(r, 0.1):
        made["fields"].append((("unnest", x.leaf("array")), "u"))
    if made["window"] and chance(r, 0.3):
        made["order"] = [(x.of(r.choice(["number", "string"]), 1), chance(r, 0.5)) for _ in range(r.randint(1, 2))]
    if made["window"] and chance(r, 0.2):
        made["limit"] = r.randint(0, 4)
    made["distinct"] = bool(made["window"]) and len(made["fields"]) < 3 and made["fields"][0][0] != "*" and chance(r, 0.2)


def joined(r):
    """Two streams in a window, or streams with a table."""
    first, second = r.choice([("s1", "s2"), ("s2", "s1"), ("s1", "t"), ("s2", "t")])
    made = empty_rule([(first, first), (second, r.choice([second, "other"]))])
    names = [alias for _, alias in made["sources"]]
    x = Expressions(r, [(n, f, k) for n in names for f, k in KINDS.items()])
    equal = ("binary", "=", ("field", names[0], "k"), ("field", names[1], "k"))
    near = ("binary", r.choice(["<", ">=", "="]), ("field", names[0], "i"), ("field", names[1], "i"))
    kind = r.choice(["inner", "left", "right", "full", "cross"] if second != "t" else ["inner", "left"])
    made["joins"] = [(kind, None if kind == "cross" else r.choice([equal, equal, ("and", equal, near), near]))]
    made["where"] = x.boolean(1) if chance(r, 0.4) else None
    if second != "t" or chance(r, 0.5):
        event_time = chance(r, 0.4)
        made["window"] = window(r, Expressions(r, [(names[0], f, k) for f, k in KINDS.items()]), event_time)
        made["window"] = {k: v for k, v in made["window"].items() if k not in ("filter", "when")}
        if made["window"]["kind"] == "state":
            made["window"] = {"kind": "count", "length": 4}
        if event_time:
            made["options"].update(isEventTime=True, lateTolerance=r.choice([0, 100, 500, 1000]))
    if made["window"] and chance(r, 0.5):
        grouped(r, x, made)
    else:
        made["fields"] = [(x.of(r.choice(["number", "string", "boolean"])), f"c{i}") for i in range(r.randint(1, 4))]
    return made


def nested(r, stream):
    """A query over the rows of another."""
    inner = simple(r, stream)
    while inner["options"].get("isEventTime") or inner["fields"][0][0] == "*" or (
            inner["window"] and inner["window"]["kind"] not in ("tumbling", "hopping", "count")):
        inner = simple(r, stream)
    inner["fields"] = [f for f in inner["fields"] if f[0][0] != "unnest"] or [(("const", 1), "c0")]
    kinds = {alias: r.choice(["number", "string"]) if e[0] != "binary" else "number" for e, alias in inner["fields"]}
    made = simple(r, "q", kinds)
    while made["window"] and made["window"]["kind"] not in ("tumbling", "hopping", "count"):
        made = simple(r, "q", kinds)
    made["inner"] = inner
    made["fields"] = [(e, alias and "o" + alias) for e, alias in made["fields"]]  # an alias hides the field of its name
    return made


def union(r, streams):
    branches = []
    while len(branches) < 2:
        one = simple(r, r.choice(streams))
        if not one["window"] and not one["options"].get("isEventTime"):
            branches.append(one)
    return {**empty_rule(branches[0]["sources"]), "union": branches}


def rule(r, number, streams):
    made = r.choice([lambda: simple(r, r.choice(streams))] * 6 + [lambda: joined(r)] * 2
                    + [lambda: nested(r, r.choice(streams)), lambda: union(r, streams)])()
    return {**made, "id": f"r{number}"}


def grouped(r, x, made):
    keys = [x.leaf(r.choice(["string", "boolean"])) if chance(r, 0.8) else x.of("number", 1)
            for _ in range(r.choice([0, 1, 1, 1, 2]))]
    made["group"] = [k for k in keys if k[0] != "const"]
    made["fields"] = [(k, f"k{i}") for i, k in enumerate(made["group"])]
    made["fields"] += [(aggregate(r, x), f"g{i}") for i in range(r.randint(1, 4))]
    if chance(r, 0.2):
        made["fields"].append((("binary", r.choice("+-*"), aggregate(r, x), x.constant("number")), "h"))
    if chance(r, 0.2):
        made["fields"].append((("window", r.choice(["start", "end"])), "w"))
    if chance(r, 0.1):
        made["having"] = ("binary", r.choice(COMPARISONS), aggregate(r, x), x.constant("number"))
    elif chance(r, 0.25):
        made["having"] = ("binary", r.choice(COMPARISONS), ("aggregate", "count", [], False, None), ("const", r.randint(0, 3)))
    if chance(r, 0.2) and made["group"]:
        made["order"] = [(made["group"][0], chance(r, 0.5))]


def story(r, n_rules, n_events):
    """Streams, rules and events that go into one process."""
    streams = ["s1", "s2", "s3"]
    happened = events(r, streams, n_events)
    options = 'FORMAT="json"'
    columns = ", ".join(f"{n} {t}" + (f" DEFAULT {expressions.constant_sql(DEFAULTS[n])}" if n in DEFAULTS else "")
                        for n, t in TYPES.items())
    return {"start": START, "until": happened[-1][1] + 3000,
            "streams": [f'CREATE STREAM {s} ({columns if s == "s3" else ""}) WITH (DATASOURCE="{s}", {options}, TIMESTAMP="ts")'
                        for s in streams] + [f'CREATE TABLE t () WITH (DATASOURCE="t", {options})'],
            "tables": {"t": [row(r) for _ in range(r.randint(1, 6))]},
            "types": {"s3": (TYPES, DEFAULTS)},
            "events": [{"stream": s, "at": at, "rows": rows, "text": event_text(r, rows)} for s, at, rows in happened],
            "rules": [rule(r, i, streams) for i in range(n_rules)]}
