"""What a person's reply means: one word from a fixed list, so that nobody has to read the reply.

People write about their reasons in replies. A text is looked at in memory, here, and forgotten: nothing of it is kept,
logged, put into an error or returned. Word lists decide, not understanding (``words/``, docs/replies.md). If it is
unclear whether a person wants no more texts, they count as wanting none.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from reminder_worker.folding import chunks, other_readings
from reminder_worker.words import END, ENGLISH, Section, load, row

LOOKED_AT = 500  # characters; what a person wants comes at the beginning
_SHORT = 4  # words: in a reply no longer than this, one stop word is enough
_QUESTION = 8  # words: in a reply no longer than this, "who is this" asks for help and is not part of a story
_ASKING = frozenset("?\u061f\uff1f")  # also as Arabic and Chinese keyboards write it
_QUOTED = re.compile(  # our own text, sent back: long, with a time in it
    r"(?<=\w)(\s*\W{0,3})[\"«“„](?=[^\"»“”]*\d)[^\"»“”]{40,}(?:[\"»“”]|$)|^>.*$", re.MULTILINE
)


class Meaning(StrEnum):
    """What a reply asks for."""

    STOP = "stop"  # wants no more texts, or is someone else: send nothing to this number, not even later jobs
    START = "start"  # takes an earlier STOP back: texts may be sent again
    HELP = "help"  # asks what this is: one generic answer may be sent
    CONFIRM = "confirmed"  # will come: the platform may be told
    CANCEL = "cancel_requested"  # will not come: the platform may be told; a person there decides
    OTHER = "other"  # anything else, also what is unclear: nothing follows, and nothing is kept


@dataclass(frozen=True, slots=True)
class Reading:
    """What was understood; nothing of the text."""

    meaning: Meaning
    language: str = ENGLISH  # of the word list that matched; English if none did


def read(text: str) -> Reading:
    """Return what a reply means. Looks at the first 500 characters, remembers nothing, never fails on any text."""
    seen = _unquoted(text[:LOOKED_AT])
    reply = _Reply(row(seen), asks=not _ASKING.isdisjoint(seen), words=load())
    disguised = _Reply(row(_undisguised(seen)), asks=reply.asks, words=reply.words)
    language = reply.stops() or disguised.stops()
    return Reading(Meaning.STOP, language) if language else reply.rest()


def _unquoted(text: str) -> str:
    """Take out our own reminder if a phone sends it back: it holds the word STOP."""
    return _QUOTED.sub(r"\1 ", text)


def _undisguised(text: str) -> str:
    """Read digits and look-alike letters as the letters they stand for (ST0P)."""
    return re.sub(r"[^\W_]+", lambda piece: next(other_readings(chunks(piece[0])), piece[0]), text)


@dataclass(frozen=True, slots=True, repr=False)
class _Reply:
    """One reply as a row of words, while it is being understood."""

    row: list[str]
    asks: bool
    words: dict[str, Section]

    def stops(self) -> str | None:
        """Return the language in which the reply asks for no more texts."""
        if self.row and not _letters(self.words["stop alone"].cut(self.row)) and _letters(self.row):
            return ENGLISH
        seen = self.words["not stop"].cut(self.row)
        if (language := self._only("stop", self.row) or self._has("stop phrases", seen)) is not None:
            return language
        found = self.words["stop words"].find(seen)
        if found is None:
            return None
        short = len(_letters(seen)) <= _SHORT
        first = not _letters(self.words["courtesy"].cut(seen[: found.start]))
        return self._beside(found.language) if short or first else self._says("stop words", seen)

    def rest(self) -> Reading:
        """Tell the other meanings apart; a reply that contradicts itself is OTHER."""
        for section, meaning in (("start", Meaning.START), ("help", Meaning.HELP), ("cancel", Meaning.CANCEL)):
            if language := self._only(section, self.row):
                return Reading(meaning, language)
        if language := self._has("start phrases", self.row):
            starts = self._has("start phrases", self.words["not start"].cut(self.row))
            return Reading(Meaning.START if starts else Meaning.STOP, language)
        comes = self._confirms()
        if cancels := self._has("cancel phrases", self.words["not cancel"].cut(self.row)):
            doubtful = comes and self._has("confirm phrases", self.row)
            return Reading(Meaning.OTHER) if doubtful else Reading(Meaning.CANCEL, cancels)
        if comes and not self._says("cancel", self.row):
            return Reading(Meaning.CONFIRM, comes)
        if len(_letters(self.row)) <= _QUESTION and (language := self._has("help phrases", self.row)):
            return Reading(Meaning.HELP, language)
        return Reading(Meaning.OTHER)

    def _confirms(self) -> str | None:
        """Return the language in which the reply says yes, with nothing that makes it doubtful."""
        if self.asks:
            return None
        if language := self._only("confirm", self.row):
            return language
        if self.words["unsure"].find(self.row):
            return None
        return self._says("confirm", self.row) or self._has("confirm phrases", self.row)

    def _only(self, section: str, row: list[str]) -> str | None:
        """Return the language if a row is words of a section and courtesies, nothing else."""
        only = self.words[f"only {section}"]
        if _letters(only.cut(row)):
            return None
        found = next((hit.language for hit in only.hits(row) if hit.language), None)
        return found and self._beside(found)

    def _says(self, section: str, row: list[str]) -> str | None:
        """Return the language if one sentence is words of a section and courtesies."""
        sentences = (list(words) for ended, words in groupby(row, key=END.__eq__) if not ended)
        return next((language for one in sentences if (language := self._only(section, one))), None)

    def _has(self, section: str, row: list[str]) -> str | None:
        """Return the language if an entry of a section is anywhere in a row."""
        found = self.words[section].find(row)
        return self._beside(found.language) if found else None

    def _beside(self, language: str) -> str:
        """Return the language of an entry; for an English one, that of any courtesy beside it (``stop svp``)."""
        polite = self.words["courtesy"].find(self.row) if language == ENGLISH else None
        return polite.language if polite else language


def _letters(row: list[str]) -> list[str]:
    """Return the words of a row, without signs and ends of sentences."""
    return [word for word in row if word.isalnum()]
