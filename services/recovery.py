"""Packets for the next worker of a session: made in the transaction of what interrupted it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from domain import recovery_packets
from domain.ids import new_id
from domain.principal import Principal
from domain.recovery_packets import without_nothing
from persistence import recovery
from persistence.recovery import Interrupted, Numbered

LEASE_ENDED: Final = "lease_ended"
WORKER_LEFT: Final = "worker_left"
REPORTED: Final = "reported"


async def keep(
    db: AsyncConnection,
    interrupted: Sequence[Interrupted],
    reason: str,
    *,
    actor: Principal | None = None,
    supplied: Mapping[str, Any] | None = None,
) -> None:
    """Make a packet for each session and let it ride to the next worker.

    The rows of the sessions are held, so that the packets of one are numbered without a race.
    """
    if not interrupted:
        return
    statuses = {(each.org_id, each.session_id): each for each in interrupted}
    files = await recovery.reserved_files(db, interrupted)
    packets = []
    for row in await recovery.gather(db, interrupted):
        key = (row.org_id, row.id)
        facts = _facts(row, statuses[key], reason, files.get(key, []))
        packets.append(
            Numbered(
                row.org_id,
                row.id,
                (row.number or 0) + 1,
                new_id("rp"),
                row.chain_id or new_id("rc"),
                row.packet_id,
                recovery_packets.build(facts, supplied or {}),
            )
        )
    by = (actor.id, actor.actor_type) if actor else (None, "system")
    await recovery.add(db, packets, by)


def _facts(
    row: Any, interrupted: Interrupted, reason: str, files: list[dict[str, Any]]
) -> dict[str, Any]:
    """What the server knows, in the words of the contract."""
    previous = {"id": row.packet_id, "contentHash": row.packet_hash} if row.packet_id else None
    return without_nothing(
        {
            "reason": reason,
            "status": interrupted.status,
            "attempts": row.attempts,
            "mostAttempts": row.max_attempts,
            "issueId": row.issue_id,
            "issueIdentifier": row.issue_identifier,
            "issueTitle": row.issue_title,
            "workType": row.work_type,
            "projectName": row.project_name,
            "repository": row.repository,
            "branch": row.branch,
            "promptContext": row.prompt_context,
            "prompt": row.prompt,
            "provider": row.provider,
            "providerSessionId": row.provider_session_id,
            "worktreePath": row.worktree_path,
            "externalUrls": row.external_urls,
            "claimedAt": row.claimed_at,
            "lastCallAt": row.last_call_at,
            "crash": without_nothing(
                {
                    "noticedAt": row.now,
                    "workerId": interrupted.worker_id,
                    "hostname": row.hostname,
                    "workerVersion": row.version,
                    "lastHeartbeatAt": row.last_heartbeat_at,
                    "leaseEpoch": row.lease_epoch,
                }
            ),
            "costs": without_nothing(
                {
                    "totalCostUsd": row.total_cost_usd,
                    "inputTokens": row.input_tokens,
                    "outputTokens": row.output_tokens,
                }
            ),
            "lastToolName": row.last_tool_name,
            "toolCallCount": row.tool_call_count,
            "activityCount": row.activity_count,
            "activities": row.activities,
            "progress": row.progress,
            "messages": row.messages,
            "toolErrors": row.tool_errors,
            "completion": row.summary,
        }
    ) | {"files": files, "previous": previous}
