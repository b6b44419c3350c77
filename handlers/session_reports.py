"""What workers report about a session beside its status."""

import hashlib
from typing import Any

import orjson

from domain import tracker_messages
from domain.principal import Principal
from handlers.replies import Reply
from persistence import activities, audit, completions, database, findings, sessions
from persistence.ephemeral import nudges, session_news
from services import automation, tracker
from services.ownership import hold


async def post_session_activity(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Store one step of the agent, in one round trip for the worker that holds the session."""
    user.require_worker(body["workerId"])
    stored = await _store(id_, body, user, body.get("leaseEpoch"))
    if stored is None:
        # Either a lost session comes back to its last owner with this call, or this refuses.
        async with database.transaction() as db:
            session = await hold(db, user, id_, body["workerId"], body.get("leaseEpoch"))
        stored = await _store(id_, body, user, session.lease_epoch)
    session_news.tell_soon(str(user.org_id), id_)
    provider_session_id = stored.provider_session_id if stored else None
    target = tracker_messages.agent_session_of(id_, provider_session_id) or id_
    reason = await tracker.not_sent_because(str(user.org_id), id_, provider_session_id)
    if reason is None and body["activity"]["type"] not in tracker_messages.FORWARDED:
        reason = f"{body['activity']['type']} is not forwarded"
    if reason is not None:
        return {"forwarded": False, "linearSessionId": target, "reason": reason}, 200
    await nudges.try_nudge(nudges.OUTBOX)
    return {"forwarded": True, "linearSessionId": target}, 200


async def post_session_completion(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Store the text that concludes a session, once per attempt."""
    worker_id = body.get("workerId")
    if worker_id:
        user.require_worker(worker_id)
    moved = False
    async with database.transaction() as db:
        session = await hold(db, user, id_, worker_id, body.get("leaseEpoch"))
        stored = await completions.store(
            db,
            session.org_id,
            id_,
            session.lease_epoch,
            _digest(body),
            body["summary"],
            body.get("planItems"),
        )
        if stored:
            await audit.append(
                db, session.org_id, user, "session.completion_posted", ("session", id_)
            )
            await tracker.comment(db, session, body["summary"], body.get("planItems"))
            moved = await automation.concluded(db, session)
    if moved:
        await nudges.try_nudge(nudges.work(session.org_id, session.project_id))
    posted = await tracker.completion(session, body["summary"], body.get("planItems"))
    if posted.reason is not None:
        return {"posted": 0, "errors": [], "reason": posted.reason}, 200
    await nudges.try_nudge(nudges.OUTBOX)
    return {"posted": posted.count, "errors": posted.errors}, 200


async def post_session_progress(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Store a milestone, once per attempt."""
    user.require_worker(body["workerId"])
    async with database.transaction() as db:
        session = await hold(db, user, id_, body["workerId"], body.get("leaseEpoch"))
    reason = await tracker.not_sent_because(session.org_id, id_, session.provider_session_id)
    activity = {"type": "progress", "content": body["message"]}
    if "milestone" in body:
        activity["milestone"] = body["milestone"]
    await activities.store(
        session.org_id,
        id_,
        body["workerId"],
        str(user.registration_id),
        session.lease_epoch,
        activity,
        _digest({**body, "attempt": session.lease_epoch}),
        forget=False,
        told=None if reason else tracker_messages.thought(body["message"]),
    )
    session_news.tell_soon(session.org_id, id_)
    if reason is None:
        await nudges.try_nudge(nudges.OUTBOX)
    answer = {"posted": False, "reason": reason} if reason else {"posted": True}
    return {**answer, "milestone": body["milestone"]} if "milestone" in body else answer, 200


async def post_tool_error(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Store that a tool of the environment failed, once per attempt."""
    user.require_worker(body["workerId"])
    async with database.transaction() as db:
        session = await hold(db, user, id_, body["workerId"], body.get("leaseEpoch"))
        await sessions.change(db, session.org_id, id_, {})
        stored = await findings.store_tool_error(
            db, session, _digest(body), body["toolName"], body["errorMessage"], body.get("context")
        )
        if stored:
            await audit.append(
                db,
                session.org_id,
                user,
                "session.tool_failed",
                ("session", id_),
                {"toolName": body["toolName"]},
            )
            await tracker.report_tool_error(
                db, session, body["toolName"], body["errorMessage"], body.get("context") or {}
            )
    reason = await tracker.no_issue_because(session, body.get("context") or {})
    if reason is not None:
        return {"created": False, "reason": reason}, 200
    await nudges.try_nudge(nudges.OUTBOX)
    return {"created": True}, 200


async def post_security_scan(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Store a scan; one of the same time stamp replaces it."""
    user.require_worker(body["workerId"])
    event = body["event"]
    async with database.transaction() as db:
        session = await hold(db, user, id_, body["workerId"], body.get("leaseEpoch"))
        await sessions.change(db, session.org_id, id_, {})
        await findings.store_scan(db, session, event)
        await audit.append(
            db,
            session.org_id,
            user,
            "session.security_scanned",
            ("session", id_),
            {"scanner": event["scanner"], "severityCounts": event["severityCounts"]},
        )
    return {"stored": True}, 200


async def post_external_urls(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Replace the links shown beside a session."""
    urls = [{"label": each["label"], "url": each["url"]} for each in body["externalUrls"]]
    async with database.transaction() as db:
        session = await hold(db, user, id_, None, None)
        if session.external_urls != urls:
            await audit.append(
                db,
                session.org_id,
                user,
                "session.urls_changed",
                ("session", id_),
                {"externalUrls": urls},
            )
            await tracker.show_urls(db, session, urls)
        await sessions.change(db, session.org_id, id_, {"external_urls": urls})
    return {"updated": True, "externalUrls": urls}, 200


async def _store(
    session_id: str, body: dict[str, Any], user: Principal, lease_epoch: int | None
) -> activities.Stored | None:
    activity = body["activity"]
    is_told = await tracker.tells(str(user.org_id), session_id)
    repeatable = "timestamp" in activity or "toolUseId" in activity
    return await activities.store(
        str(user.org_id),
        session_id,
        body["workerId"],
        str(user.registration_id),
        lease_epoch,
        activity,
        _digest(body) if repeatable else None,
        told=tracker_messages.activity(activity) if is_told else None,
    )


def _digest(body: dict[str, Any]) -> bytes:
    """Equal for equal bodies, whatever the order of their members."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()
