# SPDX-License-Identifier: Apache-2.0
"""Reads recorded conversations: pairs of a request and its answer, with protobuf answers decoded."""
import ast
import glob
import gzip
import json
import os
import re
import subprocess
from urllib.parse import parse_qs, urlsplit

# Streams and what takes a node; the e2e suites run the real clients over those.
NODE_BACKED = {"exec", "attach", "portforward", "log", "proxy"}


def body_bytes(text):
    """The recording writes bytes that are no UTF-8 as b64lenN:b'...'; None when it cut them."""
    m = re.match(r"b64len(\d+):(b['\"].*)\Z", text or "", re.S)
    if not m:
        return (text or "").encode("latin-1", "replace")
    try:
        data = ast.literal_eval(m.group(2))
    except (SyntaxError, ValueError):
        return None
    return data if len(data) == int(m.group(1)) else None


def parsed(data):
    try:
        return json.loads(data)
    except ValueError:
        return None


class Request:
    """A request line cut into what it is about."""

    def __init__(self, record, source):
        self.method, self.target, _ = record["req"].split(" ")
        self.headers = {k.lower(): v for k, v in record["h"]}
        self.body = body_bytes(record.get("body", ""))
        url = urlsplit(self.target)
        self.path, self.query = url.path, parse_qs(url.query)
        self.label = f"{source}:{record['n']} {self.method} {self.target[:150]}"
        self.json = parsed(self.body) if self.body and "protobuf" not in self.headers.get("content-type", "") else None
        self.watch = "watch" in self.query
        self.dry_run = "dryRun" in self.query
        self.cut()

    def cut(self):
        self.base, self.name, self.subresource = self.path, "", ""
        m = re.match(r"(/api/v1|/apis/[^/]+/[^/]+)(/namespaces/[^/]+)?/([^/]+)(?:/([^/]+))?(?:/([^/]+))?$", self.path)
        if not m:
            return
        root, ns, plural, self.name, self.subresource = (g or "" for g in m.groups())
        if plural == "namespaces" and not ns:
            ns = ""
        self.base = f"{root}{ns}/{plural}"

    @property
    def object_path(self):
        return f"{self.base}/{self.name}"

    def path_of(self, obj):
        """Where an object of this request's resource lies; lists over all namespaces name them in each item."""
        base = self.base
        ns = obj.get("metadata", {}).get("namespace")
        if ns and "/namespaces/" not in base:
            root, plural = base.rsplit("/", 1)
            base = f"{root}/namespaces/{ns}/{plural}"
        return f"{base}/{obj.get('metadata', {}).get('name', '')}"


class Answer:
    def __init__(self, record):
        self.status = record["code"]
        self.headers = {k.lower(): v for k, v in record["h"]}
        self.body = body_bytes(record.get("body", ""))
        self.protobuf = "protobuf" in self.headers.get("content-type", "")
        self.json = None if self.protobuf or not self.body else parsed(self.body)


def pairs(path):
    source, asked = os.path.basename(path).split("-")[0], {}
    with gzip.open(path, "rt") as f:
        for line in f:
            d = json.loads(line)
            if d["ev"] == "req":
                asked[d["n"]] = d
            elif d["ev"] == "resp" and d["n"] in asked:
                yield Request(asked.pop(d["n"]), source), Answer(d)


def decode(dump, answers):
    """Fills the trees of protobuf answers with our own decoder; what it cannot read stays None."""
    coded = [a for a in answers if a.protobuf and a.body]
    text = "\n".join(a.body.hex() for a in coded) + "\n"
    out = subprocess.run([dump], input=text, capture_output=True, text=True, check=True).stdout.splitlines()
    for answer, line in zip(coded, out):
        answer.json = parsed(line)


def conversations(folder, dump):
    """All that can be replayed without a node, in the order of the files and of their time."""
    found = []
    for pattern in ("kubectl-1*_vs_*", "python3-*", "kubelet-*bootstrap*"):
        for path in sorted(glob.glob(os.path.join(folder, pattern + ".jsonl.gz"))):
            found += pairs(path)
    found = [(q, a) for q, a in found if q.subresource not in NODE_BACKED and not q.watch and q.body is not None and
             a.body is not None and a.status != 101]
    decode(dump, [a for _, a in found])
    return found
