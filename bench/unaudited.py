"""The server without its audit log, for what the log costs: `bench/audit.py` serves it."""

from starlette.types import ASGIApp

from app import create_app as audited
from persistence import audit


async def _leave_out(*_: object, **__: object) -> None:
    """Where the event would be written."""


def create_app() -> ASGIApp:
    """The same application, whose handlers write no events."""
    audit.append = _leave_out
    return audited()
