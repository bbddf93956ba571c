"""What the author of a provider says about it, so that its promises can be tested."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from reminder_worker.errors import Reason
from reminder_worker.job import State
from reminder_worker.providers import Provider, Role, load
from reminder_worker.testing.peer import Peer, Request, Response
from reminder_worker.webhooks import WebhookRequest


class Case:
    """What a subclass of ``ProviderContract`` says; the promises use that, and the fixtures at the end."""

    plug_in: ClassVar[str]  # the name of the entry point
    speaks_http: ClassVar[bool] = True  # False: the faults of HTTP do not apply
    refuses: ClassVar[bool] = True  # False: it reaches no phone, and takes every text
    signs: ClassVar[bool] = True  # False: receipts and replies prove themselves by the secrets in their URLs only
    refusals: ClassVar[Mapping[str, tuple[Response, Reason]]] = {}  # how it refuses, by a name for the test
    unknown_refusal: ClassVar[Response]  # a refusal in its own form, with a code that is not in your tables
    busy: ClassVar[Response] = Response.of({}, 429)  # too many at once; Retry-After is added
    # If it deduplicates: how it refuses a reference that it has seen; None: it answers as it did the first time.
    duplicate: ClassVar[Response | None]
    receipts: ClassVar[Mapping[str, tuple[State | None, Reason | None]]] = {}  # its words, and what they mean
    shows_its_end: ClassVar[bool] = True  # False: an acceptance that is cut short cannot be told from a whole one
    text_in_url: ClassVar[bool] = False  # True: it takes number and text only by URL, which others may log
    hears_replies: ClassVar[bool] = True
    names_replies: ClassVar[bool] = True  # False: it has no id for a reply; a reply that it sends twice is heard twice
    names_by_reference: ClassVar[bool] = False  # True: the provider's id for a text is our reference
    signs_address: ClassVar[bool] = True  # False: its signature leaves the URL out

    def table(self, url: str, folder: Path) -> dict[str, Any]:
        """Return settings for a provider at ``url``; write the files with its secrets into ``folder``."""
        raise NotImplementedError

    def yes(self, request: Request, number: int) -> Response:
        """Return the answer to the ``number``-th text that is accepted."""
        raise NotImplementedError

    def message_id(self, number: int) -> str:
        """Return the provider's id for that text."""
        raise NotImplementedError

    def validity(self, request: Request) -> timedelta | None:
        """Read from a request how long the text may be delivered; needed if the provider has ``validity``."""
        raise NotImplementedError

    def found(self, request: Request, reference: str) -> Response:
        """Return the answer to a look-up that finds the first text; if the provider ``finds_by_reference``."""
        raise NotImplementedError

    def absent(self, request: Request) -> Response:
        """Return the answer to a look-up that finds nothing."""
        raise NotImplementedError

    def receipt(self, url: str, message_id: str, word: str) -> WebhookRequest:
        """Return a genuine receipt, sent to ``url``, that says ``word`` (one of ``receipts``).

        ``url`` is the public one, and ends with the attempt's reference.
        """
        raise NotImplementedError

    def reply(self, url: str, sender: str, text: str) -> WebhookRequest:
        """Return a genuine reply, sent to ``url``; ``sender`` is E.164."""
        raise NotImplementedError

    # Used by the promises.

    @pytest.fixture
    def peer(self) -> Iterator[Peer]:
        """Stand in for the provider."""
        with Peer() as peer:
            peer.answer = self.yes
            yield peer

    @pytest.fixture
    def provider(self, peer: Peer, tmp_path: Path) -> Iterator[Provider]:
        """Return the provider as a worker builds it."""
        yield from self.build(peer.url, tmp_path, Role.SEND)

    @pytest.fixture
    def hearer(self, peer: Peer, tmp_path: Path) -> Iterator[Provider]:
        """Return the provider as the hooks process builds it; it has sent nothing."""
        yield from self.build(peer.url, tmp_path, Role.HEAR)

    def build(self, url: str, folder: Path, role: Role, **changes: object) -> Iterator[Provider]:
        """Load the plug-in, as the program does, and close it."""
        provider = load("acme", {"type": self.plug_in, **self.table(url, folder), **changes}, role)
        yield provider
        provider.close()
