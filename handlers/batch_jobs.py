"""Batch jobs: asked for by people and programs, and reported on by the workers that did them."""

import hashlib
from typing import Any, Final

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import Conflict, NotFound
from domain.ids import new_id
from domain.principal import BatchClaim, Principal
from domain.times import iso, iso_or_none
from handlers.replies import Reply
from persistence import audit, batch_jobs, database
from services.ownership import credential_ended
from services.queueing import put_once
from services.tenancy import visible_projects

STORED_APART: Final = frozenset({"batchJobId", "workType", "projectId"})
MADE_HERE: Final = frozenset({"orgId", "resultEndpoint", "resultAuth", "gitCredential"})
FAILED: Final = frozenset({"failed", "error"})
"""What the workers of the lanes report as `status` when they could not do the job."""


async def enqueue_batch_job(
    body: dict[str, Any],
    user: Principal,
    idempotency_key: str | None,
    x_rensei_org: str | None,
    x_rensei_project: str | None,
) -> Reply:
    """Put a job into its lane."""
    return await put_once(
        user,
        "enqueueBatchJob",
        body,
        idempotency_key,
        x_rensei_org,
        x_rensei_project,
        lambda db, project_id: _enqueue(db, user, project_id, body),
    )


async def list_batch_jobs(
    user: Principal,
    limit: int,
    cursor: str | None,
    status: str | None,
    x_rensei_org: str | None,
    x_rensei_project: str | None,
) -> Reply:
    """List the jobs that the credential may see, newest first."""
    visible = await visible_projects(user, x_rensei_org, x_rensei_project)
    async with database.statement() as db:
        page = await batch_jobs.list_page(db, str(user.org_id), visible, status, limit, cursor)
    return {"batchJobs": [_job(row) for row in page.rows], "nextCursor": page.next_cursor}, 200


async def get_batch_job(
    id_: str, user: Principal, x_rensei_org: str | None, x_rensei_project: str | None
) -> Reply:
    """Read one job with what came with it and what became of it."""
    visible = await visible_projects(user, x_rensei_org, x_rensei_project)
    async with database.statement() as db:
        job = await batch_jobs.find(db, str(user.org_id), visible, id_)
    if job is None:
        raise NotFound("Batch job not found")
    return {"batchJob": {**_job(job), "item": job.item, "result": job.result}}, 200


async def post_batch_result(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Store the result of a claimed job, once."""
    claim = user.claim
    (project_id,) = user.projects or ("",)
    if claim is None or claim.job_id != id_:
        raise NotFound("Batch job not found")
    digest = hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()
    async with database.transaction() as db:
        job = await batch_jobs.lock_for_result(
            db, str(user.org_id), project_id, id_, str(user.worker_id)
        )
        if job is None:
            raise NotFound("Batch job not found")
        if not job.may_report:
            raise credential_ended()
        if not _is_repeat(job, claim, digest):
            job = await _settle(db, user, job, claim, body, digest)
    return {"stored": True, "batchJobId": id_, "status": job.status}, 200


def _is_repeat(job: Any, claim: BatchClaim, digest: bytes) -> bool:
    """Whether the result is the one stored; raises `Conflict` for one that may not be stored."""
    if job.attempts != claim.attempt:
        raise Conflict("The batch job was given to another worker")
    if job.result_hash is None:
        return False
    if job.result_hash != digest:
        raise Conflict(f"The batch job is {job.status} and has another result")
    return True


async def _settle(
    db: AsyncConnection,
    user: Principal,
    job: Any,
    claim: BatchClaim,
    body: dict[str, Any],
    digest: bytes,
) -> Any:
    """Store a first result: one that comes late counts as long as nobody else has the job."""
    failed = body.get("status") in FAILED
    reason = body.get("error") or body.get("skipReason") or "the worker reported a failure"
    settled = await batch_jobs.settle(
        db,
        job.org_id,
        job.id,
        {
            "status": "failed" if failed else "completed",
            "worker_id": user.worker_id,
            "result": body,
            "result_hash": digest,
            "failure_reason": reason if failed else None,
        },
    )
    await audit.append(
        db,
        job.org_id,
        user,
        f"batch_job.{settled.status}",
        ("batch_job", job.id),
        {"attempt": claim.attempt, "reported": body.get("status")},
    )
    return settled


async def _enqueue(
    db: AsyncConnection, user: Principal, project_id: str, body: dict[str, Any]
) -> tuple[dict[str, Any], int]:
    org_id, lane = str(user.org_id), body["workType"]
    job_id = body.get("batchJobId") or f"batch:{lane}:{new_id('job')}"
    job = await batch_jobs.add(
        db,
        {
            "org_id": org_id,
            "id": job_id,
            "project_id": project_id,
            "work_type": lane,
            "item": {
                "contractVersion": 1,
                **{
                    name: value
                    for name, value in body.items()
                    if name not in STORED_APART and name not in MADE_HERE
                },
            },
        },
    )
    if job is None:
        raise Conflict(f"A batch job with the id {job_id} exists")
    await audit.append(
        db,
        org_id,
        user,
        "batch_job.queued",
        ("batch_job", job_id),
        {"workType": lane, "projectId": project_id},
    )
    return {"batchJob": _job(job)}, 201


def _job(row: Any) -> dict[str, Any]:
    """The contract's BatchJob."""
    return {
        "id": row.id,
        "workType": row.work_type,
        "projectId": row.project_id,
        "status": row.status,
        "attempts": row.attempts,
        "workerId": row.worker_id,
        "createdAt": iso(row.created_at),
        "claimedAt": iso_or_none(row.claimed_at),
        "leaseEndsAt": iso_or_none(row.lease_ends_at),
        "finishedAt": iso_or_none(row.finished_at),
        "failureReason": row.failure_reason,
    }
