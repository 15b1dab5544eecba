# SPDX-License-Identifier: Apache-2.0
"""A story through the real program and through the model; what differs is made small."""
import copy
import itertools
import json
import math
import subprocess
import tempfile
from pathlib import Path

from . import expressions, functions, values
from .rules import model_of, statement


def program_file(story):
    rules = [{"id": r["id"], "sql": statement(r), "options": r["options"]} for r in story["rules"]]
    events = [{"stream": name, "at": story["start"], "text": json.dumps(rows)} for name, rows in story["tables"].items()]
    events += [{"stream": e["stream"], "at": e["at"], "text": e["text"]} for e in story["events"]]
    return {"start": story["start"], "until": story["until"], "streams": story["streams"], "rules": rules, "events": events}


def of_program(program, story):
    """rule -> emissions, and what it said on stderr. A program that fails gives no results and says why."""
    with tempfile.TemporaryDirectory(prefix="rules-model-") as folder:
        path = Path(folder) / "story.json"
        path.write_text(json.dumps(program_file(story)), encoding="utf-8")
        done = subprocess.run([program, "test", str(path)], capture_output=True, check=False)
    if done.returncode != 0:
        return None, done.stderr.decode("utf-8", "replace")[-3000:]
    got = {r["id"]: [] for r in story["rules"]}
    for line in done.stdout.decode("utf-8").splitlines():
        told = json.loads(line)
        got[told["rule"]].append(told["rows"])
    return got, done.stderr.decode("utf-8", "replace")


def of_model(story, rule):
    results = []
    tables = {name: values.of_json(rows) for name, rows in story["tables"].items()}
    model = model_of(rule, tables, story["start"], lambda rows, _: results.append(rows))
    for event in story["events"]:
        if not model.event_time:
            model.time(event["at"])
        model.event(event["stream"], rows_of(story, event), event["at"])
    if not model.event_time:
        model.time(story["until"])
    return [[row] for rows in results for row in rows] if single(rule) else results


def rows_of(story, event):
    """As the stream declares them; a row with a value that cannot be converted is no event."""
    rows = values.of_json(event["rows"])
    types, defaults = story["types"].get(event["stream"], ({}, {}))
    made = []
    for row in rows:
        try:
            made.append({**defaults, **row, **{n: functions.declared(t, row[n]) for n, t in types.items() if n in row}})
        except values.Wrong:
            pass
    return made


def single(rule):
    """The program prints a line for each row where rows are results by themselves."""
    unnests = any(e[0] == "unnest" for e, _ in rule["fields"])
    return bool(rule.get("union")) or unnests and not rule["window"]


# ---- comparison ----

def alike(a, b):
    """Integers are equal, floats nearly; NaN and infinities are null in JSON."""
    a, b = (None if isinstance(x, float) and not math.isfinite(x) else x for x in (a, b))
    if values.is_number(a) and values.is_number(b):
        exact = values.is_int(a) and values.is_int(b)
        return a == b if exact else math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(alike(x, y) for x, y in zip(a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


def compare(program, story):
    """([(rule, got, wanted)] of the rules that differ, how many emissions were compared).

    A program that failed gives one (None, what it said, None). A rule of which the model does not know all is left out.
    """
    got, said = of_program(program, story)
    if got is None:
        return [(None, said, None)], 0
    found, emissions = [], 0
    for rule in story["rules"]:
        try:
            wanted = of_model(story, rule)
        except values.Unknown:
            continue
        emissions += len(wanted)
        if not alike(got[rule["id"]], wanted):
            found.append((rule, got[rule["id"]], wanted))
    return found, emissions


def differing(program, story):
    return compare(program, story)[0]


# ---- making it small ----

def simpler(e):
    """Expressions that an expression may be replaced by: those within it."""
    return [x for x in expressions.walk(e) if x is not e and x[0] not in ("aggregate", "window")]


def smaller_rules(rule):
    """The rule with one thing less."""
    def less(**changes):
        return {**copy.copy(rule), **changes}
    for part in rule.get("union") or []:
        yield {**part, "id": rule["id"]}
    for i in range(len(rule["fields"])):
        if len(rule["fields"]) > 1:
            yield less(fields=rule["fields"][:i] + rule["fields"][i + 1:])
    for name, empty in (("where", None), ("having", None), ("order", []), ("limit", None), ("distinct", False), ("group", [])):
        if rule[name]:
            yield less(**{name: empty})
    for i, (e, alias) in enumerate(rule["fields"]):
        for x in simpler(e) if e != "*" else []:
            yield less(fields=rule["fields"][:i] + [(x, alias)] + rule["fields"][i + 1:])
    if rule["where"]:
        for x in simpler(rule["where"]):
            yield less(where=x)
    if rule["window"]:
        for name in ("filter", "when"):
            if rule["window"].get(name):
                yield less(window={**rule["window"], name: None})


def smaller_lists(items):
    """The list with a half, a quarter, ... one of its items less."""
    size = len(items) // 2
    while size:
        for i in range(0, len(items), size):
            yield items[:i] + items[i + size:]
        size //= 2


def smaller_events(events):
    yield from (e for e in smaller_lists(events) if e)
    for i, event in enumerate(events):
        for name in [n for n in event["rows"][0] if n != "ts"] if len(event["rows"]) == 1 else []:
            row = {k: v for k, v in event["rows"][0].items() if k != name}
            yield events[:i] + [{**event, "rows": [row], "text": json.dumps(row)}] + events[i + 1:]


def smaller_stories(story):
    for others in smaller_lists(story["rules"][1:]):
        yield {**story, "rules": story["rules"][:1] + others}
    for events in smaller_events(story["events"]):
        yield {**story, "events": events}
    for rule in smaller_rules(story["rules"][0]):
        yield {**story, "rules": [rule] + story["rules"][1:]}


def minimise(program, story, rule):
    """The story with as little as still makes that rule, its first one now, differ."""
    def still(one):
        try:
            found = differing(program, one)
        except Exception:  # pylint: disable=broad-except  # what the model cannot read is not smaller
            return False
        return bool(found) and found[0][0] is one["rules"][0]
    best = {**story, "rules": [rule] + [r for r in story["rules"] if r is not rule]}
    if still({**best, "rules": [rule]}):
        best["rules"] = [rule]
    for _ in range(60):
        smaller = next((one for one in itertools.islice(smaller_stories(best), 400) if still(one)), None)
        if smaller is None:
            break
        best = smaller
    return best


def report(program, story, seed):
    """What a person needs to see of a story that differs."""
    found = differing(program, story)
    file = program_file(story)
    lines = [f"RULES_SEED={seed}", *file["streams"], *[json.dumps(r, ensure_ascii=False) for r in file["rules"]]]
    lines += [json.dumps(e, ensure_ascii=False) for e in file["events"]] + [f"until {file['until']}"]
    for rule, got, wanted in found:
        lines += [f"program: {got if rule is None else json.dumps(got, ensure_ascii=False)}",
                  f"model:   {json.dumps(wanted, ensure_ascii=False)}"]
    _, said = of_program(program, story)
    return "\n".join(lines) + f"\nsaid: {said}"
