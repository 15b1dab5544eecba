#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Runs the public conformance data of CEL (npm package @bufbuild/cel-spec) through our evaluator.

    conformance_test.py CEL_CONFORMANCE PACKAGE_DIR [-v]

The data is that of cel-spec (values, errors, types) and of cel-go's own tests (texts of errors). What we do not claim
is counted by reason. tools/setup fetches the package; where it could not, the test is skipped.
"""
import collections
import json
import pathlib
import re
import shutil
import subprocess
import sys

SUITES = ("conformance", "comprehension", "parsing", "checking")
SKIPPED = 77    # meson's code

# What stands in a test that needs what we do not have, and why we do not have it.
UNCLAIMED = (
    (r"TestAllTypes|NestedTestAllTypes|GlobalEnum|NestedEnum|Proto2Message|proto\.(has|get)Ext|\.proto[23]\b|protobuf\.test",
     "protobuf messages and enums: our data is JSON"),
    (r"google\.protobuf\.|Int32Value|Int64Value|UInt32Value|UInt64Value|BoolValue|StringValue|BytesValue|DoubleValue|"
     r"FloatValue|ListValue|\bStruct\b|\bValue\{|NullValue|\bAny\{",
     "wrapper messages of protobuf: our data is JSON"),
    (r"cel\.(block|index|iterVar|accuVar)", "cel.block: made by cel-go's optimizer, not written by people"),
)


# Single tests that are about something else than what we do.
OTHER = (
    (r"^(is|ii|iu|iz|id|ix|ib|fg_s\(\)|is\.fi_s_s\(\)|1 \+ ii)$", "variables of cel-go's own test environment"),
    (r"existsOne\(v, f\)|^\{'a': 'world', 'b': 'hello'\}\.transformMap\(i, v, i == ", "recorded with other macros"),
    (r"^`|not fine|too many|^1 \+ 2 \+ 3 \+ 4|^a\.b\.c\.d\.e|^a\[1\]\[2\]|^a < 1 < 2|^-\[-1--1|^y!=y!=y|0\"\"\"\\",
     "limits of recursion of cel-go's own test parser, which are lower, and its recovery from many errors"),
)


def load(folder):
    script = "".join(f"import {{tests as {name}}} from '{(folder / 'dist/esm/testdata' / (name + '.js')).as_posix()}';"
                     for name in SUITES)
    script += f"process.stdout.write(JSON.stringify([{','.join(SUITES)}]));"
    out = subprocess.run(["node", "--input-type=module", "-e", script], stdout=subprocess.PIPE, check=True).stdout
    return json.loads(out)


def walk(suite, path=()):
    path += (suite["name"],)
    for test in suite.get("tests", ()):
        yield path, test
    for inner in suite.get("suites", ()):
        yield from walk(inner, path)


def reason_not_claimed(path, test):
    original = test["original"]
    text = json.dumps({k: v for k, v in original.items() if k not in ("description", "name")})
    text = re.sub(r"type\.googleapis\.com/google\.protobuf\.(Duration|Timestamp)", "", text)
    text = re.sub(r"google\.protobuf\.(Duration|Timestamp)\b(?!\{)", "", text)
    for pattern, reason in UNCLAIMED:
        if re.search(pattern, text):
            return reason
    if "unsupported syntax" in test.get("error", ""):
        return "syntax of optionals and backticks switched off: we always have it"
    if path[0] != "conformance":
        for pattern, reason in OTHER:
            if re.search(pattern, original["expr"].strip()):
                return reason
    declared = json.dumps(original.get("typeEnv", ()))
    if "overloads" in declared:
        return "functions declared by the test alone"
    if any(word in declared for word in ("messageType", "wrapper", '"ANY"')):
        return "protobuf messages and enums: our data is JSON"
    if "typeParam" in declared:
        return "variables whose type is a parameter"
    if '"abstractType"' in declared and "optional_type" not in declared:
        return "abstract types declared by the test alone"
    return None


def request(path, test):
    original = test["original"]
    asked = {"expr": original["expr"], "container": original.get("container", ""), "check": not original.get("disableCheck"),
             "cross": path[0] == "conformance",
             "vars": [{"name": v["name"], "type": v["ident"]["type"]} for v in original.get("typeEnv", ()) if "ident" in v],
             "bindings": original.get("bindings", {})}
    value = original.get("value") or original.get("typedResult", {}).get("result")
    return asked | ({"value": value} if value is not None else {})


def issue(text):
    """(line and column, text) of the first error; the data names the source or not."""
    match = re.match(r"ERROR: [^:]*:(\d+:\d+): (.*)", text)
    return match.groups() if match else None


def judge(path, test, got):
    """None when right, else what is wrong."""
    original = test["original"]
    if "unsupported" in got:
        return got["unsupported"]
    failed = got.get("compileError") or got.get("error")
    if original.get("evalError"):
        return None if failed else f"no error but {got.get('value')}"
    if path[0] == "comprehensions" and test.get("error"):
        # Recorded without the macros, so the texts tell nothing: each is true, or refused.
        return None if got.get("value") == "true" or "compileError" in got or "error" in got else f"neither true nor refused: {got}"
    if test.get("error") and "value" not in original and "typedResult" not in original:
        if "compileError" not in got:
            return f"no error but {got}"
        if test["error"].startswith("ERROR: <input>") and "Syntax error" not in test["error"]:
            return None if got["compileError"] == test["error"] else f"other text:\n{got['compileError']}\n--- wanted\n{test['error']}"
        return None if issue(got["compileError"]) == issue(test["error"]) else \
            f"other first error: {issue(got['compileError'])}, wanted {issue(test['error'])}"
    if "compileError" in got:
        return got["compileError"]
    if not original.get("disableCheck") and "type" in test and not test.get("error") and got["type"] != test["type"]:
        return f"type {got['type']}, wanted {test['type']}"
    wants = original.get("value") is not None or original.get("typedResult", {}).get("result") is not None
    if "value" not in got:
        evaluated = wants or not original.get("typeEnv")
        return failed if evaluated and wants else None
    if got.get("same") is False:
        return f"value {got['value']}, wanted {json.dumps(original.get('value') or original.get('typedResult'))}"
    return None


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    verbose = "-v" in sys.argv
    if not (folder / "package.json").exists() or not shutil.which("node"):
        print(f"skipped: no node, or no {folder} (tools/setup test fetches it where there is npm)")
        sys.exit(SKIPPED)
    package = json.loads((folder / "package.json").read_text())
    tests, unclaimed, requests = [], collections.Counter(), []
    for suite in load(folder):
        for path, test in walk(suite):
            reason = reason_not_claimed(path, test)
            if reason:
                unclaimed[reason] += 1
            else:
                tests.append((path, test))
                requests.append(json.dumps(request(path, test)))
    out = subprocess.run([program], input="\n".join(requests) + "\n", stdout=subprocess.PIPE, text=True, check=True).stdout
    answers = [json.loads(line) for line in out.splitlines()]
    assert len(answers) == len(tests), f"{len(answers)} answers to {len(tests)} tests"
    failed = 0
    counts = collections.Counter()
    for (path, test), got in zip(tests, answers):
        wrong = judge(path, test, got)
        counts["/".join(path[:2])] += 1
        if wrong:
            failed += 1
            print(f"FAIL {'/'.join(path)}/{test['original'].get('name', '')}: {test['original']['expr']}\n    {wrong}")
    if verbose:
        for name, n in sorted(counts.items()):
            print(f"{n:5} {name}")
    for reason, n in unclaimed.most_common():
        print(f"not claimed: {n} tests: {reason}")
    total = len(tests)
    print(f"cel conformance ({package['name']} {package['version']}): {total - failed} passed of {total}")
    print(f"{total - failed} passed, {failed} failed")
    sys.exit(1 if failed or not total else 0)


main()
