# SPDX-License-Identifier: Apache-2.0
"""What a pod may ask for, seen from inside the container, on the wire and on the machine."""
import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import tarfile
import time

import pytest

from harness import (BUSYBOX, SELVEDGE, cgroup_value, condition, configmap, configmaps_path, is_ready,
                     pod, pods_path, read_proc, run, until)


@pytest.fixture
def launch(k, api, edge):
    """launch(pod) applies it and waits until it is ready; returns the object."""
    def launch(*objects):
        k.apply(*objects)
        name = objects[-1]["metadata"]["name"]
        path = pods_path(k.namespace, name)
        return until(f"pod {name} is ready", lambda: is_ready(api.get(path)) and api.get(path))
    return launch


@pytest.fixture
def phase_of(k, api):
    """phase_of(name) is the pod's phase."""
    return lambda name: api.get(pods_path(k.namespace, name))["status"].get("phase")


def container_status(p, name="c", field="containerStatuses"):
    return next(s for s in p["status"][field] if s["name"] == name)


# ---------------------------------------------------------------- containers and their order


def test_init_containers_run_one_after_the_other_before_the_others(launch, k):
    shared = {"volumeMounts": [{"name": "e", "mountPath": "/e"}], "image": BUSYBOX}
    script = "echo {0} >> /e/order"
    p = pod("init", containers=[
        dict(shared, name="c", command=["sh", "-c", "echo main >> /e/order; sleep 100000"])],
        initContainers=[dict(shared, name="i1", command=["sh", "-c", "sleep 0.5; " + script.format("one")]),
                        dict(shared, name="i2", command=["sh", "-c", script.format("two")])],
        volumes=[{"name": "e", "emptyDir": {}}])
    done = launch(p)
    assert k("exec", "init", "--", "cat", "/e/order").split() == ["one", "two", "main"]
    for name in ("i1", "i2"):
        state = container_status(done, name, "initContainerStatuses")["state"]
        assert state["terminated"]["exitCode"] == 0 and state["terminated"]["reason"] == "Completed"
    assert condition(done, "Initialized")["status"] == "True"


def test_a_failing_init_container_holds_the_pod_back(k, api, edge):
    broken = {"name": "i", "image": BUSYBOX, "command": ["sh", "-c", "exit 3"]}
    k.apply(pod("held", initContainers=[broken]))
    path = pods_path(k.namespace, "held")
    p = until("it was tried again", lambda: container_status(
        api.get(path), "i", "initContainerStatuses")["restartCount"] >= 1 and api.get(path))
    assert p["status"]["phase"] == "Pending"
    assert container_status(p)["state"]["waiting"]["reason"] == "PodInitializing"
    assert re.search(r"Init:(CrashLoopBackOff|Error|0/1)", k("get", "pod", "held"))
    k.apply(pod("never", initContainers=[broken], restartPolicy="Never"))
    until("Failed", lambda: api.get(pods_path(k.namespace, "never"))["status"]["phase"] == "Failed")
    assert "Init:Error" in k("get", "pod", "never")


def test_containers_of_a_pod_share_the_network_and_volumes(launch, k):
    p = pod("many", hostname="shared", containers=[
        {"name": "server", "image": BUSYBOX, "volumeMounts": [{"name": "e", "mountPath": "/www"}],
         "command": ["sh", "-c", "echo page > /www/index.html; httpd -f -p 8081 -h /www"]},
        {"name": "c", "image": BUSYBOX, "volumeMounts": [{"name": "e", "mountPath": "/data"}],
         "command": ["sleep", "100000"]}],
        volumes=[{"name": "e", "emptyDir": {}}])
    launch(p)
    assert k("exec", "many", "-c", "c", "--", "cat", "/data/index.html") == "page\n"
    assert until("the page over localhost", lambda: k.result(
        "exec", "many", "-c", "c", "--", "wget", "-qO-", "http://127.0.0.1:8081/").out) == "page\n"
    for name in ("c", "server"):
        assert k("exec", "many", "-c", name, "--", "hostname") == "shared\n"
    processes = k("exec", "many", "-c", "c", "--", "ps")
    assert "httpd" not in processes, "each container has its own process numbers"
    assert "2/2" in k("get", "pod", "many")


def test_pods_reach_each_other_and_keep_their_hosts_file(launch, k, edge):
    a = launch(pod("a", "mkdir /w; echo from-a > /w/index.html; httpd -f -p 80 -h /w"))
    launch(pod("b"))
    address = a["status"]["podIP"]
    assert until("b reads the page of a", lambda: k.result(
        "exec", "b", "--", "wget", "-qO-", f"http://{address}/").out) == "from-a\n"
    assert edge.http(address, 80) == "from-a\n"
    assert a["status"]["hostIP"] == edge.address
    hosts = k("exec", "a", "--", "cat", "/etc/hosts")
    assert re.search(rf"^{re.escape(address)}\s+a$", hosts, re.M) and "127.0.0.1" in hosts


# ---------------------------------------------------------------- environment


def test_env_comes_from_everywhere(launch, k):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"pw": "shh"}}
    env = [
        {"name": "B", "value": "b"},
        {"name": "C", "value": "$(B)/c"},
        {"name": "A", "value": "x$(LATER)"},
        {"name": "D", "value": "$$(B)"},
        {"name": "LATER", "value": "z"},
        {"name": "ONE", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "f1"}}},
        {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "no", "optional": True}}},
        {"name": "PW", "valueFrom": {"secretKeyRef": {"name": "s", "key": "pw"}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}},
    ]
    p = launch(configmap("m", f1="hello", f2="there"), secret,
               pod("env", env=env, labels={"app": "e"},
                   envFrom=[{"configMapRef": {"name": "m"}}, {"prefix": "S_", "secretRef": {"name": "s"}}],
                   resources={"requests": {"cpu": "50m"}, "limits": {"memory": "32Mi"}}))
    seen = dict(line.split("=", 1) for line in k("exec", "env", "--", "env").splitlines() if "=" in line)
    wanted = {"B": "b", "C": "b/c", "A": "x$(LATER)", "D": "$(B)", "ONE": "hello", "PW": "shh",
              "NAME": "env", "LABEL": "e", "NODE": p["spec"]["nodeName"], "IP": p["status"]["podIP"],
              "MEM": "32", "CPU": "50", "f1": "hello", "f2": "there", "S_pw": "shh", "HOSTNAME": "env"}
    assert {name: seen.get(name) for name in wanted} == wanted
    assert "NONE" not in seen


def test_command_args_and_working_folder(launch, k):
    launch(pod("args", command=["sh", "-c", 'echo "$0 $1 $PWD"; sleep 100000'],
               args=["first", "$(WORD)"], workingDir="/tmp", env=[{"name": "WORD", "value": "second"}]))
    until("its words", lambda: k("logs", "args") == "first second /tmp\n")


def test_a_missing_reference_is_told_and_healed(k, api, edge):
    k.apply(pod("ref", env=[{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "a"}}}]))
    path = pods_path(k.namespace, "ref")
    until("the reason", lambda: container_status(api.get(path))["state"]["waiting"]["reason"]
          == "CreateContainerConfigError")
    assert 'configmap "late" not found' in container_status(api.get(path))["state"]["waiting"]["message"]
    k.apply(configmap("late", a="now"))
    until("it runs", lambda: is_ready(api.get(path)))
    assert k("exec", "ref", "--", "sh", "-c", "echo $X") == "now\n"


# ---------------------------------------------------------------- volumes


def test_configmap_and_secret_volumes(launch, k):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"pw": "shh"}}
    launch(configmap("m", f1="one", f2="two"), secret,
           pod("vol", volumes=[{"name": "m", "configMap": {"name": "m"}},
                               {"name": "some", "configMap": {"name": "m", "items": [
                                   {"key": "f2", "path": "deep/er"}]}},
                               {"name": "s", "secret": {"secretName": "s", "defaultMode": 0o400}}],
               volumeMounts=[{"name": "m", "mountPath": "/m"}, {"name": "some", "mountPath": "/some"},
                             {"name": "s", "mountPath": "/s", "readOnly": True},
                             {"name": "m", "mountPath": "/etc/one", "subPath": "f1"}]))
    assert k("exec", "vol", "--", "sh", "-c", "cat /m/f1 /m/f2 /s/pw /etc/one /some/deep/er") \
        == "onetwoshhonetwo"
    assert k("exec", "vol", "--", "ls", "/some").split() == ["deep"]
    assert k("exec", "vol", "--", "stat", "-L", "-c", "%a", "/m/f1", "/s/pw").split() == ["644", "400"]
    assert k.result("exec", "vol", "--", "sh", "-c", "echo x > /s/pw").code != 0
    k("patch", "cm", "m", "--type=merge", "-p", '{"data":{"f1":"changed","f3":"new"}}')
    until("the mounted files follow", lambda: k(
        "exec", "vol", "--", "sh", "-c", "cat /m/f1 /m/f3 2>/dev/null; true") == "changednew")
    assert k("exec", "vol", "--", "cat", "/etc/one") == "one", "a subPath stays as it was"


def test_downward_and_projected_volumes(launch, k):
    launch(configmap("m", f1="one"),
           pod("down", labels={"app": "d"}, annotations={"note": "text"},
               volumes=[{"name": "d", "downwardAPI": {"items": [
                   {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                   {"name": "p", "projected": {"sources": [
                       {"configMap": {"name": "m"}},
                       {"downwardAPI": {"items": [{"path": "name", "fieldRef": {
                           "fieldPath": "metadata.name"}}]}}]}}],
               volumeMounts=[{"name": "d", "mountPath": "/d"}, {"name": "p", "mountPath": "/p"}]))
    assert 'app="d"' in k("exec", "down", "--", "cat", "/d/labels")
    assert k("exec", "down", "--", "sh", "-c", "cat /p/f1 /p/name") == "onedown"


def test_empty_dirs_outlive_containers_but_not_pods(k, api, edge):
    k.apply(pod("empty", "[ -e /e/x ] || { echo data > /e/x; exit 1; }; sleep 100000",
                volumes=[{"name": "e", "emptyDir": {}},
                         {"name": "mem", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}],
                volumeMounts=[{"name": "e", "mountPath": "/e"}, {"name": "mem", "mountPath": "/mem"}]))
    path = pods_path(k.namespace, "empty")
    until("the second try runs", lambda: is_ready(api.get(path)) and
          container_status(api.get(path))["restartCount"] == 1)
    assert k("exec", "empty", "--", "cat", "/e/x") == "data\n"
    assert re.search(r" /mem tmpfs ", k("exec", "empty", "--", "cat", "/proc/mounts"))
    assert k.result("exec", "empty", "--", "dd", "if=/dev/zero", "of=/mem/x", "bs=1M", "count=3").code != 0
    uid = api.get(path)["metadata"]["uid"]
    k("delete", "pod", "empty")
    until("its folder is gone", lambda: not [
        p for p in (edge.state / "pods").glob("*") if uid in p.name])


def test_host_paths_are_mounted(launch, k, host):
    folder = host.dir / "on-host"
    folder.mkdir()
    (folder / "file").write_text("of the host")
    launch(pod("hostpath", volumes=[
        {"name": "d", "hostPath": {"path": str(folder), "type": "Directory"}},
        {"name": "new", "hostPath": {"path": str(folder / "made"), "type": "DirectoryOrCreate"}}],
        volumeMounts=[{"name": "d", "mountPath": "/d"}, {"name": "new", "mountPath": "/new"}]))
    assert k("exec", "hostpath", "--", "cat", "/d/file") == "of the host"
    k("exec", "hostpath", "--", "touch", "/new/by-pod")
    assert (folder / "made" / "by-pod").exists()


# ---------------------------------------------------------------- life and death


def test_a_crashing_container_backs_off(k, api, edge):
    k.apply(pod("crash", "echo dying; exit 3"))
    path = pods_path(k.namespace, "crash")
    p = until("it backs off", lambda: container_status(api.get(path))["state"]["waiting"]["reason"]
              == "CrashLoopBackOff" and api.get(path))
    status = container_status(p)
    assert "back-off" in status["state"]["waiting"]["message"]
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert status["lastState"]["terminated"]["reason"] == "Error"
    assert p["status"]["phase"] == "Running" and not status["ready"]
    assert "CrashLoopBackOff" in k("get", "pod", "crash")
    until("an event tells it", lambda: k("get", "events", "--field-selector=reason=BackOff", "-o", "name"))


def test_pods_that_end_succeed_or_fail(k, api, edge, phase_of):
    k.apply(pod("good", "exit 0", restartPolicy="Never"), pod("bad", "exit 9", restartPolicy="Never"),
            pod("onfailure", "exit 0", restartPolicy="OnFailure"))
    until("good succeeded", lambda: phase_of("good") == "Succeeded")
    until("bad failed", lambda: phase_of("bad") == "Failed")
    until("onfailure succeeded", lambda: phase_of("onfailure") == "Succeeded")
    good = api.get(pods_path(k.namespace, "good"))
    assert container_status(good)["state"]["terminated"]["reason"] == "Completed"
    assert condition(good, "Ready")["reason"] == "PodCompleted"
    bad = api.get(pods_path(k.namespace, "bad"))
    assert container_status(bad)["state"]["terminated"]["exitCode"] == 9
    assert container_status(bad)["restartCount"] == 0
    table = k("get", "pods")
    assert re.search(r"^good\s+0/1\s+Completed\s+0", table, re.M)
    assert re.search(r"^bad\s+0/1\s+Error\s+0", table, re.M)


def test_on_failure_restarts_until_it_succeeds(k, api, edge, phase_of):
    k.apply(pod("retry", "[ -e /e/x ] && exit 0; touch /e/x; exit 1", restartPolicy="OnFailure",
                volumes=[{"name": "e", "emptyDir": {}}],
                volumeMounts=[{"name": "e", "mountPath": "/e"}]))
    until("Succeeded", lambda: phase_of("retry") == "Succeeded")
    assert container_status(api.get(pods_path(k.namespace, "retry")))["restartCount"] == 1


def test_a_killed_container_is_started_again(launch, k, api, edge):
    p = launch(pod("victim"))
    old = container_status(p)["containerID"]
    os.kill(edge.container_init(old), signal.SIGKILL)
    path = pods_path(k.namespace, "victim")
    p = until("it runs again", lambda: is_ready(api.get(path)) and
              container_status(api.get(path))["restartCount"] == 1 and api.get(path))
    assert container_status(p)["containerID"] != old
    assert container_status(p)["lastState"]["terminated"]["exitCode"] == 137
    assert p["status"]["podIP"], "the pod kept its network"


def test_termination_is_graceful(launch, k, host):
    folder = host.dir / "graceful"
    folder.mkdir()
    launch(pod("grace", "trap 'echo term >> /h/order; sleep 0.3; echo end >> /h/order; exit 0' TERM; "
                        "while true; do sleep 0.1; done", terminationGracePeriodSeconds=60,
               volumes=[{"name": "h", "hostPath": {"path": str(folder)}}],
               volumeMounts=[{"name": "h", "mountPath": "/h"}],
               lifecycle={"preStop": {"exec": {"command": [
                   "sh", "-c", "echo pre >> /h/order; sleep 0.5; echo stop >> /h/order"]}}}))
    k("delete", "pod", "grace")
    assert (folder / "order").read_text().split() == ["pre", "stop", "term", "end"]


def test_what_ignores_sigterm_is_killed_when_its_time_is_over(launch, k, api, edge):
    p = launch(pod("deaf", "trap '' TERM; while true; do sleep 0.1; done", terminationGracePeriodSeconds=2))
    started = time.monotonic()
    k("delete", "pod", "deaf")
    assert time.monotonic() - started >= 1.5, "it had its grace"
    assert not edge.container_pids(container_status(p)["containerID"])
    assert api.gone(pods_path(k.namespace, "deaf"))


def test_post_start_runs_and_its_failure_is_fatal(launch, k, api):
    launch(pod("poststart", lifecycle={"postStart": {"exec": {"command": ["touch", "/tmp/begun"]}}}))
    until("the hook ran", lambda: k.result("exec", "poststart", "--", "ls", "/tmp/begun").code == 0)
    k.apply(pod("posterror", lifecycle={"postStart": {"exec": {"command": ["false"]}}}))
    until("the container was ended", lambda: container_status(api.get(
        pods_path(k.namespace, "posterror")))["restartCount"] >= 1)


def test_probes_decide_on_readiness_and_restarts(k, api, edge):
    k.apply(pod("ready", readinessProbe={"exec": {"command": ["test", "-e", "/tmp/ready"]},
                                         "periodSeconds": 1}))
    path = pods_path(k.namespace, "ready")
    until("it runs", lambda: "running" in container_status(api.get(path))["state"])
    p = api.get(path)
    assert not container_status(p)["ready"] and condition(p, "Ready")["status"] == "False"
    assert condition(p, "Ready")["reason"] == "ContainersNotReady"
    until("an event tells the failed probe", lambda: k(
        "get", "events", "--field-selector=reason=Unhealthy,involvedObject.name=ready", "-o", "name"))
    k("exec", "ready", "--", "touch", "/tmp/ready")
    until("it is ready", lambda: is_ready(api.get(path)))
    k("exec", "ready", "--", "rm", "/tmp/ready")
    until("it is not ready any more", lambda: not is_ready(api.get(path)))
    assert container_status(api.get(path))["restartCount"] == 0


def test_a_failed_liveness_probe_restarts_the_container(k, api, edge):
    k.apply(pod("live", "touch /tmp/alive; sleep 1; [ -e /e/x ] || { touch /e/x; rm /tmp/alive; }; sleep 100000",
                volumes=[{"name": "e", "emptyDir": {}}], volumeMounts=[{"name": "e", "mountPath": "/e"}],
                livenessProbe={"exec": {"command": ["test", "-e", "/tmp/alive"]}, "periodSeconds": 1,
                               "failureThreshold": 2, "initialDelaySeconds": 1}))
    path = pods_path(k.namespace, "live")
    p = until("one restart", lambda: container_status(api.get(path))["restartCount"] == 1 and
              is_ready(api.get(path)) and api.get(path))
    assert container_status(p)["lastState"]["terminated"]["exitCode"] in (137, 143)
    assert k("get", "events", "--field-selector=reason=Killing,involvedObject.name=live", "-o", "name")


def test_http_and_tcp_probes(launch, k, api):
    server = "mkdir /w; echo ok > /w/health; sleep 0.5; httpd -f -p 8080 -h /w"
    launch(pod("http", server, ports=[{"name": "web", "containerPort": 8080}],
               startupProbe={"httpGet": {"path": "/health", "port": "web"}, "periodSeconds": 1},
               readinessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1}))
    k.apply(pod("http404", server, readinessProbe={"httpGet": {"path": "/none", "port": 8080},
                                                   "periodSeconds": 1}))
    until("the event names the answer", lambda: "404" in k(
        "get", "events", "--field-selector=reason=Unhealthy,involvedObject.name=http404",
        "-o", "jsonpath={..message}"))
    assert not is_ready(api.get(pods_path(k.namespace, "http404")))


def test_the_termination_message_is_kept(k, api, edge, phase_of):
    k.apply(pod("message", "echo last words > /dev/termination-log; exit 4", restartPolicy="Never"),
            pod("fallback", "echo from the log; exit 4", restartPolicy="Never",
                terminationMessagePolicy="FallbackToLogsOnError"))
    until("both ended", lambda: phase_of("message") == phase_of("fallback") == "Failed")
    for name, text in (("message", "last words\n"), ("fallback", "from the log\n")):
        status = container_status(api.get(pods_path(k.namespace, name)))
        assert status["state"]["terminated"]["message"] == text


# ---------------------------------------------------------------- the machine


def test_limits_are_in_the_control_groups(launch, edge):
    p = launch(pod("limits", resources={"requests": {"cpu": "100m", "memory": "16Mi"},
                                        "limits": {"cpu": "200m", "memory": "64Mi"}}))
    assert p["status"]["qosClass"] == "Burstable"
    pid = edge.container_init(container_status(p)["containerID"])
    assert cgroup_value(pid, "memory", "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    quota = cgroup_value(pid, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0]
    assert quota == "20000"
    paths = read_proc(pid, "cgroup")
    assert re.search(rf"/{edge.cgroup}/kubepods/burstable/pod{p['metadata']['uid']}", paths)
    if "cpu:" in paths or "cpu," in paths:
        assert cgroup_value(pid, "cpu", "cpu.shares", "cpu.weight") == "102"


def test_too_much_memory_ends_the_container(k, api, edge, phase_of):
    k.apply(pod("oom", restartPolicy="Never",
                command=["tail", "/dev/zero"], resources={"limits": {"memory": "16Mi"}}))
    until("it failed", lambda: phase_of("oom") == "Failed")
    ended = container_status(api.get(pods_path(k.namespace, "oom")))["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


def test_quality_of_service_classes(k, api, edge):
    same = {"cpu": "10m", "memory": "16Mi"}
    k.apply(pod("guaranteed", resources={"requests": same, "limits": same}),
            pod("burstable", resources={"requests": {"cpu": "10m"}}), pod("effort"))
    classes = {p["metadata"]["name"]: p["status"]["qosClass"] for p in api.items(pods_path(k.namespace))}
    assert classes == {"guaranteed": "Guaranteed", "burstable": "Burstable", "effort": "BestEffort"}


def test_security_contexts_bind_the_process(launch, k, edge):
    p = launch(pod("secure", securityContext={"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000},
                   container_securityContext={
                       "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False,
                       "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}},
                   volumes=[{"name": "e", "emptyDir": {}}],
                   volumeMounts=[{"name": "e", "mountPath": "/e"}]))
    assert k("exec", "secure", "--", "id", "-u") == "1000\n"
    assert "2000" in k("exec", "secure", "--", "id", "-G").split()
    assert k.result("exec", "secure", "--", "touch", "/x").code != 0
    k("exec", "secure", "--", "touch", "/e/x")
    status = read_proc(edge.container_init(container_status(p)["containerID"]), "status")
    assert re.search(r"^CapBnd:\s+0000000000000400$", status, re.M), "only NET_BIND_SERVICE"
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.M)


def test_the_default_capabilities_are_those_of_containers(launch, edge):
    p = launch(pod("plain"))
    status = read_proc(edge.container_init(container_status(p)["containerID"]), "status")
    assert re.search(r"^CapBnd:\s+00000000a80425fb$", status, re.M)


def test_run_as_non_root_refuses_root(k, api, edge):
    k.apply(pod("root", securityContext={"runAsNonRoot": True}))
    path = pods_path(k.namespace, "root")
    p = until("it is refused", lambda: container_status(api.get(path))["state"]["waiting"]["reason"]
              == "CreateContainerConfigError" and api.get(path))
    assert "runAsNonRoot" in container_status(p)["state"]["waiting"]["message"]


def test_privileged_containers_see_the_machine(launch, k, edge):
    p = launch(pod("mighty", container_securityContext={"privileged": True}))
    status = read_proc(edge.container_init(container_status(p)["containerID"]), "status")
    everything = int(re.search(r"^CapBnd:\s+(\w+)", read_proc("self", "status"), re.M).group(1), 16)
    assert int(re.search(r"^CapBnd:\s+(\w+)", status, re.M).group(1), 16) == everything
    assert k("exec", "mighty", "--", "ls", "/dev").count("\n") > 20


def test_host_network_shares_the_node(launch, k, edge):
    p = launch(pod("hostnet", "httpd -f -p 18080 -h /", hostNetwork=True))
    assert p["status"]["podIP"] == edge.address
    assert "eth0" in k("exec", "hostnet", "--", "ip", "-o", "link")
    assert edge.bridge in k("exec", "hostnet", "--", "ip", "-o", "link")
    until("it listens on the node", lambda: edge.http("127.0.0.1", 18080, "/etc/passwd"))


def test_host_port_leads_to_the_pod(launch, edge):
    launch(pod("hostport", "mkdir /w; echo through > /w/index.html; httpd -f -p 80 -h /w",
               ports=[{"containerPort": 80, "hostPort": 28080}]))
    until("the page over the node's address", lambda: edge.http(edge.address, 28080) == "through\n")


def test_host_pid_and_shared_pid(launch, k):
    launch(pod("hostpid", hostPID=True))
    assert "center" in k("exec", "hostpid", "--", "ps")


def test_an_image_that_is_not_there_is_told_until_it_is(k, api, host, edge):
    name = "e2e/late:1"
    k.apply(pod("late", image=name), pod("never", image=name, imagePullPolicy="Never"),
            pod("invalid", image="UPPER:case:x"))
    reasons = set()

    def reason_of(pod_name):
        return container_status(api.get(pods_path(k.namespace, pod_name)))["state"]["waiting"]["reason"]

    def both_seen():
        reasons.add(reason_of("late"))
        return "ImagePullBackOff" in reasons

    until("ImagePullBackOff", both_seen)
    assert reasons <= {"ContainerCreating", "ErrImagePull", "ImagePullBackOff"}
    assert re.search(r"late\s+0/1\s+(ImagePullBackOff|ErrImagePull)", k("get", "pods"))
    until("ErrImageNeverPull", lambda: reason_of("never") == "ErrImageNeverPull")
    until("InvalidImageName", lambda: reason_of("invalid") == "InvalidImageName")
    until("events tell it", lambda: "e2e/late:1" in k(
        "get", "events", "--field-selector=reason=Failed,involvedObject.name=late", "-o", "jsonpath={..message}"))
    host.image_busybox()
    archive = host.dir / "late.tar"
    run(SELVEDGE, "image", "pack", host.dir / "busybox", "-t", name, "-o", archive)
    edge.load(archive)
    for pod_name in ("late", "never"):
        until(f"{pod_name} runs", lambda: is_ready(api.get(pods_path(k.namespace, pod_name))))


def test_images_come_from_docker_archives_too(launch, k, host, edge):
    archive = host.dir / "docker.tar"
    run("skopeo", "copy", "--insecure-policy", f"oci-archive:{host.image_busybox()}",
        f"docker-archive:{archive}:e2e/docker:1")
    edge.load(archive)
    launch(pod("docker", image="e2e/docker:1"))


def test_an_unusual_image_archive_is_refused(host, edge):
    for content in (b"", b"not a tar archive", b"\0" * 10240):
        broken = host.dir / "broken.tar"
        broken.write_bytes(content)
        done = subprocess.run([SELVEDGE, "image", "import", broken, "--state", edge.state],
                              capture_output=True, text=True)
        assert done.returncode == 1 and "broken.tar" in done.stderr, (content, done)
    with tarfile.open(host.dir / "foreign.tar", "w") as tar:
        tar.add("/etc/hostname", arcname="../../escape")
    done = subprocess.run([SELVEDGE, "image", "import", host.dir / "foreign.tar", "--state", edge.state],
                          capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr


# ---------------------------------------------------------------- status


def test_the_status_is_as_kubernetes_writes_it(launch, edge):
    p = launch(pod("status"))
    status = p["status"]
    assert [c["type"] for c in status["conditions"]] == [
        "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
    assert all(c["status"] == "True" for c in status["conditions"])
    assert status["hostIPs"] == [{"ip": edge.address}]
    assert status["podIPs"][0] == {"ip": status["podIP"]} and status["startTime"]
    own = container_status(p)
    assert own["started"] and own["ready"] and own["restartCount"] == 0
    assert own["image"] == BUSYBOX or own["image"].endswith("/" + BUSYBOX)
    assert "sha256:" in own["imageID"] and "://" in own["containerID"]
    assert own["state"]["running"]["startedAt"]


def test_a_pod_gets_its_defaults(k, api):
    k.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare"},
             "spec": {"containers": [{"name": "c", "image": "e2e/none"}],
                      "nodeSelector": {"no": "where"}}})
    spec = api.get(pods_path(k.namespace, "bare"))["spec"]
    assert (spec["restartPolicy"], spec["dnsPolicy"], spec["terminationGracePeriodSeconds"]) == \
        ("Always", "ClusterFirst", 30)
    assert spec["containers"][0]["imagePullPolicy"] == "Always", "no tag means latest"
    assert spec["containers"][0]["terminationMessagePath"] == "/dev/termination-log"
    p = until("the scheduler's word", lambda: condition(
        api.get(pods_path(k.namespace, "bare")), "PodScheduled") and api.get(pods_path(k.namespace, "bare")))
    assert condition(p, "PodScheduled")["reason"] == "Unschedulable"
    assert "didn't match Pod's node affinity/selector" in condition(p, "PodScheduled")["message"]
    assert p["status"]["phase"] == "Pending"


def test_most_of_a_pod_cannot_be_changed(k, api):
    k.apply(pod("fixed", nodeSelector={"no": "where"}))
    said = k.fails("patch", "pod", "fixed", "--type=merge", "-p", '{"spec":{"restartPolicy":"Never"}}')
    assert "pod updates may not change fields other than" in said
    k("set", "image", "pod/fixed", "c=e2e/other:1")
    assert api.get(pods_path(k.namespace, "fixed"))["spec"]["containers"][0]["image"] == "e2e/other:1"


def test_a_changed_image_restarts_only_that_container(launch, k, api, edge, host):
    other = host.dir / "other.tar"
    run(SELVEDGE, "image", "pack", host.dir / "busybox", "-t", "e2e/busybox:2", "-o", other)
    edge.load(other)
    before = launch(pod("swap", containers=[
        {"name": n, "image": BUSYBOX, "command": ["sleep", "100000"]} for n in ("c", "other")]))
    k("set", "image", "pod/swap", "c=e2e/busybox:2")
    path = pods_path(k.namespace, "swap")
    after = until("the new image runs", lambda: container_status(api.get(path))["restartCount"] == 1 and
                  is_ready(api.get(path)) and api.get(path))
    assert container_status(after, "other")["containerID"] == container_status(before, "other")["containerID"]
    assert container_status(after)["image"].endswith("e2e/busybox:2")


def test_large_secrets_arrive_whole(launch, k):
    blob = bytes(range(256)) * 2000
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "blob"},
              "data": {"b": base64.b64encode(blob).decode()}}
    k("create", "-f", "-", stdin=json.dumps(secret))
    launch(pod("blob", volumes=[{"name": "s", "secret": {"secretName": "blob"}}],
               volumeMounts=[{"name": "s", "mountPath": "/s"}]))
    assert k("exec", "blob", "--", "sha256sum", "/s/b").split()[0] == hashlib.sha256(blob).hexdigest()


def test_a_configmap_is_not_kept_by_the_edge_when_nothing_uses_it(k, api, edge):
    """Only what a pod of the node refers to travels; see the local API of the node."""
    k.apply(configmap("mine", a="1"), configmap("foreign", a="1"),
            pod("user", volumes=[{"name": "m", "configMap": {"name": "mine"}}],
                volumeMounts=[{"name": "m", "mountPath": "/m"}]))
    until("it runs", lambda: is_ready(api.get(pods_path(k.namespace, "user"))))
    local = edge.local_api()
    assert local.get(configmaps_path(k.namespace, "mine"))["data"] == {"a": "1"}
    assert local.gone(configmaps_path(k.namespace, "foreign"))
