# SPDX-License-Identifier: Apache-2.0
"""What the checkers share: the list of files, C text without comments and strings, and the verdict."""
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
C_FOLDERS = ("src", "include", "test", "examples")
C_SUFFIXES = (".c", ".h", ".def")
NOT_OURS = re.compile(r"^(\..*|build|build-.*|run|node_modules|__pycache__)$")


def walk(top=ROOT):
    """Every file of the tree that is not built, cached or state."""
    for folder, folders, files in os.walk(top):
        inside_root = Path(folder) == ROOT
        folders[:] = sorted(f for f in folders
                            if not NOT_OURS.match(f) or (inside_root and f == ".ci"))
        for name in sorted(files):
            yield Path(folder) / name


def c_files(suffixes=C_SUFFIXES, folders=C_FOLDERS):
    return [path for folder in folders for path in walk(ROOT / folder) if path.suffix in suffixes]


TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(text, keep_strings=False):
    """The text with comments (and strings) replaced by spaces; every line keeps its number."""
    def replace(match):
        token = match.group(0)
        if keep_strings and token[0] in "\"'":
            return token
        quote = token[0] if token[0] in "\"'" else " "
        return quote + re.sub(r"[^\n]", " ", token[1:-1]) + quote
    return TOKEN.sub(replace, text)


def finish(checker, seen, problems, what="files"):
    """Prints the verdict and ends the program: problems are (path, line, text)."""
    for path, line, text in problems:
        print(f"{path.relative_to(ROOT)}:{line}: {text}")
    print(f"{checker}: {seen} {what}, {len(problems)} problems")
    if seen == 0:
        print(f"{checker}: saw nothing, which cannot be right")
    sys.exit(1 if problems or seen == 0 else 0)
