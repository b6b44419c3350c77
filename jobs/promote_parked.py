"""Parked work starts when its issue is free."""

from persistence import audit, database, issues
from persistence.ephemeral import nudges


async def promote_parked() -> int:
    """Queue the next parked session of every free issue; returns how many."""
    async with database.transaction() as db:
        promoted = await issues.promote(db)
        for session in promoted:
            await audit.append(db, session.org_id, None, "session.queued", ("session", session.id))
    for session in promoted:
        await nudges.try_nudge(nudges.work(session.org_id, session.project_id))
    return len(promoted)
