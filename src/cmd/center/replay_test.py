# SPDX-License-Identifier: Apache-2.0
"""Replays what kubectl said to a real API server at a center of our own, and compares the answers.

    replay_test.py CENTER FOLDER

FOLDER holds the recorded conversation (*.jsonl.gz, one request or response a line); without it (it is no part of
the repository) there is nothing to do. Only requests whose answer does not depend on a cluster's history are
replayed, in their order. Status codes must be equal; objects must be equal except for what every server makes
anew, what a controller writes meanwhile, and the differences that we want (DELIBERATE).
"""
import ast
import base64
import glob
import gzip
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

# Numbers of the recorded requests: creates, reads, the three patches, scale, labels, dry run, deletions, tables.
REPLAYED = [8, 9, 13, 18, 19, 21, 23, 24, 73, 75, 76, 78, 79, 80, 81, 82, 83, 84, 86, 87, 88, 89, 90, 91, 92, 94, 95,
            119, 120, 121, 124, 135, 136, 137, 214, 219, 227, 236, 239, 240, 245, 246, 274, 282, 283]

MADE_ANEW = {'uid', 'resourceVersion', 'creationTimestamp', 'deletionTimestamp', 'managedFields', 'description'}
WRITTEN_BY_CONTROLLERS = {'status', 'generation', 'deployment.kubernetes.io/revision'}
# We mount no service account token, and pods are not evicted from a node that cannot be reached.
DELIBERATE = {'tolerations', 'volumes', 'volumeMounts'}


def body_bytes(text):
    """The recording writes bytes that are no UTF-8 as b64lenN:b'...'."""
    m = re.match(r"b64len\d+:(b['\"].*)\Z", text, re.S)
    return ast.literal_eval(m.group(1)) if m else text.encode('latin-1')


def recorded(folder):
    asked, answered = {}, {}
    for path in glob.glob(os.path.join(folder, 'kubectl-1.32*_vs_*.jsonl.gz')):
        with gzip.open(path, 'rt') as f:
            for line in f:
                d = json.loads(line)
                if d['ev'] in ('req', 'resp'):
                    (asked if d['ev'] == 'req' else answered)[d['n']] = d
    return asked, answered


class Center:
    """A center on a port of its own."""

    def __init__(self, program, folder):
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            self.port = s.getsockname()[1]
        self.folder = folder
        self.process = subprocess.Popen([program, '--data-dir', folder, '--listen', f'127.0.0.1:{self.port}',
                                         '--log-level', 'error'])
        for _ in range(100):
            try:
                if self.call('GET', '/readyz', None, {})[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise SystemExit('the center did not become ready')

    def context(self):
        pki = os.path.join(self.folder, 'kubeconfig')
        with open(pki, encoding='ascii') as f:
            text = f.read()
        context = ssl.create_default_context()
        context.check_hostname = False
        names = {}
        for key in ('certificate-authority-data', 'client-certificate-data', 'client-key-data'):
            path = os.path.join(self.folder, key)
            with open(path, 'wb') as out:
                out.write(base64.b64decode(re.search(key + r':\s*"?([A-Za-z0-9+/=]+)', text).group(1)))
            names[key] = path
        context.load_verify_locations(names['certificate-authority-data'])
        context.load_cert_chain(names['client-certificate-data'], names['client-key-data'])
        return context

    def call(self, method, target, body, headers):
        c = http.client.HTTPSConnection('127.0.0.1', self.port, context=self.context(), timeout=20)
        c.request(method, target, body, headers)
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, data

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


def differences(theirs, ours, path, skipped):
    """Both are JSON; yields where they differ."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(set(theirs) | set(ours)):
            if key in skipped:
                continue
            if key not in theirs or key not in ours:
                yield f'{path}.{key}: only {"theirs" if key in theirs else "ours"}'
            else:
                yield from differences(theirs[key], ours[key], f'{path}.{key}', skipped)
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for i, (a, b) in enumerate(zip(theirs, ours)):
            yield from differences(a, b, f'{path}[{i}]', skipped)
    elif theirs != ours:
        yield f'{path}: {str(theirs)[:90]!r} became {str(ours)[:90]!r}'


def compare(n, asked, answered, center):
    method, target, _ = asked['req'].split(' ')
    headers = {k: v for k, v in asked['h'] if k in ('Accept', 'Content-Type', 'User-Agent')}
    body = body_bytes(asked['body']) if asked['body'] else None
    status, data = center.call(method, target, body, headers)
    if status != answered['code']:
        yield f'{n} {method} {target}: {answered["code"]} became {status}: {data[:200]!r}'
        return
    try:
        theirs, ours = json.loads(answered['body']), json.loads(data)
    except ValueError:
        return
    if theirs['kind'] in ('Table', 'APIResourceList') or 'openapi' in target:
        same = theirs['kind'] == ours['kind'] and theirs['apiVersion'] == ours['apiVersion']
        if theirs['kind'] == 'Table' and same:
            names = [[c['name'] for c in t['columnDefinitions']] for t in (theirs, ours)]
            same = names[0] == names[1]
        if not same:
            yield f'{n} {method} {target}: another shape'
        return
    skipped = MADE_ANEW | WRITTEN_BY_CONTROLLERS | DELIBERATE
    if theirs['kind'] == 'Status':
        skipped = {'uid'}
    for d in differences(theirs, ours, '', skipped):
        yield f'{n} {method} {target}: {d}'


def main():
    program, folder = sys.argv[1:3]
    asked, answered = recorded(folder)
    if not asked:
        print('skipped: the recorded conversation is not at hand')
        return 77
    wrong, compared = [], 0
    with tempfile.TemporaryDirectory(prefix='selvedge-replay-') as data:
        center = Center(program, data)
        try:
            for n in REPLAYED:
                if 'openapi' in asked[n]['req']:
                    continue
                wrong += compare(n, asked[n], answered[n], center)
                compared += 1
        finally:
            code = center.stop()
    for w in wrong:
        print(w)
    print(f'{compared} answers compared, {len(wrong)} differences')
    return 1 if wrong or code or not compared else 0


if __name__ == '__main__':
    sys.exit(main())
