# SPDX-License-Identifier: Apache-2.0
"""The real kubectl, and commands that go on while a test looks at what they print.
"""
import json
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import yaml

from machine import shorten, until


class Result:
    def __init__(self, command, code, out, err):
        self.command, self.code, self.out, self.err = command, code, out, err

    def __repr__(self):
        return f"{' '.join(self.command)}: exit {self.code}\n{shorten(self.out)}\n{shorten(self.err)}"


class Kubectl:
    """kubectl over a kubeconfig, with its cache and home in the temporary folder.

    k("get", "pods") returns stdout and fails when kubectl does; k.result() never fails.
    """

    def __init__(self, kubeconfig, home, binary="kubectl", namespace=None, netns=None):
        self.kubeconfig, self.home, self.binary = Path(kubeconfig), Path(home), str(binary)
        self.namespace, self.netns = namespace, netns
        self.old = binary != "kubectl"

    def within(self, namespace):
        return Kubectl(self.kubeconfig, self.home, self.binary, namespace, self.netns)

    def forget(self):
        """Its idea of which kinds there are: kubectl 1.20 keeps it for ten minutes and believes it."""
        for cache in (self.home / "cache", self.home / ".kube" / "cache"):
            shutil.rmtree(cache, ignore_errors=True)

    def command(self, *args):
        command = ["nsenter", f"--net=/run/netns/{self.netns}", "--"] if self.netns else []
        command += [self.binary, f"--kubeconfig={self.kubeconfig}"]
        if self.namespace:
            command.append(f"--namespace={self.namespace}")
        return command + [str(a) for a in args]

    def environment(self, **more):
        return dict(os.environ, HOME=str(self.home), KUBECACHEDIR=str(self.home / "cache"), **more)

    def result(self, *args, stdin=None, env=None):
        command = self.command(*args)
        done = subprocess.run(command, input=stdin if stdin is not None else "", text=True,
                              capture_output=True, env=self.environment(**(env or {})))
        return Result(command, done.returncode, done.stdout, done.stderr)

    def __call__(self, *args, stdin=None, env=None):
        result = self.result(*args, stdin=stdin, env=env)
        assert result.code == 0, repr(result)
        return result.out

    def fails(self, *args, stdin=None):
        """stderr of a kubectl that must fail."""
        result = self.result(*args, stdin=stdin)
        assert result.code != 0, repr(result)
        return result.err

    def json(self, *args):
        return json.loads(self(*args, "-o", "json"))

    def apply(self, *objects):
        return self("apply", "-f", "-", stdin=to_yaml(*objects))

    def create(self, *objects):
        return self("create", "-f", "-", stdin=to_yaml(*objects))

    def start(self, *args, stdin=subprocess.DEVNULL):
        return Stream(self.command(*args), self.environment(), stdin)


class Stream:
    """A command that goes on: its lines are gathered while it runs. A context manager that ends it."""

    def __init__(self, command, env=None, stdin=subprocess.DEVNULL):
        self.command = command
        self.lines = []
        self.process = subprocess.Popen(command, env=env, stdin=stdin, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, bufsize=1)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def text(self):
        return "\n".join(self.lines)

    def expect(self, pattern, after=0):
        """Waits for a line that matches; its index."""
        def look():
            for i, line in enumerate(self.lines[after:], after):
                if re.search(pattern, line):
                    return i + 1
            return 0

        def probe():
            found = look()
            ended = self.process.poll() is not None and not self.thread.is_alive()
            if not found and ended:
                found = look()
                if not found:
                    raise EndedEarly(f"{' '.join(self.command)} ended with {self.process.returncode} "
                                     f"before /{pattern}/:\n{shorten(self.text())}")
            return found

        return until(f"/{pattern}/ from {' '.join(self.command)}; so far:\n{self.text()}", probe) - 1

    def wait(self):
        code = self.process.wait()
        self.thread.join()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.thread.join()


class EndedEarly(Exception):
    """A stream ended before what was awaited; not an AssertionError, so that until() lets it pass."""


def to_yaml(*objects):
    return "---\n".join(o if isinstance(o, str) else yaml.safe_dump(o) for o in objects)
