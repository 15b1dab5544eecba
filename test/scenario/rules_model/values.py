# SPDX-License-Identifier: Apache-2.0
"""Values are None, bool, int, float, str, list and dict as JSON has them. A field that an event lacks is None."""
import math

INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1


class Wrong(Exception):
    """What cannot be computed: the row, or the emission, is an error instead of a result."""


class Unknown(Exception):
    """What the model does not say: the rule is not compared."""


def is_number(v):
    return isinstance(v, (int, float)) and not isinstance(v, bool)


def is_int(v):
    return isinstance(v, int) and not isinstance(v, bool)


def of_json(v):
    """What JSON text becomes: integers that do not fit 64 bits are floats."""
    if is_int(v) and not INT_MIN <= v <= INT_MAX:
        return float(v)
    if isinstance(v, list):
        return [of_json(x) for x in v]
    if isinstance(v, dict):
        return {k: of_json(x) for k, x in v.items()}
    return v


def kind(v):
    """Values of one kind can be compared."""
    return ("null" if v is None else "boolean" if isinstance(v, bool) else "number" if is_number(v) else
            "string" if isinstance(v, str) else "array" if isinstance(v, list) else "struct")


def text_key(s):
    """Texts compare by their bytes."""
    return s.encode("utf-8", "surrogatepass")


def same(a, b):
    """Equal for GROUP BY, DISTINCT, PARTITION BY and sets: 1 and 1.0 are, null and null are."""
    if kind(a) != kind(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a == b


def less(a, b):
    if kind(a) != kind(b) or kind(a) not in ("boolean", "number", "string"):
        raise Wrong(f"compare {a!r} with {b!r}")
    return text_key(a) < text_key(b) if isinstance(a, str) else a < b


def compare(op, a, b):
    if a is None or b is None:
        return False
    if kind(a) != kind(b) or kind(a) in ("array", "struct"):
        raise Wrong(f"{a!r} {op} {b!r}")
    if op in ("=", "!="):
        return (a == b) == (op == "=")
    if isinstance(a, bool):
        raise Wrong(f"{a!r} {op} {b!r}")
    if op in ("<", ">="):  # NaN cannot come from an event, and arithmetic with it is left out
        return less(a, b) == (op == "<")
    return less(b, a) == (op == ">")


def fit(i):
    """Integers that overflow become floats."""
    return i if INT_MIN <= i <= INT_MAX else float(i)


def float_arithmetic(op, a, b):
    try:
        if op == "+":
            return a + b
        if op == "-":
            return a - b
        if op == "*":
            return a * b
        if b == 0:
            raise Wrong("divided by zero")
        return a / b if op == "/" else math.fmod(a, b)
    except (OverflowError, ValueError):
        return math.nan if op == "%" else math.inf


def int_arithmetic(op, a, b):
    if op == "+":
        return fit(a + b)
    if op == "-":
        return fit(a - b)
    if op == "*":
        return fit(a * b)
    if op == "&":
        return a & b
    if op == "|":
        return a | b
    if op == "^":
        return a ^ b
    if b == 0:
        raise Wrong("divided by zero")
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)  # towards zero
    return fit(quotient) if op == "/" else a - quotient * b


def arithmetic(op, a, b):
    if a is None or b is None:
        return None
    if isinstance(a, bool) and isinstance(b, bool) and op in "&|^":
        return {"&": a and b, "|": a or b, "^": a != b}[op]
    if is_int(a) and is_int(b):
        return int_arithmetic(op, a, b)
    if is_number(a) and is_number(b) and op not in "&|^":
        return float_arithmetic(op, float(a), float(b))
    raise Wrong(f"{a!r} {op} {b!r}")


def order_key(v):
    """ORDER BY: null before all; the kinds in a fixed order."""
    rank = {"null": 0, "boolean": 1, "number": 2, "string": 3}.get(kind(v))
    if rank is None:
        raise Unknown("the order of arrays and structs")
    return (rank, 0 if v is None else text_key(v) if isinstance(v, str) else v)


def truth(v):
    """Of a condition: null is false, what is no boolean is an error."""
    if v is None:
        return False
    if not isinstance(v, bool):
        raise Wrong(f"a condition is {v!r}")
    return v
