"""What follows from an event: one function a type, found by the envelope's `type`.

A processor works inside the transaction that closes the event and returns what came of it, in
words for people. It raises `domain.linear_events.Unreadable` when trying again will not help.
"""

from typing import Final

from jobs.processors import agent_sessions, tracker
from jobs.processors.event import Processor

PROCESSORS: Final[dict[str, Processor]] = {
    "linear.agent_session.created": agent_sessions.created,
    "linear.agent_session.prompted": agent_sessions.prompted,
    "linear.agent_session.updated": agent_sessions.updated,
    "linear.issue.created": tracker.issue_reported,
    "linear.issue.updated": tracker.issue_reported,
    "linear.issue.removed": tracker.issue_removed,
    "linear.comment.created": tracker.comment_reported,
    "linear.comment.updated": tracker.comment_reported,
    "linear.comment.removed": tracker.comment_removed,
    "linear.issue_label.created": tracker.label_reported,
    "linear.issue_label.updated": tracker.label_reported,
    "linear.issue_label.removed": tracker.label_removed,
}

__all__ = ["PROCESSORS"]
