# SPDX-License-Identifier: Apache-2.0
"""Every verb of `kubectl --help` that talks to a server, with both kubectls, on built-in and custom kinds.

What is printed is compared with the transcripts in golden/verbs/, which say what a Kubernetes 1.32 answers. The verbs
that stream are told by tests of their own; the last test here prints which verb is covered by what.
"""
import re
from pathlib import Path

import pytest

from harness import condition, until
from transcript import Transcript

GOLDEN = Path(__file__).parent / "golden/verbs"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "verbs.example.com"


def obj(properties, **more):
    return {"type": "object", "properties": properties, **more}


WIDGET = obj(
    {"spec": obj({
        "size": {"type": "integer", "format": "int32", "description": "How many.", "minimum": 0, "maximum": 50},
        "color": {"type": "string", "enum": ["red", "blue"], "default": "red", "description": "What it looks like."},
        "parts": {"type": "array", "description": "What it is made of.",
                  "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                  "items": obj({"name": {"type": "string"}, "count": {"type": "integer"}}, required=["name"])},
    }, description="What is wanted.", required=["size"]),
     "status": obj({"phase": {"type": "string"}, "replicas": {"type": "integer"},
                    "conditions": {"type": "array", "items": obj({"type": {"type": "string"},
                                                                  "status": {"type": "string"}})}})},
    description="Something that is made of parts.")
DEFINITIONS = [
    {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
     "metadata": {"name": f"widgets.{GROUP}"},
     "spec": {"group": GROUP, "scope": "Namespaced",
              "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"]},
              "versions": [{
                  "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": WIDGET},
                  "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.size",
                                                           "statusReplicasPath": ".status.replicas"}},
                  "selectableFields": [{"jsonPath": ".spec.color"}],
                  "additionalPrinterColumns": [
                      {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                      {"name": "Color", "type": "string", "jsonPath": ".spec.color", "priority": 1},
                      {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]}]}},
    {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
     "metadata": {"name": f"regions.{GROUP}"},
     "spec": {"group": GROUP, "scope": "Cluster",
              "names": {"plural": "regions", "singular": "region", "kind": "Region"},
              "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": obj(
                  {"spec": obj({"zone": {"type": "string"}})})}}]}}]


@pytest.fixture(scope="module")
def custom_kinds(api):
    for crd in DEFINITIONS:
        api.post(CRDS, crd)
    for crd in DEFINITIONS:
        path = f"{CRDS}/{crd['metadata']['name']}"
        until("it is established", lambda p=path: condition(api.get(p), "Established").get("status") == "True")
    yield
    for crd in DEFINITIONS:
        api.delete(f"{CRDS}/{crd['metadata']['name']}")
    for crd in DEFINITIONS:
        until("it is gone", lambda c=crd: api.gone(f"{CRDS}/{c['metadata']['name']}"))


def compare(path, folder, kubectl, node=""):
    problems = Transcript(path, folder, node).run(kubectl)
    assert not problems, f"differs from {path}:\n" + "\n".join(problems)


def test_custom_kinds_answer_every_verb(custom_kinds, kk, tmp_path):
    compare(GOLDEN / "custom.txt", tmp_path, kk)


def test_built_in_kinds_answer_every_verb(kk, edge, tmp_path):
    compare(GOLDEN / "builtin.txt", tmp_path, kk, edge.node)


# ---------------------------------------------------------------- what is covered

LOCAL = {"completion", "config", "kustomize", "plugin", "options", "kubectl", "help", "alpha"}
GROUPS = {"apply", "auth", "certificate", "cluster-info", "create", "rollout", "set", "top"}    # with verbs below them
# Verbs whose answers are streams or interactive: the file that tells them, for both kubectls.
ELSEWHERE = {"attach": "test_streams.py", "cp": "test_streams.py", "debug": "test_streams.py",
             "port-forward": "test_streams.py", "proxy": "test_streams.py", "top pod": "test_streams.py",
             "api-resources": "test_kinds.py", "api-versions": "test_kinds.py"}
# What kubectl itself refuses for kinds that it does not know.
BUILT_IN_ALONE = {"certificate", "cordon", "uncordon", "taint", "drain", "run", "top", "cp", "debug", "proxy",
                  "port-forward", "cluster-info", "version", "api-versions", "api-resources", "auth reconcile", "auth whoami"}


def listed(text):
    """The commands that a help text lists."""
    return [m.group(1) for m in re.finditer(r"^  ([a-z][a-z-]*) {2,}\S", text, re.M)]


def verbs_of(kubectl):
    for verb in listed(kubectl("--help")):
        if verb in LOCAL:
            continue
        below = listed(kubectl(verb, "--help").partition("Usage:")[0].partition("Available Commands")[2]) \
            if verb in GROUPS else []
        if not below or verb in ("apply", "cluster-info"):
            yield verb
        yield from (f"{verb} {b}" for b in below)


def says(words, verb):
    return words[:len(verb.split())] == verb.split()


def test_no_verb_is_left_out(client, tmp_path):
    which = "old" if client.old else "new"
    said = {name: Transcript(GOLDEN / f"{name}.txt", tmp_path).verbs(which) for name in ("builtin", "custom")}
    missing = []
    verbs = list(verbs_of(client))
    for verb in verbs:
        where = {name: sum(says(words, verb) for words in said[name]) for name in said}
        source = ELSEWHERE.get(verb)
        if source:
            assert f'"{verb.split()[0]}"' in (Path(__file__).parent / source).read_text()
        alone = any(says(verb.split(), v) for v in BUILT_IN_ALONE) or verb.startswith("create ")
        print(f"{which}  {verb:28}  built-in: {where['builtin'] or source or '-':<16}  "
              f"custom: {where['custom'] or ('-' if alone else 'MISSING')}")
        if not where["builtin"] and not source or not where["custom"] and not alone:
            missing.append(verb)
    assert len(verbs) > 50 and not missing, missing
