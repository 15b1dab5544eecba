# SPDX-License-Identifier: Apache-2.0
"""Who may do what: users by certificate, service accounts by token, roles, reviews, tokens in pods."""
import base64
import json
import sqlite3
import subprocess

import pytest
import yaml

from harness import (Api, ApiError, Kubectl, configmap, configmaps_path, is_ready, pod, pods_path, run,
                     until)

ACCOUNT_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"
ISSUER = "https://kubernetes.default.svc"


# ---------------------------------------------------------------- people and programs


def kubeconfig_for(center, path, user):
    """A kubeconfig of the center for another user."""
    config = yaml.safe_load(center.kubeconfig.read_text())
    config["users"][0]["user"] = user
    path.write_text(yaml.safe_dump(config))
    path.chmod(0o600)
    return path


def certificate_for(center, folder, name, groups):
    """What a kubeconfig says of a user whose certificate the center's CA signed."""
    ca = center.data / "pki"
    key, csr, cert = (folder / f"{name}.{suffix}" for suffix in ("key", "csr", "crt"))
    subject = "".join(f"/O={g}" for g in groups) + f"/CN={name}"
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-keyout", key, "-out", csr, "-subj", subject)
    extensions = folder / f"{name}.ext"
    extensions.write_text("extendedKeyUsage=clientAuth\n")
    run("openssl", "x509", "-req", "-in", csr, "-CA", ca / "ca.crt", "-CAkey", ca / "ca.key", "-CAserial",
        folder / "ca.srl", "-CAcreateserial", "-days", "1", "-extfile", extensions, "-out", cert)
    return {"client-certificate-data": base64.b64encode(cert.read_bytes()).decode(),
            "client-key-data": base64.b64encode(key.read_bytes()).decode()}


@pytest.fixture
def person(center, client, tmp_path):
    """person("ann", "devs") is both kubectls of a user in these groups."""
    def person(name, *groups):
        config = kubeconfig_for(center, tmp_path / f"{name}.kubeconfig",
                                certificate_for(center, tmp_path, name, groups))
        return Kubectl(config, client.home, client.binary)
    return person


@pytest.fixture
def bearer(center):
    """bearer(token) speaks to the center with that token and nothing else."""
    return lambda token: Api(center.kubeconfig, token=token, client_cert=False)


def refused(function, status):
    with pytest.raises(ApiError) as caught:
        function()
    assert caught.value.status == status, caught.value
    return caught.value.body


@pytest.fixture
def cluster_objects(admin):
    """Cluster-scoped objects that a test makes: they go when it ends."""
    made = []
    yield lambda kind, name: made.append((kind, name))
    for kind, name in made:
        admin("delete", kind, name, "--ignore-not-found")


# ---------------------------------------------------------------- roles


def test_a_user_sees_exactly_what_his_roles_allow(kk, ns, person):
    ann = person("ann", "devs").within(ns)
    text = ann.fails("get", "pods")
    assert text == (f'Error from server (Forbidden): pods is forbidden: User "ann" cannot list resource '
                    f'"pods" in API group "" in the namespace "{ns}"\n')
    kk("create", "role", "reader", "--verb=get,list,watch", "--resource=pods,configmaps")
    kk("create", "rolebinding", "devs-read", "--role=reader", "--group=devs")
    kk.create(configmap("open", a="b"))
    assert "No resources found" in ann.result("get", "pods").err
    assert ann("get", "configmap", "open", "-o", "jsonpath={.data.a}") == "b"
    assert 'cannot create resource "configmaps"' in ann.fails("create", "configmap", "mine")
    assert 'cannot list resource "secrets"' in ann.fails("get", "secrets")
    assert 'in the namespace "default"' in ann.within("default").fails("get", "pods")
    assert "at the cluster scope" in ann.fails("get", "nodes")
    assert "at the cluster scope" in ann.fails("get", "pods", "--all-namespaces")
    kk("delete", "rolebinding", "devs-read")
    assert "forbidden" in ann.fails("get", "pods")


def test_a_watch_goes_on_when_its_rights_are_gone(kk, ns, api, person):
    """As in Kubernetes: who may is asked when a watch begins; it sees what comes until its time is over."""
    eve = person("eve", "guests").within(ns)
    kk("create", "role", "guest", "--verb=list,watch", "--resource=configmaps")
    kk("create", "rolebinding", "guests", "--role=guest", "--group=guests")
    with eve.start("get", "configmaps", "--watch", "-o", "name") as running:
        running.expect("kube-root-ca.crt")
        kk("delete", "rolebinding", "guests")
        assert 'cannot list resource "configmaps"' in eve.fails("get", "configmaps", "--watch")
        kk.create(configmap("later", a="b"))
        running.expect("^configmap/later$")
    ended = list(api.watch(f"/api/v1/namespaces/{ns}/configmaps", timeoutSeconds=1))
    assert [e["type"] for e in ended].count("ERROR") == 0, "a watch ends when its time is over"


def test_names_and_subresources(kk, ns, person):
    ben = person("ben").within(ns)
    kk("create", "role", "one", "--verb=get,update,watch", "--resource=configmaps", "--resource-name=one")
    kk("create", "role", "logs", "--verb=get", "--resource=pods/log")
    kk("create", "rolebinding", "one", "--role=one", "--user=ben")
    kk("create", "rolebinding", "logs", "--role=logs", "--user=ben")
    kk.create(configmap("one", a="1"), configmap("two", a="2"))
    assert ben("get", "configmap", "one", "-o", "jsonpath={.data.a}") == "1"
    assert 'configmaps "two" is forbidden' in ben.fails("get", "configmap", "two")
    assert "forbidden" in ben.fails("get", "configmaps")
    assert ben.result("auth", "can-i", "get", "pods", "--subresource=log").out == "yes\n"
    assert ben.result("auth", "can-i", "get", "pods").out.startswith("no")


def test_the_roles_that_users_know(kk, ns, person):
    for role in ("view", "edit", "admin"):
        kk("create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}er")
    view, edit, admin = (person(f"{role}er").within(ns) for role in ("view", "edit", "admin"))

    def can(who, verb, what):
        return who.result("auth", "can-i", verb, what).out.split()[0]

    table = {("list", "pods"): "yes yes yes", ("list", "secrets"): "no yes yes",
             ("create", "deployments.apps"): "no yes yes", ("create", "roles.rbac.authorization.k8s.io"): "no no yes",
             ("list", "nodes"): "no no no", ("get", "endpointslices.discovery.k8s.io"): "yes yes yes",
             ("create", "pods/exec"): "no yes yes", ("delete", "namespaces"): "no no no"}
    for (verb, what), wanted in table.items():
        assert [can(who, verb, what) for who in (view, edit, admin)] == wanted.split(), (verb, what)


def test_a_cluster_role_is_made_of_others(admin, client, person, cluster_objects, ns):
    name = f"{ns}-{'old' if client.old else 'new'}"
    cluster_objects("clusterrole", f"{name}-all")
    cluster_objects("clusterrole", f"{name}-part")
    cluster_objects("clusterrolebinding", name)
    client("create", "clusterrole", f"{name}-all", f"--aggregation-rule=part-of={name}")
    client("create", "clusterrolebinding", name, f"--clusterrole={name}-all", "--user=cat")
    cat = person("cat")
    assert "forbidden" in cat.fails("get", "nodes")
    client("create", "clusterrole", f"{name}-part", "--verb=list,get", "--resource=nodes")
    client("label", "clusterrole", f"{name}-part", f"part-of={name}")
    until("it is part of it", lambda: cat.result("get", "nodes").code == 0)
    rules = admin.json("get", "clusterrole", f"{name}-all")["rules"]
    assert rules == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "get"]}]


def test_nobody_grants_what_he_does_not_hold(kk, ns, person):
    kk("create", "rolebinding", "dan", "--clusterrole=admin", "--user=dan")
    dan = person("dan").within(ns)
    text = dan.fails("create", "role", "more", "--verb=get,list", "--resource=nodes,pods")
    assert text.splitlines() == [
        'Error from server (Forbidden): roles.rbac.authorization.k8s.io "more" is forbidden: user "dan" '
        '(groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:',
        '{APIGroups:[""], Resources:["nodes"], Verbs:["get" "list"]}']
    dan("create", "role", "pods", "--verb=get", "--resource=pods")
    dan("create", "rolebinding", "pods", "--role=pods", "--user=eve")
    text = dan.fails("create", "rolebinding", "all", "--clusterrole=cluster-admin", "--user=eve")
    assert "is attempting to grant RBAC permissions not currently held" in text
    assert '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}' in text
    kk("create", "role", "binder", "--verb=bind", "--resource=clusterroles.rbac.authorization.k8s.io",
       "--resource-name=cluster-admin")
    kk("create", "rolebinding", "binder", "--role=binder", "--user=dan")
    dan("create", "rolebinding", "all", "--clusterrole=cluster-admin", "--user=eve")


def test_auth_reconcile(kk, ns):
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r", "namespace": ns},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}
    text = kk("auth", "reconcile", "-f", "-", stdin=yaml.safe_dump(role))
    assert "reconciled" in text
    role["rules"][0]["verbs"] = ["get", "list"]
    kk("auth", "reconcile", "-f", "-", stdin=yaml.safe_dump(role))
    verbs = {v for r in kk.json("get", "role", "r")["rules"] for v in r["verbs"]}
    assert verbs == {"get", "list"}


# ---------------------------------------------------------------- who am I, what may I


def test_can_i(kk, ns, person):
    fay = person("fay", "ops").within(ns)
    assert fay.result("auth", "can-i", "get", "pods").out.startswith("no")
    kk("create", "role", "r", "--verb=get", "--resource=pods,deployments.apps", "--resource=configmaps/status")
    kk("create", "rolebinding", "r", "--role=r", "--group=ops")
    assert fay("auth", "can-i", "get", "pods") == "yes\n"
    assert fay("auth", "can-i", "get", "/api") == "yes\n"
    assert fay.result("auth", "can-i", "get", "/metrics").out.startswith("no")
    rows = [line.split() for line in fay("auth", "can-i", "--list").splitlines()]
    assert ["pods", "[]", "[]", "[get]"] in rows and ["deployments.apps", "[]", "[]", "[get]"] in rows
    assert kk("auth", "can-i", "*", "*") == "yes\n"
    assert kk("auth", "can-i", "get", "pods", "--as=fay", "--as-group=ops") == "yes\n"
    assert kk.result("auth", "can-i", "get", "pods", "--as=fay").out.startswith("no")


def test_whoami(admin, center, tmp_path, bearer):
    told = admin.json("auth", "whoami")["status"]["userInfo"]
    assert told["username"] == "admin" and told["groups"] == ["system:masters", "system:authenticated"]
    assert told["extra"]["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")
    token = admin("create", "token", "default").strip()
    robot = Kubectl(kubeconfig_for(center, tmp_path / "robot", {"token": token}), admin.home)
    told = robot.json("auth", "whoami")["status"]["userInfo"]
    assert told["username"] == "system:serviceaccount:default:default"
    assert told["groups"] == ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]
    assert told["uid"] == admin.json("get", "serviceaccount", "default")["metadata"]["uid"]
    told = admin.json("auth", "whoami", "--as=gus", "--as-group=a", "--as-uid=u1")["status"]["userInfo"]
    assert told == {"username": "gus", "uid": "u1", "groups": ["a", "system:authenticated"]}


def test_impersonation_needs_the_verb(kk, ns, person, bearer, admin, cluster_objects):
    hal = person("hal").within(ns)
    text = hal.fails("get", "pods", "--as=ida")
    assert text == ('Error from server (Forbidden): users "ida" is forbidden: User "hal" cannot impersonate '
                    'resource "users" in API group "" at the cluster scope\n')
    role = f"{ns}-impersonate"
    cluster_objects("clusterrole", role)
    cluster_objects("clusterrolebinding", role)
    admin("create", "clusterrole", role, "--verb=impersonate", "--resource=users", "--resource-name=ida")
    admin("create", "clusterrolebinding", role, f"--clusterrole={role}", "--user=hal")
    assert 'User "ida" cannot list resource "pods"' in hal.fails("get", "pods", "--as=ida")
    assert 'cannot impersonate resource "users"' in hal.fails("get", "pods", "--as=root")
    assert 'cannot impersonate resource "groups"' in hal.fails("get", "pods", "--as=ida", "--as-group=system:masters")
    kk("create", "role", "r", "--verb=list", "--resource=pods")
    kk("create", "rolebinding", "r", "--role=r", "--serviceaccount", f"{ns}:default")
    assert kk("auth", "can-i", "list", "pods", f"--as=system:serviceaccount:{ns}:default") == "yes\n"


def test_reviews(api, ns, k):
    k("create", "role", "r", "--verb=get", "--resource=pods")
    k("create", "rolebinding", "b", "--role=r", "--user=jan")

    def review(kind, path, **spec):
        return api.post(path, {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec})["status"]

    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    asked = {"namespace": ns, "verb": "get", "resource": "pods"}
    assert review("SubjectAccessReview", path, user="jan", resourceAttributes=asked) == {
        "allowed": True, "reason": f'RBAC: allowed by RoleBinding "b/{ns}" of Role "r" to User "jan"'}
    assert review("SubjectAccessReview", path, user="joe", resourceAttributes=asked) == {"allowed": False}
    assert review("SubjectAccessReview", path, groups=["system:masters"], resourceAttributes=asked)["allowed"]
    local = f"/apis/authorization.k8s.io/v1/namespaces/{ns}/localsubjectaccessreviews"
    assert review("LocalSubjectAccessReview", local, user="jan", resourceAttributes=asked)["allowed"]
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {"user": "x"}}
    assert "exactly one of" in refused(lambda: api.post(path, body), 422)["message"]


# ---------------------------------------------------------------- service accounts


def test_every_namespace_has_an_account_and_the_root_ca(k, api, ns, center):
    ca = (center.data / "pki/ca.crt").read_text()
    path = configmaps_path(ns, "kube-root-ca.crt")
    until("both are there", lambda: any(i["metadata"]["name"] == "default" for i in api.items(
        f"/api/v1/namespaces/{ns}/serviceaccounts")) and any(
            i["metadata"]["name"] == "kube-root-ca.crt" for i in api.items(configmaps_path(ns))))
    assert api.get(path)["data"] == {"ca.crt": ca}
    k("delete", "serviceaccount", "default")
    k("delete", "configmap", "kube-root-ca.crt")
    until("they are back", lambda: k.result("get", "sa/default", "cm/kube-root-ca.crt").code == 0)


def decode(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def claims(token):
    return json.loads(decode(token.split(".")[1]))


def der_integer(raw):
    raw = raw.lstrip(b"\0") or b"\0"
    raw = b"\0" + raw if raw[0] & 0x80 else raw
    return b"\x02" + bytes([len(raw)]) + raw


def openssl_verifies(token, jwk, folder):
    """Whether openssl finds the signature good, over the key as the JWKS tells it."""
    head, body, signature = token.split(".")
    point = b"\x04" + decode(jwk["x"]) + decode(jwk["y"])
    key = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + point
    raw = decode(signature)
    numbers = der_integer(raw[:32]) + der_integer(raw[32:])
    for name, data in (("key", key), ("sig", b"\x30" + bytes([len(numbers)]) + numbers),
                       ("text", f"{head}.{body}".encode())):
        (folder / name).write_bytes(data)
    done = subprocess.run(["openssl", "dgst", "-sha256", "-keyform", "DER", "-verify", folder / "key", "-signature",
                           folder / "sig", folder / "text"], capture_output=True, text=True)
    return done.stdout == "Verified OK\n"


def test_a_token_is_verified_by_others(k, api, ns, bearer, tmp_path):
    k("create", "serviceaccount", "robot")
    token = k("create", "token", "robot", "--duration=30m", "--audience=vault", f"--audience={ISSUER}").strip()
    says = claims(token)
    assert says["iss"] == ISSUER and says["aud"] == ["vault", ISSUER]
    assert says["sub"] == f"system:serviceaccount:{ns}:robot"
    assert says["exp"] - says["iat"] == 1800 and says["nbf"] == says["iat"] and says["jti"]
    account = k.json("get", "serviceaccount", "robot")["metadata"]
    assert says["kubernetes.io"] == {"namespace": ns,
                                     "serviceaccount": {"name": "robot", "uid": account["uid"]}}
    robot = bearer(token)
    document = robot.get("/.well-known/openid-configuration")
    assert document["issuer"] == ISSUER and document["jwks_uri"].endswith("/openid/v1/jwks")
    status, headers, keys = robot.raw("GET", "/openid/v1/jwks")
    assert status == 200 and headers["Content-Type"] == "application/jwk-set+json"
    kid = json.loads(decode(token.split(".")[0]))["kid"]
    jwk = next(key for key in keys["keys"] if key["kid"] == kid)
    assert openssl_verifies(token, jwk, tmp_path)
    assert not openssl_verifies(token[:20] + ("A" if token[20] != "A" else "B") + token[21:], jwk, tmp_path)

    def review(token, **spec):
        return api.post("/apis/authentication.k8s.io/v1/tokenreviews",
                        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
                         "spec": {"token": token, **spec}})["status"]

    told = review(token)
    assert told["authenticated"] and told["user"]["username"] == says["sub"] and told["audiences"] == [ISSUER]
    assert review(token, audiences=["vault", "x"])["audiences"] == ["vault"]
    assert "error" in review(token, audiences=["x"]) and "error" in review("no.token.atall")
    other = k("create", "token", "robot", "--audience=vault").strip()
    assert refused(lambda: bearer(other).get("/api"), 401)


def test_a_token_may_what_its_account_may_and_ends_with_it(k, ns, bearer):
    k("create", "serviceaccount", "robot")
    k("create", "role", "r", "--verb=list", "--resource=pods")
    k("create", "rolebinding", "r", "--role=r", f"--serviceaccount={ns}:robot")
    robot = bearer(k("create", "token", "robot").strip())
    assert robot.items(pods_path(ns)) == []
    said = refused(lambda: robot.get(f"/api/v1/namespaces/{ns}/secrets"), 403)["message"]
    assert said == (f'secrets is forbidden: User "system:serviceaccount:{ns}:robot" cannot list resource "secrets" '
                    f'in API group "" in the namespace "{ns}"')
    k("delete", "serviceaccount", "robot")
    refused(lambda: robot.get(pods_path(ns)), 401)
    k("create", "serviceaccount", "robot")
    refused(lambda: robot.get(pods_path(ns)), 401)


def test_tokens_of_the_old_kind(kk, api, ns, bearer):
    secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
              "metadata": {"name": "robot-token", "annotations": {"kubernetes.io/service-account.name": "robot"}}}
    kk.create(secret)  # before its account
    kk("create", "serviceaccount", "robot")
    path = f"/api/v1/namespaces/{ns}/secrets/robot-token"
    data = until("it has a token", lambda: api.get(path).get("data", {}).get("token") and api.get(path)["data"])
    assert base64.b64decode(data["namespace"]).decode() == ns
    assert b"BEGIN CERTIFICATE" in base64.b64decode(data["ca.crt"])
    robot = bearer(base64.b64decode(data["token"]).decode())
    assert robot.get("/api")["versions"] == ["v1"]
    assert base64.b64decode(data["token"]).decode() in kk("describe", "secret", "robot-token")
    kk("delete", "serviceaccount", "robot")
    refused(lambda: robot.get("/api"), 401)
    until("it goes with its account", lambda: kk.result("get", "secret", "robot-token").code != 0)


def test_token_requests_that_are_refused(k, api, ns):
    k("create", "serviceaccount", "robot")
    path = f"/api/v1/namespaces/{ns}/serviceaccounts/robot/token"

    def ask(**spec):
        return api.post(path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                               "spec": {"audiences": [], **spec}})

    assert "may not specify a duration less than 10 minutes" in refused(
        lambda: ask(expirationSeconds=10), 422)["message"]
    ref = {"kind": "Pod", "apiVersion": "v1", "name": "none"}
    assert refused(lambda: ask(boundObjectRef=ref), 404)["message"] == 'pods "none" not found'
    assert "cannot bind token to object of type" in refused(
        lambda: ask(boundObjectRef={"kind": "ConfigMap", "apiVersion": "v1", "name": "x"}), 400)["message"]
    assert 'serviceaccounts "nobody" not found' in k.fails("create", "token", "nobody")
    text = k.fails("apply", "-f", "-", stdin=yaml.safe_dump(pod("p", serviceAccountName="nobody")))
    assert f'error looking up service account {ns}/nobody: serviceaccount "nobody" not found' in text


def test_the_python_client_is_bound_by_roles(k, ns, center):
    import kubernetes
    k("create", "serviceaccount", "snake")
    k("create", "rolebinding", "snake", "--clusterrole=view", f"--serviceaccount={ns}:snake")
    config = kubernetes.client.Configuration()
    config.host = center.url
    config.ssl_ca_cert = str(center.data / "pki/ca.crt")
    config.api_key = {"authorization": "Bearer " + k("create", "token", "snake").strip()}
    with kubernetes.client.ApiClient(config) as client:
        core = kubernetes.client.CoreV1Api(client)
        assert core.list_namespaced_pod(ns).items == []
        with pytest.raises(kubernetes.client.ApiException) as caught:
            core.list_namespaced_secret(ns)
        assert caught.value.status == 403
        review = kubernetes.client.AuthorizationV1Api(client).create_self_subject_access_review(
            kubernetes.client.V1SelfSubjectAccessReview(spec=kubernetes.client.V1SelfSubjectAccessReviewSpec(
                resource_attributes=kubernetes.client.V1ResourceAttributes(
                    namespace=ns, verb="list", resource="pods"))))
        assert review.status.allowed


# ---------------------------------------------------------------- tokens in pods


def wait_ready(api, ns, name):
    return until(f"pod {name} is ready", lambda: is_ready(api.get(pods_path(ns, name))) and api.get(pods_path(ns, name)))


def test_a_pod_calls_the_center_with_its_token(k, api, ns, center, edge):
    k("create", "serviceaccount", "worker")
    k("create", "rolebinding", "worker", "--clusterrole=view", f"--serviceaccount={ns}:worker")
    k.apply(pod("p", serviceAccountName="worker"), pod("none", automountServiceAccountToken=False))
    there = wait_ready(api, ns, "p")
    wait_ready(api, ns, "none")
    token, ca, namespace = (k("exec", "p", "--", "cat", f"{ACCOUNT_DIR}/{name}")
                            for name in ("token", "ca.crt", "namespace"))
    assert namespace == ns and ca == (center.data / "pki/ca.crt").read_text()
    says = claims(token)["kubernetes.io"]
    assert says["pod"] == {"name": "p", "uid": there["metadata"]["uid"]} and says["node"]["name"] == edge.node
    assert says["warnafter"] > 0
    inside = Api(center.kubeconfig, netns=edge.netns, token=token, client_cert=False)
    assert {i["metadata"]["name"] for i in inside.items(pods_path(ns))} == {"p", "none"}
    assert "No such file" in k.fails("exec", "none", "--", "ls", ACCOUNT_DIR)
    assert api.get(pods_path(ns, "none"))["spec"].get("volumes", []) == []
    k("delete", "pod", "p", "--wait")
    refused(lambda: inside.get(pods_path(ns)), 401)


def test_a_node_gets_tokens_for_its_own_pods_only(k, api, ns, center, edge):
    """What its certificate allows, with its own key."""
    k.apply(pod("p"))
    there = wait_ready(api, ns, "p")
    files = edge.state / "node"
    node = Api(center.kubeconfig, client_cert=False)
    node.context.load_cert_chain(files / "node.crt", files / "node.key")
    path = f"/api/v1/namespaces/{ns}/serviceaccounts/%s/token"

    def ask(account, **ref):
        return node.post(path % account, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {
            "audiences": [], **({"boundObjectRef": dict(ref, kind="Pod", apiVersion="v1")} if ref else {})}})

    assert ask("default", name="p", uid=there["metadata"]["uid"])["status"]["token"]
    assert "not bound to a pod" in refused(lambda: ask("default"), 403)["message"]
    assert "without a uid" in refused(lambda: ask("default", name="p"), 403)["message"]
    k("create", "serviceaccount", "other")
    assert "no relationship found" in refused(lambda: ask("other"), 403)["message"]


def kept_tokens(edge, change):
    """Changes what a node that does not run keeps of its pods' tokens: change(connection)."""
    connection = sqlite3.connect(edge.state / "store.db")
    with connection:
        change(connection)
    connection.close()


def forget(db):
    assert db.execute("delete from log where key like 'tokens/%'").rowcount > 0


def make_old(db):
    """As if they had been asked for two hours earlier."""
    for rev, value in db.execute("select rev, value from log where key like 'tokens/%'").fetchall():
        kept = json.loads(value)
        kept.update({name: str(int(kept[name]) - 7200 * 1000000) for name in ("issued", "end")})
        db.execute("update log set value = ? where rev = ?", (json.dumps(kept).encode(), rev))


@pytest.fixture
def place(own_host):
    """A center and an edge with a pod; and the command that reads a file of the pod's account there."""
    center = own_host.center().start()
    edge = own_host.edge(center).start()
    edge.load(own_host.image_busybox())
    center.kubectl().apply(pod("p"))
    wait_ready(center.api(), "default", "p")
    here = edge.kubectl().within("default")
    return center, edge, lambda name: here.result("exec", "p", "--", "cat", f"{ACCOUNT_DIR}/{name}")


def test_token_files_live_without_the_center(place):
    """The link is cut: the agent starts anew, then the machine; pods keep their tokens."""
    center, edge, read = place
    token = until("the token is there", lambda: read("token").out)
    edge.cut()
    edge.kill()
    edge.start(wait=False)
    until("the agent is back", lambda: read("token").out == token)
    edge.power_cut()
    edge.start(wait=False)
    until("the pod runs again", lambda: read("token").out == token)
    assert "BEGIN CERTIFICATE" in read("ca.crt").out
    center.stop()
    center.start()
    assert Api(center.kubeconfig, token=token, client_cert=False).get("/api")["versions"] == ["v1"]
    edge.mend()
    edge.wait_ready()
    center.api().delete(pods_path("default", "p"))
    until("nothing of the pod is left", lambda: edge.remains(pods_only=True) == [])


def test_a_pod_does_not_wait_for_its_token(place):
    """Without link and without a kept token the pod runs; the file comes later, and is renewed in time."""
    center, edge, read = place
    edge.cut()
    edge.power_cut()
    kept_tokens(edge, forget)
    edge.start(wait=False)
    until("the pod runs again", lambda: read("namespace").out == "default")
    assert "No such file" in read("token").err and "BEGIN CERTIFICATE" in read("ca.crt").out
    edge.mend()
    token = until("the token is there", lambda: read("token").out)
    assert Api(center.kubeconfig, token=token, client_cert=False).get("/api")["versions"] == ["v1"]
    edge.kill()
    kept_tokens(edge, make_old)
    edge.start()
    fresh = until("there is another", lambda: read("token").out not in ("", token) and read("token").out)
    assert claims(fresh)["iat"] >= claims(token)["iat"] and claims(fresh)["jti"] != claims(token)["jti"]
