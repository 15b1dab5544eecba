# SPDX-License-Identifier: Apache-2.0
"""Expressions are tuples, their first item says what they are:

    ("const", value)                    ("field", source or None, name)     ("alias", name)
    ("binary", op, a, b)                ("not", a)                          ("minus", a)
    ("and", a, b)  ("or", a, b)         ("null?", negated, a)               ("like", negated, a, pattern)
    ("between", negated, a, low, high)  ("in", negated, a, [items])
    ("case", value or None, [(when, then)], otherwise or None)
    ("call", name, [arguments])         ("member", a, name)                 ("item", a, index)
    ("slice", a, low or None, high or None)
    ("aggregate", name, [arguments], distinct, filter or None)
    ("analytic", name, [arguments], [partition], when or None)
    ("window", "start" or "end")        ("unnest", a), as a field only

A scope says what names mean where an expression is evaluated.
"""
import json
import re

from . import functions, values
from .values import Unknown, Wrong


class Scope:
    """The rows of a tuple by source; what was computed for analytic functions and aggregates; aliases."""

    def __init__(self, rows, computed=None, group=None, range_=None, aliases=None):
        self.rows = rows            # source -> row or None
        self.computed = computed or {}  # id(expression) -> value
        self.group = group          # list of Scopes: the tuples of the group
        self.range = range_         # (start, end) in ms
        self.aliases = aliases or {}


def field(scope, source, name):
    if source is not None:
        return (scope.rows.get(source) or {}).get(name)
    for row in scope.rows.values():
        if row is not None and name in row:
            return row[name]
    return None


# ---- as SQL ----

def constant_sql(v):
    if v is None:
        return "null"
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, str):
        return json.dumps(v, ensure_ascii=False)
    return repr(v)


def name_sql(name):
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else f"`{name}`"


def list_sql(items):
    return ", ".join(sql(x) for x in items)


def aggregate_sql(e):
    _, name, args, distinct, condition = e
    inside = ("DISTINCT " if distinct else "") + (list_sql(args) or "*")
    return f"{name}({inside})" + (f" FILTER (WHERE {sql(condition)})" if condition else "")


def analytic_sql(e):
    _, name, args, partition, when = e
    over = (["PARTITION BY " + list_sql(partition)] if partition else []) + (["WHEN " + sql(when)] if when else [])
    return f"{name}({list_sql(args)})" + (f" OVER ({' '.join(over)})" if over else "")


def case_sql(e):
    _, value, pairs, otherwise = e
    return ("CASE " + (sql(value) + " " if value else "")
            + " ".join(f"WHEN {sql(w)} THEN {sql(t)}" for w, t in pairs)
            + (f" ELSE {sql(otherwise)}" if otherwise else "") + " END")


SQL = {
    "const": lambda e: constant_sql(e[1]),
    "field": lambda e: (name_sql(e[1]) + "." if e[1] else "") + name_sql(e[2]),
    "alias": lambda e: name_sql(e[1]),
    "binary": lambda e: f"({sql(e[2])} {e[1]} {sql(e[3])})",
    "and": lambda e: f"({sql(e[1])} AND {sql(e[2])})",
    "or": lambda e: f"({sql(e[1])} OR {sql(e[2])})",
    "not": lambda e: f"(NOT {sql(e[1])})",
    "minus": lambda e: f"(- {sql(e[1])})",
    "null?": lambda e: f"({sql(e[2])} IS {'NOT ' if e[1] else ''}NULL)",
    "like": lambda e: f"({sql(e[2])} {'NOT ' if e[1] else ''}LIKE {constant_sql(e[3])})",
    "between": lambda e: f"({sql(e[2])} {'NOT ' if e[1] else ''}BETWEEN {sql(e[3])} AND {sql(e[4])})",
    "in": lambda e: f"({sql(e[2])} {'NOT ' if e[1] else ''}IN ({list_sql(e[3])}))",
    "case": case_sql,
    "call": lambda e: f"{e[1]}({list_sql(e[2])})",
    "member": lambda e: f"{sql(e[1])}->{name_sql(e[2])}",
    "item": lambda e: f"{sql(e[1])}[{sql(e[2])}]",
    "slice": lambda e: f"{sql(e[1])}[{sql(e[2]) if e[2] else ''}:{sql(e[3]) if e[3] else ''}]",
    "aggregate": aggregate_sql,
    "analytic": analytic_sql,
    "window": lambda e: f"window_{e[1]}()",
    "unnest": lambda e: f"unnest({sql(e[1])})",
}


def sql(e):
    return SQL[e[0]](e)


# ---- as values ----

def logic(e, scope):
    """Null counts as false in AND and OR; the right side is not looked at where the left decides."""
    decides = e[0] == "or"
    for side in (e[1], e[2]):
        if values.truth(evaluate(side, scope)) == decides:
            return decides
    return not decides


def negation(e, scope):
    v = evaluate(e[1], scope)
    return None if v is None else not values.truth(v)


def minus(e, scope):
    v = evaluate(e[1], scope)
    if v is not None and not values.is_number(v):
        raise Wrong(f"-{v!r}")
    return None if v is None else values.fit(-v) if values.is_int(v) else -v


def between(e, scope):
    v, low, high = (evaluate(x, scope) for x in e[2:])
    inside = values.compare(">=", v, low) and values.compare("<=", v, high)
    return None not in (v, low, high) and inside != e[1]


def is_in(e, scope):
    """An item of another kind is not the value; null is in no list, and not outside of one either."""
    v = evaluate(e[2], scope)
    items = [evaluate(x, scope) for x in e[3]]
    return False if v is None else any(x is not None and values.same(v, x) for x in items) != e[1]


def like(e, scope):
    v = evaluate(e[2], scope)
    if v is None:
        return False
    if not isinstance(v, str):
        raise Wrong(f"{v!r} LIKE")
    pattern = re.sub(r"\\(.)|(%)|(_)|(.)", lambda m: re.escape(m[1]) if m[1] else ".*" if m[2] else
                     "." if m[3] else re.escape(m[4]), e[3], flags=re.S)
    return (re.fullmatch(pattern, v, re.S) is not None) != e[1]


def case(e, scope):
    _, value, pairs, otherwise = e
    subject = evaluate(value, scope) if value else None
    for when, then in pairs:
        w = evaluate(when, scope)
        if (values.truth(w) if value is None else None not in (subject, w) and values.same(subject, w)):
            return evaluate(then, scope)
    return evaluate(otherwise, scope) if otherwise else None


def member(e, scope):
    """What is no struct has no members."""
    v = evaluate(e[1], scope)
    if isinstance(v, list) and v:
        raise Unknown("members of the items of an array")
    return v.get(e[2]) if isinstance(v, dict) else v if v == [] else None


def index(e, scope):
    v, i = evaluate(e[1], scope), evaluate(e[2], scope)
    if v is None or i is None:
        return None
    if not isinstance(v, list) or not values.is_int(i) or not -len(v) <= i < len(v):
        raise Wrong(f"{v!r}[{i!r}]")
    return v[i]


def slice_(e, scope):
    v = evaluate(e[1], scope)
    if v is None:
        return None
    if not isinstance(v, list):
        raise Wrong(f"{v!r}[:]")
    low = evaluate(e[2], scope) if e[2] else 0
    high = evaluate(e[3], scope) if e[3] else len(v)
    low, high = (x + len(v) if x < 0 else x for x in (low, high))
    if not 0 <= low <= high <= len(v) or (low == len(v) > 0 and e[2]):
        raise Wrong(f"{v!r}[{low}:{high}]")
    return v[low:high]


def call(e, scope):
    """The first argument that is null decides, unless the function takes nulls."""
    args = []
    for a in e[2]:
        args.append(evaluate(a, scope))
        if args[-1] is None and e[1] not in functions.TAKE_NULLS:
            return None
    return functions.SCALARS[e[1]](*args)


def aggregate(e, scope):
    """Over the rows of the group; those whose FILTER or argument is no value are left out of it."""
    _, name, args, distinct, condition = e
    items = []
    for s in scope.group:
        try:
            if condition is None or values.truth(evaluate(condition, s)):
                items.append([evaluate(a, s) for a in args])
        except Wrong:
            pass
    if not args:
        return len(items)
    if distinct:
        items = [x for i, x in enumerate(items) if not any(values.same(x[0], y[0]) for y in items[:i])]
    return functions.AGGREGATES[name](items)


VALUE = {
    "const": lambda e, s: values.of_json(e[1]),
    "field": lambda e, s: field(s, e[1], e[2]),
    "alias": lambda e, s: evaluate(s.aliases[e[1]], s),
    "binary": lambda e, s: (values.compare if e[1] in ("=", "!=", "<", "<=", ">", ">=") else values.arithmetic)(
        e[1], evaluate(e[2], s), evaluate(e[3], s)),
    "and": logic,
    "or": logic,
    "not": negation,
    "minus": minus,
    "null?": lambda e, s: (evaluate(e[2], s) is None) != e[1],
    "like": like,
    "between": between,
    "in": is_in,
    "case": case,
    "call": call,
    "member": member,
    "item": index,
    "slice": slice_,
    "aggregate": aggregate,
    "analytic": lambda e, s: s.computed[id(e)],
    "window": lambda e, s: s.range[0 if e[1] == "start" else 1],
}


def evaluate(e, scope):
    return VALUE[e[0]](e, scope)


def walk(e):
    """The expression and all within it."""
    if isinstance(e, tuple):
        if e and isinstance(e[0], str) and e[0] in SQL:
            yield e
        for x in e[1:] if e and isinstance(e[0], str) else e:
            yield from walk(x)
    elif isinstance(e, list):
        for x in e:
            yield from walk(x)


def conjuncts(e):
    """The conditions that a condition consists of, all of which must hold."""
    return [] if e is None else conjuncts(e[1]) + conjuncts(e[2]) if e[0] == "and" else [e]
