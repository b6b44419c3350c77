"""The table that a server has to satisfy: each line in short words, and what breaks the worker.

A check returns None, or says what the worker would stumble over. It sees what the worker reads and
nothing else: further members of an answer are no business of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

OWNED_BY_ANOTHER: Final = "owned by another worker"
WORKER_NOT_FOUND: Final = "Worker not found"
KINDS: Final = frozenset({"stop", "directive", "hook-result", "nudge"})


class Broken(Exception):
    """An answer that breaks the open-source worker."""


def _nothing(_status: int, _said: Any) -> str | None:
    return None


def _registered(_status: int, said: Any) -> str | None:
    # Without an interval its timers fire a thousand times a second.
    for name in ("heartbeatInterval", "pollInterval"):
        if not isinstance(said.get(name), int | float) or said[name] < 20:
            return f"{name} is {said.get(name)!r}: a storm of timers"
    return None if _text(said.get("workerId")) else "no workerId: it exits"


def _config(_status: int, said: Any) -> str | None:
    return None if isinstance(said.get("projects"), list) else "no list of projects"


def _work(_status: int, said: Any) -> str | None:
    if not isinstance(said.get("work"), list) or not isinstance(said.get("inboxMessages"), dict):
        return "no work or no inboxMessages"
    for each in said["work"]:
        if not all(_text(each.get(name)) for name in ("sessionId", "issueId", "issueIdentifier")):
            return f"work without its names: {each}"
    for messages in said["inboxMessages"].values():
        for each in messages:
            if not all(_text(each.get(name)) for name in ("id", "sessionId", "lane")):
                return f"a message without its names: {each}"
            if each.get("type") not in KINDS or not isinstance(each.get("payload"), str):
                return f"a message it does not know: {each}"
            if not isinstance(each.get("createdAt"), int | float | str):
                return f"a message without a time: {each}"
    if bool(said.get("hasInboxMessages")) != bool(said["inboxMessages"]):
        return "hasInboxMessages does not say whether there are any"
    return None


def _issue(_status: int, said: Any) -> str | None:
    data = said.get("data") if said.get("success") is True else None
    if not isinstance(data, dict):
        return "no issue: the session fails"
    if not all(_text(data.get(name)) for name in ("id", "identifier", "title")):
        return "an issue without its names: the session fails"
    if not isinstance(data.get("labels"), list):
        return "an issue without labels: the session fails"
    for name, member in (
        ("state", "name"),
        ("team", "name"),
        ("project", "name"),
        ("parent", "id"),
    ):
        if data.get(name) is not None and not _text(data[name].get(member)):
            return f"an issue whose {name} has no {member}"
    if (data.get("state") or {}).get("name") == "Accepted":
        return "an issue that is Accepted: the session fails"
    return None


def _no_child(_status: int, said: Any) -> str | None:
    return None if said.get("success") is True and said.get("data") is False else "not false"


def _succeeded(_status: int, said: Any) -> str | None:
    return None if said.get("success") is True else "no success: the session fails"


def _boolean(name: str) -> Callable[[int, Any], str | None]:
    def check(_status: int, said: Any) -> str | None:
        return None if isinstance(said.get(name), bool) else f"no {name}"

    return check


def _state(_status: int, said: Any) -> str | None:
    return None if _text(said.get("status")) and "workerId" in said else "no status or no workerId"


def _released(_status: int, said: Any) -> str | None:
    return None if "released" in said else "no released"


def _left(_status: int, said: Any) -> str | None:
    good = isinstance(said.get("unclaimedSessions"), list)
    return None if good else "no unclaimedSessions: it throws"


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table."""

    number: str
    words: str
    check: Callable[[int, Any], str | None] = _nothing


LINES: Final = {
    line.number: line
    for line in (
        Line("1", "register: any 2xx; reads workerId and both intervals", _registered),
        Line("2", "config, only without a project list; reads projects[]", _config),
        Line("3", "heartbeat, at start and each interval; 404 Worker not found: registers again"),
        Line("4", "poll; takes at most its free capacity and drops the rest", _work),
        Line("4b", "claim, only if preClaimed is falsy; reads claimed", _boolean("claimed")),
        Line("5", "status running; ignored"),
        Line("6", "progress claimed or resumed; reads posted", _boolean("posted")),
        Line("7", "getIssue; anything but an issue fails the session", _issue),
        Line("7b", "isChildIssue, only without a work type; must be false", _no_child),
        Line("8", "updateIssueStatus Started; failure fails the session", _succeeded),
        Line("9", "status running with its own id, not awaited; ignored"),
        Line("10", "progress started, not awaited", _boolean("posted")),
        Line("11", "status running with the agent's real id; ignored"),
        Line("12", "activity, one at a time; reads forwarded", _boolean("forwarded")),
        Line("13", "status read, twice every 5 s; stopped or another's ends the agent", _state),
        Line("14", "lock-refresh, each 60 s; reads refreshed", _boolean("refreshed")),
        Line("15", "external-urls, sent twice, without a workerId; ok only"),
        Line("16", "createComment, Finished, unassignIssue; errors only logged", _succeeded),
        Line("17", "completion, when there is a text, without a workerId; ok only"),
        Line("18", "files/release-all, an empty POST; reads released", _released),
        Line("19", "status finalizing; ignored"),
        Line("20", "progress completed, failed or stopped", _boolean("posted")),
        Line("21", "status completed with cost, or failed with an error; ignored"),
        Line("22", "DELETE of the worker on SIGTERM; reads unclaimedSessions.length", _left),
        Line("inbox", "inbox/ack after delivery"),
        Line("again", "transfer-ownership after registering again", _boolean("transferred")),
        Line("steer", "a person or program, not the worker"),
    )
}


def judge(number: str, status: int, body: Any, *, may_be_gone: bool) -> str | None:
    """What of an answer would break the worker; None for one that it can live with.

    `may_be_gone` is for reports about a session that may have ended or changed hands meanwhile.
    """
    if 200 <= status < 300:
        # A 204 or an empty body counts as a network error, and no JSON as none.
        return "no JSON" if not isinstance(body, dict) else LINES[number].check(status, body)
    refusal = body.get("error") if isinstance(body, dict) else None
    if not _text(refusal):
        return f"{status} without a text"
    if number in {"3", "4"} and status == 404:
        return None if WORKER_NOT_FOUND in refusal else "404 without `Worker not found`"
    if may_be_gone and status == 403:
        return None if OWNED_BY_ANOTHER in refusal else "403 without `owned by another worker`"
    if may_be_gone and status == 409 and number in {"5", "9", "11", "19", "21"}:
        return None
    return f"{status} {refusal}"
