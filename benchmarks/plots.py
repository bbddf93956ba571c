"""Plots, drawn as SVG from figures and nothing else: a line for each name."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, LEFT, TOP = 640, 360, 80, 20
BOTTOM = HEIGHT - 50
LETTER = 7  # pixels of a name's letter
STYLES = (  # told apart without colours too
    ("#1d4ed8", ""),
    ("#b45309", "6 4"),
    ("#047857", "2 3"),
    ("#7c3aed", "8 3 2 3"),
    ("#be123c", "12 4"),
    ("#475569", "1 4"),
)


@dataclass(frozen=True)
class Scale:
    """What an axis shows: its ticks, in order, are at equal distances where each is as many times the one before."""

    name: str
    ticks: Sequence[float]
    write: Callable[[float], str] = "{:,.0f}".format
    powers: bool = True

    def share(self, value: float) -> float:
        """Return where a value lies, from 0 to 1; a value off the scale lies at its end."""
        place = math.log10 if self.powers else float
        low, high = place(self.ticks[0]), place(self.ticks[-1])
        value = min(max(value, self.ticks[0]), self.ticks[-1])
        return (place(value) - low) / (high - low)


def draw(title: str, x: Scale, y: Scale, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Return the plot of points (x, y) by name."""
    right = WIDTH - 24 - LETTER * max(map(len, lines))
    return "\n".join([*_frame(title, x, y, right), *_lines(x, y, lines, right), "</svg>", ""])


def _frame(title: str, x: Scale, y: Scale, right: float) -> Iterator[str]:
    words = 'font-family="sans-serif" font-size="12"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {words}>'
    yield f"<title>{title}</title>"
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    for tick in x.ticks:
        at = _across(x, tick, right)
        yield f'<line x1="{at:.0f}" y1="{TOP}" x2="{at:.0f}" y2="{BOTTOM}" stroke="#ddd"/>'
        yield f'<text x="{at:.0f}" y="{BOTTOM + 18}" text-anchor="middle">{x.write(tick)}</text>'
    for tick in y.ticks:
        at = _down(y, tick)
        yield f'<line x1="{LEFT}" y1="{at:.0f}" x2="{right}" y2="{at:.0f}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 8}" y="{at + 4:.0f}" text-anchor="end">{y.write(tick)}</text>'
    yield f'<text x="{(LEFT + right) / 2:.0f}" y="{HEIGHT - 10}" text-anchor="middle">{x.name}</text>'
    yield f'<text transform="translate(14 {(TOP + BOTTOM) / 2:.0f}) rotate(-90)" text-anchor="middle">{y.name}</text>'


def _lines(x: Scale, y: Scale, lines: Mapping[str, Sequence[tuple[float, float]]], right: float) -> Iterator[str]:
    for place, ((name, values), (colour, dashes)) in enumerate(zip(lines.items(), STYLES, strict=False)):
        points = " ".join(f"{_across(x, one, right):.1f},{_down(y, other):.1f}" for one, other in values)
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/>'
        yield f'<text x="{right + 8}" y="{TOP + 12 + 18 * place}" fill="{colour}">{name}</text>'


def _across(x: Scale, value: float, right: float) -> float:
    return LEFT + (right - LEFT) * x.share(value)


def _down(y: Scale, value: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * y.share(value)
