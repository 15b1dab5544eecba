# SPDX-License-Identifier: Apache-2.0
"""List and watch as client libraries use them: python3-kubernetes, and the wire itself."""
import threading

import pytest
from kubernetes import client as kube
from kubernetes import config as kube_config
from kubernetes import watch as kube_watch

from harness import ApiError, configmap, configmaps_path, until


@pytest.fixture(scope="module")
def core(center):
    """python3-kubernetes' typed client."""
    with kube_config.new_client_from_config(str(center.kubeconfig)) as api_client:
        yield kube.CoreV1Api(api_client)


def test_the_python_client_creates_reads_changes_and_deletes(core, ns):
    body = kube.V1ConfigMap(metadata=kube.V1ObjectMeta(name="py"), data={"a": "1"})
    assert core.create_namespaced_config_map(ns, body).metadata.uid
    found = core.read_namespaced_config_map("py", ns)
    found.data["a"] = "2"
    replaced = core.replace_namespaced_config_map("py", ns, found)
    assert replaced.data == {"a": "2"}
    found.data["a"] = "3"
    with pytest.raises(kube.ApiException) as caught:
        core.replace_namespaced_config_map("py", ns, found)
    assert caught.value.status == 409
    assert core.patch_namespaced_config_map("py", ns, {"data": {"b": "x"}}).data == {"a": "2", "b": "x"}
    listed = core.list_namespaced_config_map(ns, field_selector="metadata.name=py")
    assert [m.metadata.name for m in listed.items] == ["py"]
    core.delete_namespaced_config_map("py", ns)
    with pytest.raises(kube.ApiException) as caught:
        core.read_namespaced_config_map("py", ns)
    assert caught.value.status == 404


def test_the_python_watch_sees_every_change_once_and_in_order(core, api, ns):
    start = core.list_namespaced_config_map(ns).metadata.resource_version
    seen = []

    def look():
        for event in kube_watch.Watch().stream(core.list_namespaced_config_map, ns,
                                               resource_version=start, timeout_seconds=600):
            meta = event["object"].metadata
            seen.append((event["type"], meta.name, int(meta.resource_version)))
            if event["type"] == "DELETED" and meta.name == "last":
                return

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    for i in range(20):
        api.post(configmaps_path(ns), configmap(f"w{i}", a="0"))
        api.patch(configmaps_path(ns, f"w{i}"), {"data": {"a": "1"}})
        api.delete(configmaps_path(ns, f"w{i}"))
    api.post(configmaps_path(ns), configmap("last"))
    api.delete(configmaps_path(ns, "last"))
    until("the watch has ended", lambda: not watcher.is_alive())
    mine = [e for e in seen if e[1].startswith("w")]
    assert [(t, n) for t, n, _ in mine] == [
        (t, f"w{i}") for i in range(20) for t in ("ADDED", "MODIFIED", "DELETED")]
    revisions = [r for _, _, r in seen]
    assert revisions == sorted(set(revisions)), "strictly rising"


def first_events(api, path, count, **query):
    events = []
    stream = api.watch(path, **query)
    for event in stream:
        events.append(event)
        if len(events) == count:
            stream.close()
            return events
    raise AssertionError(f"the watch ended after {events}")


def test_a_watch_without_a_version_begins_with_what_is_there(api, ns):
    for name in ("a", "b"):
        api.post(configmaps_path(ns), configmap(name))
    events = first_events(api, configmaps_path(ns), 2, fieldSelector="metadata.name!=kube-root-ca.crt")
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in events] == [("ADDED", "a"), ("ADDED", "b")]


def test_a_watch_resumes_after_the_version_it_saw(api, ns):
    made = [api.post(configmaps_path(ns), configmap(f"r{i}"))["metadata"]["resourceVersion"] for i in range(5)]
    events = first_events(api, configmaps_path(ns), 3, resourceVersion=made[1])
    assert [e["object"]["metadata"]["name"] for e in events] == ["r2", "r3", "r4"]


def test_a_watch_ends_when_its_time_is_over(api, ns):
    start = api.get(configmaps_path(ns))["metadata"]["resourceVersion"]
    events = list(api.watch(configmaps_path(ns), resourceVersion=start, timeoutSeconds=1,
                            allowWatchBookmarks="true", labelSelector="no=such"))
    assert [e["type"] for e in events] == ["BOOKMARK"], "a last bookmark, no error"
    mark = events[0]["object"]
    assert mark["kind"] == "ConfigMap" and int(mark["metadata"]["resourceVersion"]) >= int(start)


def test_an_object_that_leaves_the_selector_is_deleted_for_its_watchers(api, ns):
    start = api.get(configmaps_path(ns))["metadata"]["resourceVersion"]
    thing = configmap("s")
    thing["metadata"]["labels"] = {"on": "yes"}
    api.post(configmaps_path(ns), thing)
    api.patch(configmaps_path(ns, "s"), {"metadata": {"labels": {"on": "no"}}})
    api.patch(configmaps_path(ns, "s"), {"data": {"unseen": "x"}})
    api.patch(configmaps_path(ns, "s"), {"metadata": {"labels": {"on": "yes"}}})
    events = first_events(api, configmaps_path(ns), 3, resourceVersion=start, labelSelector="on=yes")
    assert [e["type"] for e in events] == ["ADDED", "DELETED", "ADDED"]
    assert events[1]["object"]["metadata"]["labels"] == {"on": "yes"}, "as the selector knew it"
    revisions = [int(e["object"]["metadata"]["resourceVersion"]) for e in events]
    assert revisions == sorted(set(revisions))


def test_the_initial_list_can_come_through_the_watch(api, ns):
    api.post(configmaps_path(ns), configmap("i"))
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan",
             "allowWatchBookmarks": "true", "fieldSelector": "metadata.name=i"}
    added, mark = first_events(api, configmaps_path(ns), 2, **query)
    assert added["type"] == "ADDED" and mark["type"] == "BOOKMARK"
    assert mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true"


def test_a_watch_from_the_distant_past_is_told_to_list_again(own_host):
    api = own_host.center(reachable=False).start().api()
    path = configmaps_path("default")
    old = api.post(path, configmap("old"))["metadata"]["resourceVersion"]
    for i in range(40):  # more than the history holds
        api.put(configmaps_path("default", "old"), configmap("old", big=str(i % 10) * 1000000))
    events = list(api.watch(path, resourceVersion=old, timeoutSeconds=1))
    assert [e["type"] for e in events] == ["ERROR"]
    assert (events[0]["object"]["code"], events[0]["object"]["reason"]) == (410, "Expired")
    fresh = api.get(path)["metadata"]["resourceVersion"]
    assert list(api.watch(path, resourceVersion=fresh, timeoutSeconds=1)) == [], "from now on it works"


def test_versions_from_the_future_and_nonsense_are_refused(api, ns):
    with pytest.raises(ApiError) as caught:
        api.get(configmaps_path(ns), resourceVersion="999999999")
    assert caught.value.status in (500, 504) and "Too large resource version" in caught.value.body["message"]
    for query in ({"resourceVersion": "nonsense"}, {"limit": "2", "continue": "nonsense"},
                  {"labelSelector": "a in ("}, {"fieldSelector": "metadata.name"}, {"limit": "x"}):
        with pytest.raises(ApiError) as caught:
            api.get(configmaps_path(ns), **query)
        assert caught.value.status == 400, query
        assert caught.value.body["kind"] == "Status"


def test_tables_and_metadata_are_offered_to_who_asks(api, ns):
    api.post(configmaps_path(ns), configmap("t", a="1"))
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    table = api.call("GET", configmaps_path(ns, "t"), headers={"Accept": accept})
    assert table["kind"] == "Table" and table["rows"][0]["cells"][:2] == ["t", 1]
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    listed = api.call("GET", configmaps_path(ns), headers={"Accept": accept})
    assert listed["kind"] == "PartialObjectMetadataList"
    assert all("data" not in item for item in listed["items"])
    assert "t" in [item["metadata"]["name"] for item in listed["items"]]


def test_a_watcher_that_does_not_read_holds_back_nobody(center, api, ns):
    """Its socket fills, the others go on, and the server's memory does not grow without bound."""
    lazy = center.api()
    start = api.get(configmaps_path(ns))["metadata"]["resourceVersion"]
    response = lazy.open("GET", configmaps_path(ns), query={"watch": "true", "resourceVersion": start})
    api.post(configmaps_path(ns), configmap("big", a="x" * 100000))
    quick = center.api().watch(configmaps_path(ns), resourceVersion=start)
    for i in range(100):
        api.patch(configmaps_path(ns, "big"), {"data": {"i": str(i)}})
    seen = 0
    for event in quick:
        if event["object"]["data"].get("i") == "99":
            break
        seen += 1
    assert seen == 100
    quick.close()
    lazy.close()
    response.close()
