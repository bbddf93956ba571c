import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminder_worker.segments import EXTENSION, GSM, Encoding, Segments, measure, plain, tidy

HERE = Path(__file__).parent
NODE_MODULES = Path(os.environ.get("TEST_NODE_MODULES", HERE / "node" / "node_modules"))
ORACLE = """
const { SegmentedMessage } = require(process.argv[1]);
const texts = JSON.parse(require("fs").readFileSync(0, "utf8"));
const answers = texts.map((text) => new SegmentedMessage(text)).map((m) => [m.segmentsCount, m.encodingName]);
process.stdout.write(JSON.stringify(answers));
"""


@pytest.mark.parametrize(
    ("text", "count", "encoding"),
    [
        ("", 1, Encoding.GSM7),
        ("a" * 160, 1, Encoding.GSM7),
        ("a" * 161, 2, Encoding.GSM7),
        ("a" * 306, 2, Encoding.GSM7),
        ("a" * 307, 3, Encoding.GSM7),
        ("€" * 80, 1, Encoding.GSM7),
        ("€" * 80 + "a", 2, Encoding.GSM7),
        ("é" * 160, 1, Encoding.GSM7),
        ("ê" * 70, 1, Encoding.UCS2),
        ("ê" * 71, 2, Encoding.UCS2),
        ("ê" * 134, 2, Encoding.UCS2),
        ("ê" * 135, 3, Encoding.UCS2),
        ("ê€" * 35, 1, Encoding.UCS2),
        ("😀" * 35, 1, Encoding.UCS2),
        ("😀" * 35 + "a", 2, Encoding.UCS2),
        ("ç", 1, Encoding.UCS2),
        ("Ç", 1, Encoding.GSM7),
    ],
)
def test_the_borders_are_those_of_the_standard(text, count, encoding):
    assert measure(text) == Segments(count, encoding)


def test_an_escape_is_never_split_over_two_segments():
    assert measure("a" * 152 + "€" + "a" * 152).count == 3  # 306 septets: dividing would say 2
    assert measure("a" * 151 + "€" + "a" * 153).count == 2


def test_a_surrogate_pair_is_never_split_over_two_segments():
    assert measure("ê" * 66 + "😀" + "ê" * 66).count == 3  # 134 units: dividing would say 2
    assert measure("ê" * 65 + "😀" + "ê" * 67).count == 2


def test_the_alphabet_has_the_size_of_the_standards_tables():
    assert len(EXTENSION) == 10
    assert len(GSM - EXTENSION) == 127  # 128 places, of which one is the escape


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("Orléans, 3 août", "Orléans, 3 aout"),
        ("e\u0301te\u0301", "été"),
        ("ul. Długa, Łódź", "ul. Dluga, Lodz"),
        ("Şişli, Kad\u0131köy, İzmir", "Sisli, Kadiköy, Izmir"),
        ("n° 12, œuvre, 2º", "no 12, oeuvre, 2o"),
        ("Straße €5 [A]", "Straße €5 [A]"),
        ("Kyïv Київ", None),
        ("شارعٌ", None),
    ],
)
def test_accents_go_only_where_the_whole_text_comes_into_the_alphabet(text, spelt):
    assert plain(text) == spelt


def test_typography_is_made_plain():
    assert (
        tidy("l\u2019a\u00a0b\u202f\u2013\u2009\u201cc\u201d \u00abd\u00bb\u2026\u200b\u200e\u2066")
        == 'l\'a b - "c" "d"...'
    )
    assert tidy("".join(GSM)) == "".join(GSM)


@given(st.text())
def test_any_text_can_be_measured(text):
    assert measure(text).count >= 1


def _texts() -> list[str]:
    """Make about 4,000 texts, most of them around the borders where packing matters.

    None has a character that combines with its neighbour: there the calculator counts otherwise, see below.
    """
    random_ = random.Random(2)
    plain = sorted(GSM - EXTENSION)
    extended, wide, astral = sorted(EXTENSION), list("êçłшжبم中\u2019\u2013"), list("😀🏥𝄞𐍈")
    texts = ["", *GSM, *wide, *astral]
    for border in (70, 134, 160, 201, 306, 459):
        for length in range(border - 4, border + 3):
            for several in (extended, [*wide, *astral], [*extended, *wide, *astral]):
                for _ in range(30):
                    text = random_.choices(plain, k=length)
                    for place in random_.choices(
                        [*range(length), *range(length - 9, length)] * 2, k=random_.randint(0, 6)
                    ):
                        text[place] = random_.choice(several)
                    texts.append("".join(text))
    for first in range(148, 162):
        texts += ["a" * first + "€" + "a" * rest for rest in (0, 6, 7, 8, 151, 152, 153, 154)]
    for first in range(62, 72):
        texts += ["ê" * first + "😀" + "ê" * rest for rest in (0, 1, 2, 3, 64, 65, 66, 67)]
    return texts


def _ask(texts: list[str]) -> list[Segments]:
    node, package = shutil.which("node"), NODE_MODULES / "sms-segments-calculator"
    if node is None:
        pytest.skip("node is not installed")
    if not package.is_dir():
        pytest.skip("sms-segments-calculator is not installed: npm install in tests/node")
    command = [node, "-e", ORACLE, str(package.resolve())]
    run = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True, timeout=60)
    names = {"GSM-7": Encoding.GSM7, "UCS-2": Encoding.UCS2}
    return [Segments(count, names[name]) for count, name in json.loads(run.stdout)]


def test_the_calculator_of_twilio_counts_the_same():
    texts = _texts()
    differences = [
        (ascii(text), ours, theirs)
        for text, theirs in zip(texts, _ask(texts), strict=True)
        if (ours := measure(text)) != theirs
    ]
    assert len(texts) > 4_000
    assert differences == []


def test_an_accent_of_its_own_may_be_parted_from_its_letter():
    # The standard splits between UTF-16 units; Twilio's calculator keeps a letter and its accent together.
    text = "ê" * 66 + "e\u0301" + "ê" * 66
    assert measure(text).count == 2
    assert _ask([text]) == [Segments(3, Encoding.UCS2)]
