#!/usr/bin/python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Runs the public conformance data of CEL (npm package @bufbuild/cel-spec) through our evaluator.

    conformance_test.py CEL_CONFORMANCE CACHE_DIR [-v]

The data is that of cel-spec (values, errors, types) and of cel-go's own tests (texts of errors). What we do not claim
is counted by reason. Without npm, or without a registry, it says so and is skipped.
"""
import collections
import json
import pathlib
import re
import shutil
import subprocess
import sys

PACKAGE = "@bufbuild/cel-spec@0.6.1"
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


def install(cache):
    """The package's folder, fetched once through npm's own cache; None when that cannot be."""
    folder = cache / "node_modules" / "@bufbuild" / "cel-spec"
    version = PACKAGE.rsplit("@", 1)[1]
    manifest = folder / "package.json"
    if manifest.exists() and json.loads(manifest.read_text())["version"] == version:
        return folder
    if not shutil.which("npm") or not shutil.which("node"):
        return None
    cache.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["npm", "install", "--prefix", str(cache), "--no-save", "--no-audit", "--no-fund", "--ignore-scripts",
                           "--legacy-peer-deps", "--loglevel=error", PACKAGE], stdin=subprocess.DEVNULL, timeout=300, check=False)
    return folder if done.returncode == 0 and manifest.exists() else None


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
    declared = json.dumps(original.get("typeEnv", ()))
    if "overloads" in declared:
        return "functions declared by the test alone"
    if any(word in declared for word in ("messageType", "wrapper", '"ANY"')):
        return "protobuf messages and enums: our data is JSON"
    if '"abstractType"' in declared and "optional_type" not in declared:
        return "abstract types declared by the test alone"
    return None


def request(path, test):
    original = test["original"]
    return {"expr": original["expr"], "container": original.get("container", ""), "check": not original.get("disableCheck"),
            "cross": path[0] == "conformance",
            "vars": [{"name": v["name"], "type": v["ident"]["type"]} for v in original.get("typeEnv", ()) if "ident" in v],
            "bindings": original.get("bindings", {}),
            "value": original.get("value") or original.get("typedResult", {}).get("result")}


def issue(text):
    """(line and column, text) of the first error; the data names the source or not."""
    match = re.match(r"ERROR: [^:]*:(\d+:\d+): (.*)", text)
    return match.groups() if match else None


def judge(test, got):
    """None when right, else what is wrong."""
    original = test["original"]
    if "unsupported" in got:
        return got["unsupported"]
    failed = got.get("compileError") or got.get("error")
    if original.get("evalError"):
        return None if failed else f"no error but {got.get('value')}"
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
    program, cache = sys.argv[1], pathlib.Path(sys.argv[2])
    verbose = "-v" in sys.argv
    folder = install(cache)
    if folder is None:
        print("skipped: npm cannot fetch", PACKAGE)
        sys.exit(SKIPPED)
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
        wrong = judge(test, got)
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
    print(f"cel conformance ({PACKAGE}): {total - failed} passed of {total}")
    print(f"{total - failed} passed, {failed} failed")
    sys.exit(1 if failed or not total else 0)


main()
