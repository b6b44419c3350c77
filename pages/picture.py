"""The picture of the overview: where work comes in, who keeps it, who does it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pages.reference import Tag


@dataclass(frozen=True, slots=True)
class Column:
    """One part of the picture and the tags that lead to it."""

    title: str
    line: str
    tags: tuple[Tag, ...]


_PARTS: Final = (
    (
        "Work comes in",
        "from trackers and code hosts, people, programs and other agents",
        ("Webhooks", "Sessions (Public)", "Interviews", "A2A"),
    ),
    (
        "The server keeps it",
        "who may do what, where it stands, and a log that nobody can rewrite unseen",
        (),
    ),
    (
        "Agents do it",
        "under leases: what a lost worker held is taken up again",
        ("Worker Protocol", "Batch Jobs", "MCP"),
    ),
)
"""Title, line and tags of each part; the part without tags takes all that no other names."""


def columns(tags: Iterable[Tag]) -> tuple[Column, ...]:
    """The parts in order; every tag with an operation stands in exactly one."""
    shown = {each.name: each for each in tags if each.operations}
    placed = {name for _, _, names in _PARTS for name in names}
    return tuple(
        Column(title, line, tuple(shown[name] for name in (names or _rest(shown, placed))))
        for title, line, wanted in _PARTS
        if (names := tuple(name for name in wanted if name in shown)) or not wanted
    )


def _rest(shown: Iterable[str], placed: set[str]) -> tuple[str, ...]:
    return tuple(name for name in shown if name not in placed)
