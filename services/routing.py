"""What routing needs to know before it answers, promptly: asked of the database, and remembered.

A choice blocks the start of a session, so nobody waits for a database that is slow or away: a
credential and a session that it vouched for within a minute are then good enough, and so are the
arms as they were last read. Nothing else is answered from here.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from auth import schemes
from domain.bandit import Arm, Choice
from domain.errors import Unavailable
from domain.principal import Principal
from persistence import routing
from persistence.routing import Standing
from services import tasks

PROMPT_SECONDS: Final = 0.025
"""How long whoever is remembered waits for the database."""

PATIENCE_SECONDS: Final = 1.5
"""How long the others do; clients give up after three seconds."""

AWAY_SECONDS: Final = 0.5
"""How often a database that was away is asked again on behalf of those who are remembered."""

MOST_SESSIONS: Final = 10_000
MOST_ARMS: Final = 10_000

Result = TypeVar("Result")

_sessions: OrderedDict[tuple[str, str, str], tuple[float, Standing]] = OrderedDict()
_arms: OrderedDict[tuple[str, str, str, str], Arm] = OrderedDict()
_away_until = 0.0
_asking: set[asyncio.Task[Any]] = set()


@dataclass(frozen=True, slots=True)
class Known:
    """A session that the caller's worker holds, and what is known of the candidates for it.

    From memory there may be fewer arms than candidates: all or none.
    """

    standing: Standing
    arms: dict[str, Arm]


async def standing(
    user: Principal, session_id: str, work_type: str, candidates: Sequence[str]
) -> Known | None:
    """The session and its arms; None when no living worker of the caller holds the session.

    Raises `Unavailable` when the database does not say so in time and nobody remembers.
    """
    global _away_until
    remembered = _remembered(user, session_id, work_type, candidates)
    now = time.monotonic()
    if remembered is not None:
        if now < _away_until:
            return remembered
        if _away_until:  # this one asks, and the others need not wait for it
            _away_until = now + AWAY_SECONDS
    asking = _start(_ask(user, session_id, work_type, candidates))
    await asyncio.wait({asking}, timeout=PROMPT_SECONDS if remembered else PATIENCE_SECONDS)
    # What is late goes on by itself: cancelling it would mean waiting for the database as well.
    if asking.done():
        with suppress(Unavailable):
            return asking.result()
    _away_until = time.monotonic() + AWAY_SECONDS
    if remembered is None:
        raise Unavailable("The database cannot be reached; try again")
    return remembered


def is_remembered(user: Principal, session_id: str) -> bool:
    """Whether the caller was found within a minute to hold the session."""
    return _standing(user, session_id) is not None


async def note(
    user: Principal, session_id: str, known: Known, work_type: str, choice: Choice
) -> None:
    """Remember why a provider was chosen, if the database takes that promptly."""
    if _away_until:
        return
    noting = _start(
        routing.note_choice(
            str(user.org_id), session_id, known.standing.lease_epoch, work_type, choice
        )
    )
    await asyncio.wait({noting}, timeout=PROMPT_SECONDS)


async def settle() -> None:
    """End what is still being asked."""
    await tasks.end(*_asking)


async def _ask(
    user: Principal, session_id: str, work_type: str, candidates: Sequence[str]
) -> Known | None:
    global _away_until
    asked_at = time.monotonic()
    found = await routing.standing(user, session_id, work_type, candidates)
    _away_until = 0.0
    key = (str(user.org_id), user.id, session_id)
    if found is None:
        _sessions.pop(key, None)
        return None
    known = Known(*found)
    schemes.note_alive(user)
    _put(_sessions, key, (asked_at, known.standing), MOST_SESSIONS)
    for name, arm in known.arms.items():
        _put(_arms, _arm_key(user, known.standing, work_type, name), arm, MOST_ARMS)
    return known


def _remembered(
    user: Principal, session_id: str, work_type: str, candidates: Sequence[str]
) -> Known | None:
    found = _standing(user, session_id)
    if found is None:
        return None
    arms = {name: _arms.get(_arm_key(user, found, work_type, name)) for name in candidates}
    known = {name: arm for name, arm in arms.items() if arm is not None}
    return Known(found, known if len(known) == len(arms) else {})


def _standing(user: Principal, session_id: str) -> Standing | None:
    asked_at, found = _sessions.get((str(user.org_id), user.id, session_id), (0.0, None))
    return found if asked_at + schemes.SEEN_ALIVE_SECONDS > time.monotonic() else None


def _arm_key(
    user: Principal, found: Standing, work_type: str, name: str
) -> tuple[str, str, str, str]:
    return str(user.org_id), found.project_id, work_type, name


def _put(memory: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > most:
        memory.popitem(last=False)


def _start(work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
    task = asyncio.create_task(work)
    _asking.add(task)
    task.add_done_callback(_done)
    return task


def _done(task: asyncio.Task[Any]) -> None:
    _asking.discard(task)
    if not task.cancelled():
        task.exception()  # whoever waited has seen it; nobody else needs to
