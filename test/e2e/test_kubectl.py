# SPDX-License-Identifier: Apache-2.0
"""What people do with kubectl. Tests that take `client` or `kk` run with both kubectls."""
import fcntl
import json
import os
import pty
import re
import select
import struct
import termios

import pytest
import yaml

from harness import (HELLO_YAML, ApiError, configmap, deployment, deployments_path,
                     is_ready, pod, pods_path, until)


def columns(line):
    return re.split(r"\s{2,}", line.strip())


def hello_pods(api, namespace):
    """The running pods of the hello deployment, once no pod is on its way out or in."""
    pods = api.items(pods_path(namespace), labelSelector="app=hello")
    return pods if all(is_ready(p) and "deletionTimestamp" not in p["metadata"] for p in pods) else []


@pytest.fixture(scope="module")
def hello(client, api, edge):
    """The example, applied in a namespace of its own with each kubectl."""
    name = "hello-old" if client.old else "hello"
    client("create", "namespace", name)
    k = client.within(name)
    assert "deployment.apps/hello created" in k("apply", "-f", HELLO_YAML)
    assert "successfully rolled out" in k("rollout", "status", "deployment/hello")
    yield k
    client("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def talker(client, api, edge):
    """A pod that says what it finds in /say, for logs and exec."""
    name = "talker-old" if client.old else "talker"
    client("create", "namespace", name)
    k = client.within(name)
    k.apply(pod("talker", "echo one; echo two; echo oops >&2; trap 'exit 0' TERM; "
                          "while true; do [ -e /say ] && cat /say && rm /say; sleep 0.1; done"))
    until("the talker is ready", lambda: is_ready(api.get(pods_path(name, "talker"))))
    yield k
    client("delete", "namespace", name, "--wait=false")


# ---------------------------------------------------------------- the example


def test_hello_runs_two_pods_and_its_page_answers(hello, api, edge):
    pods = until("two pods", lambda: len(hello_pods(api, hello.namespace)) == 2 and
                 hello_pods(api, hello.namespace))
    for p in pods:
        page = edge.http(p["status"]["podIP"], 8080)
        assert "hello" in page.lower()
        assert p["spec"]["nodeName"] == edge.node


def test_apply_again_says_unchanged(hello, api):
    before = api.get(deployments_path(hello.namespace, "hello"))["metadata"]["resourceVersion"]
    said = hello("apply", "-f", HELLO_YAML)
    assert "deployment.apps/hello unchanged" in said
    assert "configured" not in said and "created" not in said
    assert api.get(deployments_path(hello.namespace, "hello"))["metadata"]["resourceVersion"] == before


def test_get_prints_the_columns_users_know(hello, edge):
    head, *rows = hello("get", "pods").splitlines()
    assert columns(head) == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert len(rows) == 2
    for row in rows:
        assert re.match(r"hello-[a-z0-9]+-[a-z0-9]+\s+1/1\s+Running\s+0\s+\d+[smh]", row), row
    wide, *rows = hello("get", "pods", "-o", "wide").splitlines()
    assert columns(wide) == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE",
                             "NOMINATED NODE", "READINESS GATES"]
    assert all(edge.node in row and "<none>" in row for row in rows)
    head, row = hello("get", "deployments").splitlines()
    assert columns(head) == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert re.match(r"hello\s+2/2\s+2\s+2\s+\d+", row)
    head, row = hello("get", "deploy", "hello", "-o", "wide").splitlines()
    assert columns(head)[5:] == ["CONTAINERS", "IMAGES", "SELECTOR"]
    head, row = hello("get", "rs").splitlines()
    assert columns(head) == ["NAME", "DESIRED", "CURRENT", "READY", "AGE"]
    assert re.match(r"hello-[a-z0-9]+\s+2\s+2\s+2\s+\d+", row)


def test_get_prints_nodes_namespaces_and_leases(client, edge):
    head, *rows = client("get", "nodes").splitlines()
    assert columns(head) == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
    assert any(re.match(rf"{edge.node}\s+Ready\s", row) for row in rows)
    head = client("get", "nodes", "-o", "wide").splitlines()[0]
    assert columns(head)[5:] == ["INTERNAL-IP", "EXTERNAL-IP", "OS-IMAGE", "KERNEL-VERSION",
                                 "CONTAINER-RUNTIME"]
    head, *rows = client("get", "ns").splitlines()
    assert columns(head) == ["NAME", "STATUS", "AGE"]
    assert any(re.match(r"default\s+Active\s", row) for row in rows)
    assert any(re.match(r"kube-system\s+Active\s", row) for row in rows)
    head, *rows = client("get", "leases", "-n", "kube-node-lease").splitlines()
    assert columns(head) == ["NAME", "HOLDER", "AGE"]
    assert any(columns(row)[:2] == [edge.node, edge.node] for row in rows)


def test_get_knows_every_output_format(hello):
    as_json = json.loads(hello("get", "deploy", "hello", "-o", "json"))
    as_yaml = yaml.safe_load(hello("get", "deploy", "hello", "-o", "yaml"))
    assert as_json["kind"] == as_yaml["kind"] == "Deployment"
    assert as_json["spec"] == as_yaml["spec"]
    assert hello("get", "deploy", "hello", "-o", "name").strip() == "deployment.apps/hello"
    assert hello("get", "deploy", "hello", "-o", "jsonpath={.spec.replicas}") == "2"
    assert hello("get", "deploy", "hello", "-o", "go-template={{.metadata.name}}") == "hello"
    table = hello("get", "deploy", "-o", "custom-columns=N:.metadata.name,R:.spec.replicas")
    assert [line.split() for line in table.splitlines()] == [["N", "R"], ["hello", "2"]]
    listed = json.loads(hello("get", "pods", "-o", "json"))
    assert listed["kind"] == "List" and len(listed["items"]) == 2


def test_get_selects_and_sorts(hello, client, edge):
    assert len(hello("get", "pods", "-l", "app=hello", "-o", "name").split()) == 2
    assert len(hello("get", "pods", "-l", "app in (hello,other),!none", "-o", "name").split()) == 2
    assert hello("get", "pods", "-l", "app!=hello", "-o", "name") == ""
    selector = f"--field-selector=spec.nodeName={edge.node},status.phase=Running"
    assert len(hello("get", "pods", selector, "-o", "name").split()) == 2
    assert hello("get", "pods", "--field-selector=status.phase!=Running", "-o", "name") == ""
    assert "field label not supported" in hello.fails("get", "pods", "--field-selector=spec.foo=1")
    everywhere = client("get", "pods", "-A", "-l", "app=hello", "--no-headers").splitlines()
    assert sum(row.startswith(hello.namespace + " ") for row in everywhere) == 2
    names = hello("get", "pods", "--sort-by=.metadata.name", "-o", "name").split()
    assert names == sorted(names)
    table = hello("get", "pods", "--sort-by=.metadata.name", "--no-headers").splitlines()
    assert [row.split()[0] for row in table] == [n.split("/")[1] for n in names]
    assert "app=hello" in hello("get", "pods", "--show-labels")
    assert columns(hello("get", "pods", "-L", "app").splitlines()[0])[-1] == "APP"


def test_get_watch_prints_a_row_a_change(hello, api):
    name = hello("get", "pods", "-o", "name").split()[0]
    with hello.start("get", "pods", "-w", "--no-headers") as stream:
        stream.expect(r"^hello-.*Running")
        stream.expect(r"^hello-.*Running", after=1)
        hello("annotate", name, "watched=yes", "--overwrite")
        row = stream.expect(rf"^{name.split('/')[1]}\s.*Running", after=2)
        assert row >= 2
    with hello.start("get", "cm", "-w", "-o", "name") as stream:
        hello.create(configmap("seen", a="b"))
        stream.expect(r"^configmap/seen$")
        hello("delete", "cm", "seen")


def test_get_all_lists_the_category(hello):
    names = hello("get", "all", "-o", "name").split()
    kinds = {n.split("/")[0] for n in names}
    assert {"pod", "deployment.apps", "replicaset.apps"} <= kinds


def test_get_of_what_is_missing_is_an_error(kk):
    assert 'Error from server (NotFound): pods "none" not found' in kk.fails("get", "pod", "none")
    assert "the server doesn't have a resource type" in kk.fails("get", "unicorns")
    assert kk("get", "pod", "none", "--ignore-not-found") == ""
    assert "No resources found" in kk.result("get", "pods").err


def test_describe_tells_the_story_of_a_pod(hello, edge):
    name = hello("get", "pods", "-o", "name").split()[0]
    text = hello("describe", name)
    assert re.search(rf"^Node:\s+{edge.node}/{re.escape(edge.address)}", text, re.M)
    assert re.search(r"^Status:\s+Running", text, re.M)
    assert re.search(r"^IP:\s+10\.", text, re.M)
    assert re.search(r"^Controlled By:\s+ReplicaSet/hello-", text, re.M)
    assert re.search(r"^\s+Ready:\s+True", text, re.M)
    assert re.search(r"^QoS Class:\s+\w+", text, re.M)
    assert "Events:" in text
    until("events tell how it started",
          lambda: all(re.search(rf"Normal\s+{reason}\s", hello("describe", name))
                      for reason in ("Scheduled", "Created", "Started")))


def test_describe_knows_deployments_nodes_and_namespaces(hello, client, edge):
    text = hello("describe", "deployment", "hello")
    assert re.search(r"^Replicas:\s+2 desired \| 2 updated \| 2 total \| 2 available", text, re.M)
    assert re.search(r"^StrategyType:\s+RollingUpdate", text, re.M)
    assert re.search(r"Available\s+True\s+MinimumReplicasAvailable", text)
    assert re.search(r"NewReplicaSet:\s+hello-\w+ \(2/2 replicas created\)", text)
    assert "ScalingReplicaSet" in text
    text = client("describe", "node", edge.node)
    assert re.search(r"^Name:\s+" + edge.node, text, re.M)
    assert re.search(r"^\s+Ready\s+True", text, re.M)
    assert re.search(rf"InternalIP:\s+{re.escape(edge.address)}", text)
    assert re.search(r"^Capacity:\s+cpu:\s+\d+", text, re.M)
    assert "Non-terminated Pods:" in text and hello.namespace in text
    assert re.search(r"HolderIdentity:\s+" + edge.node, text)
    assert re.search(r"^Status:\s+Active", client("describe", "ns", hello.namespace), re.M)
    assert "hello-" in hello("describe", "rs")


# ---------------------------------------------------------------- logs and exec


def test_logs_of_a_container(talker):
    lines = until("all lines", lambda: [s for s in [talker("logs", "talker").splitlines()]
                                        if len(s) == 3])[0]
    assert sorted(lines) == ["one", "oops", "two"]
    assert [s for s in lines if s != "oops"] == ["one", "two"]
    assert len(talker("logs", "talker", "--tail=1").splitlines()) == 1
    assert talker("logs", "talker", "--tail=0") == ""
    assert len(talker("logs", "talker", "--since=1h").splitlines()) == 3
    stamp = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6,9}(Z|\+00:00) (one|two|oops)$"
    stamped = talker("logs", "talker", "--timestamps").splitlines()
    assert all(re.match(stamp, line) for line in stamped), stamped
    assert len(talker("logs", "talker", "--since-time=2020-01-01T00:00:00Z").splitlines()) == 3
    assert talker("logs", "talker", "--since-time=2200-01-01T00:00:00Z") == ""
    assert len(talker("logs", "talker", "--limit-bytes=2")) == 2
    assert re.search("container none (is not valid for|not found in) pod talker",
                     talker.fails("logs", "talker", "-c", "none"))


def test_logs_follow_what_is_said(talker):
    with talker.start("logs", "-f", "talker", "--tail=0") as stream:
        for word in ("alpha", "beta", "gamma"):
            talker("exec", "talker", "--", "sh", "-c", f"echo {word} > /s; mv /s /say")
            stream.expect(f"^{word}$")
        assert stream.lines == ["alpha", "beta", "gamma"]


def test_logs_follow_ends_with_the_container(kk, edge):
    kk.apply(pod("brief", "echo hi; sleep 1; echo bye", restartPolicy="Never"))
    kk("wait", "--for=condition=Ready", "pod/brief")
    with kk.start("logs", "-f", "brief") as stream:
        stream.expect("^bye$")
        assert stream.wait() == 0
    assert stream.lines == ["hi", "bye"]


def test_logs_previous_shows_the_container_before(kk, api, edge):
    kk.apply(pod("again", "[ -e /e/x ] && echo second && sleep 10000; echo first; touch /e/x; exit 1",
                 volumes=[{"name": "e", "emptyDir": {}}],
                 volumeMounts=[{"name": "e", "mountPath": "/e"}]))
    status = until("it ran twice", lambda: [
        s for s in api.get(pods_path(kk.namespace, "again"))["status"]["containerStatuses"]
        if s["restartCount"] == 1 and "running" in s["state"]])[0]
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert kk("logs", "again", "--previous") == "first\n"
    until("the second word", lambda: kk("logs", "again") == "second\n")


def test_logs_of_a_deployment_and_a_label(kk, edge):
    kk.apply(deployment("two", replicas=2, script="echo here; sleep 100000"))
    kk("rollout", "status", "deploy/two")
    names = kk("get", "pods", "-o", "name").split()

    def prefixed():
        lines = kk("logs", "-l", "app=two", "--prefix").splitlines()
        return sorted(lines) == sorted(f"[{n}/c] here" for n in names)

    until("a line of each pod", prefixed)
    assert kk("logs", "deploy/two").splitlines()[-1] == "here"


def test_logs_before_the_start_are_an_error(kk, edge):
    kk.apply(pod("absent", image="e2e/none:1"))
    assert "is waiting to start" in until(
        "the reason", lambda: "waiting to start" in kk.result("logs", "absent").err and
        kk.result("logs", "absent").err)
    assert "previous terminated container" in kk.fails("logs", "absent", "--previous")


def test_exec_runs_a_command_and_passes_its_status(talker):
    assert talker("exec", "talker", "--", "echo", "from inside") == "from inside\n"
    assert talker("exec", "talker", "-c", "c", "--", "hostname") == "talker\n"
    result = talker.result("exec", "talker", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (result.code, result.out) == (7, "out\n")
    assert "err\n" in result.err and "exit code 7" in result.err
    result = talker.result("exec", "talker", "--", "/bin/none")
    assert result.code != 0 and result.err != ""


def test_exec_carries_stdin_and_much_output(talker):
    assert talker("exec", "-i", "talker", "--", "wc", "-c", stdin="x" * 300000).strip() == "300000"
    assert talker("exec", "-i", "talker", "--", "cat", stdin="a\nb\n") == "a\nb\n"
    out = talker("exec", "talker", "--", "sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done")
    assert out == "".join(f"{i}\n" for i in range(20000))


def test_exec_in_a_terminal(talker):
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(talker.environment(TERM="dumb"))
        command = talker.command("exec", "-it", "talker", "--", "sh")
        os.execvp(command[0], command)
    seen = b""

    def expect(text):
        nonlocal seen

        def probe():
            nonlocal seen
            if select.select([fd], [], [], 0)[0]:
                seen += os.read(fd, 65536)
            return text in seen

        until(f"{text} on the terminal, after {seen}", probe)

    try:
        os.write(fd, b"tty; echo in$((1+1))side\r")
        expect(b"in2side")
        assert b"not a tty" not in seen
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
        os.write(fd, b"until [ \"$(stty size)\" = '33 101' ]; do sleep 0.1; done; echo re$((1+1))sized\r")
        expect(b"re2sized")
        os.write(fd, b"exit 5\r")
        status = until("the shell has ended", lambda: [s for s in [_reap(pid, fd)] if s is not None])[0]
        assert os.waitstatus_to_exitcode(status) == 5
    finally:
        os.close(fd)


def _reap(pid, fd):
    """The wait status of a child whose terminal is drained meanwhile, or None."""
    if select.select([fd], [], [], 0)[0]:
        try:
            os.read(fd, 65536)
        except OSError:
            pass
    done, status = os.waitpid(pid, os.WNOHANG)
    return status if done else None


def test_cp_copies_a_file_both_ways(talker, host):
    source = host.dir / "copied"
    source.write_text("carried\n" * 1000)
    talker("cp", source, "talker:/tmp/there")
    assert talker("exec", "talker", "--", "wc", "-l", "/tmp/there").split()[0] == "1000"
    talker("cp", "talker:/tmp/there", host.dir / "back")
    assert (host.dir / "back").read_text() == source.read_text()


# ---------------------------------------------------------------- changing a deployment


@pytest.fixture
def web(kk, edge):
    """A deployment of one busybox pod with both kubectls."""
    kk.apply(deployment("web"))
    kk("rollout", "status", "deploy/web")
    return kk


def live_pods(api, namespace, selector="app=web"):
    return [p for p in api.items(pods_path(namespace), labelSelector=selector)
            if "deletionTimestamp" not in p["metadata"]]


def test_scale_up_down_and_only_if(web, api):
    assert "scaled" in web("scale", "deploy/web", "--replicas=3")
    until("three are ready", lambda: sum(map(is_ready, live_pods(api, web.namespace))) == 3)
    assert "Expected replicas to be 7, was 3" in \
        web.fails("scale", "deploy/web", "--current-replicas=7", "--replicas=1")
    web("scale", "deploy/web", "--current-replicas=3", "--replicas=0")
    until("none is left", lambda: api.items(pods_path(web.namespace)) == [])
    assert columns(web("get", "deploy", "web", "--no-headers"))[1] == "0/0"


def test_set_image_rolls_out_and_undo_goes_back(web, api):
    assert "image updated" in web("set", "image", "deploy/web", "c=e2e/none:2")
    until("the new pod cannot start", lambda: [
        p for p in live_pods(api, web.namespace)
        if p["status"].get("containerStatuses", [{}])[0].get("state", {}).get("waiting", {})
        .get("reason") in ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull")])
    assert sum(map(is_ready, live_pods(api, web.namespace))) == 1, "the old pod serves meanwhile"
    assert "Waiting for deployment" in web("rollout", "status", "deploy/web", "--watch=false")
    history = web("rollout", "history", "deploy/web")
    assert re.search(r"^1\s+<none>$", history, re.M) and re.search(r"^2\s+<none>$", history, re.M)
    assert "e2e/none:2" in web("rollout", "history", "deploy/web", "--revision=2")
    assert "rolled back" in web("rollout", "undo", "deploy/web")
    assert "successfully rolled out" in web("rollout", "status", "deploy/web")
    revisions = re.findall(r"^(\d+)\s", web("rollout", "history", "deploy/web"), re.M)
    assert revisions == ["2", "3"]
    assert web("get", "deploy", "web", "-o", "jsonpath={..image}") == "e2e/busybox:1"


def test_rollout_restart_replaces_pods_without_a_gap(web, api):
    before = {p["metadata"]["uid"] for p in live_pods(api, web.namespace)}
    assert "restarted" in web("rollout", "restart", "deploy/web")
    with_gap = []

    def replaced():
        ready = [p for p in live_pods(api, web.namespace) if is_ready(p)]
        if not ready:
            with_gap.append(1)
        return ready and {p["metadata"]["uid"] for p in ready}.isdisjoint(before)

    until("new pods", replaced)
    assert not with_gap
    assert "successfully rolled out" in web("rollout", "status", "deploy/web")


def test_rollout_pause_holds_a_change_until_resume(web, api):
    assert "paused" in web("rollout", "pause", "deploy/web")
    web("set", "env", "deploy/web", "COLOR=blue")
    generation = api.get(deployments_path(web.namespace, "web"))["metadata"]["generation"]
    until("the controller saw it", lambda: api.get(deployments_path(web.namespace, "web"))
          ["status"]["observedGeneration"] == generation)
    assert len(web("get", "rs", "-o", "name").split()) == 1
    assert "resumed" in web("rollout", "resume", "deploy/web")
    assert "successfully rolled out" in web("rollout", "status", "deploy/web")
    assert len(web("get", "rs", "-o", "name").split()) == 2
    name = [p["metadata"]["name"] for p in live_pods(api, web.namespace)][0]
    assert web("exec", name, "--", "sh", "-c", "echo $COLOR") == "blue\n"


def settled(api, path):
    """The revision of a deployment about which its controller has nothing more to say."""
    def probe():
        d = api.get(path)
        if d["status"].get("observedGeneration") == d["metadata"]["generation"]:
            return d["metadata"]["resourceVersion"]
        return None

    return until("the controller has seen the change", probe)


def test_patch_of_all_three_types(kk, api):
    kk.apply(deployment("p", replicas=0, labels={"app": "p"}))
    path = deployments_path(kk.namespace, "p")
    strategic = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "x:1"}]}}}}
    assert "patched" in kk("patch", "deploy", "p", "-p", json.dumps(strategic))
    containers = api.get(path)["spec"]["template"]["spec"]["containers"]
    assert sorted(c["name"] for c in containers) == ["c", "side"], "merged by name"
    kk("patch", "deploy", "p", "-p", json.dumps({"spec": {"template": {"spec": {"containers": [
        {"name": "side", "$patch": "delete"}]}}}}))
    assert [c["name"] for c in api.get(path)["spec"]["template"]["spec"]["containers"]] == ["c"]
    kk("patch", "deploy", "p", "--type=merge", "-p",
       '{"metadata":{"annotations":{"a":"1","b":"2"}},"spec":{"paused":true}}')
    kk("patch", "deploy", "p", "--type=merge", "-p", '{"metadata":{"annotations":{"a":null}}}')
    meta = api.get(path)["metadata"]
    assert "a" not in meta["annotations"] and meta["annotations"]["b"] == "2"
    kk("patch", "deploy", "p", "--type=json", "-p",
       '[{"op":"test","path":"/spec/paused","value":true},{"op":"replace","path":"/spec/paused",'
       '"value":false},{"op":"add","path":"/metadata/labels/new","value":"x"}]')
    assert api.get(path)["metadata"]["labels"]["new"] == "x"
    kk.fails("patch", "deploy", "p", "--type=json", "-p",
             '[{"op":"test","path":"/spec/replicas","value":99},{"op":"remove","path":"/metadata/labels/new"}]')
    assert api.get(path)["metadata"]["labels"]["new"] == "x", "a patch happens whole or not at all"


def test_a_patch_that_changes_nothing_writes_nothing(kk, api):
    kk.apply(configmap("same", a="1"))
    path = f"/api/v1/namespaces/{kk.namespace}/configmaps/same"
    before = api.get(path)
    for kind, body in (("merge", '{"data":{"a":"1"}}'), ("strategic", '{"data":{"a":"1"}}'),
                       ("json", '[{"op":"replace","path":"/data/a","value":"1"}]')):
        assert "no change" in kk("patch", "cm", "same", f"--type={kind}", "-p", body)
    assert api.get(path) == before


def test_patch_of_a_status(k, api):
    k.apply(deployment("s", replicas=0))
    k("patch", "deploy", "s", "--subresource=status", "--type=merge", "-p",
      '{"status":{"collisionCount":3},"spec":{"replicas":9}}')
    found = api.get(deployments_path(k.namespace, "s"))
    assert found["spec"]["replicas"] == 0, "a status write leaves the spec alone"


def test_edit_with_an_editor(web, api, host):
    editor = host.dir / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/replicas: 1/replicas: 2/' \"$1\"\n")
    editor.chmod(0o755)
    said = web("edit", "deploy/web", env={"KUBE_EDITOR": str(editor)})
    assert "deployment.apps/web edited" in said
    until("two are ready", lambda: sum(map(is_ready, live_pods(api, web.namespace))) == 2)
    result = web.result("edit", "deploy/web", env={"KUBE_EDITOR": "true"})
    assert "no changes made" in result.out + result.err


def test_label_and_annotate(kk, api):
    kk.apply(configmap("m", a="b"))
    path = f"/api/v1/namespaces/{kk.namespace}/configmaps/m"
    assert "labeled" in kk("label", "cm", "m", "tier=front", "x=1")
    assert "already has a value" in kk.fails("label", "cm", "m", "tier=back")
    kk("label", "cm", "m", "tier=back", "--overwrite")
    kk("label", "cm", "m", "x-")
    assert api.get(path)["metadata"]["labels"] == {"tier": "back"}
    assert "annotated" in kk("annotate", "cm", "m", "note=some text, with a comma")
    assert api.get(path)["metadata"]["annotations"]["note"] == "some text, with a comma"
    kk("annotate", "cm", "m", "note-")
    assert "note" not in api.get(path)["metadata"].get("annotations", {})
    assert "must consist of alphanumeric" in kk.fails("label", "cm", "m", "bad key=1")


def test_taint_and_cordon(client, api, edge):
    path = f"/api/v1/nodes/{edge.node}"
    try:
        client("taint", "node", edge.node, "gas=full:NoSchedule")
        assert {"key": "gas", "value": "full", "effect": "NoSchedule"} in api.get(path)["spec"]["taints"]
        client("taint", "node", edge.node, "gas:NoSchedule-")
        assert not [t for t in api.get(path)["spec"].get("taints", []) if t["key"] == "gas"]
        assert "cordoned" in client("cordon", edge.node)
        assert re.search(rf"{edge.node}\s+Ready,SchedulingDisabled", client("get", "nodes"))
    finally:
        client("uncordon", edge.node)
    assert not api.get(path)["spec"].get("unschedulable")


# ---------------------------------------------------------------- deleting


def test_delete_waits_for_the_end(kk, api, edge):
    kk.apply(pod("slow", "trap 'sleep 1; exit 0' TERM; while true; do sleep 0.1; done",
                 terminationGracePeriodSeconds=20))
    kk("wait", "--for=condition=Ready", "pod/slow")
    container = api.get(pods_path(kk.namespace, "slow"))["status"]["containerStatuses"][0]
    assert edge.container_pids(container["containerID"])
    assert 'pod "slow" deleted' in kk("delete", "pod", "slow", "--wait")
    assert api.gone(pods_path(kk.namespace, "slow"))
    assert not edge.container_pids(container["containerID"])


def test_delete_by_force_removes_the_object_at_once(kk, api, edge):
    kk.apply(pod("stuck", "trap '' TERM; while true; do sleep 0.1; done",
                 terminationGracePeriodSeconds=2))
    kk("wait", "--for=condition=Ready", "pod/stuck")
    container = api.get(pods_path(kk.namespace, "stuck"))["status"]["containerStatuses"][0]
    kk("delete", "pod", "stuck", "--grace-period=0", "--force")
    assert api.gone(pods_path(kk.namespace, "stuck"))
    until("the processes are gone", lambda: not edge.container_pids(container["containerID"]))


def test_delete_by_label_and_all(kk, api):
    kk.apply(*[dict(configmap(f"m{i}", a="b"), metadata={"name": f"m{i}", "labels": {"odd": str(i % 2)}})
               for i in range(6)])
    kk("delete", "cm", "-l", "odd=1")
    names = [m["metadata"]["name"] for m in api.items(f"/api/v1/namespaces/{kk.namespace}/configmaps")]
    assert [n for n in names if n.startswith("m")] == ["m0", "m2", "m4"]
    kk("delete", "cm", "--all")
    assert "not found" in kk.fails("delete", "cm", "m0")
    kk("delete", "cm", "m0", "--ignore-not-found")


def test_delete_cascades_as_asked(k, api, edge):
    for name in ("back", "fore", "orphan"):
        k.apply(deployment(name))
    for name in ("back", "fore", "orphan"):
        k("rollout", "status", f"deploy/{name}")

    def owned(kind, name):
        return k("get", kind, "-l", f"app={name}", "-o", "name").split()

    k("delete", "deploy", "fore", "--cascade=foreground")
    assert not owned("rs", "fore") and not owned("pods", "fore"), "dependents went first"
    k("delete", "deploy", "back")
    until("background removal", lambda: not owned("rs", "back") and not owned("pods", "back"))
    uid = api.items(pods_path(k.namespace), labelSelector="app=orphan")[0]["metadata"]["uid"]
    k("delete", "deploy", "orphan", "--cascade=orphan")
    left = api.items(f"/apis/apps/v1/namespaces/{k.namespace}/replicasets", labelSelector="app=orphan")
    assert len(left) == 1 and not left[0]["metadata"].get("ownerReferences")
    k("delete", "rs", left[0]["metadata"]["name"], "--cascade=orphan")
    pods = api.items(pods_path(k.namespace), labelSelector="app=orphan")
    assert [p["metadata"]["uid"] for p in pods] == [uid]
    assert not pods[0]["metadata"].get("ownerReferences")


def test_delete_of_a_namespace_takes_its_content(kk, client, api, edge):
    name = kk.namespace + "x"
    client("create", "ns", name)
    inside = kk.within(name)
    inside.apply(deployment("d", replicas=2), configmap("m", a="b"))
    inside("rollout", "status", "deploy/d")
    client("delete", "ns", name)
    assert api.gone(f"/api/v1/namespaces/{name}")
    assert api.items(pods_path(name)) == []
    assert f'namespaces "{name}" not found' in inside.fails("create", "cm", "late")


def test_a_namespace_that_ends_takes_nothing_new(k, api, admin):
    name = k.namespace + "y"
    admin("create", "ns", name)
    inside = k.within(name)
    inside.create(dict(configmap("held", a="b"),
                       metadata={"name": "held", "finalizers": ["example.com/hold"]}))
    admin("delete", "ns", name, "--wait=false")
    until("it is Terminating", lambda: api.get(f"/api/v1/namespaces/{name}")["status"]["phase"]
          == "Terminating")
    assert "because it is being terminated" in inside.fails("create", "cm", "late")
    until("the content is being deleted", lambda: "deletionTimestamp" in
          api.get(f"/api/v1/namespaces/{name}/configmaps/held")["metadata"])
    inside("patch", "cm", "held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    until("the namespace is gone", lambda: api.gone(f"/api/v1/namespaces/{name}"))


def test_finalizers_hold_an_object(kk, api):
    kk.create(dict(configmap("f", a="b"), metadata={"name": "f", "finalizers": ["example.com/x"]}))
    path = f"/api/v1/namespaces/{kk.namespace}/configmaps/f"
    kk("delete", "cm", "f", "--wait=false")
    assert "deletionTimestamp" in api.get(path)["metadata"]
    assert "no new finalizers can be added" in kk.fails(
        "patch", "cm", "f", "--type=merge", "-p",
        '{"metadata":{"finalizers":["example.com/x","example.com/y"]}}')
    kk("patch", "cm", "f", "--type=json", "-p", '[{"op":"remove","path":"/metadata/finalizers"}]')
    assert api.gone(path)


# ---------------------------------------------------------------- discovery and documentation


def test_explain_tells_fields(client):
    text = client("explain", "deployment.spec")
    assert re.search(r"^KIND:\s+Deployment", text, re.M)
    assert re.search(r"^\s+replicas\s+<integer>", text, re.M)
    assert re.search(r"^\s+template\s+<(Pod|Object)", text, re.M)
    text = client("explain", "pods.spec.containers.livenessProbe.httpGet")
    assert re.search(r"^\s+port\s+<", text, re.M)
    text = client("explain", "deployment", "--recursive")
    assert re.search(r"^\s+matchLabels\s+<map\[string\]string>", text, re.M)
    assert 'field "unicorn" does not exist' in client.fails("explain", "pod.spec.unicorn")


def test_api_resources_and_versions(client):
    rows = {}
    for line in client("api-resources", "--no-headers", "-o", "wide").splitlines():
        rows.setdefault(line.split()[0], line)  # metrics.k8s.io has nodes and pods as well
    for name in ("namespaces", "nodes", "leases", "pods", "deployments", "replicasets",
                 "configmaps", "secrets", "serviceaccounts", "events"):
        assert name in rows
    assert re.search(r"^deployments\s+deploy\s+apps/v1\s+true\s+Deployment\s", rows["deployments"])
    assert re.search(r"^nodes\s+no\s+v1\s+false\s+Node\s", rows["nodes"])
    versions = client("api-versions").split()
    assert {"v1", "apps/v1", "coordination.k8s.io/v1", "events.k8s.io/v1"} <= set(versions)
    names = client("api-resources", "--namespaced=false", "-o", "name").split()
    assert "nodes" in names and "pods" not in names


def test_version_and_health(client):
    told = json.loads(client("version", "-o", "json"))
    assert re.match(r"v1\.\d+\.\d+", told["serverVersion"]["gitVersion"])
    for path in ("/healthz", "/livez", "/readyz"):
        assert client("get", "--raw", path) == "ok"
    assert "# TYPE" in client("get", "--raw", "/metrics")


# ---------------------------------------------------------------- creating


def test_create_commands_that_send_protobuf(kk, api, host):
    (host.dir / "file.txt").write_text("text of a file\n")
    kk("create", "configmap", "cm", "--from-literal=a=1", f"--from-file={host.dir}/file.txt")
    data = api.get(f"/api/v1/namespaces/{kk.namespace}/configmaps/cm")["data"]
    assert data == {"a": "1", "file.txt": "text of a file\n"}
    kk("create", "secret", "generic", "sec", "--from-literal=pw=s3cret")
    secret = api.get(f"/api/v1/namespaces/{kk.namespace}/secrets/sec")
    assert secret["type"] == "Opaque" and secret["data"] == {"pw": "czNjcmV0"}
    kk("create", "serviceaccount", "sa")
    assert api.get(f"/api/v1/namespaces/{kk.namespace}/serviceaccounts/sa")["metadata"]["uid"]
    kk("create", "deployment", "dep", "--image=e2e/busybox:1", *([] if kk.old else
                                                               ["--replicas=2", "--", "sleep", "1000"]))
    created = api.get(deployments_path(kk.namespace, "dep"))
    assert created["spec"]["replicas"] == (1 if kk.old else 2)
    assert created["spec"]["template"]["spec"]["containers"][0]["image"] == "e2e/busybox:1"
    assert created["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": "25%"}
    assert created["spec"]["progressDeadlineSeconds"] == 600
    assert 'configmaps "cm" already exists' in kk.fails("create", "configmap", "cm")
    kk("delete", "deploy", "dep", "--wait=false")


def test_run_and_dry_run(kk, api):
    said = kk("create", "configmap", "dry", "--from-literal=a=1", "--dry-run=server", "-o", "json")
    assert json.loads(said)["metadata"]["uid"], "the server filled it in"
    assert api.gone(f"/api/v1/namespaces/{kk.namespace}/configmaps/dry")
    kk.apply(configmap("real", a="1"))
    before = api.get(f"/api/v1/namespaces/{kk.namespace}/configmaps/real")
    kk("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(configmap("real", a="2")))
    kk("delete", "cm", "real", "--dry-run=server")
    kk("label", "cm", "real", "x=y", "--dry-run=server")
    assert api.get(f"/api/v1/namespaces/{kk.namespace}/configmaps/real") == before
    kk("run", "one", "--image=e2e/busybox:1", "--restart=Never", "--", "true")
    until("it ran to its end", lambda: api.get(pods_path(kk.namespace, "one"))["status"].get("phase")
          == "Succeeded")


def test_apply_merges_what_others_changed(kk, api):
    path = f"/api/v1/namespaces/{kk.namespace}/configmaps/three"
    assert "created" in kk.apply(configmap("three", a="1", b="1"))
    api.patch(path, {"data": {"c": "other"}})
    assert "configured" in kk.apply(configmap("three", a="2"))
    assert api.get(path)["data"] == {"a": "2", "c": "other"}
    assert "unchanged" in kk.apply(configmap("three", a="2"))


def test_apply_refuses_fields_that_do_not_exist(kk):
    wrong = deployment("wrong", replicas=0)
    wrong["spec"]["replica"] = 3
    wrong["spec"]["template"]["spec"]["containers"][0]["imagee"] = "x"
    said = kk.fails("apply", "-f", "-", stdin=yaml.safe_dump(wrong))
    assert "unknown field" in said and "replica" in said and "imagee" in said
    said = kk.fails("apply", "-f", "-", stdin=yaml.safe_dump(deployment("typed", replicas="many")))
    assert re.search(r"replicas|invalid type|cannot unmarshal|expected int", said)
    assert "NotFound" in kk.fails("get", "deploy", "wrong", "typed")


def test_apply_says_what_is_invalid(kk):
    bad = deployment("Bad_Name", replicas=-1)
    said = kk.fails("apply", "-f", "-", stdin=yaml.safe_dump(bad))
    assert 'Deployment.apps "Bad_Name" is invalid' in said or 'The Deployment "Bad_Name" is invalid' in said
    assert "metadata.name" in said and "spec.replicas" in said
    empty = pod("empty")
    empty["spec"]["containers"] = []
    said = kk.fails("create", "-f", "-", "--validate=false", stdin=yaml.safe_dump(empty))
    assert "spec.containers: Required value" in said
    unmatched = deployment("unmatched", replicas=0)
    unmatched["spec"]["template"]["metadata"]["labels"] = {"other": "x"}
    said = kk.fails("create", "-f", "-", stdin=yaml.safe_dump(unmatched))
    assert "`selector` does not match template `labels`" in said


def test_wait_for_conditions_and_deletion(k, api, edge):
    k.apply(deployment("w"))
    assert "condition met" in k("wait", "--for=condition=Available", "deploy/w")
    k("wait", "--for=jsonpath={.status.readyReplicas}=1", "deploy/w")
    name = k("get", "pods", "-l", "app=w", "-o", "name").strip()
    with k.start("wait", "--for=delete", name) as waiting:
        k("delete", name, "--wait=false")
        waiting.expect("condition met")
    assert "timed out" in k.fails("wait", "--for=condition=Never", "deploy/w", "--timeout=1s")


def test_diff_and_replace(k, api):
    k.apply(configmap("d", a="1"))
    same = k.result("diff", "-f", "-", stdin=yaml.safe_dump(configmap("d", a="1")))
    assert same.code == 0, repr(same)
    other = k.result("diff", "-f", "-", stdin=yaml.safe_dump(configmap("d", a="2")))
    assert other.code == 1 and re.search(r"^\+\s+a: \"2\"", other.out, re.M), repr(other)
    path = f"/api/v1/namespaces/{k.namespace}/configmaps/d"
    assert api.get(path)["data"] == {"a": "1"}
    assert "replaced" in k("replace", "-f", "-", stdin=yaml.safe_dump(configmap("d", b="3")))
    assert api.get(path)["data"] == {"b": "3"}
    uid = api.get(path)["metadata"]["uid"]
    k("replace", "--force", "-f", "-", stdin=yaml.safe_dump(configmap("d", b="4")))
    assert api.get(path)["metadata"]["uid"] != uid
    assert "NotFound" in k.fails("replace", "-f", "-", stdin=yaml.safe_dump(configmap("none", b="3")))


def test_replace_with_an_old_version_is_a_conflict(kk, api):
    kk.apply(configmap("c", a="1"))
    stale = kk("get", "cm", "c", "-o", "json")
    kk("label", "cm", "c", "x=y")
    said = kk.fails("replace", "-f", "-", stdin=stale)
    assert "Operation cannot be fulfilled" in said and "the object has been modified" in said


def test_generate_name_makes_names(kk):
    thing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "gen-"}}
    names = {kk.create(thing).split()[0] for _ in range(3)}
    assert len(names) == 3
    assert all(re.match(r"configmap/gen-[a-z0-9]{5}$", n) for n in names), names


def test_a_file_with_several_objects(kk, api):
    text = "\n---\n".join([yaml.safe_dump(configmap("yaml", a="1")), json.dumps(configmap("json", a="1")),
                           "# only a comment", yaml.safe_dump({"apiVersion": "v1", "kind": "List",
                                                               "items": [configmap("item", a="1")]})])
    said = kk("apply", "-f", "-", stdin=text)
    assert all(f"configmap/{n} created" in said for n in ("json", "yaml", "item"))
    kk("delete", "-f", "-", stdin=text)
    assert all(api.gone(f"/api/v1/namespaces/{kk.namespace}/configmaps/{n}")
               for n in ("json", "yaml", "item"))


def test_secrets_with_string_data(kk, api):
    kk.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}})
    found = api.get(f"/api/v1/namespaces/{kk.namespace}/secrets/s")
    assert found["data"] == {"a": "Yg=="} and "stringData" not in found
    head, row = kk("get", "secrets", "s").splitlines()
    assert columns(head) == ["NAME", "TYPE", "DATA", "AGE"] and columns(row)[:3] == ["s", "Opaque", "1"]


def test_events_are_listed_and_selected(kk, api, edge):
    kk.apply(pod("e"))
    kk("wait", "--for=condition=Ready", "pod/e")
    until("the events have come", lambda: {"Scheduled", "Started"} <= {
        e["reason"] for e in api.items(f"/api/v1/namespaces/{kk.namespace}/events")})
    head, *rows = kk("get", "events").splitlines()
    assert columns(head) == ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert any(re.search(r"Normal\s+Started\s+pod/e\s+Started container", row) for row in rows)
    only = kk("get", "events", "--field-selector=involvedObject.name=e,reason=Scheduled", "-o", "name")
    assert len(only.split()) == 1
    assert kk("get", "events", "--field-selector=involvedObject.name=none", "-o", "name") == ""
    if not kk.old:
        assert "Scheduled" in kk("events", "--for", "pod/e")
    newer = f"/apis/events.k8s.io/v1/namespaces/{kk.namespace}/events"
    older = f"/api/v1/namespaces/{kk.namespace}/events"
    until("both groups show the same events", lambda: {e["metadata"]["uid"] for e in api.items(newer)}
          == {e["metadata"]["uid"] for e in api.items(older)})
    assert all(e["regarding"]["name"] == "e" for e in api.items(newer))


def test_lists_come_in_pages(k, api):
    for i in range(7):
        api.post(f"/api/v1/namespaces/{k.namespace}/configmaps", configmap(f"page{i}", a="b"))
    whole = k("get", "cm", "-o", "name").split()
    assert k("get", "cm", "-o", "name", "--chunk-size=2").split() == whole
    assert len(k("get", "cm", "--chunk-size=3", "--no-headers").splitlines()) == len(whole)
    first = api.get(f"/api/v1/namespaces/{k.namespace}/configmaps", limit=3)
    assert len(first["items"]) == 3 and first["metadata"]["remainingItemCount"] == len(whole) - 3
    api.delete(f"/api/v1/namespaces/{k.namespace}/configmaps/page6")
    second = api.get(f"/api/v1/namespaces/{k.namespace}/configmaps", limit=100,
                     **{"continue": first["metadata"]["continue"]})
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    names = [m["metadata"]["name"] for m in first["items"] + second["items"]]
    assert "page6" in names and names == sorted(names), "all pages show one moment"


def test_errors_name_the_object(api, ns):
    with pytest.raises(ApiError) as caught:
        api.get(deployments_path(ns, "none"))
    status = caught.value.body
    assert (status["kind"], status["status"], status["reason"], status["code"]) == \
        ("Status", "Failure", "NotFound", 404)
    assert status["message"] == 'deployments.apps "none" not found'
    assert status["details"] == {"name": "none", "group": "apps", "kind": "deployments"}
