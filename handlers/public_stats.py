"""The fleet in numbers."""

import settings
from domain.principal import Principal
from domain.times import iso
from handlers.replies import Reply
from persistence import public_stats
from services.tenancy import visible_projects

COST_DECIMALS = 4


async def get_public_stats(
    user: Principal, x_rensei_org: str | None, x_rensei_project: str | None
) -> Reply:
    """Read the numbers of the fleet that the credential may see."""
    visible = await visible_projects(user, x_rensei_org, x_rensei_project)
    stats = await public_stats.read(str(user.org_id), visible, settings.current().lease_seconds)
    return {
        "workersOnline": stats.workers_online,
        "agentsWorking": stats.agents_working,
        "queueDepth": stats.queue_depth,
        "completedToday": int(stats.completed_today),
        "availableCapacity": int(stats.available_capacity),
        "totalCostToday": round(float(stats.cost_today), COST_DECIMALS),
        "totalCostAllTime": round(float(stats.cost_ever), COST_DECIMALS),
        "sessionCountToday": int(stats.sessions_today),
        "timestamp": iso(stats.now),
    }, 200
