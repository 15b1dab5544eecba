#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Runs the cases of eKuiper's own test tables with `rule test` and compares the results.

    cases_test.py RULE CASES_FOLDER LEFT_OUT [-v] [FILE:LINE ...]

End-to-end cases run as they stand. Cases of a single operator run as whole statements: their tuples are the events of a
window, and what a filter, a join or an order lets through is compared as the rows of SELECT *. LEFT_OUT lists the cases
that may fail, each with its reason; one that is listed and passes is an error too.
"""
import collections
import datetime
import json
import pathlib
import re
import subprocess
import sys
import tempfile

SKIPPED = 77    # meson's code
AT = 1541152486000
TIMES = ("time.UnixMilli", "cast.TimeFromUnixMilli")
WINDOW = re.compile(r"\b(tumbling|hopping|sliding|session|count|state)window\b", re.I)
SOURCE = re.compile(r"\b(?:from|join)\s+`?(\w+)`?", re.I)
TUPLES = ("xsql.WindowTuples", "xsql.JoinTuples", "xsql.GroupedTuplesSet")
BETWEEN = ("filter_test.go", "having_test.go", "order_test.go", "join_test.go", "join_multi_test.go", "aggregate_test.go")
AFTER_FILTER = ("project_test.go", "having_test.go", "order_test.go", "aggregate_test.go")    # which is not part of the case
IN_EVENT_TIME = re.compile(r"\b(demoE\d?|demo1E|demoErr|sessionDemoE)\b")


class Unfaithful(Exception):
    """The case says nothing about whole statements."""


def case_id(case):
    return f"{case['$file']}:{case['$line']}"


def called(v):
    """A value with the calls of Go that make texts and maps done."""
    if isinstance(v, list):
        return [called(x) for x in v]
    if not isinstance(v, dict):
        return v
    v = {k: called(x) for k, x in v.items()}
    args = v.get("args") or [None]
    if v.get("$call") == "strings.ToLower":
        return args[0].lower()
    if v.get("$call") == "str2Map":
        return json.loads(args[0])
    if v.get("$call") in ("map", "[]map") and args == [None]:
        return None
    if v.get("$call") in TIMES and isinstance(args[0], dict) and set(args[0]) == {"$f"}:
        return v | {"args": [int(args[0]["$f"])]}
    return v


def plain(v):
    """An expected value without its marks."""
    if isinstance(v, list):
        return [plain(x) for x in v]
    if not isinstance(v, dict):
        return v
    if set(v) == {"$f"}:
        return float(v["$f"])
    if v.get("$call") in TIMES and isinstance(v["args"][0], int):
        at = datetime.datetime.fromtimestamp(v["args"][0] / 1000, datetime.timezone.utc)
        return re.sub(r"\.?0*$", "", at.strftime("%Y-%m-%dT%H:%M:%S.%f")) + "Z" if at.microsecond else f"{at:%Y-%m-%dT%H:%M:%SZ}"
    if "$call" in v:
        raise Unfaithful(f"a value made by {v['$call']}")
    return {k: plain(x) for k, x in v.items() if k != "$type"}


def given(v):
    """A value as `rule test` reads it."""
    if isinstance(v, list):
        return [given(x) for x in v]
    if not isinstance(v, dict):
        return v
    if set(v) == {"$f"}:
        return {"$float": v["$f"]}
    if "$call" in v:
        if v["$call"] in TIMES and isinstance(v["args"][0], int):
            return {"$time": v["args"][0]}
        raise Unfaithful(f"a value made by {v['$call']}")
    return {k: given(x) for k, x in v.items() if k != "$type"}


def same(a, b):
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return a == b or abs(a - b) <= 1e-9 * max(abs(a), abs(b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(v, b[k]) for k, v in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def begins(wanted, got):
    """The tables stop looking when they have seen as many windows as they want."""
    return same(wanted, got[:len(wanted)])


def emission(rows):
    """An emission of nothing and one of an empty row are the same in the cases."""
    rows = rows or []
    return [] if rows == [{}] else rows


def end_to_end(case, streams, ddl):
    names = SOURCE.findall(case["Sql"])
    missing = [name for name in names if name not in streams or name not in ddl]
    if missing:
        raise Unfaithful(f"the input of {missing[0]} is not among the data")
    events = [{"stream": name, "at": e["Timestamp"]["args"][0], "data": plain(e["Message"]) if "STRICT" in ddl[name] else
               given(e["Message"]), "decode": "STRICT" in ddl[name]}
              for name in names for e in streams[name]]
    events.sort(key=lambda e: e["at"])
    by_event = case["$func"] in ("TestEventWindow", "TestSingleSQLWithEventTime", "TestWindowSQL")
    options = {"sendError": "OmitError" not in case["$func"]}
    if by_event and IN_EVENT_TIME.search(case["Sql"]):
        options.update(isEventTime=True, lateTolerance=0 if case["$func"] == "TestWindowSQL" else 1000)
    wanted = [emission(plain(rows)) for rows in json.loads(json.dumps(case["R"]).replace("convert int(", "convert int64("))]
    return {"streams": [ddl[name] for name in names], "rules": [{"id": "r", "sql": case["Sql"], "options": options}],
            "events": events, "until": events[-1]["at"] + 1000}, wanted, \
        begins if WINDOW.search(case["Sql"]) else same


def leaves(data):
    """All tuples of a case, each once, in the order of their first mention."""
    if data.get("$type") == "xsql.Tuple":
        return [data]
    found = []
    for key in ("Content", "Groups", "Tuples"):
        for part in data.get(key) or []:
            found += [t for t in leaves(part) if t not in found or data.get("$type") == "xsql.WindowTuples"]
    return found


def row_of(t):
    """The row that SELECT * makes of a tuple."""
    if t.get("$type") == "xsql.JoinTuple":
        merged = {}
        for part in t["Tuples"]:
            merged = {**row_of(part), **merged}
        return merged
    return plain(t.get("Message") or {})


def rows_between(result):
    if not isinstance(result, dict) or not result:
        return []
    if result.get("$type") == "xsql.GroupedTuplesSet":
        return [row_of(group["Content"][0]) for group in result["Groups"]]
    if result.get("$type") in TUPLES:
        return [row_of(t) for t in result.get("Content") or []]
    return [row_of(result)]


def within(wanted, got):
    """Emissions where each row holds at least what is wanted."""
    return len(wanted) == len(got) and all(
        len(a) == len(b) and all(same(x, {k: v for k, v in y.items() if k in x}) for x, y in zip(a, b))
        for a, b in zip(wanted, got))


def with_window(sql):
    if WINDOW.search(sql):
        return sql
    if re.search(r"\bgroup by\b", sql, re.I):
        return re.sub(r"\bgroup by\b", "GROUP BY TUMBLINGWINDOW(ss, 1),", sql, flags=re.I)
    m = re.search(r"\b(having|order by|limit)\b", sql, re.I)
    at = m.start() if m else len(sql)
    return f"{sql[:at]} GROUP BY TUMBLINGWINDOW(ss, 1) {sql[at:]}"


def one_operator(case):
    data, result, sql = case["data"], case["result"], case["sql"]
    steps = data if isinstance(data, list) else [data]
    if any(not isinstance(d, dict) or d.get("$type") not in TUPLES + ("xsql.Tuple",) for d in steps):
        raise Unfaithful("the input is no tuples but something inside eKuiper")
    if case["$file"] in AFTER_FILTER:
        sql = re.sub(r"\bwhere\b.*?(?=\bgroup by\b|\bhaving\b|\border by\b|$)", "", sql, flags=re.I)
    windowed = steps[0]["$type"] in TUPLES
    sources = SOURCE.findall(sql)
    events = [{"stream": t.get("Emitter") or sources[0], "at": AT, "data": given(t.get("Message") or {}),
               "meta": given(t.get("Metadata") or {})} for d in steps for t in leaves(d)]
    if len(sources) == 1:    # by whatever name the tuples of its table go
        events = [e | {"stream": sources[0]} for e in events]
    if not {e["stream"] for e in events} <= set(sources):
        raise Unfaithful("tuples of streams that the statement does not name")
    compare = same
    if isinstance(result, dict) and result.get("$call") == "errors.New":
        wanted = [[{"error": result["args"][0]}]]
    elif case["$file"] in BETWEEN:
        sql = re.sub(r"^\s*select\s+", "SELECT *, " if re.search(r"\bas\b", sql.split("FROM")[0], re.I) else "SELECT *, 1 AS one_, ",
                     sql, count=1, flags=re.I)
        rows = rows_between(result)
        wanted, compare = ([rows] if rows else []), within
    elif isinstance(data, list):
        wanted = [emission(plain(rows)) for rows in result]
    else:
        wanted = [emission(plain(result))]
    options = {"sendError": True, "sendNilField": "SendNil" in case["$func"]}
    return {"streams": [f'CREATE STREAM {name} () WITH (DATASOURCE="{name}", FORMAT="json")' for name in dict.fromkeys(sources)],
            "rules": [{"id": "r", "sql": with_window(sql) if windowed else sql, "options": options}],
            "events": events, "until": AT + 11000}, wanted, compare


def run(program, folder, doc):
    path = pathlib.Path(folder) / "case.json"
    path.write_text(json.dumps(doc))
    done = subprocess.run([program, "test", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, 1, 2):
        return None, f"ended with {done.returncode}: {done.stderr}"
    return [emission(json.loads(line)["rows"]) for line in done.stdout.splitlines()], done.stderr.strip()


def judge(program, folder, case, doc, wanted, compare):
    """None when right, else what is wrong."""
    got, told = run(program, folder, doc)
    if got is None:
        return told
    if "Sql" in case:
        if IN_EVENT_TIME.search(case["Sql"]) and WINDOW.search(case["Sql"]):
            # where nothing is left of a window: no emission there, no message here
            wanted, got = [rows for rows in wanted if rows], [rows for rows in got if rows]
    else:
        empty = wanted == [[]]
        got = [rows for rows in got if rows] if empty or case["$file"] in BETWEEN or WINDOW.search(doc["rules"][0]["sql"]) else got
        wanted = [] if empty else wanted
        got = got[:1] if WINDOW.search(doc["rules"][0]["sql"]) else got
    if compare(wanted, got):
        return None
    return f"{doc['rules'][0]['sql']}\n    wanted {json.dumps(wanted)}\n    got    {json.dumps(got)} {told}"


def read_left_out(path):
    lines = [line.split(None, 1) for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    return {name: reason for name, reason in lines}


def main():
    program, folder, left_out = sys.argv[1], pathlib.Path(sys.argv[2]), read_left_out(pathlib.Path(sys.argv[3]))
    verbose, only = "-v" in sys.argv, [a for a in sys.argv[4:] if a != "-v"]
    if not (folder / "cases.jsonl").exists():
        print(f"skipped: no {folder}/cases.jsonl")
        sys.exit(SKIPPED)
    streams = json.loads((folder / "streams.json").read_text())
    texts = [t for t in json.loads((folder / "create_streams.json").read_text()) if t.rstrip().endswith((")", ";"))]
    ddl = {t.split()[2]: t for t in texts}
    ddl.setdefault("demo1", 'CREATE STREAM demo1 (temp FLOAT, hum BIGINT, `from` STRING, ts BIGINT) '
                            'WITH (DATASOURCE="demo1", TYPE="mock", FORMAT="json", KEY="ts");')
    cases = [called(json.loads(line)) for line in (folder / "cases.jsonl").read_text().splitlines()]
    skipped, allowed, passed, bad = collections.Counter(), collections.Counter(), 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        for case in cases:
            name = case_id(case)
            if not ("R" in case or "data" in case) or (only and name not in only):
                continue
            try:
                doc, wanted, compare = end_to_end(case, streams, ddl) if "R" in case else one_operator(case)
            except Unfaithful as e:
                skipped[str(e)] += 1
                continue
            wrong = judge(program, scratch, case, doc, wanted, compare)
            if wrong and name in left_out:
                allowed[left_out[name]] += 1
            elif wrong:
                print(f"FAIL {name} {wrong}")
                bad += 1
            elif name in left_out:
                print(f"FAIL {name} passes, but is listed as: {left_out[name]}")
                bad += 1
            else:
                passed += 1
            if verbose:
                print(f"{'bad' if wrong else 'ok '} {name}")
    for reason, n in (skipped + allowed).most_common():
        print(f"left out: {n}: {reason}")
    print(f"{passed} passed, {bad} failed, {sum(skipped.values()) + sum(allowed.values())} left out")
    sys.exit(1 if bad or not passed else 0)


main()
