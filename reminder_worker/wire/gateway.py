"""A gateway for texts as settings describe it: templates for requests, paths into answers, tables of words.

Templates are filled value by value before anything is written as JSON, form or query: no number or text can break out
of its place. A description is checked in full when it is read; messages name the setting and show none of its words.
The provider ``http`` carries it out.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from reminder_worker.https import check_url, split_url
from reminder_worker.mistakes import like
from reminder_worker.providers import Table

VALIDITY = {"valid_seconds": 1, "valid_minutes": 60, "valid_until": 1}  # each with the fewest seconds it can express
FIELDS = {"to", "to_digits", "text", "sender", "receipt_url", "encoding", *VALIDITY}  # for the body only

Final = Literal["number_refused", "landline", "opted_out", "content_refused"]
Meaning = Literal[Final, "not_sent", "throttled", "misconfigured", "duplicate", "accepted"]
Failure = Literal[Final, "unreachable", "validity_over", "carrier_failed"]


def placeholders(shape: Any) -> Iterator[str]:
    """Yield the placeholders of a template, or of a table of them. Raises ValueError."""
    if isinstance(shape, dict | list):
        for part in shape.values() if isinstance(shape, dict) else shape:
            yield from placeholders(part)
    elif isinstance(shape, str):
        for _, name, spec, conversion in Formatter().parse(shape):
            if spec or conversion or (name is not None and not re.fullmatch("[a-z_]{1,30}", name)):
                raise ValueError("a placeholder is a {name} with nothing behind the name; a brace is {{ or }}")
            if name is not None:
                yield name


def fill(shape: Any, values: Mapping[str, Any]) -> Any:
    """Put values into a template, or each one of a table; a number that is all of a template stays a number."""
    if isinstance(shape, dict):
        return {name: fill(part, values) for name, part in shape.items()}
    if isinstance(shape, list):
        return [fill(part, values) for part in shape]
    if not isinstance(shape, str):
        return shape
    parts = [(literal, name) for literal, name, _, _ in Formatter().parse(shape)]
    if len(parts) == 1 and not parts[0][0] and parts[0][1] is not None:
        return values[parts[0][1]]
    return "".join(literal + ("" if name is None else str(values[name])) for literal, name in parts)


def at(document: Any, path: str | None) -> Any:
    """Follow a path of names and positions, such as ``messages.0.id``; None if it leads nowhere."""
    if path is None or (isinstance(document, dict) and path in document):  # a form's names may hold dots
        return None if path is None else document[path]
    for step in path.split("."):
        if isinstance(document, list):
            document = document[int(step)] if re.fullmatch("[0-9]{1,4}", step) and int(step) < len(document) else None
        else:
            document = document.get(step) if isinstance(document, dict) else None
    return document


def word(value: Any) -> str:
    """Read an id, a code or a status: a short text or a whole number; empty for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value if isinstance(value, str) and re.fullmatch("[ -~]{1,128}", value) else ""


def site(url: str) -> str:
    """Return scheme and host of a checked URL."""
    return url[: url.index("/", url.index("//") + 2)]


def _address(url: str) -> str:
    """Accept a URL whose host is fixed and whose path and query may hold placeholders."""
    parts = split_url(url)
    check_url(f"{parts.scheme}://{parts.netloc}")
    if not parts.path or parts.fragment or "{" in parts.netloc or not re.fullmatch("[!-~]*", url):
        raise ValueError("must be a URL with a path; placeholders may stand behind its host")
    return url


Url = Annotated[str, AfterValidator(_address)]
JsonPath = Annotated[
    str, like(r"[^.\s]+(\.[^.\s]+)*", "names with a dot between two, no blanks"), Field(max_length=200, title="path")
]
HeaderName = Annotated[str, like("[A-Za-z0-9-]+", "the name of a header: letters, digits and -")]
HeaderText = Annotated[str, like("[ -~]+", "a line of ASCII")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Find(_Part):
    """How to ask for a text by our reference, such that "not there" proves that it was never accepted."""

    url: Url = Field(description="a URL at the host of `url`, with `{reference}`")
    items: JsonPath | None = Field(
        default=None,
        description="the list of texts; without it the answer is the text, and 404 says there is none",
    )
    reference: JsonPath = Field(description="where a text repeats it; a text that does not is not ours")
    id: JsonPath = Field(description="the gateway's own name for it")
    after_minutes: float = Field(default=10, ge=0, le=1440, description="by then an accepted text is found")


class Receipts(_Part):
    """Where the parts of a receipt are."""

    status: JsonPath = Field(description="what became of the text")
    states: dict[str, Literal["sent", "delivered", "undelivered"]] = Field(
        title="table",
        description="the gateway's words for `sent`, `delivered`, `undelivered`; other words change nothing",
    )
    id: JsonPath | None = Field(default=None, description="the gateway's own name for the text")
    reference: JsonPath | None = Field(
        default=None, description="where the gateway repeats ours; not needed with `{receipt_url}`"
    )
    error: JsonPath | None = Field(default=None, description="why it was not delivered")
    reasons: dict[str, Failure] = Field(default_factory=dict, title="table", description="what those codes mean")


class Replies(_Part):
    """Where the parts of a reply are."""

    sender: JsonPath = Field(description="the number of whoever answers, full and international")
    text: JsonPath = Field(description="what they wrote")


class Signature(_Part):
    """How receipts and replies are signed: a keyed hash of the body, in a header."""

    header: HeaderName = Field(description="which header holds it")
    key_file: Path = Field(description="the key; only `hooks` reads it")
    algorithm: Literal["sha256", "sha512", "sha1"] = Field(default="sha256", description="the hash of the HMAC")
    encoding: Literal["hex", "base64"] = Field(default="hex", description="how the signature is written")
    prefix: str = Field(default="", description='what stands before it, such as `"sha256="`')


class Gateway(Table):
    """The settings table of one gateway."""

    url: Url = Field(description="where the gateway takes texts")
    method: Literal["POST", "PUT", "GET"] = Field(default="POST", description="the HTTP method")
    headers: dict[HeaderName, HeaderText] = Field(
        default_factory=dict, title="table of templates", description="the request's headers"
    )
    body: dict[str, Any] = Field(title="table of templates", description="the request's body")
    body_as: Literal["json", "form", "query"] = Field(default="json", description="how the body is written")
    secrets: dict[str, Path] = Field(
        default_factory=dict, title="table of files", description="one word in each; only the worker reads them"
    )
    sender: str = Field(default="", alias="from", description="what `{sender}` stands for")
    encodings: dict[Literal["gsm7", "ucs2"], str | int | bool] = Field(
        default_factory=dict, title="table", description="the gateway's words for `{encoding}`"
    )
    validity_limit: int = Field(default=86_400, ge=60, description="seconds that the gateway may keep a text, at most")
    accepted: frozenset[Annotated[int, Field(ge=200, le=299)]] = Field(
        default=frozenset({200, 201, 202}),
        title="list, 200 to 299",
        description="the HTTP statuses that say it accepted the text",
        json_schema_extra={"default": "`[200, 201, 202]`"},
    )
    id: JsonPath = Field(description="the gateway's own name for the text")
    error: JsonPath | None = Field(default=None, description="its code for why it did not accept")
    errors: dict[str, Meaning] = Field(default_factory=dict, title="table", description="what those codes mean")
    deduplicates_hours: float = Field(
        default=0, ge=0, le=720, description="how long it sends no second text for one `{reference}`"
    )
    find: Find | None = Field(default=None, title="table", description="how to ask for an attempt")
    receipts: Receipts | None = Field(default=None, title="table", description="where the parts of a receipt are")
    replies: Replies | None = Field(default=None, title="table", description="where the parts of a reply are")
    signature: Signature | None = Field(default=None, title="table", description="how receipts and replies are signed")
    webhook_token_file: Path | None = Field(default=None, description="a word that both have to show instead")

    @property
    def uses(self) -> set[str]:
        """Return the placeholders of everything that is sent with a text."""
        return {*placeholders(self.body), *placeholders(self.headers), *placeholders(self.url)}

    @model_validator(mode="after")
    def _templates(self) -> Self:
        """Refuse unknown placeholders; URL and headers, often logged on the way, may hold neither number nor text."""
        if not (FIELDS | {"reference"}).isdisjoint(self.secrets):
            raise ValueError("secrets: a secret may not be called like a placeholder")
        hidden = {"reference", *self.secrets}
        asked = self.find.url if self.find else ""
        places = [("url", self.url), ("headers", self.headers), ("find.url", asked), ("body", self.body)]
        for where, shape in places:
            if not hidden.union(FIELDS if where == "body" else ()).issuperset(placeholders(shape)):
                raise ValueError(f"{where}: holds a placeholder that is unknown here")
        if self.body_as != "json" and not all(isinstance(value, str | int) for value in self.body.values()):
            raise ValueError("body: a form or a query holds texts and numbers only")
        if self.find and (site(asked) != site(self.url) or "reference" not in placeholders(asked)):
            raise ValueError("find.url: must be at the host of url, and hold {reference}")
        return self

    @model_validator(mode="after")
    def _promises(self) -> Self:
        """Refuse promises that could not be kept, and calls from outside that would prove nothing."""
        uses, proof = self.uses, self.signature or self.webhook_token_file
        if (self.deduplicates_hours or self.find or (self.receipts and self.receipts.reference)) and (
            "reference" not in uses
        ):
            raise ValueError("body: must hold {reference} for the gateway to know a text by it")
        if "receipt_url" in uses and (self.callback_url is None or self.receipts is None):
            raise ValueError("body: {receipt_url} needs the settings callback_url and receipts")
        if self.receipts and "receipt_url" not in uses and not (self.receipts.reference or self.receipts.id):
            raise ValueError("receipts: must name the text, by id, by reference or by {receipt_url} in the body")
        if (self.replies or (self.receipts and "receipt_url" not in uses)) and proof is None:
            raise ValueError("signature: set it, or webhook_token_file; receipts and replies have to prove themselves")
        return self
