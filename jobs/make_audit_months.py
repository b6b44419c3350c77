"""The audit log has its months before they begin."""

from typing import Final

from persistence import audit_chains

AHEAD: Final = 3


async def make_audit_months() -> int:
    """Make what is missing of the months to come; returns how many."""
    return await audit_chains.make_months(AHEAD)
