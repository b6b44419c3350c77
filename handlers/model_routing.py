"""Which provider a session is run with, and what came of it."""

import hashlib
import random
from typing import Any, Final

import orjson

import settings
from domain import bandit
from domain.errors import Unavailable
from domain.principal import Principal
from domain.session_states import HELD
from handlers.replies import Reply
from persistence import audit, database, sessions
from persistence import routing as arms
from services import routing
from services.ownership import hold

# Web processes are copies of one; this draws differently in each.
CHANCE: Final = random.SystemRandom()


async def routing_select(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Choose one of the candidates, or say why the caller chooses."""
    work_type, candidates = body["workType"], list(dict.fromkeys(body["candidates"]))
    known = await routing.standing(user, id_, work_type, candidates)
    if known is None:
        # Either a lost session comes back to its last owner with this call, or this refuses.
        async with database.transaction() as db:
            await hold(db, user, id_, None, None)
        known = await routing.standing(user, id_, work_type, candidates)
    if not settings.current().routing_selector_enabled:
        return _left_to_the_caller("disabled")
    if known is not None and known.standing.insisted_on:
        return _left_to_the_caller("explicit")
    if known is None or not known.arms:
        return _left_to_the_caller("fallback")
    choice = bandit.choose(known.arms, CHANCE)
    await routing.note(user, id_, known, work_type, choice)
    return {
        "selectedProvider": choice.provider,
        "source": "mab-routing",
        "expectedReward": round(choice.expected_reward, 4),
        "confidence": round(choice.confidence, 4),
    }, 200


async def post_routing_feedback(id_: str, body: dict[str, Any], user: Principal) -> Reply:
    """Learn from what a session earned, once per attempt, provider and type of work."""
    try:
        async with database.transaction() as db:
            session = await hold(db, user, id_, None, body.get("leaseEpoch"))
            if session.status in HELD:
                await sessions.change(db, session.org_id, id_, {})
            recorded = await arms.learn(db, session, _digest(body), _observed(body))
            if recorded is arms.Learned.NOW:
                await audit.append(
                    db,
                    session.org_id,
                    user,
                    "session.routing_feedback",
                    ("session", id_),
                    {name: body[name] for name in ("provider", "workType", "reward")},
                )
    except Unavailable:
        if not routing.is_remembered(user, id_):
            raise
        return {"recorded": False}, 200
    return {"recorded": recorded is not arms.Learned.OTHERWISE}, 200


def _left_to_the_caller(source: str) -> Reply:
    return {
        "selectedProvider": None,
        "source": source,
        "expectedReward": 0,
        "confidence": 0,
    }, 200


def _observed(body: dict[str, Any]) -> dict[str, Any]:
    """The columns of an observation."""
    return {
        "provider": body["provider"],
        "work_type": body["workType"],
        "reward": body["reward"],
        "issue_identifier": body.get("issueIdentifier"),
        "task_completed": body.get("taskCompleted"),
        "pr_created": body.get("prCreated"),
        "qa_result": body.get("qaResult"),
        "total_cost_usd": body.get("totalCostUsd"),
        "wall_clock_ms": body.get("wallClockMs"),
    }


def _digest(body: dict[str, Any]) -> bytes:
    """Equal for equal bodies, whatever the order of their members."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()
