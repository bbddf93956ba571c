"""Any gateway that takes a request per text, described in the settings: a new carrier needs no code.

``gateway`` holds the description; this module carries it out. An answer means what the tables say: a code that they do
not hold is Ambiguous. The promises are those of the settings: docs/providers/http.md says how to find out what a
gateway really does. Of its answers, only the codes in the tables leave this module.
"""

import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from reminder_worker import answers, webhooks
from reminder_worker.errors import Ambiguous, NotSent, Reason
from reminder_worker.https import Answer, Site
from reminder_worker.job import State
from reminder_worker.providers import (
    Capabilities,
    Provider,
    Receipt,
    Reply,
    Role,
    Sent,
    Text,
    read_secret,
    read_table,
    receipt_url,
)
from reminder_worker.segments import measure
from reminder_worker.webhooks import WebhookRequest
from reminder_worker.wire.gateway import VALIDITY, Gateway, at, fill, site, word

ANYTHING: Any = Any  # whatever JSON holds
OK, NOT_FOUND = 200, 404

_LOG = logging.getLogger(__name__)


class Http(Provider):
    """One gateway as its settings describe it; safe to share between threads."""

    def __init__(self, name: str, table: Mapping[str, Any]) -> None:
        settings = read_table(Gateway, name, table)
        uses, receipts = settings.uses, settings.receipts
        carries = receipts is not None and ("receipt_url" in uses or receipts.reference is not None)
        settles = settings.find.after_minutes if settings.find else 10
        self.name = name
        self.sender = settings.sender
        self.capabilities = Capabilities(
            deduplicates=settings.deduplicates_hours > 0,
            finds_by_reference=settings.find is not None,
            receipt_carries_reference=carries,
            receipts_by_id=receipts is not None and not carries,
            validity=not uses.isdisjoint(VALIDITY),
            deduplicates_within=timedelta(hours=settings.deduplicates_hours),
            settles_within=timedelta(minutes=settles),
        )
        self._settings = settings
        self._least = max((VALIDITY[name] for name in uses & VALIDITY.keys()), default=0)
        self._by_path = "receipt_url" in uses
        self._secrets = _Secrets()
        self._site = Site(site(settings.url))

    def prepare(self, role: Role) -> None:
        """Read the secrets that the templates use, or those that verify receipts and replies."""
        settings, secrets = self._settings, self._secrets
        if role is Role.SEND:
            for name, path in settings.secrets.items():
                secrets.words[name] = read_secret(self.name, f"secrets.{name}", path)
        elif settings.signature is not None:
            secrets.key = read_secret(self.name, "signature.key_file", settings.signature.key_file)
        elif settings.webhook_token_file is not None:
            secrets.token = read_secret(self.name, "webhook_token_file", settings.webhook_token_file)

    def send(self, text: Text, *, deadline: float) -> Sent:
        """Make the one request for this text; see ``Provider.send``."""
        settings, seconds = self._settings, int(text.valid_for.total_seconds())
        if seconds < self._least:  # the shortest validity that the gateway can be told is too long
            raise NotSent(Reason.NOT_SENT)
        values = self._values(text, min(seconds, settings.validity_limit))
        body = fill(settings.body, values)
        answer = self._call(settings.method, settings.url, values, body, deadline)
        document, accepted = answers.read(answer.body, ANYTHING), answer.status in settings.accepted
        code = word(at(document, settings.error)) or ("" if accepted else str(answer.status))
        meaning, name = settings.errors.get(code), word(at(document, settings.id))
        if meaning == "duplicate" and answer.status // 100 in {2, 4}:
            return Sent(name, text.segments)
        if accepted and name and meaning == ("accepted" if code else None):
            return Sent(name, text.segments)
        known = None if meaning in {None, "duplicate", "accepted"} else Reason(meaning)
        reason = (known or Reason.AMBIGUOUS) if accepted else answers.judge(answer.status, known)
        if reason in {Reason.MISCONFIGURED, Reason.AMBIGUOUS}:
            shown = {"provider": self.name, "status": answer.status, "code": code if meaning else "unknown"}
            _LOG.warning("provider_answer", extra=shown)
        raise answers.error(reason, answer.headers.get("Retry-After"))

    def find(self, reference: str) -> Sent | None:
        """Ask for the text with this reference; an answer that does not repeat the reference does not count."""
        find = self._settings.find
        assert find is not None, "finds_by_reference is off"
        values = {**self._secrets.words, "reference": reference}
        answer = self._call("GET", find.url, values, None, time.monotonic() + self._settings.timeout)
        if find.items is None and answer.status == NOT_FOUND:
            return None
        document = answers.read(answer.body, ANYTHING)
        items = [document] if find.items is None else at(document, find.items)
        if answer.status != OK or not isinstance(items, list):
            raise Ambiguous
        if not items:
            return None
        for item in items:
            if at(item, find.reference) == reference and word(at(item, find.id)):
                return Sent(word(at(item, find.id)), 1)
        raise Ambiguous

    def parse_receipt(self, request: WebhookRequest) -> Receipt:
        """Read a receipt, whose parts are where the settings say."""
        receipts = self._settings.receipts
        if receipts is None:
            raise webhooks.malformed()
        document = self._verified(request, by_path=self._by_path)
        status, name, named = (word(at(document, path)) for path in (receipts.status, receipts.id, receipts.reference))
        reference = webhooks.check_path(request, named or None) if self._by_path else named
        if not status or (receipts.id and not name) or (receipts.reference and not named):
            raise webhooks.malformed()
        state = State(receipts.states[status]) if status in receipts.states else None
        why = Reason(receipts.reasons.get(word(at(document, receipts.error)), "carrier_failed"))
        return Receipt(reference, state, name, why if state is State.UNDELIVERED else None)

    def parse_reply(self, request: WebhookRequest) -> Reply:
        """Read a reply, whose parts are where the settings say."""
        replies = self._settings.replies
        if replies is None:
            raise webhooks.malformed()
        document = self._verified(request)
        sender = re.fullmatch(r"(?:\+|00)?([1-9][0-9]{6,14})", word(at(document, replies.sender)), re.ASCII)
        text = at(document, replies.text)
        if sender is None or not isinstance(text, str):
            raise webhooks.malformed()
        return Reply(f"+{sender[1]}", text)

    def close(self) -> None:
        """Close the idle connections."""
        self._site.close()

    def _verified(self, request: WebhookRequest, *, by_path: bool = False) -> Any:
        """Return a call's content if it is the gateway's; of a signed call, only what the signature covers."""
        signature = self._settings.signature
        if signature is not None:
            shown = request.headers.get(signature.header.lower(), "")
            read = webhooks.from_hex if signature.encoding == "hex" else webhooks.from_base64
            if not self._secrets.key:
                raise webhooks.forged()
            digest = read(shown.removeprefix(signature.prefix))
            webhooks.check_hmac(signature.algorithm, self._secrets.key.encode(), request.body, digest)
        elif by_path:
            webhooks.check_path(request)
        elif self._secrets.token:
            webhooks.check_token(request, self._secrets.token)
        else:
            raise webhooks.forged()
        if request.method == "GET" and signature is None:
            return request.query
        is_json = "json" in request.headers.get("content-type", "") or request.body.lstrip()[:1] in {b"{", b"["}
        return request.json(ANYTHING) if is_json else request.form()

    def _values(self, text: Text, seconds: int) -> dict[str, str | int | bool]:
        """Return what each placeholder stands for; a number that is all of a value stays a number."""
        settings, encoding = self._settings, measure(text.body).encoding
        callback, until = settings.callback_url, datetime.now(UTC) + timedelta(seconds=seconds)
        return {
            **self._secrets.words,
            "to": text.to,
            "to_digits": text.to.removeprefix("+"),
            "text": text.body,
            "reference": text.reference,
            "receipt_url": receipt_url(callback, self.name, text.reference) if callback else "",
            "sender": settings.sender,
            "encoding": settings.encodings.get(encoding.value, encoding.value),
            "valid_seconds": seconds,
            "valid_minutes": seconds // 60,
            "valid_until": f"{until:%Y-%m-%dT%H:%M:%SZ}",
        }

    def _call(self, method: str, url: str, values: Mapping[str, Any], body: Any, deadline: float) -> Answer:
        """Fill in address and headers, write the body, and call once."""
        settings = self._settings
        escaped = {name: quote(str(value), safe="") for name, value in values.items()}
        path = str(fill(url.removeprefix(site(url)), escaped))
        content = None
        headers = {name: str(fill(value, values)) for name, value in settings.headers.items()}
        if body is not None and settings.body_as == "query":
            path += f"{'&' if '?' in path else '?'}{urlencode(body)}"
        elif body is not None:
            content = msgspec.json.encode(body) if settings.body_as == "json" else urlencode(body).encode()
            kind = "application/json" if settings.body_as == "json" else "application/x-www-form-urlencoded"
            headers = {"Content-Type": kind} | headers
        deadline = min(deadline, time.monotonic() + settings.timeout)
        return self._site.call(method, path, headers=headers, body=content, deadline=deadline)


@dataclass(slots=True)
class _Secrets:
    """What the secret files hold; kept out of every repr."""

    words: dict[str, str] = field(default_factory=dict, repr=False)
    key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
