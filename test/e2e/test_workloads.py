# SPDX-License-Identifier: Apache-2.0
"""DaemonSets, StatefulSets, Jobs and CronJobs with real pods, and every verb of kubectl rollout."""
import json
import re

import pytest

from harness import condition, deployment, pod, pods_path, until

pytestmark = pytest.mark.usefixtures("edge")


def template(script, labels=None, **spec):
    p = pod("template", script, **spec)
    return {"metadata": {"labels": labels} if labels else {}, "spec": p["spec"]}


def daemonset(name, script="sleep 100000", **spec):
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": labels}, "template": template(script, labels), **spec}}


def statefulset(name, replicas, script="sleep 100000", **spec):
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name},
            "spec": {"replicas": replicas, "serviceName": name, "selector": {"matchLabels": labels},
                     "template": template(script, labels), **spec}}


def job(name, script, restart="Never", **spec):
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
            "spec": {"template": template(script, restartPolicy=restart), **spec}}


def cronjob(name, schedule, script="true", **spec):
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name},
            "spec": {"schedule": schedule,
                     "jobTemplate": {"spec": {"template": template(script, restartPolicy="Never")}},
                     **spec}}


@pytest.fixture
def read(k):
    """read(kind, name) is the object."""
    return lambda kind, name: k.json("get", kind, name)


@pytest.fixture
def pods(api, ns):
    """pods(selector) are the pods that are not on their way out, by name."""
    def pods(selector=""):
        items = api.get(pods_path(ns) + f"?labelSelector={selector}")["items"]
        return sorted((p for p in items if "deletionTimestamp" not in p["metadata"]),
                      key=lambda p: p["metadata"]["name"])
    return pods


def names(pods):
    return [p["metadata"]["name"] for p in pods]


def reasons(k, name):
    events = k.json("get", "events", f"--field-selector=involvedObject.name={name}")["items"]
    return {e["reason"] for e in events}


# ---------------------------------------------------------------- DaemonSet


def test_a_daemon_set_runs_one_pod_on_every_node_and_rolls(k, read, pods):
    k.apply(daemonset("agent"))
    assert "successfully rolled out" in k("rollout", "status", "ds/agent")
    first, = pods("app=agent")
    terms = first["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert terms["nodeSelectorTerms"][0]["matchFields"][0] == {
        "key": "metadata.name", "operator": "In", "values": [first["spec"]["nodeName"]]}
    keys = {t["key"] for t in first["spec"]["tolerations"]}
    assert {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable",
            "node.kubernetes.io/unschedulable"} <= keys
    status = read("ds", "agent")["status"]
    assert status["desiredNumberScheduled"] == status["numberAvailable"] == 1
    k("set", "env", "ds/agent", "COLOR=blue")
    assert "successfully rolled out" in k("rollout", "status", "ds/agent")
    second, = pods("app=agent")
    assert second["metadata"]["name"] != first["metadata"]["name"]
    history = k("rollout", "history", "ds/agent")
    assert re.search(r"^1 ", history, re.M) and re.search(r"^2 ", history, re.M)
    assert "COLOR" in k("rollout", "history", "ds/agent", "--revision=2")
    assert "rolled back" in k("rollout", "undo", "ds/agent")
    k("rollout", "status", "ds/agent")
    third, = pods("app=agent")
    assert (third["metadata"]["labels"]["controller-revision-hash"] ==
            first["metadata"]["labels"]["controller-revision-hash"])
    assert re.search(r"^3 ", k("rollout", "history", "ds/agent"), re.M)
    assert "SuccessfulCreate" in reasons(k, "agent") and "SuccessfulDelete" in reasons(k, "agent")
    assert re.search(r"agent\s+1\s+1\s+1\s+1\s+1\s+<none>", k("get", "ds"))


def test_a_daemon_set_follows_the_node_selector(k, read, pods):
    d = daemonset("picky")
    d["spec"]["template"]["spec"]["nodeSelector"] = {"e2e/none": "here"}
    k.apply(d)
    until("it was looked at", lambda: read("ds", "picky")["status"].get("observedGeneration") == 1)
    assert read("ds", "picky")["status"]["desiredNumberScheduled"] == 0
    k("patch", "ds", "picky", "--type=json",
      "-p", '[{"op": "remove", "path": "/spec/template/spec/nodeSelector"}]')
    k("rollout", "status", "ds/picky")
    assert len(pods("app=picky")) == 1
    k("delete", "ds", "picky", "--cascade=foreground")
    assert pods("app=picky") == []


# ---------------------------------------------------------------- StatefulSet


def test_a_stateful_set_makes_pods_in_order_and_scales(k, read, pods):
    k.apply(statefulset("db", 2))
    k("rollout", "status", "sts/db")
    zero, one = pods("app=db")
    assert names([zero, one]) == ["db-0", "db-1"]
    assert zero["spec"]["hostname"] == "db-0" and zero["spec"]["subdomain"] == "db"
    assert zero["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] == "db-0"
    assert one["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "1"
    assert zero["status"]["startTime"] <= one["metadata"]["creationTimestamp"]
    assert k("exec", "db-0", "--", "hostname").strip() == "db-0"
    k("scale", "sts", "db", "--replicas=1")
    until("one is left", lambda: names(pods("app=db")) == ["db-0"])
    k("delete", "pod", "db-0", "--now")
    again = until("it is back", lambda: pods("app=db")[0]["metadata"]["uid"] !=
                  zero["metadata"]["uid"] and pods("app=db")[0])
    assert again["metadata"]["name"] == "db-0"
    k("rollout", "status", "sts/db")
    assert read("sts", "db")["status"]["availableReplicas"] == 1
    assert re.search(r"db\s+1/1", k("get", "sts"))


def test_a_stateful_set_rolls_down_to_its_partition_and_back(k, read, pods):
    k.apply(statefulset("web", 2, podManagementPolicy="Parallel",
                        updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}))
    k("rollout", "status", "sts/web")
    old = read("sts", "web")["status"]["currentRevision"]
    k("set", "env", "sts/web", "COLOR=blue")
    assert "partitioned roll out complete" in k("rollout", "status", "sts/web")
    status = read("sts", "web")["status"]
    assert status["currentRevision"] == old != status["updateRevision"]
    assert [p["metadata"]["labels"]["controller-revision-hash"] for p in pods("app=web")] == [
        old, status["updateRevision"]]
    k("patch", "sts", "web", "-p", '{"spec":{"updateStrategy":{"rollingUpdate":{"partition":0}}}}')
    k("rollout", "status", "sts/web")
    until("the new revision is the current one", lambda: read("sts", "web")["status"][
        "currentRevision"] == status["updateRevision"])
    assert len(re.findall(r"^\d+ ", k("rollout", "history", "sts/web"), re.M)) == 2
    k("rollout", "undo", "sts/web", "--to-revision=1")
    until("the old revision is back", lambda: read("sts", "web")["status"]["currentRevision"] == old)
    assert {p["metadata"]["labels"]["controller-revision-hash"] for p in pods("app=web")} == {old}
    k("rollout", "restart", "sts/web")
    assert "restartedAt" in json.dumps(read("sts", "web")["spec"]["template"])
    k("delete", "sts", "web", "--cascade=orphan")
    assert names(pods("app=web")) != []
    k("delete", "pod", "--all", "--now", "--wait=false")


def test_a_stateful_set_makes_claims_that_stay(k, api, ns):
    s = statefulset("claims", 1, volumeClaimTemplates=[
        {"metadata": {"name": "data"},
         "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}])
    k.apply(s)
    claim = until("the claim", lambda: k.json("get", "pvc", "data-claims-0"))
    assert claim["metadata"]["labels"] == {"app": "claims"}
    p = until("the pod", lambda: k.json("get", "pod", "claims-0"))
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "data-claims-0"}} in p["spec"]["volumes"]
    k("delete", "sts", "claims", "--wait=false")
    k("delete", "pod", "claims-0", "--now", "--ignore-not-found", "--wait=false")
    assert k.json("get", "pvc", "data-claims-0")


# ---------------------------------------------------------------- Job


def test_a_job_completes_and_counts(k, read, pods):
    k.apply(job("sum", "exit 0", completions=3, parallelism=2))
    k("wait", "--for=condition=complete", "job/sum", "--timeout=120s")
    done = read("job", "sum")
    assert done["status"]["succeeded"] == 3 and "failed" not in done["status"]
    assert done["status"]["uncountedTerminatedPods"] == {} and done["status"]["ready"] == 0
    assert condition(done, "SuccessCriteriaMet")["reason"] == "CompletionsReached"
    assert done["status"]["completionTime"] >= done["status"]["startTime"]
    ended = pods("batch.kubernetes.io/job-name=sum")
    assert len(ended) == 3 and all("finalizers" not in p["metadata"] for p in ended)
    assert re.search(r"sum\s+Complete\s+3/3", k("get", "job", "sum"))
    until("events", lambda: {"SuccessfulCreate", "Completed"} <= reasons(k, "sum"))
    k("delete", "job", "sum")
    until("its pods are gone", lambda: pods("batch.kubernetes.io/job-name=sum") == [])


def test_a_job_fails_when_its_limit_is_reached(k, read):
    k.apply(job("bad", "exit 3", backoffLimit=0))
    k("wait", "--for=condition=failed", "job/bad", "--timeout=120s")
    failed = read("job", "bad")
    assert condition(failed, "Failed")["reason"] == "BackoffLimitExceeded"
    assert condition(failed, "Failed")["message"] == "Job has reached the specified backoff limit"
    assert condition(failed, "FailureTarget")["status"] == "True" and failed["status"]["failed"] == 1
    until("the event", lambda: "BackoffLimitExceeded" in reasons(k, "bad"))
    for event in k.json("get", "events.events.k8s.io")["items"]:  # a typed client insists on it
        assert event["eventTime"]


def test_a_failure_policy_ends_a_job_at_once(k, read):
    k.apply(job("policy", "exit 42", backoffLimit=6, podFailurePolicy={"rules": [
        {"action": "FailJob", "onExitCodes": {"containerName": "c", "operator": "In", "values": [42]}}]}))
    k("wait", "--for=condition=failed", "job/policy", "--timeout=120s")
    reason = condition(read("job", "policy"), "Failed")
    assert reason["reason"] == "PodFailurePolicy"
    assert re.match(r"Container c for pod .* failed with exit code 42 matching FailJob rule at index 0",
                    reason["message"])


def test_an_indexed_job_gives_every_pod_its_number(k, read, pods):
    k.apply(job("many", 'test "$(hostname)" = "many-$JOB_COMPLETION_INDEX" && test "$JOB_COMPLETION_INDEX" != 1',
                completionMode="Indexed", completions=3, parallelism=3, backoffLimitPerIndex=0))
    k("wait", "--for=condition=failed", "job/many", "--timeout=120s")
    status = read("job", "many")["status"]
    assert status["completedIndexes"] == "0,2" and status["failedIndexes"] == "1"
    assert status["succeeded"] == 2 and status["failed"] == 1
    assert condition({"status": status}, "Failed")["reason"] == "FailedIndexes"
    seen = {p["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"]
            for p in pods("batch.kubernetes.io/job-name=many")}
    assert seen == {"0", "1", "2"}


def test_a_job_is_suspended_resumed_and_lives_its_time(k, read, pods):
    k.apply(job("lazy", "sleep 100000", suspend=True, ttlSecondsAfterFinished=0))
    until("Suspended", lambda: condition(read("job", "lazy"), "Suspended")["status"] == "True")
    assert pods("job-name=lazy") == [] and "Suspended" in k("get", "job", "lazy")
    k("patch", "job", "lazy", "-p", '{"spec":{"suspend":false}}')
    until("it runs", lambda: read("job", "lazy")["status"].get("ready") == 1)
    assert condition(read("job", "lazy"), "Suspended")["reason"] == "JobResumed"
    k("patch", "job", "lazy", "-p", '{"spec":{"activeDeadlineSeconds":1}}')
    k("wait", "--for=delete", "job/lazy", "--timeout=120s")
    until("nothing is left", lambda: pods("job-name=lazy") == [])


def test_counts_are_exact_when_pods_are_deleted(k, read, pods):
    k.apply(job("gone", "sleep 100000", backoffLimit=6))
    first = until("a pod runs", lambda: [
        p for p in pods("job-name=gone") if p["status"].get("phase") == "Running"][0])
    k("delete", "pod", first["metadata"]["name"], "--now")
    until("it counts as failed", lambda: read("job", "gone")["status"].get("failed") == 1)
    k("delete", "job", "gone", "--cascade=orphan")
    until("orphans are let go", lambda: all("finalizers" not in p["metadata"]
                                             for p in pods("job-name=gone")))
    k("delete", "pod", "--all", "--now", "--wait=false")


# ---------------------------------------------------------------- CronJob


def test_a_cron_job_is_started_by_hand(k, read):
    k.apply(cronjob("tick", "0 0 1 1 *"))
    k("create", "job", "now", "--from=cronjob/tick")
    k("wait", "--for=condition=complete", "job/now", "--timeout=120s")
    made = read("job", "now")
    assert made["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] == "manual"
    assert re.search(r"tick\s+0 0 1 1 \*\s+<none>\s+False\s+0\s+<none>", k("get", "cj", "tick"))
    k("delete", "cj", "tick")


def test_a_cron_job_makes_a_job_each_minute_and_forgets_old_ones(k, read):
    k.apply(cronjob("often", "* * * * *", concurrencyPolicy="Forbid"))
    status = until("its first job", lambda: read("cj", "often")["status"].get("lastScheduleTime") and
                   read("cj", "often")["status"])
    made = k.json("get", "jobs")["items"][0]
    assert re.fullmatch(r"often-\d{8}", made["metadata"]["name"])
    assert made["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"] == \
        status["lastScheduleTime"]
    assert made["metadata"]["ownerReferences"][0]["kind"] == "CronJob"
    until("it succeeded", lambda: read("cj", "often")["status"].get("lastSuccessfulTime"))
    until("events", lambda: {"SuccessfulCreate", "SawCompletedJob"} <= reasons(k, "often"))
    k("patch", "cj", "often", "-p", '{"spec":{"suspend":true,"successfulJobsHistoryLimit":0}}')
    until("its history is gone", lambda: k.json("get", "jobs")["items"] == [])


# ---------------------------------------------------------------- Deployment


def test_rollout_of_a_deployment_is_paused_resumed_and_undone(kk, read):
    kk.apply(deployment("app", 2))
    kk("rollout", "status", "deploy/app")
    kk("rollout", "pause", "deploy/app")
    kk("set", "env", "deploy/app", "COLOR=blue")
    until("it is paused", lambda: condition(kk.json("get", "deploy", "app"), "Progressing")["reason"] ==
          "DeploymentPaused")
    assert len(kk.json("get", "rs")["items"]) == 1
    kk("rollout", "resume", "deploy/app")
    kk("rollout", "status", "deploy/app")
    kk("rollout", "restart", "deploy/app")
    kk("rollout", "status", "deploy/app")
    history = kk("rollout", "history", "deploy/app")
    assert [re.search(rf"^{n} ", history, re.M) is not None for n in (1, 2, 3)] == [True] * 3
    kk("rollout", "undo", "deploy/app", "--to-revision=1")
    kk("rollout", "status", "deploy/app")
    d = kk.json("get", "deploy", "app")
    assert d["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "4"
    assert "env" not in d["spec"]["template"]["spec"]["containers"][0]


def test_a_deployment_that_makes_no_progress_says_so(k, read):
    d = deployment("stuck", 1, image="e2e/none:1", imagePullPolicy="Never")
    d["spec"]["progressDeadlineSeconds"] = 1
    k.apply(d)
    until("its deadline passed", lambda: condition(read("deploy", "stuck"), "Progressing")["reason"] ==
          "ProgressDeadlineExceeded")
    assert "exceeded its progress deadline" in k.fails("rollout", "status", "deploy/stuck")
