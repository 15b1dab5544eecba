#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Parses every statement of eKuiper's own test tables: accepted or refused, and the text of the refusal.

    conformance_test.py SQL_CONFORMANCE CASES_FOLDER [-v]

Parse trees are not compared (their structure is eKuiper's); what we print of a statement must parse to the same text.
"""
import collections
import json
import pathlib
import subprocess
import sys

SKIPPED = 77    # meson's code

# Functions of eKuiper's tests whose `err` is not the parser's: those who plan, run or keep streams tell it.
LATER = {
    "TestStreamReplace": "versions of streams: the catalog",
    "Test_createLogicalPlanSchemaless": "windows over tables: the planner",
}
LATER_TEXTS = (
    ("is not found.", "streams that do not exist: the catalog"),
)


def statement(case):
    for key in ("sql", "s", "Sql"):
        if key in case:
            return case[key]
    return None


def later(case):
    """Why an expected error is told by somebody else, or None."""
    if not case.get("err"):
        return None
    for text, reason in LATER_TEXTS:
        if case["err"].endswith(text):
            return reason
    return LATER.get(case["$func"])


def judge(case, got):
    """None when right, else what is wrong."""
    wanted = case.get("err")
    if "unstable" in got:
        return f"prints {got['printed']!r}, and that again {got['unstable']!r}"
    if wanted and not later(case):
        return None if got.get("error", "").strip() == wanted.strip() else f"{got}, wanted the error {wanted!r}"
    if "error" in got and case.get("result", 0) is None:
        return None     # nothing comes out of a statement that is refused
    if "error" in got:
        return f"refused: {got['error']}"
    if "agg" in case and got["aggregate"] != case["agg"]:
        return f"aggregate is {got['aggregate']}"
    return None


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    if not (folder / "cases.jsonl").exists():
        print(f"skipped: no {folder}/cases.jsonl")
        sys.exit(SKIPPED)
    cases = [json.loads(line) for line in (folder / "cases.jsonl").read_text().splitlines()]
    skipped = collections.Counter("no statement in the case" for case in cases if statement(case) is None)
    cases = [case for case in cases if statement(case) is not None]
    cases += [{"$file": "create_streams.json", "$func": "", "$line": 0, "s": text}
              for text in json.loads((folder / "create_streams.json").read_text()) if text.rstrip().endswith((")", ";"))]
    skipped.update(reason for reason in map(later, cases) if reason)
    requests = "".join(json.dumps(statement(case)) + "\n" for case in cases)
    out = subprocess.run([program], input=requests, stdout=subprocess.PIPE, text=True, check=True).stdout
    answers = [json.loads(line) for line in out.splitlines()]
    assert len(answers) == len(cases), f"{len(answers)} answers to {len(cases)} cases"
    failed = 0
    for case, got in zip(cases, answers):
        wrong = judge(case, got)
        if wrong:
            failed += 1
            print(f"FAIL {case['$file']}:{case['$line']} {case['$func']}: {statement(case)}\n    {wrong}")
        elif "-v" in sys.argv:
            print(f"ok {case['$file']}:{case['$line']} {statement(case)}\n    {got}")
    for reason, n in skipped.most_common():
        print(f"error not compared: {n} cases: {reason}")
    print(f"{len(cases) - failed} passed, {failed} failed")
    sys.exit(1 if failed or not cases else 0)


main()
