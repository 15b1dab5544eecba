# SPDX-License-Identifier: Apache-2.0
"""tools/kinds names the fault of a bad kind file, and accepts the real ones.

    kinds_faults_test.py TOOLS_KINDS CELLS_DEF KINDS_DIR
"""
import os
import shutil
import subprocess
import sys
import tempfile

# file, text to replace, replacement, what must be said
FAULTS = [
    ('core_pod.yaml', 'plural: pods\n', '', 'core_pod.yaml: has no plural'),
    ('core_pod.yaml', 'plural: pods\n', 'plural: pods\ncolour: red\n', "key 'colour' is unknown"),
    ('core_pod.yaml', 'cell: pod_ready', 'cell: pod_redy', "cell 'pod_redy' is not in kind_cells.def"),
    ('core_pod.yaml', 'type: PodSpec', 'type: PodSpek', "Pod.spec: type 'PodSpek' is unknown"),
    ('core_pod.yaml', 'field: spec.nodeName', 'field: spec.node', "path 'spec.node' leads nowhere"),
    ('core_pod.yaml', 'type: PodStatus, pb: 3', 'type: PodStatus, pb: 2', 'pb 2 is taken by another field'),
    ('core_pod.yaml', 'body: policy/v1/Eviction', 'body: policy/v1/Evicted', 'policy/v1/Evicted is no declared kind'),
    ('core_pod.yaml', 'singular: pod\n', 'singular: pod\nsingular: pod\n', "key 'singular' stands twice"),
    ('apps_deployment.yaml', 'default: 600', 'default: "600"', "default '600' does not fit int32"),
    ('types/container.yaml', 'merge_key: name', 'merge_key: nam', "key 'nam' is no field of"),
    ('types/container.yaml', 'list: atomic', 'list: atom', "list 'atom' with keys None makes no sense"),
    ('types/meta.yaml', 'package: meta', 'package: mata', "package 'mata' is unknown"),
    ('types/meta.yaml', 'types:\n', 'types: [\n', 'types/meta.yaml: while parsing'),
]


def run(tool, cells, kinds):
    done = subprocess.run([tool, '--check', '--cells', cells, kinds], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def main():
    tool, cells, kinds = sys.argv[1:]
    code, text = run(tool, cells, kinds)
    bad = [] if code == 0 else [f'the real files: {text}']
    for name, old, new, wanted in FAULTS:
        with tempfile.TemporaryDirectory() as folder:
            copy = os.path.join(folder, 'kinds')
            shutil.copytree(kinds, copy)
            path = os.path.join(copy, name)
            with open(path, encoding='utf-8') as f:
                before = f.read()
            with open(path, 'w', encoding='utf-8') as f:
                f.write(before.replace(old, new, 1))
            code, text = run(tool, cells, copy)
            if old not in before or code == 0 or wanted not in text:
                bad.append(f'{name}: {wanted!r} is not in: {text}')
    print('\n'.join(bad) or f'{len(FAULTS)} faults named')
    sys.exit(1 if bad else 0)


main()
