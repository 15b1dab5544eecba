# SPDX-License-Identifier: Apache-2.0
"""Streaming SQL once more, slow and plain: the model that test_rules_model.py holds the engine against.

It is written from docs/reference/sql.md, not from the engine: rows are dicts, a window is a list of rows
that is scanned whole at every firing, expressions are tuples that a recursive function evaluates.

    values.py       what a field may be; comparison, arithmetic, order
    expressions.py  expressions: as SQL and as values
    functions.py    scalar functions, aggregates, analytic functions
    windows.py      which rows a window holds, and when it fires
    rules.py        a whole rule over a list of events
    generate.py     rules, streams and events from a seed
    check.py        runs the real program, compares, makes what differs small
"""
