"""Issues assigned to the agent are worked on, even where no agent session was opened for them."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from persistence import assignments, database, issues
from persistence.ephemeral import nudges
from services import automation


async def start_assigned() -> int:
    """Start the work of every assignment for which no agent session came in time; returns how
    many were looked at."""
    count = 0
    while await _start_next():
        count += 1
    return count


async def _start_next() -> bool:
    async with database.transaction() as db:
        due = await assignments.next_due(db)
        if due is None:
            return False
        # An event about the issue may be under way, and may be the one that was waited for.
        await issues.take_turn(db, due.org_id, due.issue_id)
        started = await _start(db, due)
    if started:
        await nudges.try_nudge(nudges.work(due.org_id, due.project_id))
    return True


async def _start(db: AsyncConnection, due: Any) -> bool:
    place = (due.org_id, due.project_id, due.issue_id)
    if not await assignments.drop(db, *place) or due.had_session:
        return False
    return await automation.assigned(db, *place)
