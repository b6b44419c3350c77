"""The other lanes of a poll: batch jobs as workers get them."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

import settings
from auth import tokens
from domain.times import iso

LANES: Final = {
    "code-survival-scan": "batchWork",
    "kg-extraction": "kgExtractWork",
    "landing": "landingWork",
}
"""Work type, which is also the capability that a worker advertises for it -> member of the poll."""

RESULT_SCOPE: Final = "batch:result"
LATE_SECONDS: Final = 600
"""A result may come this much after its claim has ended, as long as nobody else has the job."""


async def lanes(capabilities: Sequence[str], claimed: Sequence[Any]) -> dict[str, Any]:
    """The members of a poll's answer for the lanes that its worker serves, and for no other."""
    served = {
        member: list[dict[str, Any]]() for lane, member in LANES.items() if lane in capabilities
    }
    for job in claimed:
        served[LANES[job.work_type]].append(await _item(job))
    return served


async def _item(job: Any) -> dict[str, Any]:
    """One claimed job: what came with it, and where and with what its result is posted.

    The token names the attempt, so that a result of an earlier one cannot take the place of a
    later one's. Workers compare its `org_id` with the item's before they begin.
    """
    token = await tokens.mint(
        tokens.BATCH,
        {
            "sub": job.id,
            "org_id": job.org_id,
            "project_id": job.project_id,
            "wkr": job.worker_id,
            "att": job.attempts,
            "scope": [RESULT_SCOPE],
        },
        job.lease_seconds + LATE_SECONDS,
    )
    own = settings.current().own_address
    item = {
        **job.item,
        "batchJobId": job.id,
        "workType": job.work_type,
        "orgId": job.org_id,
        "projectId": job.project_id,
        "resultEndpoint": f"{own}/api/batch-jobs/{quote(job.id, safe='')}/result",
        "resultAuth": token,
    }
    if job.work_type == "code-survival-scan":
        # Enough for a public repository; without a clone URL the worker skips the scan.
        item["gitCredential"] = {
            "token": "",
            "cloneUrl": f"https://github.com/{job.item['prRepo']}.git",
            "expiresAt": iso(job.lease_ends_at),
        }
    return item
