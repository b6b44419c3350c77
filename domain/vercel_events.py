"""Vercel's webhook payloads, read into values. Only what is used is read, all of it checked."""

from collections.abc import Mapping
from typing import Any, Final

from domain.linear_events import Unreadable
from domain.session_links import Failure, Found, Hints, Link, names_in, time_of, title_of, url_of

Payload = Mapping[str, Any]

FAILED: Final = "error"
"""The state of a deployment that failed."""


def deployment(payload: Payload) -> Found:
    """A deployment; its state is the last word of the event's type, such as `succeeded`."""
    inner = _object(payload, "payload")
    about, meta = _of(inner)
    state = _text(payload, "type").rpartition(".")[2]
    host = _text(about, "url")
    url = url_of({"url": f"https://{host}"}, "url") if host else None
    url = url or url_of(_object(inner, "links"), "deployment")
    if url is None:
        raise Unreadable("the deployment has no url")
    repository, number = _repository(meta), _text(meta, "githubPrId")
    link = Link(
        "deployment",
        _id(about),
        url,
        title_of(about.get("name")),
        state or None,
        time_of(payload.get("createdAt")),
    )
    parents = (f"{repository}#{number}",) if repository and number.isdecimal() else ()
    names = names_in(_text(meta, "githubCommitRef"))
    return Found(link, Hints(repository, names, parents=parents))


def failed_deployment(payload: Payload) -> Failure | None:
    """The failure that a deployment ended in; None when it did not fail."""
    if _text(payload, "type") != f"deployment.{FAILED}":
        return None
    inner = _object(payload, "payload")
    about, meta = _of(inner)
    name = title_of(about.get("name")) or "a project"
    branch, target = _text(meta, "githubCommitRef"), _text(inner, "target") or "preview"
    url = url_of(_object(inner, "links"), "deployment") or f"https://{_text(about, 'url')}"
    project = _text(_object(inner, "project"), "id")
    return Failure(
        key=_id(about),
        place=f"{name}@{branch or target}"[:200],
        of=f"{project} {target} {branch}"[:150],
        text=f"The deployment of {name} ({target}) failed: {url}",
        repository=_repository(meta),
        branch=branch or None,
    )


def _of(inner: Payload) -> tuple[Payload, Payload]:
    about = _object(inner, "deployment")
    return about, _object(about, "meta")


def _repository(meta: Payload) -> str:
    owner, name = _text(meta, "githubOrg"), _text(meta, "githubRepo")
    return f"{owner}/{name}".lower() if owner and name else ""


def _id(about: Payload) -> str:
    found = _text(about, "id")
    if not found:
        raise Unreadable("deployment.id is missing")
    return found


def _object(parent: Payload, name: str) -> Payload:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def _text(parent: Payload, name: str) -> str:
    value = parent.get(name)
    return value.replace("\x00", "")[:500] if isinstance(value, str) else ""
