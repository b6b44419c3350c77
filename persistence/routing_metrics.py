"""What routing has learned and from what, over the projects that somebody sees."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from domain.bandit import HALF_LIFE_SECONDS
from persistence import database

# The evidence of several projects is added; the prior, which is none, is not.
POSTERIORS: Final = """
select a.provider, a.work_type,
       1 + sum((a.alpha - 1) * f.kept) as alpha, 1 + sum((a.beta - 1) * f.kept) as beta,
       sum(a.observations) as observations,
       coalesce(sum(a.cost_usd) / nullif(sum(a.costs), 0), 0) as average_cost
  from routing_arms a
 cross join lateral (
   select power(0.5, least(1000, greatest(0, extract(epoch from now() - a.learned_at)::float8)
                                 / %(half_life)s)) as kept
 ) f
 where a.org_id = %(org)s
   and (%(projects)s::text[] is null or a.project_id = any (%(projects)s::text[]))
 group by a.work_type, a.provider
 order by a.work_type, a.provider
"""

_WANTED: Final = """
       o.observed_at >= %(since)s::timestamptz
   and (o.observed_at, o.id) < (%(before)s::timestamptz, %(before_id)s::bigint)
 order by o.observed_at desc, o.id desc
 limit %(limit)s
"""

DECISIONS: Final = f"""
select o.id, o.observed_at, o.provider, o.work_type, o.reward, o.task_completed, o.confidence,
       o.exploration_reason
  from routing_observations o
 where o.org_id = %(org)s and {_WANTED}
"""

# Each project's newest by index, then the newest of those.
DECISIONS_OF_PROJECTS: Final = f"""
select o.id, o.observed_at, o.provider, o.work_type, o.reward, o.task_completed, o.confidence,
       o.exploration_reason
  from unnest(%(projects)s::text[]) as p (id)
 cross join lateral (
   select * from routing_observations o
    where o.org_id = %(org)s and o.project_id = p.id and {_WANTED}
 ) o
 order by o.observed_at desc, o.id desc
 limit %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Window:
    """Which decisions are meant: not before `since`, before `until`, and older than `before`."""

    since: datetime | None = None
    until: datetime | None = None
    before: tuple[datetime, int] | None = None


async def posteriors(org_id: str, projects: frozenset[str] | None) -> Sequence[Any]:
    """What is known now of each provider at each type of work, of the projects given or of all."""
    return await database.hot(
        POSTERIORS,
        {"org": org_id, "projects": _listed(projects), "half_life": HALF_LIFE_SECONDS},
    )


async def decisions(
    org_id: str, projects: frozenset[str] | None, window: Window, limit: int
) -> Sequence[Any]:
    """What was observed, newest first."""
    return await database.hot(
        DECISIONS if projects is None else DECISIONS_OF_PROJECTS,
        decision_values(org_id, projects, window, limit),
    )


def decision_values(
    org_id: str, projects: frozenset[str] | None, window: Window, limit: int
) -> dict[str, Any]:
    """What the statement of `decisions` is given."""
    # One bound from above: of two, PostgreSQL may begin at the one that is farther away.
    ends: list[tuple[Any, int]] = [(window.until, 0)] if window.until else []
    ends += [window.before] if window.before else []
    before, before_id = min(ends, default=("infinity", 0))
    return {
        "org": org_id,
        "projects": _listed(projects),
        "since": window.since or "-infinity",
        "before": before,
        "before_id": before_id,
        "limit": limit,
    }


def _listed(projects: frozenset[str] | None) -> list[str] | None:
    return None if projects is None else list(projects)
