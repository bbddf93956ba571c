"""docs/threat-model.md is held to the code, and what it never claims is claimed nowhere in the project."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from reminder_worker import opening, ratchet, schedule, sealing
from reminder_worker.audit.matrix import DOCUMENTED, Fact, Grade, Party
from reminder_worker.job import LOCATION_LENGTH
from reminder_worker.settings import Settings

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/threat-model.md").read_text("utf-8")
BODY, SOURCES = PAGE.split("## 7. Sources")
ADVERSARIES = PAGE.partition("## 2. ")[2].partition("## 3. ")[0]

# What nobody may say of this program, in any of the words that people use for it.
CLAIMS = {
    "end to end": r"end[- ]to[- ]end[- ](?:encr|secur|seal|protect|priva)|\bE2EE\b",
    "lawful": r"\bcomplian(?:t|ce)\b|\b(?:compl(?:y|ies) with|meets?|satisf(?:y|ies)|fulfils?)"
    r" (?:the )?(?:GDPR|HIPAA|law)|(?:GDPR|HIPAA|DSGVO|RGPD)[- ]?(?:ready|proof|certified|approved|safe|konform)",
    "unseen": r"\b(?:nobody|no[- ]one|none|not even we) (?:else )?can (?:ever )?(?:see|read|learn|find out)\b"
    r"|\bimpossible to (?:read|see|intercept|trace)|\binvisible to (?:all|every)",
    "anonymous": r"\banonym(?:ous|ously|ise[ds]?|ize[ds]?|ity|isation|ization)\b|\buntraceable\b",
    "perfect": r"\b(?:military|bank|hospital)[- ]grade\b|\bun(?:breakable|hackable|crackable)\b|\bzero[- ]knowledge\b"
    r"|\b100 ?% (?:safe|secure|private)|\b(?:fully|completely|totally|perfectly) (?:safe|secure|private)\b",
}

# Where these words stand all the same: sentences that deny the claim, quote another's, or speak of something else.
DENIED = (
    "appointments cannot be end-to-end encrypted",  # what a booking platform said
    '"end-to-end encrypted SMS".',
    '"compliant", with the GDPR, HIPAA or anything else.',
    '"nobody can see".',
    "Never write that something is end-to-end encrypted, compliant, anonymous or that nobody can see it",
    '"anonymous". What is sealed stays personal data',
    "where anonymity is protected: abortion, anonymous birth, HIV, violence",  # the Garante's words
    "a base URL whose traffic nobody can read on the way",  # TLS
    "so nobody can find out more than the cell from them",  # due times on a grid, as a test shows
)
VOCABULARIES = {"stems", "words"}  # other people's words, to be recognised
BUILT = {"node_modules", "__pycache__", ".venv", "dist", "build"}
PLACES = {
    "": "*.md *.toml Procfile Makefile",
    "docs": "**/*.md",
    "reminder_worker": "**/*.py **/*.lua **/*.json **/*.txt",
    "templates": "**/*.txt",
    "clients": "**/*.md **/*.js **/*.json **/*.ts",
    "examples": "**/*",
    "ops": "**/*",
    "tests": "**/README.md",
}


def texts() -> Iterator[tuple[str, str]]:
    """Everything that the project says, by file."""
    for folder, patterns in PLACES.items():
        for path in sorted({path for pattern in patterns.split() for path in (ROOT / folder).glob(pattern)}):
            parts = set(path.relative_to(ROOT).parts)
            if path.is_file() and not parts & (VOCABULARIES | BUILT):
                yield str(path.relative_to(ROOT)), path.read_text("utf-8", "ignore")


def plain(text: str) -> str:
    """Take line breaks, marks of comments and emphasis out, so that a sentence is one piece."""
    one_line = re.sub(r"\n\s*(?:#|//|--|>|\*(?!\*))?", " ", text)
    return " ".join(re.sub(r"\*\*|`", "", one_line).split())


def claimed(text: str) -> set[str]:
    """Name the claims that a text makes."""
    text = plain(text)
    for sentence in DENIED:
        text = text.replace(sentence, "…")
    return {name for name, words in CLAIMS.items() if re.search(words, text, re.IGNORECASE)}


def test_what_is_never_claimed_is_claimed_nowhere() -> None:
    files = dict(texts())
    assert {"README.md", "SECURITY.md", "docs/threat-model.md", "reminder_worker/openapi.json"} <= files.keys()
    assert {name: claims for name, text in files.items() if (claims := claimed(text))} == {}


def test_every_sentence_that_may_stay_is_there() -> None:
    said = [plain(text) for _, text in texts()]
    assert [sentence for sentence in DENIED if not any(sentence in text for text in said)] == []


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("Your texts are end-to-end\nencrypted.", "end to end"),
        ("We send end-to-end encrypted SMS.", "end to end"),
        ("A GDPR-compliant worker", "lawful"),
        ("# it complies with\n# HIPAA", "lawful"),
        ("It meets the GDPR.", "lawful"),
        ("DSGVO-konform", "lawful"),
        ("so that **nobody can read** it", "unseen"),
        ("No one can ever see who goes where.", "unseen"),
        ("fully anonymised reminders", "anonymous"),
        ("It is anonymous.", "anonymous"),
        ("military-grade encryption", "perfect"),
        ("100 % secure", "perfect"),
    ],
)
def test_a_claim_would_be_found(text: str, claim: str) -> None:
    assert claimed(text) == {claim}


def test_a_denial_excuses_no_claim_beside_it() -> None:
    assert claimed(f'{DENIED[0]}. Ours are end-to-end encrypted. "nobody can see". Nobody can see them.') == {
        "end to end",
        "unseen",
    }


def test_what_is_never_claimed_is_denied_in_so_many_words() -> None:
    denials = PAGE.partition("Never claimed")[2].partition("##")[0]
    for words in ("end-to-end encrypted SMS", "compliant", "nobody can see", "anonymous"):
        assert f'- **"{words}"' in denials
    assert "not legal advice" in PAGE


SPAN = re.compile(r"`([^`\n]+)`")
NAMED_FILE = re.compile(r"(?:tests|reminder_worker|docs|ops|clients)/[\w./-]+")
CHECK = re.compile(r"([a-z]+)\.([a-z]+)")


def test_every_file_that_it_names_is_there() -> None:
    named = {span for span in SPAN.findall(PAGE) if NAMED_FILE.fullmatch(span)}
    assert len(named) > 25
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", PAGE)
    assert len(links) > 20
    assert [link for link in links if not leads_somewhere(link)] == []


def leads_somewhere(link: str) -> bool:
    """Tell whether file and heading of a relative link are there."""
    name, _, heading = link.partition("#")
    path = ROOT / "docs" / name if name else ROOT / "docs/threat-model.md"
    return path.is_file() and (not heading or heading in headings(path.read_text("utf-8")))


def headings(text: str) -> set[str]:
    """Return the headings of a page, as links name them."""
    lines = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines}


def test_a_link_that_leads_nowhere_would_be_found() -> None:
    assert leads_somewhere("../SECURITY.md#keys")
    assert leads_somewhere("#7-sources")
    assert not leads_somewhere("../SECURITY.md#locks")
    assert not leads_somewhere("nowhere.md")


def test_every_check_that_it_names_is_a_cell_of_the_matrix() -> None:
    cells = {f"{party.name}.{fact.name}".lower() for party in Party for fact in Fact}
    named = {span for span in SPAN.findall(ADVERSARIES) if CHECK.fullmatch(span)}
    assert len(named) > 20
    assert named - cells == set()


def test_every_party_of_the_matrix_has_a_row_with_a_check_of_its_own() -> None:
    rows = {line.split("|")[1].strip(): line for line in ADVERSARIES.splitlines() if line.startswith("| ")}
    for party in Party:
        assert f"`{party.name.lower()}." in rows[party.value], party.value


def test_the_matrix_is_the_one_that_the_audit_measures_against() -> None:
    table = re.search(r"<!-- matrix -->\n(.*)<!-- /matrix -->", PAGE, re.DOTALL)
    assert table is not None
    signs = dict(zip(Grade, "-○●", strict=True))
    shown = [line.strip("| ").split(" | ") for line in table[1].splitlines() if line.startswith("|")]
    head, _, *rows = shown
    assert head == list(Party)
    assert rows == [[fact, *(signs[DOCUMENTED[fact, party]] for party in Party)] for fact in Fact]


def test_its_figures_are_the_program_s() -> None:
    fields = Settings.model_fields
    assert f"one length for every envelope ({sealing.ENVELOPE_BYTES} bytes)" in PAGE
    assert f"up to {LOCATION_LENGTH} characters of his own as the place" in PAGE
    assert f"| `retention_days`, {fields['retention_days'].default} unless you set it |" in PAGE
    assert f"a dead letter {schedule.KEEP_DEAD.days} days longer" in PAGE
    assert ratchet.GRACE_WEEKS == opening.GRACE_WEEKS == 1, "what fell due two weeks ago opens for nobody"


SOURCE = re.compile(r"^\| \[(\w+)\] \| (.+) \| (read|not read) \|$", re.MULTILINE)
URL = re.compile(r"\w+://[^\s|<>`)]+")


def test_every_source_is_listed_once_and_says_whether_it_was_read() -> None:
    rows = [line for line in SOURCES.splitlines() if line.startswith("| [")]
    assert len(SOURCE.findall(SOURCES)) == len(rows) > 20
    keys = [key for key, _, _ in SOURCE.findall(SOURCES)]
    assert sorted(keys) == sorted(set(keys))
    assert set(re.findall(r"\[([A-Z]\d?)\](?!\()", BODY)) == set(keys), "each is used, none is missing"


def test_every_address_is_https_and_in_the_list_of_sources() -> None:
    assert URL.findall(BODY.replace("rediss://", "")) == []
    addresses = URL.findall(SOURCES)
    assert len(addresses) > 25
    assert [address for address in addresses if not address.startswith("https://")] == []
    assert all(f"<{address}>" in SOURCES for address in addresses)


def test_whatever_was_read_can_be_read_again() -> None:
    assert [key for key, what, state in SOURCE.findall(SOURCES) if state == "read" and "<https://" not in what] == []
