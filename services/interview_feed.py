"""What the agent of an interview says, as streams read it.

Streams of one interview that stand at the same place and were woken together read together: of a
hundred, one asks the database.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from domain.interviews import Place
from persistence import interview_frames
from persistence.ephemeral import session_news
from persistence.interview_frames import Portion
from services.session_watch import Kind, Watcher

PORTION: Final = Portion(frames=500, bytes=250_000, turns=100)
"""What a stream holds in memory at the most, but for a single longer frame."""

_under_way: dict[tuple[Any, ...], asyncio.Task[Sequence[Any]]] = {}


async def read(key: tuple[str, str], place: Place, watcher: Watcher | None = None) -> Sequence[Any]:
    """The turns and frames from a place on.

    With a watcher, a reading under way is shared: it began after the news that both were woken by.
    """
    shared = (*key, place, watcher.news_number if watcher else object())
    reading = _under_way.get(shared)
    if reading is None:
        reading = asyncio.create_task(interview_frames.read(*key, place.turn, place.index, PORTION))
        _under_way[shared] = reading
        reading.add_done_callback(lambda done: _forget(shared, done))
    return await asyncio.shield(reading)  # who leaves does not take it from the others


def _forget(shared: tuple[Any, ...], done: asyncio.Task[Sequence[Any]]) -> None:
    del _under_way[shared]
    if not done.cancelled():
        done.exception()  # seen, even if all who asked have left


def is_cut(rows: Sequence[Any]) -> bool:
    """Whether there is more than the reading brought."""
    brought = sum(row.index is not None for row in rows)
    first = rows[0]
    return bool(
        brought < first.frames or first.frames == PORTION.frames or first.turns == PORTION.turns
    )


async def _changed(watchers: Sequence[Watcher]) -> list[Watcher]:
    """Those whose interview has frames or turns beyond what they have seen, or another status."""
    ready = [each for each in watchers if each.seen is not None]
    if not ready:
        return []
    seen = sorted({(*each.key, *each.seen) for each in ready})
    changed = {seen[number] for number in await interview_frames.news(seen)}
    return [each for each in ready if (*each.key, *each.seen) in changed]


FRAMES: Final = Kind(session_news.frames_channel, _changed)
"""What an interview's agent says; a watcher has seen (turn, index, status)."""
