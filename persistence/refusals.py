"""Refusals on their way to the audit log: counted per source, bounded, written once a second.

A refusal changes nothing, so no transaction carries it; counting here keeps a flood of bad
credentials from becoming a flood of rows.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from sqlalchemy import insert

from persistence import database
from persistence.tables import audit_pending

MOST_SOURCES: Final = 500
"""How many different refusals are told apart between two writes; the rest are counted as one."""


@dataclass(frozen=True, slots=True)
class Refused:
    """What was refused, to whom: the chain it belongs to is the organization's, or the system's."""

    org_id: str | None
    actor_id: str | None
    actor_type: str
    source: str
    operation_id: str
    status: int


OTHERS: Final = Refused(None, None, "unknown", "others", "any", 0)

_counted: Counter[Refused] = Counter()


def note(refused: Refused) -> None:
    """Count a refusal. Never waits and never fails."""
    known = refused in _counted or len(_counted) < MOST_SOURCES
    _counted[refused if known else OTHERS] += 1


async def write() -> int:
    """Write what was counted since the last call; returns how many rows. Nothing is lost if the
    database is away: it is counted on."""
    if not _counted:
        return 0
    taken = dict(_counted)
    rows = [
        {
            "org_id": each.org_id,
            "event_type": "request.refused",
            "actor_id": each.actor_id,
            "actor_type": each.actor_type,
            "entity_type": "operation",
            "entity_id": each.operation_id,
            "payload": {"status": each.status, "source": each.source, "count": count},
        }
        for each, count in taken.items()
    ]
    async with database.statement() as db:
        await db.execute(insert(audit_pending).inline(), rows)
    _counted.subtract(taken)
    for each in [each for each, count in _counted.items() if count <= 0]:
        del _counted[each]
    return len(rows)
