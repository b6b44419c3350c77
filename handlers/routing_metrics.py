"""What routing has learned, in numbers."""

from datetime import datetime
from typing import Any, Final

from domain.bandit import Arm
from domain.errors import Invalid
from domain.principal import Principal
from domain.times import epoch_ms, epoch_us, from_epoch_us, iso, parse
from handlers.replies import Reply
from persistence import routing_metrics
from persistence.routing_metrics import Window
from services.tenancy import visible_projects

DECIMALS: Final = 4

LATELY: Final = 100
"""Of how many decisions the rate of exploration is the rate."""


async def get_routing_metrics(
    user: Principal,
    from_: str | None,
    to: str | None,
    limit: int,
    cursor: str | None,
    x_rensei_org: str | None,
    x_rensei_project: str | None,
) -> Reply:
    """Read what is known of each provider, and the decisions that taught it, newest first."""
    window = Window(
        _instant("from", from_), _instant("to", to), _position(cursor) if cursor else None
    )
    visible = await visible_projects(user, x_rensei_org, x_rensei_project)
    org_id = str(user.org_id)
    arms = [_posterior(row) for row in await routing_metrics.posteriors(org_id, visible)]
    lately = await routing_metrics.decisions(org_id, visible, Window(), LATELY)
    page = await routing_metrics.decisions(org_id, visible, window, limit + 1)
    observations = sum(arm["totalObservations"] for arm in arms)
    answer = {
        "posteriors": arms,
        "recentDecisions": [_decision(row) for row in page[:limit]],
        "summary": {
            "totalObservations": observations,
            "routingEnabled": observations > 0,
            "explorationRate": _mean([row.exploration_reason is not None for row in lately]),
            "avgConfidence": _mean([arm["confidence"] for arm in arms]),
            "survivalRewardCount": 0,
        },
        "timestamp": iso(datetime.now().astimezone()),
    }
    if len(page) > limit:
        answer["nextCursor"] = _cursor(page[limit - 1])
    return answer, 200


def _instant(name: str, text: str | None) -> datetime | None:
    """The instant in a parameter; raises `Invalid` for one that no calendar has."""
    try:
        return parse(text) if text else None
    except ValueError as error:
        raise Invalid(f'Invalid "{name}" parameter: {text} is no date-time') from error


def _cursor(row: Any) -> str:
    """Where a page ends, `<ms>-<seq>`: `seq` is the microsecond within it, and then the id."""
    ms, rest = divmod(epoch_us(row.observed_at), 1000)
    return f"{ms}-{rest:03}{row.id}"


def _position(cursor: str) -> tuple[datetime, int]:
    """The instant and id in a cursor that fits the contract's pattern."""
    ms, _, seq = cursor.partition("-")
    return from_epoch_us(int(ms) * 1000 + int(seq[:3])), int(seq[3:] or 0)


def _posterior(row: Any) -> dict[str, Any]:
    arm = Arm(row.alpha, row.beta)
    return {
        "provider": row.provider,
        "workType": row.work_type,
        "alpha": round(arm.alpha, DECIMALS),
        "beta": round(arm.beta, DECIMALS),
        "expectedReward": round(arm.expected_reward, DECIMALS),
        "confidence": round(arm.confidence, DECIMALS),
        "totalObservations": int(row.observations),
        "avgCostUsd": round(float(row.average_cost), DECIMALS),
    }


def _decision(row: Any) -> dict[str, Any]:
    decision = {
        "timestamp": epoch_ms(row.observed_at),
        "provider": row.provider,
        "workType": row.work_type,
        "reward": row.reward,
        "taskCompleted": bool(row.task_completed),
        "confidence": round(row.confidence, DECIMALS),
    }
    if row.exploration_reason is not None:
        decision["explorationReason"] = row.exploration_reason
    return decision


def _mean(values: list[Any]) -> float:
    return round(sum(values) / len(values), DECIMALS) if values else 0.0
