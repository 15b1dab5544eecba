# SPDX-License-Identifier: Apache-2.0
"""What holds for every pytest suite.

A net under every test: one that hangs is ended after TEST_TIMEOUT seconds and fails alone.

Several pytest processes may share a suite: with TEST_TAKEN, a folder, each runs the files that it is the
first to take, a file being taken by an entry in the folder. All tests of a file run in one process.
"""
import itertools
import os
import signal

import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    seconds = int(os.environ.get("TEST_TIMEOUT", "600"))

    def on_alarm(signum, frame):
        pytest.fail(f"no end after {seconds} s (TEST_TIMEOUT)")

    before = signal.signal(signal.SIGALRM, on_alarm)
    # Again after a minute, for a clean-up that hangs, too.
    signal.setitimer(signal.ITIMER_REAL, seconds, 60)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# The files that take longest are taken first, so that no process is left alone with one at the end.
LONG = ("test_kubectl", "test_nodes", "test_workloads", "test_verbs", "test_pods", "test_policy", "test_streams")


def taken_items(session, folder):
    files = [(path, list(items)) for path, items in itertools.groupby(session.items, lambda item: item.path)]
    files.sort(key=lambda file: LONG.index(file[0].stem) if file[0].stem in LONG else len(LONG))
    for path, items in files:
        try:
            os.close(os.open(os.path.join(folder, path.stem), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        yield from items


def pytest_runtestloop(session):
    """As pytest's own, over the files that this process takes."""
    folder = os.environ.get("TEST_TAKEN")
    if not folder or session.testsfailed or session.config.option.collectonly:
        return None
    items = itertools.chain(taken_items(session, folder), [None])
    for item, following in itertools.pairwise(items):
        session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
    return True
