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
from persistence import (
    audit,
    database,
    handover,
    hosts,
    keys,
    leases,
    mutations,
    workers,
)
from persistence.ephemeral import nudges, session_news
from persistence.recovery import Interrupted
from services import recovery
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
    worker, token, _ = await _register(caller, {**body, "capacity": body["maxAgents"]})
    now = settings.current()
    return {
        "workerId": worker.id,
        "runtimeJwt": token or "",
        "heartbeatIntervalSeconds": ceil(now.heartbeat_seconds),
        "pollIntervalSeconds": ceil(now.poll_seconds),
        **_named_host(worker),
    }, 201


async def workers_register(body: dict[str, Any], user: Principal) -> Reply:
    """Make a worker for the caller's project."""
    worker, token, expires_at = await _register(user, body)
    return {
        "workerId": worker.id,
        **_intervals(),
        "runtimeToken": token,
        "runtimeTokenExpiresAt": expires_at,
        **_named_host(worker),
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
    optional = {"version": worker.version, "region": worker.region} | _named_host(worker)
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
        held = await handover.give_back_all(db, org_id, id_)
        returned = [session.id for session in held]
        begun = [
            Interrupted(org_id, session.id, id_, session.status)
            for session in held
            if session.status != "claimed" or session.confirmed
        ]
        await recovery.keep(db, begun, recovery.WORKER_LEFT, actor=user)
        await audit.append(
            db, org_id, user, "worker.deregistered", ("worker", id_), {"sessions": returned}
        )
    for session_id in returned:
        session_news.tell_surely(org_id, session_id)
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
    pending = await _mutations(org_id, worker_id, beat, body) if beat.has_mutations else []
    return {
        "acknowledged": True,
        "serverTime": iso(beat.server_time),
        "pendingWorkCount": beat.waiting,
        **({"hostStatus": _host_status(beat)} if beat.host_id else {}),
        **({"pendingMutations": pending} if pending else {}),
    }, 200


async def _mutations(
    org_id: str, worker_id: str, beat: Any, body: dict[str, Any]
) -> list[dict[str, Any]]:
    """Note what the host acknowledges, then say what it has to do.

    A worker whose machine registered anew tells what it did, and is told nothing more.
    """
    said: dict[str, str | None] = dict.fromkeys(body.get("appliedMutations", ()))
    said |= {each["id"]: each["error"] for each in body.get("mutationFailures", ())}
    if said:
        await mutations.settle(org_id, beat.host_id, worker_id, said)
    if beat.is_retired:
        return []
    return [
        {
            "id": row.id,
            "op": row.op,
            "params": row.params,
            "requestedAt": iso(row.created_at),
            "requestedBy": row.requested_by,
        }
        for row in await mutations.deliver(org_id, beat.host_id, worker_id)
    ]


def _host_status(beat: Any) -> dict[str, Any]:
    if beat.host_status == "ok":
        return {"status": "ok"}
    return {
        "status": beat.host_status,
        "recommendedAction": beat.recommended_action,
        "candidatePoolIds": beat.candidate_pool_ids,
    }


async def _register(caller: Principal, body: dict[str, Any]) -> tuple[Any, str | None, str | None]:
    """Store the worker; returns its row, its runtime token and when that expires."""
    org_id, machine_id = str(caller.org_id), body.get("machineId")
    async with database.transaction() as db:
        project_id = await one_project(db, caller, body.get("projectId"), by_slug=False)
        registration_id = str(caller.registration_id)
        key_ends_at = await keys.hold_alive(db, org_id, registration_id)
        host_id = machine_id and await hosts.meet(
            db, org_id, registration_id, machine_id, body["hostname"]
        )
        worker, retired = await workers.register(
            db,
            registration_id,
            {
                "id": new_id("wkr"),
                "org_id": org_id,
                "project_id": project_id,
                "hostname": body["hostname"],
                "machine_id": machine_id,
                "host_id": host_id,
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
            {
                "hostname": worker.hostname,
                "projectId": project_id,
                "capacity": worker.capacity,
                **({"retires": retired} if retired else {}),
            },
        )
        if not caller.issues_runtime_tokens:
            return worker, None, None
        token, expires_at = await _runtime_token(worker, key_ends_at)
    return worker, token, expires_at


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


def _named_host(worker: Any) -> dict[str, str]:
    """The host that mutations for this worker's machine are addressed to, if it named one."""
    return {"workerHostId": worker.host_id} if worker.host_id else {}


def _intervals() -> dict[str, int]:
    now = settings.current()
    return {
        "heartbeatInterval": round(now.heartbeat_seconds * 1000),
        "pollInterval": round(now.poll_seconds * 1000),
    }
