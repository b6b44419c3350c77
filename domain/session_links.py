"""What a provider's events say of the sessions they belong to, and of what there is to link."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

MOST_URL_CHARACTERS: Final = 2000
MOST_TITLE_CHARACTERS: Final = 200
MOST_NAMES: Final = 20

# `ENG-7` in `eng-7-keep-the-currency`, `feature/ENG-7` and `[ENG-7] Keep it`.
_IDENTIFIER: Final = re.compile(
    r"(?<![A-Za-z0-9])([A-Za-z][A-Za-z0-9]{0,19}-[0-9]{1,9})(?![A-Za-z0-9])"
)

WRITING: Final = frozenset({"development", "inflight", "refinement"})
"""The types of work that end in a pull request."""


@dataclass(frozen=True, slots=True)
class Link:
    """Something at a provider that belongs to a session."""

    kind: str
    """`pull-request`, `review`, `comment`, `issue`, `check`, `run` or `deployment`."""
    key: str
    """What stays the same of it among its kind, such as `acme/billing#7`."""
    url: str
    title: str | None
    state: str | None
    at: datetime | None
    """When the provider says that it was so."""


@dataclass(frozen=True, slots=True)
class Hints:
    """Whose sessions it may belong to."""

    repository: str
    """`owner/name` in lower case; empty when the event names none."""
    names: tuple[str, ...] = ()
    """Identifiers of issues, as branches and titles carry them."""
    urls: tuple[str, ...] = ()
    """What a session may have named among its external URLs."""
    parents: tuple[str, ...] = ()
    """Keys of pull requests and issues that may be linked already."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an event is about."""

    link: Link
    hints: Hints


@dataclass(frozen=True, slots=True)
class Failure:
    """A run or a deployment that failed."""

    key: str
    """Of this failure and no other."""
    place: str
    """Where it failed, such as `acme/billing@main`."""
    of: str
    """What failed there, such as a workflow: one failure of it is looked into at a time."""
    text: str
    repository: str
    branch: str | None


def names_in(*texts: str | None) -> tuple[str, ...]:
    """The issue identifiers that branches and titles carry, in upper case, each once."""
    found = (match.upper() for text in texts if text for match in _IDENTIFIER.findall(text))
    return tuple(dict.fromkeys(found))[:MOST_NAMES]


def url_of(parent: Mapping[str, Any], name: str) -> str | None:
    """A web address that may be shown to people; None when it is none."""
    value = parent.get(name)
    if not isinstance(value, str) or not value.startswith(("https://", "http://")):
        return None
    return value if len(value) <= MOST_URL_CHARACTERS and value.isprintable() else None


def title_of(value: Any) -> str | None:
    """A title as it is shown: text, and not too much of it."""
    return (
        value.replace("\x00", "")[:MOST_TITLE_CHARACTERS] or None
        if isinstance(value, str)
        else None
    )


def time_of(value: Any) -> datetime | None:
    """An instant as GitHub (ISO 8601) or Vercel (milliseconds) writes it."""
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000).astimezone()
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None
    return found if found is not None and found.tzinfo is not None else None
