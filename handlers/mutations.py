"""What a worker host is told to change about itself: queued, listed, cancelled."""

from typing import Any

from domain.errors import NotFound
from domain.ids import new_id
from domain.principal import Principal
from domain.times import iso, iso_or_none
from handlers.replies import Reply
from persistence import audit, database, hosts, mutations


async def list_daemon_mutations(
    worker_host_id: str, user: Principal, limit: int, cursor: str | None
) -> Reply:
    """List a host's mutations, newest first."""
    org_id = str(user.org_id)
    async with database.statement() as db:
        host = await _host(db, org_id, worker_host_id)
        page = await mutations.list_page(db, org_id, host.id, limit, cursor)
    return {
        "mutations": [_mutation(row) for row in page.rows],
        "nextCursor": page.next_cursor,
    }, 200


async def enqueue_daemon_mutation(body: dict[str, Any], user: Principal) -> Reply:
    """Queue a mutation for the host's next heartbeat."""
    org_id = str(user.org_id)
    async with database.transaction() as db:
        host = await _host(db, org_id, body["workerHostId"])
        row = await mutations.enqueue(
            db,
            {
                "org_id": org_id,
                "id": new_id("mut"),
                "host_id": host.id,
                "op": body["op"],
                "params": body["params"],
                "requested_by": user.id,
            },
        )
        await audit.append(
            db,
            org_id,
            user,
            "mutation.queued",
            ("mutation", row.id),
            {"op": row.op, "workerHostId": host.id},
        )
    return {"mutation": _mutation(row)}, 201


async def cancel_daemon_mutation(mutation_id: str, user: Principal) -> Reply:
    """Cancel a mutation, unless a heartbeat has carried it already."""
    org_id = str(user.org_id)
    async with database.transaction() as db:
        cancelled = await mutations.cancel(db, org_id, mutation_id)
        if cancelled is not None:
            await audit.append(
                db,
                org_id,
                user,
                "mutation.cancelled",
                ("mutation", mutation_id),
                {"op": cancelled.op, "workerHostId": cancelled.host_id},
            )
            return {"cancelled": True}, 200
        present = await mutations.find(db, org_id, mutation_id)
    if present is None:
        raise NotFound("Mutation not found")
    # Clients read this answer's members, so they stand beside the text of every refusal.
    return {
        "cancelled": False,
        "reason": "already_delivered",
        "error": f"Mutation is {present.status} and cannot be cancelled",
    }, 409


async def _host(db: Any, org_id: str, id_or_machine: str) -> Any:
    host = await hosts.find(db, org_id, id_or_machine)
    if host is None:
        raise NotFound("Worker host not found")
    return host


def _mutation(row: Any) -> dict[str, Any]:
    shown = {
        "id": row.id,
        "orgId": row.org_id,
        "workerHostId": row.host_id,
        "op": row.op,
        "params": row.params,
        "status": row.status,
        "requestedBy": row.requested_by,
        "deliveredAt": iso_or_none(row.delivered_at),
        "cancelledAt": iso_or_none(row.cancelled_at),
        "createdAt": iso(row.created_at),
    }
    return shown if row.error is None else {**shown, "error": row.error}
