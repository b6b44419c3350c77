"""Which kind of work an issue's state asks for, when an agent session is created for it."""

from typing import Final

BY_STATE: Final = {
    "backlog": "development",
    "started": "inflight",
    "finished": "qa",
    "delivered": "acceptance",
    "rejected": "refinement",
}


def for_agent_session(state: str | None, description: str | None) -> str:
    """The work type; an unknown or absent state is development.

    An issue in the Icebox is researched while it has no description, and written into the backlog
    once it has one.
    """
    name = (state or "").strip().lower()
    if name == "icebox":
        return "backlog-creation" if (description or "").strip() else "research"
    return BY_STATE.get(name, "development")
