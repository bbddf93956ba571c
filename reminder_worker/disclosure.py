"""What must not be shown: words that reveal why a person has an appointment; no I/O but this package's own data.

A safety net for everything that reaches a phone or an operator. It knows only word stems, so it can never prove a
place harmless. A finding names a rule, never the text.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from reminder_worker import folding, pairs, segments, stems, streets


class Severity(StrEnum):
    """What follows from a finding."""

    REFUSE = "refuse"  # reveals a reason or a speciality: must not reach a phone
    WARN = "warn"  # generic or ambiguous: a person should look


@dataclass(frozen=True, slots=True)
class Finding:
    """One hit; ``rule`` comes from a fixed list and is safe to log."""

    rule: str
    severity: Severity


CONTROL_CHARACTER = "control_character"
ADDRESS_SIGN = "address_sign"
LINK = "link"
LONG_NUMBER = "long_number"
MIXED_SCRIPT = "mixed_script"
SPECIALITY_ENDING = "speciality_ending"


@lru_cache(maxsize=1024)
def discloses(text: str) -> bool:
    """Return whether ``text`` must not be shown.

    Danger: the last 1,024 different places stay in this process's memory, with nothing to show whose they were.
    """
    found = find(text)
    return found is not None and found.severity is Severity.REFUSE


def load() -> None:
    """Read all words now, so that processes forked from this one share them."""
    stems.load()
    pairs.load()


def find(text: str) -> Finding | None:
    """Return the most severe finding of any language, or None: in the text, and as a phone may get it respelt."""
    found = [_find(text, plain) for plain in _readings(text)]
    return min(filter(None, found), key=lambda one: one.severity is Severity.WARN, default=None)


def shape(text: str) -> str | None:
    """Return the rule that a text breaks whatever its words say, such as a link, or None; all of them refuse."""
    return next(filter(None, (_shape(text, plain) for plain in _readings(text))), None)


def _readings(text: str) -> Iterable[str]:
    tidy = segments.tidy(text)
    return dict.fromkeys(map(folding.visible, (text, tidy, segments.plain(tidy) or tidy)))  # nearly always the same


def _find(text: str, plain: str) -> Finding | None:
    broken = _shape(text, plain)
    return Finding(broken, Severity.REFUSE) if broken else _wording(plain)


def _shape(text: str, plain: str) -> str | None:
    if not text.isprintable() and any(map(_is_control, text)):
        return CONTROL_CHARACTER
    if "@" in plain:
        return ADDRESS_SIGN
    if ("." in plain or ":" in plain) and re.search(_LINK, plain):
        return LINK
    return LONG_NUMBER if re.search(_NUMBER, plain) else None


def _wording(plain: str) -> Finding | None:
    chunks = folding.chunks(plain)
    pieces = [piece for chunk in chunks for piece in chunk]
    if any(map(folding.mixes_scripts, pieces)):
        return Finding(MIXED_SCRIPT, Severity.REFUSE)
    words = [folding.fold(piece) for piece in pieces]
    if _names_a_speciality(words):
        return Finding(SPECIALITY_ENDING, Severity.REFUSE)
    for reading in dict.fromkeys(folding.other_readings(chunks)):
        words += (folding.GAP, folding.fold(reading))
    return _worst(words)


def _worst(words: list[folding.Word]) -> Finding | None:
    hits = stems.load().hits(words)
    spared = {start + offset for start, stem in hits if stem.tier == stems.SPARED for offset in range(len(stem.parts))}
    spared |= streets.named(words)
    warning = None
    for start, stem in hits:
        if stem.tier in _REFUSED and not _is_spared(stem, start, spared):
            return Finding(stem.name, Severity.REFUSE)
        if stem.tier != stems.SPARED:
            warning = warning or Finding(stem.name, Severity.WARN)
    beside = pairs.find(words, spared)
    return Finding(beside, Severity.REFUSE) if beside else warning


def _is_spared(stem: stems.Stem, start: int, spared: set[int]) -> bool:
    """Return whether a hit is the name of a street; an institution that is named after its street has more words."""
    length = len(stem.parts) if stem.name.startswith(stems.INSTITUTIONS) else 1
    return spared.issuperset(range(start, start + length))


_REFUSED = frozenset("AB")
_OVERRIDES = "\u202d\u202e"  # a phone would show the letters in another order than the one checked here
_LINK = (
    r"(?i)://|\bwww\.|\bt\.co/|[a-z]{3}\.[a-z]{2,6}/\w"
    r"|\w\.(?:com|org|net|info|app|dev|health|clinic|eu|fr|uk|ch|be)\b(?!\.)"
    r"|\w{3}\.(?:de|es|it|nl|pl|pt|io|me|ly|co)(?=[?:;,)]|\s*$)"  # "Avda.de la Paz" is a street
)
_DATE = r"\d[./-]\d\d[./-]20\d\d"
_NO_CEP = r"(?<!CEP )(?<!CEP: )(?<!CEP:)"  # a Brazilian postcode, which is as long as a phone number, follows "CEP"
_GROUPS = rf"(?:\+|\b0(?!{_DATE})|\(0)(?:[ ./()-]{{0,2}}\d){{8}}"
_NUMBER = rf"(?i)\d{{9}}|(?<!\d){_NO_CEP}\d{{7}}|{_GROUPS}"


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Co", "Cs", "Zl", "Zp"} or char in _OVERRIDES


# The net behind the stems: words built like a branch of medicine, in any language that takes them from Greek.
# fmt: off
_CORES = (
    "olog", "oloj", "oloo", "iatr", "kunde", "hirurg", "surg", "ciru", "tom", "oscop", "oskop", "erap", "plast", "pat",
    "medizin", "sprechst", "ambulan",
)
# fmt: on
_SPECIALITY = r"""
    (?P<root> \w{2,}? )
    (?: olog (?: | y | ies? | ien | ias? | i | as? | os? | ues? | in | innen | en | iches? | iques?
               | ic | ical | ic[aio]s? | iczn\w* | isch\w* | ist\w* )
      | oloji\w* | oloog
      | iatr (?: y | ie | ia | i | es? | as? | os? | ics? | ic[aio]s? | iques? | isch\w* | yczn\w* )
      | heilkunde | geneeskunde | heelkunde | medizin | sprechstunden? | ambulanz(?: en )?
      | [ck]hirurg\w* | surgery | surgical | cirur?g\w*
      | plast (?: y | ie | ia | ias ) | path (?: y | ies? | ien ) | (?<= [ao] ) patias?
      | e[ck]tom (?: y | ie | i | ia )
      | os[ck]op (?: y | ie | i | ia )
      | th?erap (?: y | ies? | ien | ia | i | eut\w* | ist\w* )
    )
"""
# Sciences, crafts and plain words with the same endings: whole roots, and roots that take anything in front.
# fmt: off
_OTHER_ROOTS = frozenset({
    "aer", "agr", "ant", "anth", "ap", "arch", "astr", "bi", "chron", "crim", "dip", "ec", "ek", "en", "escap",
    "et", "eth", "ethn", "etn", "fil", "fon", "ge", "hom", "icon", "ikon", "islam", "japan", "kok", "kron", "metr",
    "micr", "mikr", "mon", "myc", "nan", "necr", "nekr", "oek", "oen", "ok", "on", "or", "phil", "phon", "pie",
    "pom", "pr", "sin", "soci", "sof", "sozi", "te", "the", "tip", "top", "tr", "turk", "typ", "zo",
    "allgemein", "bio", "buerger", "burger", "car", "chefarzt", "dier", "eltern", "em", "familien", "hausarzt",
    "hochschul", "huisarts", "human", "kar", "lehrer", "notfall", "privat", "sim", "spezial", "sym", "tele", "telefon",
    "tier", "universitaets", "universitats", "veterinaer", "veterinar", "video",
})
_OTHER_ENDINGS = (
    "aegypt", "agypt", "anthrop", "antrop", "archa", "archae", "arche", "arque", "bibli", "caleid", "clim",
    "climat", "cosm", "crimin", "crypt", "dendr", "egipt", "egypt", "entom", "epidemi", "epistem", "escat", "eschat",
    "etym", "fras", "futur", "gemm", "glaci", "graf", "graph", "herpet", "hidr", "hydr", "kaleid", "klim",
    "klimat", "kosm", "krimin", "kript", "limn", "meteor", "method", "metod", "mitol", "morf", "morph",
    "muse", "music", "musik", "myth", "numer", "ornit", "ornith", "palaeont", "palaont", "paleont", "phras",
    "polit", "scient", "seism", "sism", "spectr", "spektr", "spel", "spelae", "strob", "techn", "tecn",
    "tekn", "termin", "volcan", "vulcan", "vulkan",
)
# fmt: on


def _names_a_speciality(words: list[folding.Word]) -> bool:
    row = " ".join(word.letters for word in words)
    if not any(core in row for core in _CORES):  # saves running the expression on most texts
        return False
    names = streets.named(words)
    others = [word for index, word in enumerate(words) if index not in names]
    matches = (re.fullmatch(_SPECIALITY, word.letters, re.VERBOSE) for word in others)
    roots = [match["root"] for match in matches if match]
    return any(root not in _OTHER_ROOTS and not root.endswith(_OTHER_ENDINGS) for root in roots)
