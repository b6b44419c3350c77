"""GitHub's webhook payloads, read into values. Only what is used is read, all of it checked."""

from collections.abc import Mapping
from typing import Any, Final

from domain.linear_events import Unreadable
from domain.session_links import Failure, Found, Hints, Link, names_in, time_of, title_of, url_of

Payload = Mapping[str, Any]

FAILED: Final = frozenset({"failure", "timed_out", "startup_failure"})


def pull_request(payload: Payload) -> Found:
    """A pull request as it is now; its state is `draft`, `open`, `closed` or `merged`."""
    pull = _object(payload, "pull_request")
    state = _text(pull, "state")
    if pull.get("merged") or pull.get("merged_at"):
        state = "merged"
    elif state == "open" and pull.get("draft"):
        state = "draft"
    link = _link("pull-request", _numbered(payload, pull), pull, pull.get("title"), state)
    return Found(link, _of_pull(payload, pull))


def review(payload: Payload) -> Found:
    """A review; its state is `approved`, `changes_requested`, `commented` or `dismissed`."""
    pull, given = _object(payload, "pull_request"), _object(payload, "review")
    return Found(
        _link(
            "review",
            f"{_numbered(payload, pull)}/review/{_id(given)}",
            given,
            _by("Review", given),
            _text(given, "state").lower(),
        ),
        _of_pull(payload, pull),
    )


def comment(payload: Payload) -> Found:
    """A comment on an issue, on a pull request or on its code; its state is what was done."""
    said = _object(payload, "comment")
    pull = _object(payload, "pull_request")
    about = pull or _object(payload, "issue")
    hints = _of_pull(payload, pull) if pull else _of_issue(payload, about)
    place = "code" if pull else "issue"
    return Found(
        _link(
            "comment",
            f"{_numbered(payload, about)}/{place}-comment/{_id(said)}",
            said,
            _by("Comment", said),
            _text(payload, "action"),
        ),
        hints,
    )


def issue(payload: Payload) -> Found:
    """An issue of GitHub's; its state is `open` or `closed`."""
    about = _object(payload, "issue")
    link = _link(
        "issue", _numbered(payload, about), about, about.get("title"), _text(about, "state")
    )
    return Found(link, _of_issue(payload, about))


def check_run(payload: Payload) -> Found:
    """A check; its state is its conclusion, or how far it is."""
    run = _object(payload, "check_run")
    branch = _text(_object(run, "check_suite"), "head_branch")
    state = _text(run, "conclusion") or _text(run, "status")
    key = f"{_repository(payload)}/check/{_id(run)}"
    return Found(_link("check", key, run, run.get("name"), state), _of_run(payload, run, branch))


def workflow_run(payload: Payload) -> Found:
    """A run of a workflow; its state is its conclusion, or how far it is."""
    run = _object(payload, "workflow_run")
    state = _text(run, "conclusion") or _text(run, "status")
    key = f"{_repository(payload)}/run/{_id(run)}"
    hints = _of_run(payload, run, _text(run, "head_branch"), _text(run, "display_title"))
    return Found(_link("run", key, run, run.get("name"), state), hints)


def failed_run(payload: Payload) -> Failure | None:
    """The failure that a completed run of a workflow ended in; None when it did not fail."""
    run, repository = _object(payload, "workflow_run"), _repository(payload)
    if _text(run, "conclusion") not in FAILED:
        return None
    branch = _text(run, "head_branch")
    head = _text(_object(run, "head_repository"), "full_name").lower() or repository
    name = title_of(run.get("name")) or "A workflow"
    return Failure(
        key=f"{repository}/run/{_id(run)}/{run.get('run_attempt')}",
        place=f"{repository}@{branch}"[:200],
        of=f"{repository} {run.get('workflow_id')} {branch}"[:150],
        text=f"{name} failed on {branch} of {repository}: {url_of(run, 'html_url')}",
        repository=repository,
        branch=branch if branch and head == repository else None,
    )


def _of_pull(payload: Payload, pull: Payload) -> Hints:
    url = url_of(pull, "html_url")
    return Hints(
        _repository(payload),
        names_in(_text(_object(pull, "head"), "ref"), _text(pull, "title")),
        (url,) if url else (),
        (_numbered(payload, pull),),
    )


def _of_issue(payload: Payload, about: Payload) -> Hints:
    url, key = url_of(about, "html_url"), _numbered(payload, about)
    return Hints(
        _repository(payload),
        # An issue of GitHub's may be what the session is about.
        (key, *names_in(_text(about, "title"))),
        (url,) if url else (),
        (key,),
    )


def _of_run(payload: Payload, run: Payload, *texts: str) -> Hints:
    repository = _repository(payload)
    pulls = run.get("pull_requests")
    numbers = [
        each["number"]
        for each in (pulls if isinstance(pulls, list) else [])
        if isinstance(each, dict) and type(each.get("number")) is int
    ]
    return Hints(
        repository, names_in(*texts), parents=tuple(f"{repository}#{each}" for each in numbers[:20])
    )


def _link(kind: str, key: str, of: Payload, title: Any, state: str) -> Link:
    url = url_of(of, "html_url")
    if url is None:
        raise Unreadable(f"the {kind} has no html_url")
    times = ("updated_at", "completed_at", "submitted_at", "started_at", "created_at")
    at = next((time for name in times if (time := time_of(of.get(name)))), None)
    return Link(kind, key, url, title_of(title), state[:100] or None, at)


def _by(what: str, of: Payload) -> str:
    return f"{what} by {_text(_object(of, 'user'), 'login') or 'somebody'}"


def _repository(payload: Payload) -> str:
    name = _text(_object(payload, "repository"), "full_name").lower()
    if not name:
        raise Unreadable("repository.full_name is missing")
    return name


def _numbered(payload: Payload, of: Payload) -> str:
    number = of.get("number")
    if type(number) is not int:
        raise Unreadable("the number is missing")
    return f"{_repository(payload)}#{number}"


def _id(of: Payload) -> int:
    found = of.get("id")
    if type(found) is not int:
        raise Unreadable("the id is missing")
    return found


def _object(parent: Payload, name: str) -> Payload:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def _text(parent: Payload, name: str) -> str:
    value = parent.get(name)
    return value.replace("\x00", "")[:500] if isinstance(value, str) else ""
