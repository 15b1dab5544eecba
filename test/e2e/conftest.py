# SPDX-License-Identifier: Apache-2.0
"""The fixtures lie in fixtures.py, so that test/scenario has them too."""
from fixtures import *  # noqa: F401,F403
