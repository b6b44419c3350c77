"""Workers join the fleet and stay in it."""

from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

import settings
from auth import schemes, tokens
from domain.errors import Forbidden, Unauthenticated
from domain.ids import new_id
from domain.principal import WORKER_SCOPES, Principal
from domain.times import iso
from handlers.replies import Reply
from persistence import audit, database, handover, keys, leases, workers
from persistence.ephemeral import nudges
from services.ownership import no_such_worker
from services.tenancy import one_project

RUNTIME_TOKEN_SECONDS = 3600


async def daemon_register(body: dict[str, Any], request: Any) -> Reply:
    """Exchange a registration token in the body for a worker and its runtime token."""
    try:
        caller = await schemes.key_principal(body["registrationToken"])
    except Unauthenticated:
        await schemes.count_failure(request)
        raise
    request.user = caller
    if not caller.may("worker:register"):
        raise Forbidden("The registration token lacks the scope worker:register")
    worker_id, token, _ = await _register(caller, {**body, "capacity": body["maxAgents"]})
    now = settings.current()
    return {
        "workerId": worker_id,
        "runtimeJwt": token or "",
        "heartbeatIntervalSeconds": ceil(now.heartbeat_seconds),
        "pollIntervalSeconds": ceil(now.poll_seconds),
    }, 201


async def workers_register(body: dict[str, Any], user: Principal) -> Reply:
    """Make a worker for the caller's project."""
    worker_id, token, expires_at = await _register(user, body)
    return {
        "workerId": worker_id,
        **_intervals(),
        "runtimeToken": token,
        "runtimeTokenExpiresAt": expires_at,
    }, 201


async def worker_refresh_token(id_: str, user: Principal) -> Reply:
    """Renew a worker's runtime token, by its registration key or its last token."""
    user.require_worker(id_)
    registration_id = str(user.registration_id)
    async with database.transaction() as db:
        worker = await workers.find(db, str(user.org_id), id_, registration_id)
        if worker is not None and worker.revoked_at is None:
            key_ends_at = await keys.hold_alive(db, worker.org_id, registration_id)
            token, expires_at = await _runtime_token(worker, key_ends_at)
            await audit.append(db, worker.org_id, user, "worker.token_refreshed", ("worker", id_))
            return {
                "runtimeToken": token,
                "expiresAt": expires_at,
                "runtimeTokenExpiresAt": expires_at,
                **_intervals(),
            }, 200
    raise await no_such_worker(user, id_)


async def worker_heartbeat(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Store that a worker lives and how many sessions it runs."""
    active = body["activeCount"] if "activeCount" in body else body["activeSessions"]
    return await _beat(user, id_, active, body)


async def daemon_heartbeat(body: dict[str, Any], user: Principal) -> Reply:
    """Store that a daemon lives and how many sessions it runs."""
    return await _beat(user, body["workerId"], body["activeSessions"], body)


async def get_worker(id_: str, user: Principal) -> Reply:
    """Read a worker's record and the sessions that take up its capacity."""
    user.require_worker(id_)
    async with database.statement() as db:
        found = await workers.record(db, str(user.org_id), id_, str(user.registration_id))
    if found is None:
        raise await no_such_worker(user, id_)
    worker, held = found
    optional = {"version": worker.version, "region": worker.region}
    return {
        "id": worker.id,
        "hostname": worker.hostname,
        "status": worker.status,
        "capacity": worker.capacity,
        "activeCount": worker.active_count,
        "registeredAt": iso(worker.registered_at),
        "lastHeartbeatAt": iso(worker.last_heartbeat_at),
        "projects": worker.projects,
        "activeSessions": held,
        **{name: value for name, value in optional.items() if value},
    }, 200


async def deregister_worker(id_: str, user: Principal) -> Reply:
    """Say good-bye; what the worker still held goes back to the queue at once."""
    user.require_worker(id_)
    org_id = str(user.org_id)
    async with database.transaction() as db:
        worker = await workers.leave(db, org_id, id_, str(user.registration_id))
        if worker is None:
            raise await no_such_worker(user, id_)
        returned = await handover.give_back_all(db, org_id, id_)
        await audit.append(
            db, org_id, user, "worker.deregistered", ("worker", id_), {"sessions": returned}
        )
    await nudges.try_nudge(nudges.work(org_id, worker.project_id))
    return {"deregistered": True, "unclaimedSessions": returned}, 200


async def _beat(user: Principal, worker_id: str, active: int, body: dict[str, Any]) -> Reply:
    user.require_worker(worker_id)
    org_id = str(user.org_id)
    beat = await workers.beat(
        org_id,
        worker_id,
        str(user.registration_id),
        active,
        body.get("status"),
        body.get("maxSessions"),
        settings.current().lease_seconds,
    )
    if beat is None:
        raise await no_such_worker(user, worker_id)
    if beat.has_stopped:
        await leases.free_counted(org_id, worker_id, active)
    if beat.has_lost:
        await leases.take_back_counted(org_id, worker_id, active)
    return {
        "acknowledged": True,
        "serverTime": iso(beat.server_time),
        "pendingWorkCount": beat.waiting,
    }, 200


async def _register(caller: Principal, body: dict[str, Any]) -> tuple[str, str | None, str | None]:
    """Store the worker; returns its id, its runtime token and when that expires."""
    org_id = str(caller.org_id)
    async with database.transaction() as db:
        project_id = await one_project(db, caller, body.get("projectId"), by_slug=False)
        key_ends_at = await keys.hold_alive(db, org_id, str(caller.registration_id))
        worker = await workers.register(
            db,
            str(caller.registration_id),
            {
                "id": new_id("wkr"),
                "org_id": org_id,
                "project_id": project_id,
                "hostname": body["hostname"],
                "machine_id": body.get("machineId"),
                "version": body.get("version"),
                "region": body.get("region"),
                "capacity": body.get("capacity", 1),
                "projects": body.get("projects", []),
                "capabilities": body.get("capabilities", []),
                "status": body.get("status", "idle"),
            },
        )
        await audit.append(
            db,
            org_id,
            caller,
            "worker.registered",
            ("worker", worker.id),
            {"hostname": worker.hostname, "projectId": project_id, "capacity": worker.capacity},
        )
        if not caller.issues_runtime_tokens:
            return worker.id, None, None
        token, expires_at = await _runtime_token(worker, key_ends_at)
    return worker.id, token, expires_at


async def _runtime_token(worker: Any, key_ends_at: datetime | None) -> tuple[str, str]:
    """A runtime token for a worker's row, and when it expires: never after its key."""
    lifetime = RUNTIME_TOKEN_SECONDS
    if key_ends_at is not None:
        lifetime = min(lifetime, int((key_ends_at - datetime.now(UTC)).total_seconds()))
    token = await tokens.mint(
        tokens.RUNTIME,
        {
            "jti": new_id("jti"),
            "sub": worker.id,
            "org": worker.org_id,
            "proj": worker.project_id,
            "reg": worker.registration_id,
            "scope": list(WORKER_SCOPES),
        },
        lifetime,
    )
    return token, iso(datetime.now(UTC) + timedelta(seconds=lifetime))


def _intervals() -> dict[str, int]:
    now = settings.current()
    return {
        "heartbeatInterval": round(now.heartbeat_seconds * 1000),
        "pollInterval": round(now.poll_seconds * 1000),
    }
