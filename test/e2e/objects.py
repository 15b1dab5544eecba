# SPDX-License-Identifier: Apache-2.0
"""Objects that tests apply, where they are found, and what they say.
"""
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BUILD", ROOT / "build"))
SANITIZED = "asan" in BUILD.name  # what is freed stays: memory says nothing


BUSYBOX = "e2e/busybox:1"
HELLO_YAML = ROOT / "examples/hello/hello.yaml"


def hello_archives():
    """Both versions of the example's image, as the build packs them."""
    return [BUILD / "examples/hello/hello.tar", BUILD / "examples/hello/hello-2.tar"]


def pod(name, script="sleep 100000", **more):
    """A pod object that runs a shell script in busybox. `more` goes into the spec, or the container
    when it is one of the container's fields."""
    container = {"name": "c", "image": BUSYBOX, "command": ["sh", "-c", script]}
    spec = {"terminationGracePeriodSeconds": 1}
    metadata = {"name": name}
    for key, value in more.items():
        if key in ("labels", "annotations", "finalizers"):
            metadata[key] = value
        elif key in ("env", "envFrom", "resources", "ports", "livenessProbe", "readinessProbe",
                     "startupProbe", "lifecycle", "volumeMounts", "image", "imagePullPolicy", "args",
                     "command", "workingDir", "stdin", "tty", "terminationMessagePath",
                     "terminationMessagePolicy", "container_securityContext"):
            container["securityContext" if key.startswith("container_") else key] = value
        else:
            spec[key] = value
    spec.setdefault("containers", [container])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def deployment(name, replicas=1, script="sleep 100000", labels=None, **spec):
    labels = labels or {"app": name}
    template = pod(name, script, **spec)
    return {"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "labels": labels},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels},
                     "template": {"metadata": {"labels": labels}, "spec": template["spec"]}}}


def configmap(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pods_path(namespace, name=""):
    return f"/api/v1/namespaces/{namespace}/pods" + (f"/{name}" if name else "")


def configmaps_path(namespace, name=""):
    return f"/api/v1/namespaces/{namespace}/configmaps" + (f"/{name}" if name else "")


def deployments_path(namespace, name=""):
    return f"/apis/apps/v1/namespaces/{namespace}/deployments" + (f"/{name}" if name else "")


def condition(obj, name):
    """The condition of that type, or {}."""
    found = [c for c in obj.get("status", {}).get("conditions", []) if c["type"] == name]
    return found[0] if found else {}


def is_ready(pod):
    return pod["status"].get("phase") == "Running" and condition(pod, "Ready").get("status") == "True"
