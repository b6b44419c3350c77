"""Diagrams drawn from a few lines of text: who says what to whom, and what becomes what.

The text stands in the guides as a block of code, so that Markdown says all that the picture says.
Colours are classes of `guides.css`; the same lines give the same picture.

    sequence                                 states
    Title of the picture                     Title of the picture
    Worker, Server                           pending 0,0
    Worker -> Server: POST /register         claimed 1,0
    Server --> Worker: a runtime token       pending -> claimed: poll
    note Server: what happens by itself      claimed ->v pending: the lease ends

`->^` and `->v` bend an arrow upwards and downwards, around what stands between.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

KINDS: Final = ("sequence", "states")

_LETTER: Final = 6.9
_BOLD: Final = 7.6
"""How wide a letter of 13 pixels is, on the generous side, and a bold one."""

_MESSAGE: Final = re.compile(r"(.+?) (--?>)([\^v]?) (.+?)(?:: (.*))?")
_PLACE: Final = re.compile(r"(.+) (\d+(?:\.\d+)?),(\d+(?:\.\d+)?)")
_NOTE: Final = re.compile(r"note (.+?): (.+)")


@dataclass(frozen=True, slots=True)
class _Arrow:
    start: str
    end: str
    label: str
    dashed: bool
    bend: str


def draw(kind: str, source: str, name: str) -> str:
    """The picture of a block as SVG; `name` makes its ids its own. Raises ValueError for a line
    that says nothing known."""
    title, *lines = [line.strip() for line in source.strip().splitlines() if line.strip()]
    shapes, width, height = (_sequence if kind == "sequence" else _states)(lines)
    told = ". ".join(each.replace(" --> ", " -> ").replace(" -> ", " to ") for each in lines)
    return (
        f'<svg role="img" aria-labelledby="{name}-title {name}-about" '
        f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-about">{escape(told)}.</desc>{shapes}</svg>'
    )


def title_of(source: str) -> str:
    """The first line of a block, which names the picture."""
    return source.strip().splitlines()[0].strip()


def _sequence(lines: list[str]) -> tuple[str, float, float]:
    actors = [each.strip() for each in lines[0].split(",")]
    steps = [_read(line) for line in lines[1:]]
    middles, width = _columns(actors, steps)
    shapes, top = [], 62.0
    for step in steps:
        if isinstance(step, _Arrow):
            start, end = middles[step.start], middles[step.end]
            rows = _wrapped(step.label, abs(end - start) - 16)
            top += 17 * (len(rows) - 1)
            if abs(actors.index(step.end) - actors.index(step.start)) > 1:
                shapes.append(_ground(rows, ((start + end) / 2, top - 7)))
            shapes.append(_text(rows, (start + end) / 2, top - 7))
            way = -1 if end < start else 1
            shapes.append(_line((start, top), (end - way * 2, top), dashed=step.dashed))
            top += 36
        else:
            actor, said = step
            rows = _wrapped(said, 230)
            high = 17 * len(rows) + 10
            wide = max(len(row) for row in rows) * _LETTER + 18
            left = min(max(middles[actor] - wide / 2, 2), width - wide - 2)
            shapes.append(_box(left, top - 20, wide, high, "note"))
            shapes.append(_text(rows, left + wide / 2, top - 20 + high - 10))
            top += high + 14
    bottom = top - 14
    lanes = [f'<path class="lane" d="M{x:.1f} 40V{bottom:.1f}"/>' for x in middles.values()]
    heads = []
    for actor, x in middles.items():
        wide = len(actor) * _BOLD + 22
        heads.append(_box(x - wide / 2, 8, wide, 32, "actor"))
        heads.append(_text([actor], x, 29, "name"))
    return "".join([*lanes, *shapes, *heads]), width, bottom + 8


def _columns(
    actors: list[str], steps: list["_Arrow | tuple[str, str]"]
) -> tuple[dict[str, float], float]:
    """Where each actor's line is: far enough from its neighbour for what is said between them."""
    gaps = [130.0] * (len(actors) - 1)
    for step in steps:
        if isinstance(step, _Arrow):
            low, high = sorted((actors.index(step.start), actors.index(step.end)))
            share = min(len(step.label) * _LETTER + 24, 330) / max(high - low, 1)
            for place in range(low, high):
                gaps[place] = max(gaps[place], share)
    left = max(len(actors[0]) * _BOLD / 2 + 16, 60)
    middles = {actors[0]: left}
    for actor, gap in zip(actors[1:], gaps, strict=True):
        left += gap
        middles[actor] = left
    return middles, left + max(len(actors[-1]) * _BOLD / 2 + 16, 60)


def _read(line: str) -> "_Arrow | tuple[str, str]":
    if note := _NOTE.fullmatch(line):
        return note[1], note[2]
    if found := _MESSAGE.fullmatch(line):
        start, arrow, bend, end, label = found.groups()
        return _Arrow(start, end, label or "", arrow == "-->", bend)
    raise ValueError(f"not a line of a diagram: {line}")


def _states(lines: list[str]) -> tuple[str, float, float]:
    places = {found[1]: found for line in lines if (found := _PLACE.fullmatch(line))}
    read = [_read(line) for line in lines if not _PLACE.fullmatch(line)]
    arrows = [each for each in read if isinstance(each, _Arrow)]
    wide = {name: max(len(name) * _BOLD + 22, 92) for name in places}
    columns = sorted({float(found[2]) for found in places.values()})
    step = max(max(wide.values()) + 84, 196 if len(columns) < 4 else 170)
    across = {
        name: max(wide.values()) / 2 + 14 + float(at[2]) * step for name, at in places.items()
    }
    above = 60 if any(each.bend == "^" for each in arrows) else 14
    down = {name: above + 20 + float(at[3]) * 104 for name, at in places.items()}
    shapes = []
    lowest = max(down.values()) + 24
    pairs = {(each.start, each.end) for each in arrows if not each.bend}
    for each in arrows:
        boxes = [(across[name], down[name], wide[name]) for name in (each.start, each.end)]
        shape, low = _edge(each, boxes[0], boxes[1], two_way=(each.end, each.start) in pairs)
        shapes.append(shape)
        lowest = max(lowest, low)
    for name in places:
        shapes.append(_box(across[name] - wide[name] / 2, down[name] - 19, wide[name], 38, "actor"))
        shapes.append(_text([name], across[name], down[name] + 4.5, "name"))
    width = max(across[name] + wide[name] / 2 for name in places) + 14
    return "".join(shapes), width, lowest + 8


def _edge(
    arrow: _Arrow,
    start: tuple[float, float, float],
    end: tuple[float, float, float],
    *,
    two_way: bool,
) -> tuple[str, float]:
    """One arrow from box to box with its label, and how far down it reaches."""
    (x1, y1, w1), (x2, y2, w2) = start, end
    if arrow.bend:
        side = -1 if arrow.bend == "^" else 1
        base = (min if side < 0 else max)(y1, y2) + side * 19
        deep = base + side * 34
        x1, x2 = x1 + (10 if x2 > x1 else -10), x2 + (-10 if x2 > x1 else 10)
        path = (
            f"M{x1:.1f} {y1 + side * 19:.1f}C{x1:.1f} {deep:.1f} {x1:.1f} {deep:.1f} "
            f"{x1 + math.copysign(34, x2 - x1):.1f} {deep:.1f}"
            f"L{x2 - math.copysign(34, x2 - x1):.1f} {deep:.1f}"
            f"C{x2:.1f} {deep:.1f} {x2:.1f} {deep:.1f} {x2:.1f} {y2 + side * 21:.1f}"
        )
        dash = " dashed" if arrow.dashed else ""
        shape = f'<path class="arrow{dash}" d="{path}"/>' + _head((x2, y2 + side * 20), (0, -side))
        rows = _wrapped(arrow.label, abs(x2 - x1) + 30)
        at = deep - 6 - 17 * (len(rows) - 1) if side < 0 else deep + 16
        return shape + _text(rows, (x1 + x2) / 2, at + 17 * (len(rows) - 1)), deep + 18
    aside = 9 if two_way else 0
    if abs(y1 - y2) < 1:
        way = 1 if x2 > x1 else -1
        y = y1 - aside * way
        a, b = (x1 + way * w1 / 2, y), (x2 - way * (w2 / 2 + 2), y)
        rows = _wrapped(arrow.label, abs(a[0] - b[0]) + 6)
        lift = y - 7 if way > 0 else y + 4 + 13 * len(rows)
        return _line(a, b, dashed=arrow.dashed) + _text(rows, (a[0] + b[0]) / 2, lift), y
    way = 1 if y2 > y1 else -1
    a, b = (x1 + aside * way, y1 + way * 19), (x2 + aside * way, y2 - way * 21)
    rows = _wrapped(arrow.label, 150)
    middle = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2 + 8 * len(rows) - 4)
    if abs(x1 - x2) < 1:
        anchor = "start" if way > 0 else "end"
        label = _text(rows, middle[0] + way * 7, middle[1], anchor=anchor)
    else:
        label = _ground(rows, middle) + _text(rows, *middle)
    return _line(a, b, dashed=arrow.dashed) + label, max(a[1], b[1])


def _line(a: tuple[float, float], b: tuple[float, float], *, dashed: bool = False) -> str:
    length = math.dist(a, b) or 1
    dash = " dashed" if dashed else ""
    return f'<path class="arrow{dash}" d="M{a[0]:.1f} {a[1]:.1f}L{b[0]:.1f} {b[1]:.1f}"/>' + _head(
        b, ((b[0] - a[0]) / length, (b[1] - a[1]) / length)
    )


def _head(tip: tuple[float, float], way: tuple[float, float]) -> str:
    """The point of an arrow that ends at `tip`, going `way`."""
    (x, y), (dx, dy) = tip, way
    left = x - 9 * dx + 4.5 * dy, y - 9 * dy - 4.5 * dx
    right = x - 9 * dx - 4.5 * dy, y - 9 * dy + 4.5 * dx
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in ((x, y), left, right))
    return f'<polygon class="head" points="{points}"/>'


def _box(left: float, top: float, wide: float, high: float, kind: str) -> str:
    return (
        f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" '
        f'height="{high:.1f}" rx="6"/>'
    )


def _ground(rows: list[str], middle: tuple[float, float]) -> str:
    wide = max((len(row) for row in rows), default=0) * _LETTER + 6
    high = 17.0 * len(rows)
    return (
        f'<rect class="ground" x="{middle[0] - wide / 2:.1f}" y="{middle[1] - high + 4:.1f}" '
        f'width="{wide:.1f}" height="{high:.1f}"/>'
    )


def _text(
    rows: list[str], x: float, last: float, kind: str = "label", anchor: str = "middle"
) -> str:
    """Lines of text, the last one's baseline at `last`."""
    return "".join(
        f'<text class="{kind}" text-anchor="{anchor}" x="{x:.1f}" y="{y:.1f}">{escape(row)}</text>'
        for row, y in _rows(rows, last)
    )


def _rows(rows: list[str], last: float) -> Iterator[tuple[str, float]]:
    first = last - 17 * (len(rows) - 1)
    yield from ((row, first + 17 * number) for number, row in enumerate(rows))


def _wrapped(label: str, room: float) -> list[str]:
    """Words in lines that fit the room, where words are short enough."""
    most = max(int(room / _LETTER), 8)
    rows: list[str] = []
    for word in label.split():
        if rows and len(rows[-1]) + 1 + len(word) <= most:
            rows[-1] += f" {word}"
        else:
            rows.append(word)
    return rows or [""]
