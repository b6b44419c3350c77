"""What an interrupted session leaves behind, as people read it and add to it."""

from typing import Any, Final

from auth import schemes
from domain.errors import Forbidden, Invalid, NotFound
from domain.principal import Principal
from domain.recovery_packets import MOST_SUPPLIED_BYTES, canonical
from domain.times import iso, iso_or_none
from handlers.replies import Reply
from persistence import audit, database
from persistence import recovery as packets
from persistence.recovery import Interrupted
from services import recovery

MARKING_SCOPE: Final = "sessions:write"


async def get_recovery_packet(id_: str, user: Principal, request: Any, resume: str | None) -> Reply:
    """Read the newest packet of a session, and mark it as taken up when asked to."""
    if resume:
        schemes.require_own_page(request)
        if not user.may(MARKING_SCOPE):
            raise Forbidden(f"The credential lacks the scope {MARKING_SCOPE}")
    async with database.transaction() as db:
        session = await packets.find_session(db, str(user.org_id), user.projects, id_)
        if session is None:
            raise NotFound("Session not found")
        found = await packets.chain(db, session.org_id, session.id, most=1)
        if not found:
            raise NotFound("The session has no recovery packet")
        packet = found[0]
        if resume and packet.resumed_at is None:
            marked = await packets.resume(db, packet)
            if marked is None:  # somebody marked it at the same moment
                (packet,) = await packets.chain(db, session.org_id, session.id, most=1)
            else:
                packet = marked
                await audit.append(
                    db,
                    session.org_id,
                    user,
                    "session.recovery_packet_resumed",
                    ("session", session.id),
                    {"packetId": packet.id},
                )
    return _packet(packet), 200


async def generate_recovery_packet(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Make a packet of what is known about a session and of what the caller knows beside it."""
    if len(canonical(body)) > MOST_SUPPLIED_BYTES:
        raise Invalid(f"body: is longer than {MOST_SUPPLIED_BYTES} bytes")
    async with database.transaction() as db:
        session = await packets.find_session(db, str(user.org_id), user.projects, id_, hold=True)
        if session is None:
            raise NotFound("Session not found")
        interrupted = Interrupted(session.org_id, session.id, session.worker_id, session.status)
        await recovery.keep(db, [interrupted], recovery.REPORTED, actor=user, supplied=body)
        (packet,) = await packets.chain(db, session.org_id, session.id, most=1)
    return _packet(packet), 201


async def get_recovery_chain(id_: str, user: Principal) -> Reply:
    """List the packets of a session, newest first; of one that is not visible there are none."""
    async with database.statement() as db:
        session = await packets.find_session(db, str(user.org_id), user.projects, id_)
        found = await packets.chain(db, session.org_id, session.id) if session else []
    return {
        "sessionId": session.id if session else id_,
        "totalPackets": len(found),
        "packets": [_packet(each) for each in found],
    }, 200


def _packet(row: Any) -> dict[str, Any]:
    """The contract's RecoveryPacket of a stored row."""
    return {
        "id": row.id,
        "tier": row.tier,
        "recoveryChainId": row.chain_id,
        "previousPacketId": row.previous_id,
        "tokenEstimate": row.token_estimate,
        "createdAt": iso(row.created_at),
        "resumedAt": iso_or_none(row.resumed_at),
        "contentHash": row.content_hash.hex(),
        "text": row.text,
        "packetData": row.data,
    }
