# SPDX-License-Identifier: Apache-2.0
"""A webhook server of the tests: HTTPS on loopback, one Python function for every path.

    with HookServer(folder) as hooks:
        hooks.on("/deny", lambda review: {"allowed": False})
        configuration = {... "clientConfig": hooks.client_config("/deny")}

The function gets the review's request and returns the response without its uid.
"""
import base64
import http.server
import json
import ssl
import threading

from machine import run


def make_certificate(folder, name="127.0.0.1"):
    """A self-signed certificate that is its own CA: (certificate, key) files."""
    cert, key = folder / "hook.crt", folder / "hook.key"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
        "-out", cert, "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:{name}")
    return cert, key


def json_patch(*operations):
    """The members of a response that change the object."""
    return {"allowed": True, "patchType": "JSONPatch",
            "patch": base64.b64encode(json.dumps(operations).encode()).decode()}


class HookServer:
    def __init__(self, folder):
        cert, key = make_certificate(folder)
        self.ca = cert.read_bytes()
        self.paths, self.seen = {}, []
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                review = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status, answer = owner.answer(self.path.split("?")[0], review)
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path, review):
        self.seen.append((path, review))
        function = self.paths.get(path)
        if not function:
            return 404, {"error": "no such hook"}
        response = function(review["request"])
        if isinstance(response, int):
            return response, {}
        response["uid"] = review["request"]["uid"]
        return 200, {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}

    def on(self, path, function):
        self.paths[path] = function

    def requests(self, path):
        return [review["request"] for seen, review in self.seen if seen == path]

    def client_config(self, path):
        return {"url": f"https://127.0.0.1:{self.server.server_address[1]}{path}",
                "caBundle": base64.b64encode(self.ca).decode()}

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
