# SPDX-License-Identifier: Apache-2.0
"""Long runs: python3 -m rules_model PROGRAM FIRST_SEED STORIES [RULES] [EVENTS]; what differs is printed, made small."""
import random
import sys

from . import check, generate


def main():
    program, first, stories = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rules, events = (int(x) for x in (sys.argv[4:6] + ["25", "60"][len(sys.argv[4:6]):]))
    differ = 0
    for seed in range(first, first + stories):
        story = generate.story(random.Random(seed), rules, events)
        for rule, got, _ in check.differing(program, story):
            differ += 1
            print(check.report(program, check.minimise(program, story, rule), seed)
                  if rule else f"RULES_SEED={seed}: {got}", "\n", flush=True)
    print(f"{stories} stories of {rules} rules, {differ} differ")
    return 1 if differ else 0


sys.exit(main())
