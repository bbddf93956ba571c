"""How a provider reads receipts and replies, and treats those that are not its own."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from reminder_worker.errors import Reason, Refused
from reminder_worker.providers import Provider, Receipt, Reply
from reminder_worker.testing.case import Case
from reminder_worker.testing.promises import NUMBER, REFERENCE, leaks
from reminder_worker.webhooks import WebhookRequest

HOOKS = "https://hooks.example"
RECEIPTS = f"{HOOKS}/v1/receipts/acme/{REFERENCE}"
REPLIES = f"{HOOKS}/v1/replies/acme"
SAID = ("STOP", "Arrêtez svp, c'est pour ma cardiologie", "نعم", "так", "👍 yes & no = 100 %", "a\nb", "")


def forgeries(request: WebhookRequest, *, signs_address: bool = True) -> Iterator[tuple[str, WebhookRequest]]:
    """Yield forgeries that could be made from a genuine call."""
    for name, value in request.headers.items():
        if name not in {"content-type", "content-length", "host", "user-agent"}:
            yield f"without {name}", replace(request, headers={k: v for k, v in request.headers.items() if k != name})
            yield f"with another {name}", replace(request, headers={**request.headers, name: value[:-4] + "AAA="})
    if request.body:
        yield "with another body", replace(request, body=request.body.replace(b"e", b"a", 1))
    path, question, query = request.url.partition("?")
    if query:
        yield "with another query", replace(request, url=f"{path}?{query.replace('e', 'a', 1)}")
        yield "without a query", replace(request, url=path)
    if signs_address or request.reference:
        moved = f"{path}x{question}{query}"
        reference = f"{request.reference}x" if request.reference else ""
        yield "for another address", replace(request, url=moved, reference=reference)


class Reports(Case):
    """Promises about a provider's calls to us."""

    def test_every_receipt_has_its_meaning(self, hearer: Provider) -> None:
        self._needs(self.receipts, "this provider sends no receipts")
        for word, (state, reason) in self.receipts.items():
            receipt = hearer.parse_receipt(self._receipt(hearer, word))
            named = REFERENCE if hearer.capabilities.receipt_carries_reference else ""
            assert receipt == Receipt(named, state, receipt.provider_message_id, reason), word
            assert receipt.provider_message_id in {self.message_id(1), ""}

    def test_a_forged_receipt_is_refused(self, hearer: Provider) -> None:
        self._needs(self.receipts, "this provider sends no receipts")
        genuine = self._receipt(hearer, next(iter(self.receipts)))
        if not self.signs:
            self._is_refused(hearer, replace(genuine, reference=""))
            return
        for name, forged in forgeries(genuine, signs_address=self.signs_address):
            self._is_refused(hearer, forged, name)

    def test_a_receipt_that_is_none_is_refused(self, hearer: Provider) -> None:
        self._needs(self.receipts, "this provider sends no receipts")
        genuine = self._receipt(hearer, next(iter(self.receipts)))
        for body in (b"", b"{", b"\xff", b"a=1&a=2", b"[" * 60_000, b"x" * 100_000):
            bare = replace(genuine, body=body, url=genuine.url.partition("?")[0], method="POST")
            self._is_refused(hearer, bare, f"{body[:8]!r}")

    def test_a_reply_is_read_in_any_language(self, hearer: Provider) -> None:
        self._needs(self.hears_replies, "this provider brings no replies")
        for said in SAID:
            assert hearer.parse_reply(self._reply(said)) == Reply(NUMBER, said)

    def test_a_reply_has_its_name_where_the_provider_gives_one(self, hearer: Provider) -> None:
        self._needs(self.hears_replies, "this provider brings no replies")
        assert bool(hearer.parse_reply(self._reply("STOP")).provider_message_id) is self.names_replies

    def test_a_forged_reply_is_refused(self, hearer: Provider) -> None:
        self._needs(self.hears_replies, "this provider brings no replies")
        genuine = self._reply("STOP")
        if not self.signs:
            path = genuine.url.partition("?")[0]
            bare = {name: value for name, value in genuine.headers.items() if name != "authorization"}
            for url in (path, f"{path}?token=", f"{path}?token=wrong"):
                with pytest.raises(Refused) as caught:
                    hearer.parse_reply(replace(genuine, url=url, headers=bare))
                assert caught.value.reason in {Reason.SIGNATURE_INVALID, Reason.MALFORMED}
            return
        for name, forged in forgeries(genuine, signs_address=self.signs_address):
            with pytest.raises(Refused) as caught:
                hearer.parse_reply(forged)
            assert caught.value.reason in {Reason.SIGNATURE_INVALID, Reason.MALFORMED}, name

    def test_nothing_is_shown_of_a_reply(self, hearer: Provider) -> None:
        self._needs(self.hears_replies, "this provider brings no replies")
        request = self._reply("Rappel Archives 14 h 30")
        assert not leaks(f"{request!r} {hearer.parse_reply(request)!r}")

    def _receipt(self, provider: Provider, word: str) -> WebhookRequest:
        carries = provider.capabilities.receipt_carries_reference
        url = RECEIPTS if carries else RECEIPTS.rpartition("/")[0]
        return replace(self.receipt(url, self.message_id(1), word), reference=REFERENCE if carries else "")

    def _reply(self, said: str) -> WebhookRequest:
        return self.reply(REPLIES, NUMBER, said)

    def _is_refused(self, provider: Provider, request: WebhookRequest, name: str = "") -> None:
        with pytest.raises(Refused) as caught:
            provider.parse_receipt(request)
        assert caught.value.reason in {Reason.SIGNATURE_INVALID, Reason.MALFORMED}, name
        assert caught.value.__context__ is None or caught.value.__suppress_context__
        assert not leaks(f"{caught.value!r}")

    def _needs(self, what: object, otherwise: str) -> None:
        if not what:
            pytest.skip(otherwise)
