"""What routing knows and learns: the arms of a project's work, and what they were told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from sqlalchemy import ColumnElement, Double, Table, and_, cast, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.bandit import Arm, Choice
from domain.principal import Principal
from persistence import database
from persistence.database import NOW
from persistence.tables import routing_arms, routing_choices, routing_observations

UNCERTAINTY: Final = "uncertainty"
"""Why a provider was chosen that was not expected to be the best."""

STANDING: Final = """
with held as (
  select s.org_id, s.id, s.project_id, s.lease_epoch, s.slot_worker_id, s.last_call_at, s.confirmed,
         coalesce(s.provider, s.work #>> '{resolvedProfile,provider}',
                  s.work #>> '{modelProfile,providerId}', p.provider) as insisted_on
    from sessions s
    join workers w on w.id = s.worker_id and w.org_id = s.org_id and w.project_id = s.project_id
    join projects p on p.id = s.project_id
   where s.org_id = %(org)s and s.id = %(session)s and s.status <> 'pending'
     and w.registration_id = %(registration)s and w.revoked_at is null
     and (%(worker)s::text is null or w.id = %(worker)s)
     and (%(projects)s::text[] is null or s.project_id = any (%(projects)s::text[]))
), renewed as (
  update sessions s set last_call_at = now(), confirmed = true from held
   where s.org_id = held.org_id and s.id = held.id and held.slot_worker_id is not null
     and (held.last_call_at is null or held.last_call_at < now() - interval '5 seconds'
          or not held.confirmed)
)
select held.project_id, held.lease_epoch, held.insisted_on, a.provider, a.alpha, a.beta,
       a.recent_reward, a.recent_weight,
       extract(epoch from now() - a.learned_at)::float8 as seconds
  from held
  left join routing_arms a
    on a.org_id = held.org_id and a.project_id = held.project_id
   and a.work_type = %(work_type)s and a.provider = any (%(candidates)s)
"""

CHOSEN: Final = """
insert into routing_choices
       (org_id, session_id, lease_epoch, work_type, provider, expected_reward, confidence,
        exploration_reason)
values (%(org)s, %(session)s, %(epoch)s, %(work_type)s, %(provider)s, %(expected_reward)s,
        %(confidence)s, %(reason)s)
on conflict (org_id, session_id, lease_epoch) do update set
  work_type = excluded.work_type, provider = excluded.provider,
  expected_reward = excluded.expected_reward, confidence = excluded.confidence,
  exploration_reason = excluded.exploration_reason, chosen_at = now()
returning 1
"""


class Learned(Enum):
    """What became of a feedback."""

    NOW = "now"
    BEFORE = "before"  # the same was said of this attempt already
    OTHERWISE = "otherwise"  # something else was, and that counts


@dataclass(frozen=True, slots=True)
class Standing:
    """A session that the caller's worker holds, as routing sees it."""

    project_id: str
    lease_epoch: int
    insisted_on: str | None  # the provider that its profile or project names


async def standing(
    caller: Principal, session_id: str, work_type: str, candidates: Sequence[str]
) -> tuple[Standing, dict[str, Arm]] | None:
    """The session and an arm for every candidate, in one round trip, which renews the lease.

    None when no living worker of the caller holds the session.
    """
    rows = await database.hot(
        STANDING,
        {
            "org": caller.org_id,
            "session": session_id,
            "worker": caller.worker_id,
            "registration": caller.registration_id,
            "projects": None if caller.projects is None else list(caller.projects),
            "work_type": work_type,
            "candidates": list(candidates),
        },
    )
    if not rows:
        return None
    known = {row.provider: _arm(row) for row in rows if row.provider is not None}
    arms = {name: known.get(name, Arm()) for name in candidates}
    return Standing(rows[0].project_id, rows[0].lease_epoch, rows[0].insisted_on), arms


async def note_choice(
    org_id: str, session_id: str, lease_epoch: int, work_type: str, choice: Choice
) -> None:
    """Remember the last choice of this attempt, so that its feedback can tell why it was made."""
    await database.hot(
        CHOSEN,
        {
            "org": org_id,
            "session": session_id,
            "epoch": lease_epoch,
            "work_type": work_type,
            "provider": choice.provider,
            "expected_reward": choice.expected_reward,
            "confidence": choice.confidence,
            "reason": UNCERTAINTY if choice.explores else None,
        },
    )


async def learn(
    db: AsyncConnection,
    session: Any,
    body_hash: bytes,
    observed: Mapping[str, Any],
    outcome: str = "",
) -> Learned:
    """Store what an attempt earned, and let the arm learn from it, once.

    `session` is a row that is held, so that no two say so of one attempt at once; those that learn
    of one arm at once wait for its row. `observed` are columns of `routing_observations`;
    `outcome` names what came of the session where that is not its worker's word.
    """
    arm_is = {
        "org_id": session.org_id,
        "project_id": session.project_id,
        "work_type": observed["work_type"],
        "provider": observed["provider"],
    }
    attempt_is = {
        **arm_is,
        "session_id": session.id,
        "lease_epoch": session.lease_epoch,
        "outcome": outcome,
    }
    before = await db.scalar(
        select(routing_observations.c.body_hash).where(_is(routing_observations, attempt_is))
    )
    if before is not None:
        return Learned.BEFORE if before == body_hash else Learned.OTHERWISE
    known = await _hold(db, arm_is)
    arm = _arm(known)
    learned = arm.learned(observed["reward"])
    cost = observed.get("total_cost_usd")
    await db.execute(
        insert(routing_observations).values(
            {**attempt_is, **observed, "body_hash": body_hash, **await _why(db, attempt_is, arm)}
        )
    )
    await db.execute(
        update(routing_arms)
        .where(_is(routing_arms, arm_is))
        .values(
            alpha=learned.alpha,
            beta=learned.beta,
            recent_reward=learned.recent_reward,
            recent_weight=learned.recent_weight,
            observations=known.observations + 1,
            cost_usd=known.cost_usd + (cost or 0),
            costs=known.costs + (cost is not None),
            # Of two that learn at once, the one that began first may come last.
            learned_at=func.greatest(NOW, routing_arms.c.learned_at),
        )
    )
    return Learned.NOW


async def knows_outcome(db: AsyncConnection, org_id: str, session_id: str, outcome: str) -> bool:
    """Whether any attempt at a session has earned what this outcome earns."""
    found = select(routing_observations.c.id).where(
        routing_observations.c.org_id == org_id,
        routing_observations.c.session_id == session_id,
        routing_observations.c.outcome == outcome,
    )
    return (await db.execute(found.limit(1))).first() is not None


async def _hold(db: AsyncConnection, arm_is: Mapping[str, str]) -> Any:
    """An arm's row, made if there is none, and held: whoever wants it at the same time waits."""
    seconds = cast(func.extract("epoch", NOW - routing_arms.c.learned_at), Double)
    holding = (
        select(routing_arms, seconds.label("seconds"))
        .where(_is(routing_arms, arm_is))
        .with_for_update()
    )
    known = (await db.execute(holding)).one_or_none()
    if known is None:
        await db.execute(upsert(routing_arms).values(**arm_is).on_conflict_do_nothing())
        known = (await db.execute(holding)).one()
    return known


async def _why(
    db: AsyncConnection, attempt_is: Mapping[str, Any], arm: Arm
) -> dict[str, float | str | None]:
    """How sure the choice was and why it was made; a provider that was not chosen here has none."""
    choice = routing_choices.c
    names = ("org_id", "session_id", "lease_epoch", "work_type", "provider")
    found = (
        await db.execute(
            select(choice.confidence, choice.exploration_reason).where(
                _is(routing_choices, {name: attempt_is[name] for name in names})
            )
        )
    ).one_or_none()
    if found is None:
        return {"confidence": arm.confidence, "exploration_reason": None}
    return {"confidence": found.confidence, "exploration_reason": found.exploration_reason}


def _is(table: Table, values: Mapping[str, Any]) -> ColumnElement[bool]:
    return and_(*(table.c[name] == value for name, value in values.items()))


def _arm(row: Any) -> Arm:
    """An arm's row as it is now."""
    return Arm(row.alpha, row.beta, row.recent_reward, row.recent_weight).faded(row.seconds)
