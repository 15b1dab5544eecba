# SPDX-License-Identifier: Apache-2.0
"""Decodes recorded protobuf bodies of real clients, and compares them with what the real server made of them where
the recording has the whole answer.

    protobuf_recorded_test.py PROTOBUF_DUMP FOLDER

FOLDER (or $SELVEDGE_DATA) holds *.jsonl.gz, one request or response a line; without it (it is no part of the repository) there is
nothing to do. Every member that a client sent must be in the server's answer with the same value.
"""
import ast
import glob
import gzip
import json
import os
import re
import subprocess
import sys

SERVER_SETS = {'resourceVersion', 'uid', 'creationTimestamp', 'generation', 'managedFields'}


def body_bytes(text):
    """The recording writes bytes that are no UTF-8 as b64lenN:b'...'; None when it cut them."""
    m = re.match(r"b64len(\d+):(b['\"].*)\Z", text, re.S)
    if not m:
        return text.encode()
    try:
        data = ast.literal_eval(m.group(2))
    except (SyntaxError, ValueError):
        return None
    return data if len(data) == int(m.group(1)) else None


def pairs(path):
    asked = {}
    with gzip.open(path, 'rt') as f:
        for line in f:
            d = json.loads(line)
            kind = dict((k.lower(), v) for k, v in d.get('h', [])).get('content-type', '')
            if d['ev'] == 'req' and 'protobuf' in kind:
                asked[d['n']] = d
            elif d['ev'] == 'resp' and d['n'] in asked and 200 <= d['code'] < 300:
                yield asked.pop(d['n']), d, 'protobuf' in kind


def run(dump, bodies, *args):
    text = '\n'.join(b.hex() for b in bodies) + '\n'
    out = subprocess.run([dump, *args], input=text, capture_output=True, text=True, check=True).stdout
    return out.splitlines()


def missing(sent, got, path):
    if isinstance(sent, dict) and isinstance(got, dict):
        for k, v in sent.items():
            if k not in SERVER_SETS:
                yield from missing(v, got[k], f'{path}.{k}') if k in got else [f'{path}.{k}: {v!r} is gone']
    elif isinstance(sent, list) and isinstance(got, list) and len(sent) == len(got):
        for i, v in enumerate(sent):
            yield from missing(v, got[i], f'{path}[{i}]')
    elif sent != got:
        yield f'{path}: {sent!r} became {got!r}'


def main():
    dump, folder = sys.argv[1:]
    folder = os.environ.get('SELVEDGE_DATA', folder)
    files = sorted(glob.glob(os.path.join(folder, '*.jsonl.gz')))
    if not files:
        print('skipped: no recordings in', folder)
        sys.exit(77)
    requests, answers, names = [], [], []
    for path in files:
        for req, resp, is_protobuf in pairs(path):
            sent, got = body_bytes(req['body']), body_bytes(resp['body'])
            if sent is None or not sent.startswith(b'k8s\0'):
                continue
            requests.append(sent)
            answers.append((got, is_protobuf))
            names.append(f'{os.path.basename(path)} {req["n"]} {req["req"]}')
    decoded = run(dump, requests, 'defaults')
    replies = run(dump, [got if got and p else b'' for got, p in answers])
    compared = alone = faults = skipped = 0
    for name, text, reply, (got, is_protobuf) in zip(names, decoded, replies, answers):
        if text.startswith('error: no kind'):
            skipped += 1
            continue
        if text.startswith('error') or (got and is_protobuf and reply.startswith('error')):
            print(name, text[:200], reply[:200])
            faults += 1
            continue
        sent, answer = json.loads(text), json.loads(reply if is_protobuf else got) if got else {}
        if answer.get('kind') != sent['kind']:
            alone += 1
            continue
        if sent['kind'].endswith('Review'):
            sent.pop('status', None)    # the question holds an empty one, the answer the server's
        for fault in missing(sent, answer, ''):
            print(name, fault)
            faults += 1
        compared += 1
    print(f'{compared} bodies compared, {alone} only read, {skipped} of kinds that we do not serve, {faults} faults')
    sys.exit(1 if faults or not alone else 0)


main()
