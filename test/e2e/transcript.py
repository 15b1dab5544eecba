# SPDX-License-Identifier: Apache-2.0
"""Transcripts: a file of kubectl commands and of what they print, run again and compared.

    # anything                       a remark
    @file NAME                       the lines up to @end are a file in the folder where kubectl runs
    $ get pods                       a command, for both kubectls
    $new get pods                    for the current kubectl alone; $old: for Debian's 1.20 alone
    $~ get pods                      asked again until the answer is the one that follows
    $ A=b edit x                     words with = in front are its environment
    | NAME   READY                   what it prints, normalised (see plain())
    ! Error from server              what it prints on stderr
    = 1                              its exit status, unless 0

{NS} and {NODE} stand for this run's namespace and node, in commands, files and outputs.

E2E_GOLDEN=write writes the file anew with what came out (read the difference before you keep it). Where
the kubectls differ, an entry for both becomes one for each.
"""
import os
import re
import shlex
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from harness import until

SUFFIX = "[bcdfghjklmnpqrstvwxz2456789]"    # the letters of generated names
RULES = [
    (r"\b\d+m(\s+\d+%)?\s+\d+Mi(\s+\d+%)?", "CPU  MEMORY"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4}( [A-Z]+)?( m=\S+)?", "TIME"),
    (r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "TIME"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UID"),
    (r'(resourceVersion"?): "\d+"', r'\1: "RV"'),
    (r"(pod-template-hash|controller-revision-hash)([=:] ?)\S+", r"\1\2HASH"),
    (rf"-{SUFFIX}{{6,10}}-{SUFFIX}{{5}}\b", "-HASH-RAND"),
    (rf"\b(web|one-debug)-{SUFFIX}{{6,10}}\b", r"\1-HASH"),
    (rf"\b(job|debugger|csr)-{SUFFIX}{{5}}\b", r"\1-RAND"),
    (r"\bsha256:[0-9a-f]{64}\b", "DIGEST"),
    (r"://[0-9a-f]{64}\b", "://CONTAINER"),
    (r"https://[0-9.]+:\d+", "SERVER"),
    (r"\b(10|127|172|192)\.\d+\.\d+\.\d+\b", "IP"),
    (r"/(var/)?tmp/(diff|LIVE|MERGED|kubectl-)[^\s/]*(/\S*)?", "TEMPFILE"),
    (r":3\d{4}/TCP", ":NODEPORT/TCP"),
    (r"\b3[0-2]\d{3}(?=/TCP)", "NODEPORT"),
    (r"(nodePort: )3\d{4}", r"\1NODEPORT"),
    (r"(?<=\s)\d+(\.\d+)?m?s( \(x\d+ over \S+\))?(?=\s|$|\.)", "AGE"),
    (r"(?<=\s)\d+[mhd](\d+[smh])?( \(x\d+ over \S+\))?(?=\s+\S|$)", "AGE"),
    (r"\bv1\.\d+\.\d+[-+.\w]*", "VERSION"),
    (r"X509SHA256=[0-9a-f]{64}", "X509SHA256=DIGEST"),
    (r"<invalid>", "AGE"),
    (r"^[WE]\d{4} [\d:.]+ +\d+ ", "LOG "),
    (r"(Resource Version: +)\d+", r"\1RV"),
    (r"\bAGE ago\b", "AGE"),
]


def plain(text, names):
    """Without what differs from run to run. Columns keep two spaces between them."""
    for name, stands in names:
        text = text.replace(name, stands)
    for pattern, stands in RULES:
        text = re.sub(pattern, stands, text, flags=re.M)
    lines = []
    for line in text.splitlines():
        indent = re.match(r" *", line).group()
        lines.append(indent + re.sub(r" {2,}", "  ", line[len(indent):]).rstrip())
    return lines


@dataclass
class Entry:
    """A command with what it is to print, or lines that stand between commands (command None)."""
    command: str = None
    client: str = ""    # "new", "old" or "" for both
    again: bool = False
    told: list = field(default_factory=list)
    text: list = field(default_factory=list)

    def lines(self):
        if self.command is None:
            return self.text
        return [f"${self.client}{'~' if self.again else ''} {self.command}", *self.told]


def parse(text):
    """The entries of a transcript and its files."""
    entries, files, lines = [], {}, iter(text.splitlines())
    for line in lines:
        start = re.match(r"\$(new|old|)(~?) (.*)", line)
        if start:
            entries.append(Entry(start.group(3), start.group(1), bool(start.group(2))))
        elif line[:2] in ("| ", "! ", "= ") or line in ("|", "!"):
            entries[-1].told.append(line)
        elif line.startswith("@file "):
            body = []
            for inner in lines:
                if inner == "@end":
                    break
                body.append(inner)
            files[line.split()[1]] = "\n".join(body) + "\n"
            entries.append(Entry(text=[line, *body, "@end"]))
        else:
            assert line == "" or line.startswith("#"), f"not a line of a transcript: {line}"
            entries.append(Entry(text=[line]))
    return entries, files


class Transcript:
    def __init__(self, path, folder, node=""):
        self.path, self.folder, self.node = Path(path), Path(folder), node
        self.entries, self.files = parse(self.path.read_text())

    def verbs(self, client):
        """The commands for a client, each as its first two words that are no options."""
        return [plain_words(e.command) for e in self.entries if e.command and e.client in ("", client)]

    def run(self, kubectl):
        """Runs all commands; the differences as lines for people."""
        client = "old" if kubectl.old else "new"
        names = [(kubectl.namespace, "{NS}")] + ([(self.node, "{NODE}")] if self.node else [])
        for name, text in self.files.items():
            (self.folder / name).write_text(self.fill(text, kubectl))
        write = os.environ.get("E2E_GOLDEN") == "write"
        problems, entries = [], []
        for entry in self.entries:
            entries.append(entry)
            if entry.command is None or entry.client not in ("", client):
                continue
            told = self.ask(kubectl, entry, names, write)
            if told == entry.told:
                continue
            problems += [f"$ {entry.command}", *(f"  wanted {x}" for x in entry.told), *(f"  got    {x}" for x in told)]
            if write and client == "old" and entry.client == "":
                entry.client = "new"
                entries.append(Entry(entry.command, "old", entry.again, told))
            elif write:
                entry.told = told
        self.entries = entries
        if write:
            self.path.write_text("\n".join(line for e in self.entries for line in e.lines()) + "\n")
            return []
        return problems

    def fill(self, text, kubectl):
        return text.replace("{NS}", kubectl.namespace).replace("{NODE}", self.node)

    def ask(self, kubectl, entry, names, write):
        told = self.once(kubectl, entry, names)
        if not entry.again:
            return told
        if write:
            time.sleep(3)    # what it settles to, for a person to look at
            return self.once(kubectl, entry, names)
        box = [told]

        def probe():
            box[0] = self.once(kubectl, entry, names)
            return box[0] == entry.told

        until(f"$ {entry.command} prints {entry.told}", probe)
        return box[0]

    def once(self, kubectl, entry, names):
        words = shlex.split(self.fill(entry.command, kubectl))
        env = {}
        while re.match(r"[A-Z_]+=", words[0]):
            name, _, value = words.pop(0).partition("=")
            env[name] = value
        done = subprocess.run(kubectl.command(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              cwd=self.folder, env=kubectl.environment(**env))
        told = [f"| {x}".rstrip() for x in plain(done.stdout, names)]
        told += [f"! {x}".rstrip() for x in plain(done.stderr, names)]
        return told + ([f"= {done.returncode}"] if done.returncode else [])


def plain_words(command):
    """The words of a command that are neither environment nor options."""
    words = [w for w in shlex.split(command) if not re.match(r"[A-Z_]+=", w)]
    return [w for w in words if not w.startswith("-")]
