# SPDX-License-Identifier: Apache-2.0
"""What tests ask this machine: commands, waiting, processes, mounts, cgroups, network namespaces.
"""
import contextlib
import ctypes
import http.client
import os
import random
import re
import socket
import subprocess
import threading
import time
from pathlib import Path

CLONE_NEWNET = 0x40000000

must_run = []  # programs; until() fails at once when one of them has died


def run(*command, check=True, **options):
    """Runs a command to its end; stdout as text. A failure shows what it printed."""
    done = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}\n"
                             f"{done.stdout}{done.stderr}")
    return done.stdout


def until(what, probe, pause=0.1):
    """Calls probe() until it returns something true, which is returned.

    An AssertionError or a failed look-up inside the probe means "not yet". Ends early, with the last
    answer, when a program died that should be running.
    """
    last = None
    try:
        while True:
            try:
                last = probe()
                if last:
                    return last
            except (AssertionError, LookupError, TypeError, OSError, http.client.HTTPException) as e:
                last = e
            for program in must_run:
                program.assert_alive()
            time.sleep(pause)
    except BaseException:
        print(f"waiting for: {what}\nlast seen: {shorten(last)}")
        raise


def shorten(value, limit=6000):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else text[:limit] + f"... ({len(text)} characters)"


def free_port(address="127.0.0.1"):
    """A port that nobody listens on, below those that the kernel hands out: while a program restarts,
    no connection of another test takes its port."""
    while True:
        port = random.randrange(10000, 30000)
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind((address, port))
            return port


def in_netns(name, function):
    """Runs function() in a thread that has entered the network namespace; sockets keep it."""
    result = []

    def body():
        try:
            with open(f"/run/netns/{name}") as f:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(f.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"setns {name}")
            result.append((function(), None))
        except Exception as e:  # handed to the caller
            result.append((None, e))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    value, error = result[0]
    if error:
        raise error
    return value


def all_pids():
    """Processes that have not ended; a zombie that nobody has waited for yet is no matter of ours."""
    return [int(p) for p in os.listdir("/proc") if p.isdigit() and
            not re.search(rb"^State:\s+[ZX]", read_proc_bytes(p, "status"), re.M)]


def read_proc_bytes(pid, name):
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def read_proc(pid, name):
    return read_proc_bytes(pid, name).decode(errors="replace")


def mounts_below(folder):
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4].replace("\\040", " ")
        if point == str(folder) or point.startswith(f"{folder}/"):
            points.append(point)
    return points


def cgroups_named(name):
    top = Path("/sys/fs/cgroup")
    return [str(p) for p in [*top.glob(name), *top.glob(f"*/{name}")] if p.is_dir()]


def cgroup_value(pid, v1_controller, v1_file, v2_file):
    """A limit of the cgroup that a process is in, whichever hierarchy the machine has."""
    for line in read_proc(pid, "cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if v1_controller in controllers.split(","):
            file = Path(f"/sys/fs/cgroup/{v1_controller}{path}/{v1_file}")
            if file.exists():
                return file.read_text().strip()
    for line in read_proc(pid, "cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if not controllers:
            file = Path(f"/sys/fs/cgroup{path}/{v2_file}")
            if file.exists():
                return file.read_text().strip()
    raise LookupError(f"no {v1_file} or {v2_file} for process {pid}")


def pss_kib(pid):
    """Proportional memory of a process."""
    return int(re.search(r"^Pss:\s+(\d+)", read_proc(pid, "smaps_rollup"), re.M).group(1))
