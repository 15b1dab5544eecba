# SPDX-License-Identifier: Apache-2.0
"""A center on a port of its own, and one connection to it."""
import base64
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time

PASSED_ON = ("accept", "content-type", "user-agent")


class Center:
    def __init__(self, program, folder):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.folder, self.connection = folder, None
        self.process = subprocess.Popen([program, "--data-dir", folder, "--listen", f"127.0.0.1:{self.port}",
                                         "--log-level", "error", "--no-controllers"])
        while self.process.poll() is None:
            try:
                if self.call("GET", "/readyz")[0] == 200:
                    return
            except OSError:
                self.connection = None
            time.sleep(0.05)
        raise SystemExit("the center did not become ready")

    def context(self):
        with open(os.path.join(self.folder, "kubeconfig"), encoding="ascii") as f:
            text = f.read()
        names = {}
        for key in ("certificate-authority-data", "client-certificate-data", "client-key-data"):
            names[key] = os.path.join(self.folder, key)
            with open(names[key], "wb") as out:
                out.write(base64.b64decode(re.search(key + r':\s*"?([A-Za-z0-9+/=]+)', text).group(1)))
        context = ssl.create_default_context(cafile=names["certificate-authority-data"])
        context.check_hostname = False
        context.load_cert_chain(names["client-certificate-data"], names["client-key-data"])
        return context

    def connect(self):
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context(), timeout=60)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def exchange(self, method, target, body, headers):
        self.connection = self.connection or self.connect()
        try:
            self.connection.request(method, target, body, headers)
            response = self.connection.getresponse()
            data = response.read()
        except BaseException:
            self.connection = None
            raise
        if response.will_close:
            self.connection = None
        try:
            return response.status, json.loads(data)
        except ValueError:
            return response.status, data

    def call(self, method, target, body=None):
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Content-Type": kind} if body is not None else {}
        return self.exchange(method, target, json.dumps(body) if body is not None else None, headers)

    def send(self, request, target, body):
        headers = {k: v for k, v in request.headers.items() if k in PASSED_ON}
        return self.exchange(request.method, target, body or None, headers)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait()
