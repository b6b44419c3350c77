"""Sessions reserve the files that they work on, so that no two change one at a time."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar

from domain.errors import Conflict, Forbidden
from domain.file_paths import normalized
from domain.principal import Principal
from domain.session_states import ENDED
from domain.times import epoch_ms
from handlers.replies import Reply
from persistence import database, files
from services.ownership import OWNED_BY_ANOTHER, hold

DEFAULT_TTL_SECONDS: Final = 3600
"""For callers that name no time, since those never renew."""

Found = TypeVar("Found")
Spellings = dict[str, list[str]]
"""Each file once, with the spellings that the caller gave it."""


async def reserve_files(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Reserve what is free; the rest is answered with who holds it."""
    wanted = _wanted(body)
    ttl = body.get("ttlSeconds", DEFAULT_TTL_SECONDS)
    call = _call(id_, body, user)
    settled = await _as_holder(
        user, call, lambda: files.reserve(call, list(wanted), body.get("reason"), ttl), working=True
    )
    mine = {row.path for row in settled if row.session_id == id_}
    return {
        "reserved": [each for path in wanted if path in mine for each in wanted[path]],
        "conflicts": _conflicts((row for row in settled if row.session_id != id_), wanted),
    }, 200


async def release_files(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Give some files back."""
    wanted = _wanted(body)
    call = _call(id_, body, user)
    released = await _as_holder(user, call, lambda: files.release(call, list(wanted)))
    return {"released": released}, 200


async def release_all_files(id_: str, body: dict[str, Any] | None, user: Principal) -> Reply:
    """Give every file of the session back."""
    call = _call(id_, body or {}, user)
    released = await _as_holder(user, call, lambda: files.release(call, None))
    return {"released": released}, 200


async def check_file_conflicts(
    id_: str, user: Principal, file_paths: list[str] | None = None
) -> Reply:
    """Ask which files other sessions hold."""
    return await _check(id_, {"filePaths": file_paths or []}, user)


async def post_file_conflict_check(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """The same with the files in a body."""
    return await _check(id_, body, user)


async def _check(session_id: str, body: dict[str, Any], user: Principal) -> Reply:
    wanted = _wanted(body)
    call = _call(session_id, body, user)
    taken = await _as_holder(user, call, lambda: files.conflicts(call, list(wanted)))
    return {"conflicts": _conflicts(taken, wanted)}, 200


async def _as_holder(
    user: Principal,
    call: files.Call,
    ask: Callable[[], Awaitable[Found | None]],
    *,
    working: bool = False,
) -> Found:
    """What `ask` finds for the worker that holds the session, or the reason why it found nothing.

    `working` refuses a session that has ended: what it took would never be freed.
    """
    found = await ask()
    if found is None:
        # Either a lost session comes back to its last owner with this call, or this refuses.
        async with database.transaction() as db:
            session = await hold(db, user, call.session_id, call.worker_id, call.lease_epoch)
        if working and session.status in ENDED:
            raise Conflict(f"Session is {session.status} and reserves no files")
        found = await ask()
    if found is None:
        raise Forbidden(OWNED_BY_ANOTHER)
    return found


def _call(session_id: str, body: dict[str, Any], user: Principal) -> files.Call:
    worker_id = body.get("workerId")
    if worker_id:
        user.require_worker(worker_id)
    return files.Call(
        str(user.org_id),
        session_id,
        str(user.registration_id),
        worker_id or user.worker_id,
        body.get("leaseEpoch"),
    )


def _wanted(body: dict[str, Any]) -> Spellings:
    """The files of a body; one of two forms of the contract names a single one."""
    wanted: Spellings = {}
    named = [*body.get("filePaths", ()), *([body["filePath"]] if "filePath" in body else ())]
    for spelling in dict.fromkeys(named):
        wanted.setdefault(normalized(spelling), []).append(spelling)
    return wanted


def _conflicts(rows: Iterable[Any], wanted: Spellings) -> list[dict[str, Any]]:
    held_by = {
        row.path: {
            "sessionId": row.session_id,
            "reservedAt": epoch_ms(row.reserved_at),
            **({"reason": row.reason} if row.reason else {}),
            "repoId": row.repository,
            "filePath": row.path,
        }
        for row in rows
    }
    return [
        {"filePath": spelling, "heldBy": held_by[path]}
        for path in wanted
        if path in held_by
        for spelling in wanted[path]
    ]
