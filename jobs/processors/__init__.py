"""What follows from an event: one function a type, found by the envelope's `type`.

A processor works inside the transaction that closes the event and returns what came of it, in
words for people. It raises `domain.linear_events.Unreadable` when trying again will not help.
"""

from typing import Final

from jobs.processors import agent_sessions
from jobs.processors.event import Processor

PROCESSORS: Final[dict[str, Processor]] = {
    "linear.agent_session.created": agent_sessions.created,
    "linear.agent_session.prompted": agent_sessions.prompted,
    "linear.agent_session.updated": agent_sessions.updated,
}

__all__ = ["PROCESSORS"]
