"""How much the disclosure lint finds and how often it is wrong; prints figures, judges nothing.

    python benchmarks/disclosure_recall.py [--json | --markdown | --missed] [--lists FOLDER] [--gazetteers FOLDER]

The lists are in `heldout/` and `gazetteers/` beside this file, and SOURCES.md says where they come from. More lists,
which are not ours to pass on, are read from the folders named. Nothing is fetched.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from labels import CLOSED, Labels, Tally, read, total

from reminder_worker import disclosure

HERE = Path(__file__).resolve().parent
LANGUAGES = ("en", "fr", "de", "es", "it", "pt", "nl", "pl")
KINDS = {  # what a table is about, and the lists that it counts
    "What a map calls specialities and practices": ("map",),
    "Official names of specialities and units": ("official",),
    "Words that people search them with": ("searched",),
    "Names of chains": ("chains",),
}
OLDER = {
    "written": "Specialities, from memory of public lists",
    "typed": "What a practice might type, written to be hard",
}
ROUNDS = 2000


def main() -> None:
    options = _options()
    held_out = [one for half in ("open", CLOSED, "mended") for one in read(HERE / "heldout" / half)]
    gazetteers = read(HERE / "gazetteers")
    for folder in options.lists:
        held_out += read(folder)
    for folder in options.gazetteers:
        gazetteers += read(folder)
    if options.missed:
        print(*_missed(held_out), sep="\n")
    elif options.markdown:
        print(*_markdown(held_out, gazetteers), sep="\n")
    elif options.json:
        print(json.dumps({"lists": _rows(held_out), "gazetteers": _rows(gazetteers)}, ensure_ascii=False, indent=1))
    else:
        print(*_report(held_out, gazetteers), sep="\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="a row per list")
    shape.add_argument("--markdown", action="store_true", help="the tables of docs/disclosure.md")
    shape.add_argument("--missed", action="store_true", help="what was not refused, of all lists but the closed half")
    parser.add_argument("--lists", type=Path, action="append", default=[], help="a folder of labels that disclose")
    parser.add_argument("--gazetteers", type=Path, action="append", default=[], help="a folder of ordinary names")
    return parser.parse_args()


def _missed(lists: list[Labels]) -> Iterator[str]:
    for one in lists:
        if missed := one.missed():
            yield f"{one.half} {one.language} {one.name}: {' | '.join(missed)}"


def _rows(lists: list[Labels]) -> list[dict[str, object]]:
    return [
        {
            "half": one.half,
            "language": one.language,
            "list": one.name,
            "today": asdict(one.tally()),
            "past": {when: asdict(tally) for when, tally in one.past.items()},
        }
        for one in lists
    ]


def _report(held_out: list[Labels], gazetteers: list[Labels]) -> Iterator[str]:
    yield "lists of labels that disclose: refused of all, interval of that share, warned of"
    for one in held_out:
        past = ", ".join(f"{when} {tally.refused}/{tally.of}" for when, tally in one.past.items())
        yield f"{one.half}\t{one.language}\t{one.name}\t{_share(one.tally())}\t{one.tally().warned}\t{past}"
    yield "names that disclose nothing: refused, warned of, all"
    for one in gazetteers:
        yield f"{one.language}\t{one.name}\t{one.tally().refused}\t{one.tally().warned}\t{one.tally().of}"
        for severity in disclosure.Severity:
            if named := one.named(severity):
                yield f"  {severity}: {' | '.join(named)}"
    yield from _times()


def _markdown(held_out: list[Labels], gazetteers: list[Labels]) -> Iterator[str]:
    for title, names in KINDS.items():
        chosen = [one for one in held_out if one.name in names and one.half != "mended"]
        yield f"**{title}**"
        yield ""
        yield "| language | labels | before | first try | and warned of | today, open half | today, closed half |"
        yield "|---|---|---|---|---|---|---|"
        for language, lists in _by_language(chosen):
            yield _row("all" if language == "names" else language, lists)
        if len({one.language for one in chosen}) > 1:
            yield _row("all", chosen)
        yield ""
    yield from _older([one for one in held_out if one.half == "mended"])
    yield from _wrong(gazetteers)


def _by_language(lists: list[Labels]) -> list[tuple[str, list[Labels]]]:
    order = [*LANGUAGES, *sorted({one.language for one in lists} - set(LANGUAGES))]
    ordered = sorted(lists, key=lambda one: order.index(one.language))
    return [(language, list(group)) for language, group in groupby(ordered, key=lambda one: one.language)]


def _row(language: str, lists: list[Labels]) -> str:
    before, first = (total(one.past.get(when, Tally()) for one in lists) for when in ("before", "first try"))
    halves = (total(one.tally() for one in lists if one.half == half) for half in ("open", CLOSED))
    first_cell = f"**{_share(first)}**" if first.of else "-"
    warned = _percent(first.refused + first.warned, first.of)
    cells = (
        language,
        str(sum(len(one.labels) for one in lists)),
        _percent(before.refused, before.of),
        first_cell,
        warned,
        *(f"{half.refused}/{half.of}" for half in halves),
    )
    return f"| {' | '.join(cells)} |"


def _older(lists: list[Labels]) -> Iterator[str]:
    yield "**Older lists, whose misses were added to the stems**"
    yield ""
    yield "| list | first try | today |"
    yield "|---|---|---|"
    for name, title in OLDER.items():
        chosen = [one for one in lists if one.name == name]
        first = total(one.past["first try"] for one in chosen)
        today = total(one.tally() for one in chosen)
        languages = len({one.language for one in chosen})
        yield f"| {title}, {languages} languages | {_share(first)} | {today.refused}/{today.of} |"
    yield ""


def _wrong(gazetteers: list[Labels]) -> Iterator[str]:
    yield "**Names that disclose nothing**"
    yield ""
    yield "| language | names | refused before | at the first try | today | warned of, today |"
    yield "|---|---|---|---|---|---|"
    for language, lists in _by_language(gazetteers):
        before, first = (total(one.past.get(when, Tally()) for one in lists) for when in ("before", "first try"))
        tally = total(one.tally() for one in lists)
        tried = first.refused if first.of else "-"
        yield f"| {language} | {tally.of:,} | {before.refused} | {tried} | {tally.refused} | {tally.warned} |"
    refused = {name for one in gazetteers for name in one.named(disclosure.Severity.REFUSE)}
    warned = Counter(
        name.rpartition(" (")[2][:-1] for one in gazetteers for name in one.named(disclosure.Severity.WARN)
    )
    yield ""
    yield f"Refused: {' · '.join(sorted(refused)) or 'none'}."
    yield ""
    yield f"Warned of, by rule: {' · '.join(f'`{rule}` {number}' for rule, number in warned.most_common()) or 'none'}."


def _share(tally: Tally) -> str:
    low, high = (round(100 * end) for end in tally.interval())
    return f"{tally.refused}/{tally.of} = {_percent(tally.refused, tally.of)} ({low} to {high})"


def _percent(part: int, whole: int) -> str:
    return f"{round(100 * part / whole)} %" if whole else "-"


def _times() -> Iterator[str]:
    for label in (
        "Lindenstraße 12, 2. Stock, 55116 Mainz am Rhein",
        "12 High Street, Entrance B, Leeds LS1 4DY",
        "вул. Хрещатик 22, Київ",
    ):
        start = time.perf_counter()
        for _ in range(ROUNDS):
            disclosure.find(label)
        yield f"{(time.perf_counter() - start) / ROUNDS * 1e6:.0f} µs for {len(label)} characters, nothing cached"


if __name__ == "__main__":
    main()
