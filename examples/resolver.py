"""A resolver: tells the worker, and nobody else, which person a token stands for (docs/contacts.md).

python examples/resolver.py SECRET_FILE PORT, behind a proxy that speaks TLS
"""

import base64
import hmac
import json
import sys
import time
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

PEOPLE = {"tok-1": {"phone": "+33612345678", "language": "fr"}}  # your database
STATUS = dict.fromkeys(PEOPLE, "200 OK") | {"tok-2": "410 Gone"}
KEYS = [base64.b64decode(word.removeprefix("whsec_")) for word in Path(sys.argv[1]).read_text().split()]


def is_genuine(request, body):
    at = request.get("HTTP_WEBHOOK_TIMESTAMP", "")
    signed = f"{request.get('HTTP_WEBHOOK_ID')}.{at}.".encode() + body
    good = [b"v1," + base64.b64encode(hmac.digest(key, signed, "sha256")) for key in KEYS]
    shown = request.get("HTTP_WEBHOOK_SIGNATURE", "").encode().split()
    recent = at.isdecimal() and abs(time.time() - int(at)) <= 300
    return recent and any(hmac.compare_digest(one, other) for one in good for other in shown)


def resolve(request, start):
    body = request["wsgi.input"].read(min(int(request["CONTENT_LENGTH"] or 0), 1024))
    token = json.loads(body)["contact"] if is_genuine(request, body) else None
    content = json.dumps(PEOPLE[token]).encode() if token in PEOPLE else b""
    status = "401 Unauthorized" if token is None else STATUS.get(token, "404 Not Found")
    start(status, [("Content-Type", "application/json"), ("Content-Length", str(len(content)))])
    return [content]


class Silent(WSGIRequestHandler):
    log_message = staticmethod(lambda *_: None)  # no log shows who was asked for


if __name__ == "__main__":
    make_server("127.0.0.1", int(sys.argv[2]), resolve, handler_class=Silent).serve_forever()
