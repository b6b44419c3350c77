"""Batch jobs whose claim is over go back to their lanes."""

import settings
from persistence import batch_jobs
from persistence.ephemeral import nudges


async def end_batch_leases() -> int:
    """End every claim that is over, up to a hundred; returns how many."""
    now = settings.current()
    ended = await batch_jobs.end_leases(now.lease_seconds, now.gap_seconds)
    for org_id, project_id in {(job.org_id, job.project_id) for job in ended}:
        await nudges.try_nudge(nudges.work(org_id, project_id))
    return len(ended)
