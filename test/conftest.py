# SPDX-License-Identifier: Apache-2.0
"""A net under every pytest test: one that hangs is ended after TEST_TIMEOUT seconds and fails alone."""
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
