"""Messages from an SNS topic: believed only because AWS has signed them for exactly that topic.

AWS signs what any of its customers publishes, so the topic's name is half of the proof. Certificates and confirmations
are fetched only from the SNS of the topic's region, whatever a message says. Messages hold numbers and people's words:
no part of them is kept, logged or put into an error.
"""

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from pydantic import AfterValidator

from reminder_worker.errors import NotSent, Reason
from reminder_worker.https import Site
from reminder_worker.webhooks import WebhookRequest, forged, from_base64, malformed
from reminder_worker.wire.amazon import host

STALE = timedelta(hours=2)  # SNS tries for an hour at most
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:([a-z0-9-]+):[0-9]{12}:[A-Za-z0-9_.-]{1,256}", re.ASCII)
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9a-f]{8,64}\.pem", re.ASCII)


def _topic(arn: str) -> str:
    if not _TOPIC.fullmatch(arn):
        raise ValueError("must be the ARN of an SNS topic")
    return arn


Arn = Annotated[str, AfterValidator(_topic)]


class Topic:
    """One SNS topic: believes what AWS has signed for it. For other topics, AWS signs what anybody publishes."""

    def __init__(self, arn: str, timeout: float) -> None:
        self._arn = arn
        self._home = f"https://{host('sns', arn.split(':')[3])}"
        self._site = Site(self._home)
        self._timeout = timeout
        self._certificates: dict[str, x509.Certificate] = {}

    def read(self, request: WebhookRequest) -> str | None:
        """Return the message; None for one about the subscription, which is confirmed.

        Raises Refused; NotSent or Ambiguous if SNS itself was out of reach: the message should come again.
        """
        envelope = request.json(_Envelope)
        if envelope.topic_arn != self._arn:
            raise forged()
        self._check(envelope)
        if envelope.type == "SubscriptionConfirmation":
            self._get(envelope.subscribe_url or "", "/?Action=ConfirmSubscription&")
        return envelope.message if envelope.type == "Notification" else None

    def _check(self, envelope: "_Envelope") -> None:
        """Verify signature and age. Raises Refused (signature_invalid)."""
        signature, age = from_base64(envelope.signature), datetime.now(UTC) - envelope.published()
        key = self._certificate(envelope.certificate_url).public_key()
        algorithm = SHA256() if envelope.version == "2" else SHA1()  # noqa: S303 - what SNS signs with by default
        if not isinstance(key, RSAPublicKey) or abs(age) > STALE:
            raise forged()
        try:
            key.verify(signature, envelope.signed(), PKCS1v15(), algorithm)
        except InvalidSignature:
            raise forged() from None

    def _certificate(self, url: str) -> x509.Certificate:
        path = url.removeprefix(self._home)
        if not _CERTIFICATE.fullmatch(path):
            raise forged()
        if path not in self._certificates:
            try:
                self._certificates = {path: x509.load_pem_x509_certificate(self._get(url, path))}  # one, for months
            except ValueError:
                raise forged() from None
        certificate, now = self._certificates[path], datetime.now(UTC)
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise forged()
        return certificate

    def _get(self, url: str, start: str) -> bytes:
        """Fetch from the SNS of the topic's region, and from nowhere else."""
        if not url.startswith(self._home + start):
            raise forged()
        status, body = self.fetch(url.removeprefix(self._home))
        if 400 <= status < 500:  # noqa: PLR2004
            raise forged()
        if status != 200:  # noqa: PLR2004
            raise NotSent(Reason.NOT_SENT)
        return body

    def fetch(self, path: str) -> tuple[int, bytes]:
        """Return status and body of SNS's answer at ``path``."""
        answer = self._site.call("GET", path, headers={}, deadline=time.monotonic() + self._timeout)
        return answer.status, answer.body


class _Envelope(msgspec.Struct, rename="pascal", frozen=True):
    """What SNS posts."""

    type: Literal["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"]
    message_id: str
    topic_arn: str
    message: str
    timestamp: str
    signature: str
    version: Literal["1", "2"] = msgspec.field(name="SignatureVersion")
    certificate_url: str = msgspec.field(name="SigningCertURL")
    subject: str | None = None
    subscribe_url: str | None = msgspec.field(name="SubscribeURL", default=None)
    token: str | None = None

    def signed(self) -> bytes:
        """Return what the signature covers: these fields in this order, each name and value on a line."""
        notified = self.type == "Notification"
        parts = {
            "Message": self.message,
            "MessageId": self.message_id,
            "Subject": self.subject if notified else None,
            "SubscribeURL": None if notified else self.subscribe_url,
            "Timestamp": self.timestamp,
            "Token": None if notified else self.token,
            "TopicArn": self.topic_arn,
            "Type": self.type,
        }
        return "".join(f"{name}\n{value}\n" for name, value in parts.items() if value is not None).encode()

    def published(self) -> datetime:
        """Return when it was published. Raises Refused (malformed)."""
        try:
            return datetime.fromisoformat(self.timestamp).astimezone(UTC)
        except (ValueError, OverflowError):
            raise malformed() from None
