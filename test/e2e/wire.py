# SPDX-License-Identifier: Apache-2.0
"""Plain HTTPS to an API server, with what a kubeconfig holds.
"""
import base64
import http.client
import json
import socket
import ssl
import tempfile
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import yaml

from machine import in_netns, shorten


class ApiError(AssertionError):
    """An answer that is not 2xx; .status (HTTP code) and .body (the Status object)."""

    def __init__(self, what, status, body):
        super().__init__(f"{what}: {status} {shorten(body, 2000)}")
        self.status = status
        self.body = body


class Api:
    """Raw HTTPS with what a kubeconfig holds. One connection, opened again when it was closed.

    Not for several threads: each makes its own by clone().
    """

    def __init__(self, kubeconfig, netns=None, token=None, client_cert=True, timeout=None):
        self.kubeconfig = Path(kubeconfig)
        self.netns = netns
        self.token = token
        self.timeout = timeout
        config = yaml.safe_load(self.kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        user = config["users"][0]["user"]
        url = urlsplit(cluster["server"])
        self.host, self.port = url.hostname, url.port
        self.context = ssl.create_default_context(cadata=self._pem(cluster, "certificate-authority"))
        if client_cert and ("client-certificate" in user or "client-certificate-data" in user):
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as f:
                f.write(self._pem(user, "client-certificate") + "\n" + self._pem(user, "client-key"))
                f.flush()
                self.context.load_cert_chain(f.name)
        elif client_cert and "token" in user:
            self.token = user["token"]
        self.client_cert = client_cert
        self.connection = None

    def _pem(self, holder, name):
        if name + "-data" in holder:
            return base64.b64decode(holder[name + "-data"]).decode()
        return (self.kubeconfig.parent / holder[name]).read_text()

    def clone(self):
        return Api(self.kubeconfig, self.netns, self.token, self.client_cert, self.timeout)

    def socket(self, tls=True):
        def connect():
            return socket.create_connection((self.host, self.port), timeout=self.timeout)

        raw = in_netns(self.netns, connect) if self.netns else connect()
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # head and body are two writes
        return self.context.wrap_socket(raw, server_hostname=self.host) if tls else raw

    def connect(self):
        connection = http.client.HTTPConnection(self.host, self.port)
        connection.sock = self.socket()
        return connection

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def open(self, method, path, body=None, headers=None, query=None, connection=None):
        """Sends one request and returns the http.client response, unread."""
        if query:
            path += "?" + urlencode(query)
        headers = dict(headers or {})
        headers.setdefault("Accept", "application/json")
        if self.token:
            headers["Authorization"] = "Bearer " + self.token
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        if connection:
            connection.request(method, path, body, headers)
            return connection.getresponse()
        fresh = self.connection is None
        if fresh:
            self.connection = self.connect()
        try:
            self.connection.request(method, path, body, headers)
            return self.connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self.close()
            if fresh or method != "GET":
                raise
            return self.open(method, path, body, headers)
        except BaseException:
            self.close()
            raise

    def raw(self, method, path, body=None, headers=None, query=None):
        """(status, headers, body): the body parsed when it is JSON."""
        response = self.open(method, path, body, headers, query)
        try:
            data = response.read()
        except BaseException:
            self.close()
            raise
        if response.will_close:
            self.close()
        kind = response.headers.get("Content-Type", "")
        if "json" in kind:
            return response.status, response.headers, json.loads(data)
        return response.status, response.headers, data.decode(errors="replace")

    def call(self, method, path, body=None, headers=None, query=None):
        """The body of a 2xx answer; ApiError otherwise."""
        status, _, answer = self.raw(method, path, body, headers, query)
        if not 200 <= status < 300:
            raise ApiError(f"{method} {path}", status, answer)
        return answer

    def get(self, path, **query):
        return self.call("GET", path, query=query or None)

    def items(self, path, **query):
        return self.get(path, **query)["items"]

    def post(self, path, body, **query):
        return self.call("POST", path, body, query=query or None)

    def put(self, path, body):
        return self.call("PUT", path, body)

    def patch(self, path, body, kind="merge", **query):
        kinds = {"merge": "application/merge-patch+json", "json": "application/json-patch+json",
                 "strategic": "application/strategic-merge-patch+json"}
        return self.call("PATCH", path, json.dumps(body), {"Content-Type": kinds[kind]}, query or None)

    def delete(self, path, body=None):
        return self.call("DELETE", path, body)

    def gone(self, path):
        try:
            self.get(path)
        except ApiError as e:
            return e.status == 404
        return False

    def watch(self, path, connection=None, **query):
        """Yields the events of a watch until the server ends it. Uses a connection of its own."""
        connection = connection or self.connect()
        try:
            response = self.open("GET", path, query=dict(query, watch="true"), connection=connection)
            if response.status != 200:
                raise ApiError(f"watch {path}", response.status, response.read().decode())
            for line in response:
                yield json.loads(line)
        finally:
            connection.close()


def ignore_missing(function):
    try:
        function()
    except ApiError as e:
        if e.status not in (404, 409):
            raise
