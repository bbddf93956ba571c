"""A URL in a platform's settings to which signed requests go: its resolver, or its endpoint for events."""

import time
from urllib.parse import urlsplit

from reminder_worker.https import ANSWER_LIMIT, Answer, Site
from reminder_worker.signatures import Secret, sign


class PlatformSite:
    """One URL, the secret for signing, and idle connections; safe to share between threads."""

    def __init__(self, url: str, secret: Secret, *, answer_limit: int = ANSWER_LIMIT, private: bool = False) -> None:
        parts = urlsplit(url)
        base = f"{parts.scheme}://{parts.netloc}"
        self._site = Site(base, answer_limit=answer_limit, public_only=not private)
        self._path = parts.path or "/"
        self._secret = secret
        self.close = self._site.close

    def post(self, id_: str, body: bytes, *, within: float) -> Answer:
        """Send one JSON request and read its answer, all in ``within`` seconds. Raises NotSent, Ambiguous."""
        deadline = time.monotonic() + within
        signed = sign(self._secret, id_, int(time.time()), body)
        headers = {"Content-Type": "application/json", **signed}
        return self._site.call("POST", self._path, headers=headers, body=body, deadline=deadline)
