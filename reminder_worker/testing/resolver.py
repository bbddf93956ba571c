"""Checks a platform's resolver against docs/contacts.md: a line for each promise, and no token, number or secret.

    python -m reminder_worker.testing.resolver URL SECRET_FILE --known TOKEN --gone TOKEN

Asks real questions over the network, some of them such as a thief would ask. Exits with 1 if a promise is broken.
"""

import argparse
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from reminder_worker.contacts import http, tel
from reminder_worker.documents import read_object
from reminder_worker.errors import Ambiguous, NotSent, Refused, SettingsError
from reminder_worker.https import Answer, Site
from reminder_worker.sealing import is_address
from reminder_worker.signatures import TOLERANCE, Secret, sign

PATIENCE = 10.0  # seconds: a slow resolver is reported as slow, not as absent
STRANGER = Secret((b"somebody else's secret..",))
OLD = TOLERANCE + 60
UNHEARD = "there was no connection, so nothing more was asked; look at the URL, its certificate and the network"


@dataclass(frozen=True)
class Bench:
    """One resolver, and what is known about the people behind it."""

    url: str
    secret: Secret
    known: str = field(repr=False)
    gone: str = field(repr=False)

    def ask(self, token: str, *, secret: Secret | None = None, ago: int = 0) -> Answer:
        """Ask for a token, by default as a worker does."""
        body = msgspec.json.encode({"contact": token}).ljust(http.LENGTH)
        return self.post(body, sign(secret or self.secret, _new_id(), int(time.time()) - ago, body))

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send anything. Raises NotSent and Ambiguous."""
        parts = urlsplit(self.url)
        site = Site(f"{parts.scheme}://{parts.netloc}")
        headers = {"Content-Type": "application/json", **headers}
        deadline = time.monotonic() + PATIENCE
        try:
            return site.call("POST", parts.path or "/", headers=headers, body=body, deadline=deadline)
        finally:
            site.close()


def _new_id() -> str:
    return secrets.token_urlsafe(16)


def a_known_contact_has_a_number(bench: Bench) -> str:
    """Return what is wrong with the answer for a known person; empty if it can be used."""
    begin = time.monotonic()
    answer = bench.ask(bench.known)
    if time.monotonic() - begin > http.DEADLINE:
        return f"it took longer than {http.DEADLINE:.0f} seconds"
    if answer.status != http.OK:
        redirects = " (redirects are not followed)" if answer.status // 100 == 3 else ""
        return f"it answered {answer.status} in place of {http.OK}{redirects}"
    if len(answer.body) > http.ANSWER_LIMIT:
        return f"the answer is longer than {http.ANSWER_LIMIT} bytes"
    return _read(answer)


def _read(answer: Answer) -> str:
    try:
        found = http.understand(answer)
        tel.phone(found.phone, ())
        language = read_object(answer.body).get("language")
    except NotSent:
        return "the answer is not one JSON object with phone, a string, and perhaps language, another"
    except Refused as error:
        return f"the phone cannot be texted ({error.reason})"
    fits = language is None or is_address("contact:x", language)
    return "" if fits else "the language is not one that a pointer could hold: the pointer's own would be used"


def a_contact_that_was_revoked_is_gone(bench: Bench) -> str:
    """Expect 404 or 410."""
    return _expect(bench.ask(bench.gone), http.GONE)


def a_contact_that_never_was_is_gone(bench: Bench) -> str:
    """Expect 404 or 410 for a token that was never given out."""
    return _expect(bench.ask(_new_id()), http.GONE)


def one_good_signature_among_several_is_enough(bench: Bench) -> str:
    """Expect an answer while a secret is being replaced: two signatures in one header, ours the second."""
    return _expect(bench.ask(bench.known, secret=Secret(STRANGER.keys + bench.secret.keys)), {http.OK})


def nothing_is_told_without_a_signature(bench: Bench) -> str:
    """Expect a refusal of a request without a signature."""
    return _refuses(bench.post(msgspec.json.encode({"contact": bench.known}), {}))


def nothing_is_told_to_who_has_another_secret(bench: Bench) -> str:
    """Expect a refusal of a request signed with another secret."""
    return _refuses(bench.ask(bench.known, secret=STRANGER))


def nothing_is_told_where_the_body_is_not_what_was_signed(bench: Bench) -> str:
    """Expect a refusal of another token under a genuine signature."""
    signed = sign(bench.secret, _new_id(), int(time.time()), msgspec.json.encode({"contact": bench.gone}))
    return _refuses(bench.post(msgspec.json.encode({"contact": bench.known}), signed))


def nothing_is_told_to_who_kept_a_request(bench: Bench) -> str:
    """Expect a refusal of a genuine request from six minutes ago."""
    return _refuses(bench.ask(bench.known, ago=OLD))


def nothing_is_told_ahead_of_time(bench: Bench) -> str:
    """Expect a refusal of a genuine request dated six minutes ahead."""
    return _refuses(bench.ask(bench.known, ago=-OLD))


def _expect(answer: Answer, statuses: frozenset[int] | set[int]) -> str:
    wanted = " or ".join(map(str, sorted(statuses)))
    return "" if answer.status in statuses else f"it answered {answer.status} in place of {wanted}"


def _refuses(answer: Answer) -> str:
    """Expect a refusal that does not say the contact is gone: that would cancel a reminder."""
    if answer.status == http.OK:
        return "it answered all the same"
    refuses = answer.status // 100 == 4 and answer.status not in http.GONE
    return "" if refuses else f"it answered {answer.status} in place of 401"


PROMISES: tuple[Callable[[Bench], str], ...] = (
    a_known_contact_has_a_number,
    a_contact_that_was_revoked_is_gone,
    a_contact_that_never_was_is_gone,
    one_good_signature_among_several_is_enough,
    nothing_is_told_without_a_signature,
    nothing_is_told_to_who_has_another_secret,
    nothing_is_told_where_the_body_is_not_what_was_signed,
    nothing_is_told_to_who_kept_a_request,
    nothing_is_told_ahead_of_time,
)


def check(bench: Bench) -> dict[str, str]:
    """Return what is wrong with each promise, empty if it is kept; stop at the first that finds no connection."""
    found = {}
    for promise in PROMISES:
        wrong = found[promise.__name__.replace("_", " ")] = _try(promise, bench)
        if wrong == UNHEARD:
            break
    return found


def _try(promise: Callable[[Bench], str], bench: Bench) -> str:
    try:
        return promise(bench)
    except NotSent:
        return UNHEARD
    except Ambiguous:
        return f"no whole answer came within {PATIENCE:.0f} seconds"


def main(arguments: list[str] | None = None) -> int:
    """Print what was found; return 1 if a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m reminder_worker.testing.resolver", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("secret_file", type=Path)
    parser.add_argument("--known", required=True, metavar="TOKEN", help="the token of a person whom the resolver knows")
    parser.add_argument("--gone", required=True, metavar="TOKEN", help="a token that was revoked")
    chosen = parser.parse_args(arguments)
    try:
        bench = Bench(chosen.url, Secret.load(chosen.secret_file), chosen.known, chosen.gone)
        found = check(bench)
    except (SettingsError, ValueError) as error:
        parser.error(str(error))
    for promise, wrong in found.items():
        sys.stdout.write(f"BROKEN  {promise}: {wrong}\n" if wrong else f"kept    {promise}\n")
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main())
