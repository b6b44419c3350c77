"""Whether a worker may act, and write to a session: the rules that every report shares."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import Forbidden, NotFound, Refusal, Unauthenticated
from domain.principal import Principal
from persistence import audit, sessions, workers

OWNED_BY_ANOTHER = "Session is owned by another worker"
"""Clients look for `owned by another worker` in the text of a 403 and then stop posting."""


async def hold(
    db: AsyncConnection,
    user: Principal,
    session_id: str,
    worker_id: str | None,
    lease_epoch: int | None,
) -> Any:
    """Lock a session's row for a write by its worker, or refuse.

    A session that was lost and still waits goes back to its last owner with that owner's next
    call; its status is then what it was. Once another worker holds it, the old owner is refused
    for good (decision 12). `worker_id` None stands for whichever worker of the caller's
    registration holds it.
    """
    acting = worker_id or user.worker_id
    session = await sessions.lock(db, user, session_id, acting)
    if session is None or not session.may_act:
        raise await _why_not(user, acting, found=session is not None)
    # A lost session still has the epoch under which it was lost: the one its last owner knows.
    if lease_epoch is not None and session.lease_epoch != lease_epoch:
        raise Forbidden(OWNED_BY_ANOTHER)
    if session.status == "pending":
        if session.lost_by_worker_id is None or acting not in {None, session.lost_by_worker_id}:
            raise Forbidden(OWNED_BY_ANOTHER)
        return await _take_back(db, session, session.lost_by_worker_id)
    if acting is not None and session.worker_id != acting:
        raise Forbidden(OWNED_BY_ANOTHER)
    return session


async def _take_back(db: AsyncConnection, session: Any, worker_id: str) -> Any:
    taken = await sessions.change(
        db,
        session.org_id,
        session.id,
        {
            "status": session.lost_status,
            "worker_id": worker_id,
            "slot_worker_id": worker_id,
            "lease_epoch": session.lease_epoch + 1,
            "lost_by_worker_id": None,
            "lost_status": None,
            "lost_at": None,
        },
    )
    await audit.append(
        db,
        session.org_id,
        None,
        "session.taken_back",
        ("session", session.id),
        {"workerId": worker_id, "leaseEpoch": taken.lease_epoch},
    )
    return taken


async def _why_not(user: Principal, worker_id: str | None, *, found: bool) -> Refusal:
    """The refusal for a session that could not be held: credential, session, ownership."""
    standing = await workers.standing(str(user.org_id), worker_id or "", str(user.registration_id))
    if standing == "revoked":
        return credential_ended()
    return Forbidden(OWNED_BY_ANOTHER) if found else NotFound("Session not found")


async def no_such_worker(user: Principal, worker_id: str) -> Refusal:
    """The refusal for a worker that a statement did not find.

    A worker of another registration is as unknown as one that never was. `Worker not found` is
    what real clients look for before they register anew.
    """
    standing = await workers.standing(str(user.org_id), worker_id, str(user.registration_id))
    return credential_ended() if standing == "revoked" else NotFound("Worker not found")


def credential_ended() -> Unauthenticated:
    """The refusal for a worker whose registration was revoked after its token was checked."""
    return Unauthenticated("The worker's registration was revoked")
