"""How issues go through their phases, in numbers."""

from datetime import datetime
from types import SimpleNamespace
from typing import Any, Final

from domain.principal import Principal
from domain.times import iso
from handlers.replies import Reply
from persistence import phase_metrics
from services.tenancy import visible_projects

DECIMALS: Final = 4
DAYS: Final = {"7d": 7, "30d": 30, "90d": 90}
USUAL: Final = "30d"
PHASES: Final = ("development", "qa", "refinement", "acceptance")
STRATEGIES: Final = ("normal", "context-enriched", "decompose", "escalate-human")
NONE: Final = SimpleNamespace(issues=0, records=0, finished=0, failed=0, cycle_ms=0, cost_usd=0)


async def get_phase_metrics(
    user: Principal, time_range: str, x_rensei_org: str | None, x_rensei_project: str | None
) -> Reply:
    """Read what the phases of the range's issues took, cost and came to."""
    meant = time_range if time_range in DAYS else USUAL
    visible = await visible_projects(user, x_rensei_org, x_rensei_project)
    rows = await phase_metrics.read(str(user.org_id), visible, DAYS[meant])
    kinds = {row.kind: row for row in rows}
    escalation = {name: int(kinds.get(name, NONE).issues) for name in STRATEGIES}
    qa = kinds.get("qa", NONE)
    return {
        "timeRange": meant,
        "phases": {name: _phase(kinds.get(name, NONE)) for name in PHASES},
        "reworkRate": _ratio(qa.failed, qa.records),
        "escalationDistribution": escalation,
        "issueCount": sum(escalation.values()),
        "timestamp": iso(datetime.now().astimezone()),
    }, 200


def _phase(row: Any) -> dict[str, Any]:
    return {
        "avgCycleTimeMs": _ratio(row.cycle_ms, row.finished),
        "avgCostUsd": _ratio(row.cost_usd, row.records),
        "avgAttempts": _ratio(row.records, row.issues),
        "totalRecords": int(row.records),
    }


def _ratio(part: float, whole: float) -> float:
    return round(part / whole, DECIMALS) if whole else 0
