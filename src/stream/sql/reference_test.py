#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Compares the function reference in docs/reference/sql.md with the engine's tables.

    reference_test.py SQL_CONFORMANCE SQL_MD [--write]
"""
import json
import pathlib
import subprocess
import sys

MARK = "<!-- functions -->\n"
KINDS = (
    ("Scalar functions", "A value of values."),
    ("Aggregate functions", "A value of the events of a group."),
    ("Analytic functions", "A value for each event that looks back at those before it; with OVER."),
    ("Functions that make rows", "An array becomes one row an item; in the list of SELECT only."),
    ("Functions that make columns", "One call gives several columns; in the list of SELECT only."),
    ("Functions of result rows", "Over the rows of one result; in the list of SELECT only."),
)


def arguments(f):
    low, high = f["min"], f["max"]
    return f"{low} or more" if high < 0 else str(low) if low == high else f"{low} to {high}"


def tables(program):
    out = subprocess.run([program, "functions"], stdout=subprocess.PIPE, text=True, check=True).stdout
    functions = [json.loads(line) for line in out.splitlines()]
    assert functions, "no function at all"
    text = ""
    for kind, (title, meaning) in enumerate(KINDS):
        text += f"\n### {title}\n\n{meaning}\n\n| function | arguments | |\n|---|---|---|\n"
        for f in functions:
            if f["kind"] == kind:
                help_text = f["help"].replace("|", "\\|")
                text += f"| `{f['name']}` | {arguments(f)} | {help_text} |\n"
    return text, len(functions)


def main():
    program, path = sys.argv[1], pathlib.Path(sys.argv[2])
    wanted, n = tables(program)
    head, _, have = path.read_text().partition(MARK)
    if "--write" in sys.argv:
        path.write_text(head + MARK + wanted)
        return
    if have != wanted:
        print(f"{path} does not have the functions as they are: run {sys.argv[0]} {program} {path} --write")
        sys.exit(1)
    print(f"{n} functions compared")


main()
