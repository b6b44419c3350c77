"""An event as its processor gets it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from domain.provider_events import Envelope


@dataclass(frozen=True, slots=True)
class Event:
    """An envelope, and the organization and project whose workspace it came from."""

    envelope: Envelope
    org_id: str
    project_id: str


Processor = Callable[[AsyncConnection, Event], Awaitable[str]]
