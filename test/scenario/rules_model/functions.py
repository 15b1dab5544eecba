# SPDX-License-Identifier: Apache-2.0
"""Functions of values, of groups, and of what came before."""
import json
import math
from fractions import Fraction

from . import values
from .values import Unknown, Wrong, is_int, is_number, same


def strict(*kinds):
    """Arguments of these kinds; a null among them gives null, another kind is an error."""
    def wrap(f):
        def call(*args):
            if any(a is None for a in args):
                return None
            for i, a in enumerate(args):
                if kinds[min(i, len(kinds) - 1)] not in ("any", values.kind(a)):
                    raise Wrong(f"{f.__name__}{args!r}")
            return f(*args)
        return call
    return wrap


def rounded(x):
    """Halves away from zero."""
    return math.copysign(math.floor(abs(x) + 0.5) if abs(x) < 1 << 52 else abs(x), x)


def concat(*args):
    return "".join(text(a) for a in args if a is not None)


def text(v):
    """How a value stands in a text; floats of many digits may be written in several ways."""
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, float):
        if not 1e-4 <= abs(v) < 1e15:
            raise Unknown(f"{v!r} as a text")
        return repr(v).removesuffix(".0")
    if isinstance(v, list):
        return "[" + ",".join("null" if x is None else json.dumps(x, ensure_ascii=False)
                              if isinstance(x, str) else text(x) for x in v) + "]"
    if isinstance(v, dict):
        return "{" + ",".join(json.dumps(k, ensure_ascii=False) + ":" + text([x])[1:-1] for k, x in v.items()) + "}"
    return str(v)


def of_text(f, of_null=None):
    """A function of texts; other values are taken as their text."""
    return lambda *args: of_null if any(a is None for a in args) else f(*[text(a) for a in args])


def distinct(items):
    return [x for i, x in enumerate(items) if not any(same(x, y) for y in items[:i])]


def whole(f):
    return lambda x: float(f(x)) if abs(x) < 1 << 52 else float(x)


SCALARS = {
    "abs": strict("number")(lambda x: values.fit(abs(x)) if is_int(x) else abs(x)),
    "sign": strict("number")(lambda x: (x > 0) - (x < 0)),
    "floor": strict("number")(whole(math.floor)),
    "ceil": strict("number")(whole(math.ceil)),
    "round": strict("number")(lambda x: rounded(float(x))),
    "upper": of_text(lambda s: "".join(c.upper() if len(c.upper()) == 1 else c for c in s)),
    "reverse": of_text(lambda s: s[::-1]),
    "numbytes": of_text(lambda s: len(s.encode()), of_null=0),
    "startswith": of_text(lambda s, t: s.startswith(t), of_null=False),
    "endswith": of_text(lambda s, t: s.endswith(t), of_null=False),
    "indexof": of_text(lambda s, t: s.find(t), of_null=-1),
    "isnull": lambda v: v is None,
    "coalesce": lambda *args: next((a for a in args if a is not None), None),
    "array_create": lambda *args: list(args),
    "array_cardinality": strict("array")(len),
    "array_distinct": strict("array")(distinct),
    "array_concat": strict("array")(lambda *lists: [x for items in lists for x in items]),
    "object_construct": lambda *args: {k: v for k, v in zip(args[::2], args[1::2]) if v is not None},
}


def declared(type_, v):
    """What a declared column makes of a value."""
    if v is None:
        return None
    if type_ == "boolean" and isinstance(v, str):
        raise Unknown("texts as booleans") if v.lower() in ("true", "false", "0", "1", "t", "f") else Wrong(f"{v!r} as a boolean")
    if isinstance(v, bool) and type_ != "boolean" or isinstance(v, (list, dict)) or isinstance(v, str) and type_ != "string":
        raise Wrong(f"{v!r} as a {type_}")
    if type_ == "bigint" and not values.INT_MIN <= int(v) <= values.INT_MAX:
        raise Wrong(f"{v!r} as a bigint")
    return {"bigint": int, "float": float, "string": text, "boolean": bool}[type_](v)


TAKE_NULLS = ("isnull", "coalesce", "array_create", "object_construct", "numbytes", "startswith", "endswith", "indexof")


# ---- aggregates: each takes the list of its rows' arguments ----

def first_arguments(items):
    return [x[0] for x in items if x[0] is not None]


def numbers(items):
    """What is no number is told as an error and left out."""
    return [x for x in first_arguments(items) if is_number(x)]


def exact_sum(found):
    try:
        return math.fsum(found)
    except OverflowError as e:
        raise Unknown("a sum beyond all floats") from e


def total(found):
    if all(is_int(x) for x in found):
        return values.fit(sum(found))
    return exact_sum(found)


def sum_(items):
    found = numbers(items)
    return total(found) if found else None


def average(items):
    found = numbers(items)
    if not found:
        return None
    if all(is_int(x) for x in found):
        exact = sum(found)
        return values.int_arithmetic("/", exact, len(found))
    return exact_sum(found) / len(found)


def extreme(greatest):
    """Of numbers, or where there are none of texts, else of booleans; others are told and left out."""
    def call(items):
        for kind in ("number", "string", "boolean"):
            found = [x for x in first_arguments(items) if values.kind(x) == kind]
            best = found[0] if found else None
            for x in found:
                if values.less(best, x) if greatest else values.less(x, best):
                    best = x
            if found:
                return best
        return None
    return call


def variance(sample, root):
    def call(items):
        found = numbers(items)
        n = len(found) - (1 if sample else 0)
        if n <= 0:
            return None
        if max(abs(x) for x in found) > 1e12:
            raise Unknown("the variance of large numbers is a matter of rounding")
        mean = Fraction(sum(Fraction(x) for x in found), len(found))
        v = float(sum((Fraction(x) - mean) ** 2 for x in found) / n)
        return math.sqrt(v) if root else v
    return call


def last_value(items):
    keep_nulls = not items or len(items[0]) < 2 or items[0][1] is not True
    found = [x[0] for x in items if keep_nulls or x[0] is not None]
    return found[-1] if found else None


def median(items):
    found = sorted(float(x) for x in numbers(items))
    middle = len(found) // 2
    if not found:
        return None
    return found[middle] if len(found) % 2 else (found[middle - 1] + found[middle]) / 2


AGGREGATES = {
    "count": lambda items: len(first_arguments(items)),
    "sum": sum_,
    "avg": average,
    "min": extreme(False),
    "max": extreme(True),
    "collect": lambda items: [x[0] for x in items],
    "last_value": last_value,
    "stddev": variance(False, True),
    "vars": variance(True, False),
    "median": median,
}


# ---- analytic functions: (state, arguments) -> value; the state is a list of the arguments taken in ----

def lag(before, args):
    """lag(x[, offset[, default[, ignore nulls]]])"""
    offset = args[1] if len(args) > 1 else 1
    otherwise = args[2] if len(args) > 2 else None
    ignore = len(args) > 3 and args[3] is True
    seen = [a[0] for a in before if not (ignore and a[0] is None)]
    return seen[-offset] if len(seen) >= offset else otherwise


def latest(before, args):
    if args[0] is not None:
        return args[0]
    seen = [a[0] for a in before if a[0] is not None]
    return seen[-1] if seen else (args[1] if len(args) > 1 else None)


def had_changed(before, args):
    """The first argument says whether nulls are left alone; the others are what may change."""
    changed = False
    for i in range(1, len(args)):
        seen = [a[i] for a in before if not (args[0] and a[i] is None)]
        if args[0] and args[i] is None:
            continue
        changed = changed or not same(seen[-1] if seen else None, args[i])
    return changed


def changed_col(before, args):
    ignore, v = args
    seen = [a[1] for a in before if not (ignore and a[1] is None)]
    if ignore and v is None:
        return None
    return v if not same(seen[-1] if seen else None, v) else None


def accumulate(f):
    """Over all values so far, as a float: 0 before the first; what is no number is an error."""
    def call(before, args):
        if args[0] is not None and not is_number(args[0]):
            raise Wrong(f"to accumulate {args[0]!r}")
        return float(f(before + [args]) or 0)
    return call


ANALYTIC = {
    "lag": lag,
    "latest": latest,
    "had_changed": had_changed,
    "changed_col": changed_col,
    "acc_sum": accumulate(sum_),
    "acc_count": lambda before, args: len(first_arguments(before + [args])),
    "acc_max": accumulate(extreme(True)),
    "acc_min": accumulate(extreme(False)),
}

# What a row gives that does not meet WHEN: nothing is taken in.
SKIPPED = {
    "lag": lag,
    "latest": lambda before, args: latest(before, [None] + args[1:]),
    "had_changed": lambda before, args: False,
    "changed_col": lambda before, args: None,
    "acc_sum": lambda before, args: float(sum_(before) or 0),
    "acc_count": lambda before, args: len(first_arguments(before)),
    "acc_max": lambda before, args: float(extreme(True)(before) or 0),
    "acc_min": lambda before, args: float(extreme(False)(before) or 0),
}
