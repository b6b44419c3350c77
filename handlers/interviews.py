"""People talk with an agent: an interview is made, goes on in turns, and is answered in frames."""

import hashlib
from typing import Any

import orjson

from auth import keyring
from domain.errors import Conflict, Invalid, NotFound
from domain.ids import new_id, public_session_id
from domain.interviews import MOST_TURNS, SESSION
from domain.principal import Principal
from domain.session_states import ENDED, public_status
from domain.times import iso
from handlers.replies import Reply
from persistence import audit, database, interview_frames, interviews, sessions
from persistence.ephemeral import nudges, session_news
from persistence.interview_frames import Writer
from services import dispatch, steering
from services.ownership import hold
from services.tenancy import one_project, require_named_org, visible_projects

WORK_TYPE = "interview"
PASSED_ON = (
    "mode",
    "initialPrompt",
    "interviewBudget",
    "interviewDefinition",
    "repository",
    "ref",
    "model",
)
"""Members that reach the worker as they came."""


async def create_interview(
    body: dict[str, Any],
    user: Principal,
    x_rensei_org: str | None,
    x_rensei_project: str | None,
) -> Reply:
    """Put an interview into the queue, once per idempotency key."""
    org_id = str(user.org_id)
    async with database.transaction() as db:
        await require_named_org(db, user, x_rensei_org)
        named = body.get("projectId")
        project_id = await one_project(db, user, named or x_rensei_project, by_slug=named is None)
        number = _number(org_id, body.get("idempotencyKey"))
        interview_id, session_id = f"int_{number}", f"{SESSION}{number}"
        request_hash = _digest({**body, "projectId": project_id})
        became = await dispatch.enqueue(db, _session(org_id, project_id, session_id, body))
        if became != "known":
            await interviews.add(db, org_id, interview_id, session_id, request_hash)
            await audit.append(
                db,
                org_id,
                user,
                "interview.created",
                ("interview", interview_id),
                {"sessionId": session_id, "projectId": project_id},
            )
        interview = await interviews.find(db, org_id, None, interview_id)
        if interview is None or interview.request_hash != request_hash:
            raise Conflict("The idempotencyKey was used for another interview")
    await nudges.try_nudge(nudges.work(org_id, project_id))
    return {"interview": _shown(interview)}, 201


async def get_interview(
    id_: str, user: Principal, x_rensei_org: str | None, x_rensei_project: str | None
) -> Reply:
    """Read one interview."""
    visible = await visible_projects(user, x_rensei_org, x_rensei_project)
    async with database.statement() as db:
        interview = await interviews.find(db, str(user.org_id), visible, id_)
    if interview is None:
        raise NotFound("Interview not found")
    return {"interview": _shown(interview)}, 200


async def send_interview_turn(
    id_: str,
    body: dict[str, Any],
    user: Principal,
    x_rensei_org: str | None,
    x_rensei_project: str | None,
) -> Reply:
    """Say something to the agent, once per idempotency key."""
    visible = await visible_projects(user, x_rensei_org, x_rensei_project)
    org_id = str(user.org_id)
    async with database.transaction() as db:
        interview = await interviews.find(db, org_id, visible, id_)
        session = interview and await sessions.lock_by_id(db, org_id, interview.session_id)
        if session is None:
            raise NotFound("Interview not found")
        if session.status in ENDED:
            raise Conflict(f"The interview is {session.status} and takes no more turns")
        prompted = await steering.prompt(
            db, session, body["text"], actor=user, idempotency_key=body.get("idempotencyKey")
        )
    await nudges.try_nudge(nudges.work(org_id, session.project_id))
    return {
        "turnId": prompted.turn_id,
        "promptId": prompted.prompt_id,
        "status": public_status(prompted.session.status, prompted.session.waits_for),
    }, 201


async def post_token_delta(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Store what the agent of an interview says, in one round trip for the worker that holds it."""
    worker_id = body.get("workerId")
    if worker_id:
        user.require_worker(worker_id)
    org_id = str(user.org_id)
    writer = Writer(
        org_id,
        str(user.registration_id),
        worker_id or user.worker_id,
        body.get("leaseEpoch"),
    )
    turn_id, frames = body["turnId"], body["frames"]
    stored = await interview_frames.store(writer, id_, turn_id, frames)
    if not stored.held:
        # Either a lost session comes back to its last owner with this call, or this refuses.
        async with database.transaction() as db:
            await hold(db, user, id_, worker_id, writer.lease_epoch)
        stored = await interview_frames.store(writer, id_, turn_id, frames)
    if not stored.has_interview:
        raise NotFound("The session is no interview")
    if not stored.takes_frames:
        raise Conflict("The session has ended and takes no more frames")
    if not stored.has_turn:
        raise Invalid(f"body.turnId: the interview has had {MOST_TURNS} turns and takes no other")
    session_news.tell_soon(org_id, id_, session_news.frames_channel)
    return {"published": len(frames)}, 200


def _number(org_id: str, idempotency_key: str | None) -> str:
    """What the ids of an interview and its session end with; the same for the same key, so that
    of two requests at once the second finds the first one's session."""
    if idempotency_key is None:
        return new_id("").removeprefix("_")
    return hashlib.sha256(f"{org_id}:{idempotency_key}".encode()).hexdigest()[:16]


def _session(org_id: str, project_id: str, session_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """The columns of the session that an interview is."""
    salt = keyring.current().master.derive("public session ids")
    return {
        "org_id": org_id,
        "id": session_id,
        "project_id": project_id,
        "public_id": public_session_id(session_id, salt),
        "issue_id": "",
        "issue_identifier": "",
        "issue_title": body.get("title"),
        "project_name": body.get("projectName"),
        "work_type": WORK_TYPE,
        "priority": body.get("priority", dispatch.FOLLOW_UP_PRIORITY),
        "work": {name: body[name] for name in PASSED_ON if name in body}
        | {"mode": body.get("mode", "interview")},
    }


def _digest(body: dict[str, Any]) -> bytes:
    """Equal for equal bodies, whatever the order of their members."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()


def _shown(interview: Any) -> dict[str, Any]:
    """The contract's Interview of an interview's row."""
    work = interview.work
    optional = {
        "title": interview.issue_title,
        "interviewBudget": _known(work.get("interviewBudget")),
        "interviewDefinition": work.get("interviewDefinition"),
    }
    return {
        "id": interview.id,
        "sessionId": interview.session_id,
        "publicSessionId": interview.public_id,
        "projectId": interview.project_id,
        "mode": work["mode"],
        "status": public_status(interview.status, interview.waits_for),
        "initialPrompt": work["initialPrompt"],
        "turnsSent": interview.turns_sent,
        "createdAt": iso(interview.created_at),
        **{name: value for name, value in optional.items() if value is not None},
    }


def _known(budget: dict[str, Any] | None) -> dict[str, Any] | None:
    """The members of a budget that the contract names; the worker gets all of them."""
    if budget is None:
        return None
    return {
        name: budget[name] for name in ("maxWallClockSeconds", "idleGraceSeconds") if name in budget
    }
