# SPDX-License-Identifier: Apache-2.0
"""Random rules over random events: the real program against a slow model of the language (rules_model/).

RULES_SEED=N repeats a story, RULES_STORIES=N runs so many (each has 25 rules over 60 events).
"""
import os
import random
from pathlib import Path

from rules_model import check, generate

RULES, EVENTS = 25, 60


def program():
    return str(Path(os.environ.get("BUILD", "build")).resolve() / "libexec" / "selvedge" / "rule")


def story_of(seed):
    return generate.story(random.Random(seed), RULES, EVENTS)


def test_random_rules_give_what_the_model_gives():
    first = int(os.environ.get("RULES_SEED") or random.SystemRandom().randrange(1 << 32))
    stories = int(os.environ.get("RULES_STORIES") or (1 if os.environ.get("RULES_SEED") else 60))
    emissions = 0
    for seed in range(first, first + stories):
        print(f"RULES_SEED={seed}")
        story = story_of(seed)
        found, compared = check.compare(program(), story)
        emissions += compared
        for rule, got, _ in found[:1]:
            assert rule is not None, f"RULES_SEED={seed}: the program failed: {got}"
            small = check.minimise(program(), story, rule)
            assert not found, check.report(program(), small, seed)
    print(f"{stories} stories, {emissions} emissions")
    assert emissions > 100 * stories, "rules without results show nothing"
