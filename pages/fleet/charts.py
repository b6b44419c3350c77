"""Columns over time, worked out here and drawn by the template as SVG."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pages.fleet.words import age

HEIGHT: Final = 100.0
SLOT: Final = 10.0
"""Of a column and the gap beside it, in units of the drawing, which is stretched to its place."""
GAP: Final = 2.0
LEAST: Final = 1.5
"""What is there at all is seen."""

ENDS: Final = ("completed", "failed", "stopped")


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time in columns."""

    name: str
    title: str
    seconds: int
    column_seconds: int

    @property
    def columns(self) -> int:
        return self.seconds // self.column_seconds


SPANS: Final = (Span("1h", "1 hour", 3600, 120), Span("24h", "24 hours", 86_400, 3600))


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a column."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Column:
    """One column with what it says to whoever points at it."""

    x: float
    says: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """What the template draws: `top` is what the highest line means, `says` the whole in words."""

    width: float
    top: str
    says: str
    columns: tuple[Column, ...]


def throughput(span: Span, now: float, ended: Iterable[Sequence[object]]) -> Chart:
    """How many sessions ended, by how they did."""
    by_slot: dict[int, dict[str, int]] = {}
    for slot, status, count in ended:
        by_slot.setdefault(int(str(slot)), {})[str(status)] = int(str(count))
    slots = _slots(span, now)
    highest = max((sum(by_slot.get(slot, {}).values()) for slot in slots), default=0)
    top = _round_up(highest)
    columns = []
    for place, slot in enumerate(slots):
        counts = by_slot.get(slot, {})
        said = ", ".join(f"{counts[kind]} {kind}" for kind in ENDS if counts.get(kind))
        columns.append(
            Column(
                place * SLOT,
                f"{_when(span, len(slots) - place)}: {said or 'none ended'}",
                tuple(_stacked(place, [(k, counts.get(k, 0) / top) for k in ENDS])),
            )
        )
    totals = {kind: sum(by_slot.get(slot, {}).get(kind, 0) for slot in slots) for kind in ENDS}
    words = ", ".join(f"{totals[kind]} {kind}" for kind in ENDS)
    return Chart(
        len(slots) * SLOT,
        f"{top:g} per {age(span.column_seconds)}",
        f"Sessions that ended in the last {span.title}: {words}.",
        tuple(columns),
    )


def waits(span: Span, now: float, found: Iterable[Sequence[float]]) -> Chart:
    """How long sessions waited: half of them at most, and 95 of 100 at most."""
    by_slot: Mapping[int, Sequence[float]] = {int(each[0]): each for each in found}
    slots = _slots(span, now)
    highest = max((by_slot[slot][3] for slot in slots if slot in by_slot), default=0.0)
    top = _round_up(highest)
    columns = []
    for place, slot in enumerate(slots):
        each = by_slot.get(slot)
        when = _when(span, len(slots) - place)
        if each is None:
            columns.append(Column(place * SLOT, f"{when}: none was queued", ()))
            continue
        _, count, half, most = each
        columns.append(
            Column(
                place * SLOT,
                f"{when}: {count:g} queued, half within {age(half)}, 95 % within {age(most)}",
                (_block("most", place, 0.0, most / top), _block("half", place, 0.0, half / top)),
            )
        )
    worst = f"At worst 95 % within {age(highest)}." if by_slot else "None was queued."
    return Chart(
        len(slots) * SLOT,
        age(top),
        f"How long sessions waited in the last {span.title}. {worst}",
        tuple(columns),
    )


def _slots(span: Span, now: float) -> range:
    last = math.floor(now / span.column_seconds)
    return range(last - span.columns + 1, last + 1)


def _when(span: Span, back: int) -> str:
    return "now" if back == 1 else f"{age(back * span.column_seconds)} ago"


def _stacked(place: int, shares: Iterable[tuple[str, float]]) -> Iterable[Block]:
    below = 0.0
    for kind, share in shares:
        if share > 0:
            block = _block(kind, place, below, share)
            below += block.height
            yield block


def _block(kind: str, place: int, below: float, share: float) -> Block:
    height = max(LEAST, share * HEIGHT)
    return Block(
        kind,
        place * SLOT + GAP / 2,
        round(HEIGHT - below - height, 2),
        SLOT - GAP,
        round(height, 2),
    )


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20 and so on."""
    if value <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)
