"""A resolver: tells the worker, and nobody else, whom a token stands for (docs/contacts.md).

python examples/resolver.py SECRET_FILE PORT [CERTIFICATE]
"""

import base64
import hmac
import json
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PEOPLE = {"tok-1": {"phone": "+33612345678", "language": "fr"}}  # your database
REVOKED = {"tok-2"}
KEYS = [base64.b64decode(word.removeprefix("whsec_")) for word in Path(sys.argv[1]).read_text().split()]


def is_genuine(headers, body):
    at = headers.get("webhook-timestamp", "")
    if not at.isdecimal() or abs(time.time() - int(at)) > 300:
        return False
    signed = f"{headers['webhook-id']}.{at}.".encode() + body
    good = [b"v1," + base64.b64encode(hmac.digest(key, signed, "sha256")) for key in KEYS]
    shown = headers.get("webhook-signature", "").encode().split()
    return any(hmac.compare_digest(one, other) for one in good for other in shown)


class Resolver(BaseHTTPRequestHandler):
    protocol_version, timeout = "HTTP/1.1", 10

    def do_POST(self):
        body = self.rfile.read(min(int(self.headers["Content-Length"]), 1024))
        token = json.loads(body)["contact"] if is_genuine(self.headers, body) else None
        if token in PEOPLE:
            self.answer(200, PEOPLE[token])
        else:
            self.answer(401 if token is None else 410 if token in REVOKED else 404)

    def answer(self, status, person=None):
        content = json.dumps(person).encode() if person else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):  # who was asked for is nobody's business
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Resolver)
    if len(sys.argv) > 3:  # a proxy may speak TLS in its place
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(sys.argv[3])
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()
