"""Interviews: sessions that people talk with while their agents answer, token by token.

An agent says frames, numbered within a turn. They may come late, twice, in another order or not at
all; `Order` decides what a reader is shown of them, and when.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

MODES: Final = ("interview", "interactive")

SESSION: Final = "interview-"
"""How the ids of their sessions begin. No tracker made them, and none is told of them."""

LATE_SECONDS: Final = 3.0
"""How long after the end of the session its last frames are still taken."""

END_SECONDS: Final = LATE_SECONDS + 1
"""How long after the end of the session its streams end: none of those frames is missed."""

HOLD_SECONDS: Final = 3.0
"""How long a frame is held back for those before it that have not come."""

MOST_INDEX: Final = 999_999
MOST_TURNS: Final = 10_000

_PLACE: Final = re.compile(r"(\d{1,9})-(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Place:
    """How far a reader has come: a turn, numbered from 1 in the order in which they began, and the
    index of the last frame shown of it."""

    turn: int = 0
    index: int = -1

    @classmethod
    def read(cls, text: str | None) -> "Place":
        """The place that an event's id names; the beginning for what is no such id."""
        match = _PLACE.fullmatch(text or "")
        if match is None:
            return cls()
        return cls(int(match[1]), min(int(match[2]), MOST_INDEX))

    def __str__(self) -> str:
        return f"{self.turn}-{self.index}"


@dataclass(frozen=True, slots=True)
class Shown:
    """One event for a reader; `place` is where it has brought him, and None when nowhere."""

    kind: str
    data: dict[str, Any]
    place: Place | None = None


class Order:
    """What one reader has been shown, and what comes next.

    Frames are shown in the order of their turns and indexes. One that comes before its turn is held
    back until the missing ones have come, or until it is `HOLD_SECONDS` old: they are then told of
    as a gap and not shown any more.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.held_seconds: float | None = None
        self._claimed_at: Any = None
        self._turn_id = ""
        self._done = place.turn == 0 or place.index >= MOST_INDEX

    def take(self, rows: Iterable[Any]) -> Iterator[Shown]:
        """Show what can be shown of the turns and frames from the present place on.

        A row has `number`, `turn_id`, `claimed_at` and `pruned_to` of a turn, and `index`, `text`,
        `done` and `age` of one of its frames, or None where the reading brought none of it.
        `held_seconds` says afterwards how long the next frame is held back at the most.
        """
        self.held_seconds = None
        for row in rows:
            if row.number > self.place.turn:
                if row.index is None and row.pruned_to is None:
                    return  # its frames come with the next reading
                if self._holds(row):
                    return
                yield from self._next_turn(row)
            elif not self._turn_id:
                self._turn_id, self._claimed_at = row.turn_id, row.claimed_at
            if row.pruned_to is not None:
                yield from self._leave_out(row.pruned_to)
                self._done = True
            elif row.index is not None and row.index >= self.place.index:
                if row.index > self.place.index + 1:
                    if self._waits(row.age):
                        return
                    yield from self._leave_out(row.index - 1)
                if row.index > self.place.index:
                    self.place = Place(row.number, row.index)
                    yield self._frame(row)
                self._done = row.done

    def _holds(self, row: Any) -> bool:
        """Whether the first frame of another turn waits for the end of the present one."""
        if self._done or row.pruned_to is not None or row.claimed_at != self._claimed_at:
            return False
        return self._waits(row.age)

    def _waits(self, age: float) -> bool:
        if age < HOLD_SECONDS:
            self.held_seconds = HOLD_SECONDS - age
            return True
        return False

    def _next_turn(self, row: Any) -> Iterator[Shown]:
        if not self._done:
            first = self.place.index + 1
            self.place = Place(self.place.turn, MOST_INDEX)
            yield Shown("gap", {"turnId": self._turn_id, "from": first}, self.place)
        if self._claimed_at is not None and row.claimed_at != self._claimed_at:
            yield Shown("restart", {"turnId": row.turn_id})
        self.place = Place(row.number)
        self._turn_id, self._claimed_at, self._done = row.turn_id, row.claimed_at, False

    def _leave_out(self, last: int) -> Iterator[Shown]:
        """Tell of the frames up to the last one given, where they have not been shown."""
        first = self.place.index + 1
        if first <= last:
            self.place = Place(self.place.turn, last)
            yield Shown("gap", {"turnId": self._turn_id, "from": first, "to": last}, self.place)

    def _frame(self, row: Any) -> Shown:
        data = {
            "turnId": row.turn_id,
            "index": row.index,
            "text": row.text,
            "done": row.done,
        }
        return Shown("frame", data, self.place)
