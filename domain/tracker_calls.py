"""The arguments that each method of the tracker takes, checked."""

from collections.abc import Callable
from typing import Any, Final

from domain import issue_states
from domain.errors import Invalid

MOST_NAME_CHARACTERS: Final = 200
MOST_BODY_CHARACTERS: Final = 200_000
MOST_LABELS: Final = 200

PLAIN_CHANGES: Final = {"title": "title", "description": "description", "priority": "priority"}
"""What `updateIssue` writes as it is: member -> column."""

RELATIONS: Final = frozenset({"related", "blocks", "duplicate"})


def arguments(method: str, args: list[Any]) -> list[Any]:
    """The arguments as the method takes them; raises `Invalid` with the place.

    More than it takes are left out: clients fill up with null.
    """
    taken = []
    for place, read in enumerate(TAKES[method]):
        if place >= len(args):
            raise Invalid(f"body.args[{place}]: is required by {method}")
        taken.append(read(args[place], f"body.args[{place}]"))
    return taken


def _name(value: Any, place: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MOST_NAME_CHARACTERS:
        raise Invalid(f"{place}: must be a text of 1 to {MOST_NAME_CHARACTERS} characters")
    return value


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MOST_BODY_CHARACTERS:
        raise Invalid(f"{place}: must be a text of 1 to {MOST_BODY_CHARACTERS} characters")
    return value


def _state(value: Any, place: str) -> str:
    state = issue_states.named(_name(value, place))
    if state is None:
        known = ", ".join(issue_states.shown(each) for each in issue_states.STATES)
        raise Invalid(f"{place}: must be one of {known}")
    return state


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Invalid(f"{place}: must be an object")
    return value


def _change(value: Any, place: str) -> dict[str, Any]:
    """What `updateIssue` changes; members that are absent or unknown change nothing."""
    given, taken = _object(value, place), {}
    for member, read in _CHANGES.items():
        if member in given:
            taken[member] = read(given[member], f"{place}.{member}")
    return taken


def _name_or_null(value: Any, place: str) -> str | None:
    return None if value is None else _name(value, place)


def _priority(value: Any, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 4:
        raise Invalid(f"{place}: must be a number from 0 to 4")
    return value


def _description(value: Any, place: str) -> str | None:
    return None if value is None or value == "" else _text(value, place)


def _names(value: Any, place: str) -> list[str]:
    if not isinstance(value, list) or len(value) > MOST_LABELS:
        raise Invalid(f"{place}: must be a list of at most {MOST_LABELS}")
    return [_name(each, f"{place}[{n}]") for n, each in enumerate(value)]


_CHANGES: Final[dict[str, Callable[[Any, str], Any]]] = {
    "title": _text,
    "description": _description,
    "stateId": _name,
    "assigneeId": _name_or_null,
    "priority": _priority,
    "labelIds": _names,
}


def _relation(value: Any, place: str) -> dict[str, str]:
    given = _object(value, place)
    wanted = {
        member: _name(given.get(member), f"{place}.{member}")
        for member in ("issueId", "relatedIssueId", "type")
    }
    if wanted["type"] not in RELATIONS:
        raise Invalid(f"{place}.type: must be one of {', '.join(sorted(RELATIONS))}")
    return wanted


TAKES: Final[dict[str, tuple[Callable[[Any, str], Any], ...]]] = {
    "getIssue": (_name,),
    "updateIssue": (_name, _change),
    "unassignIssue": (_name,),
    "updateIssueStatus": (_name, _state),
    "getTeamStatuses": (_name,),
    "createComment": (_name, _text),
    "getIssueComments": (_name,),
    "createIssueRelation": (_relation,),
    "getIssueRelations": (_name,),
    "deleteIssueRelation": (_name,),
    "getSubIssues": (_name,),
    "getSubIssueStatuses": (_name,),
    "getSubIssueGraph": (_name,),
    "isParentIssue": (_name,),
    "isChildIssue": (_name,),
    "listProjectIssues": (_name,),
    "getProjectRepositoryUrl": (_name,),
    "getViewer": (),
    "getTeam": (_name,),
}
