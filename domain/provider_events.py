"""Every provider's event in one form: the CloudEvents 1.0 envelope that processors match by type.

The names of the types are the field's own where it has one (`github.pr.merged`,
`linear.agent_session.created`); the others follow the same pattern.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

SPEC_VERSION: Final = "1.0"
MOST_CHARACTERS: Final = 200

LINEAR_ENTITIES: Final = {"AgentSessionEvent": "agent_session"}
LINEAR_ACTIONS: Final = {"create": "created", "update": "updated", "remove": "removed"}

# (event, action) of GitHub -> what its trigger is called.
GITHUB_TYPES: Final = {
    "pull_request.closed": "github.pr.closed",
    "pull_request_review.submitted": "github.pr.review_submitted",
    "pull_request_review_comment.created": "github.pr.review_comment_created",
    "issue_comment.created": "github_issues.comment.created",
    "issue_comment.edited": "github_issues.comment.edited",
    "issue_comment.deleted": "github_issues.comment.deleted",
}
GITHUB_PREFIXES: Final = {"pull_request": "github.pr", "issues": "github_issues.issue"}


@dataclass(frozen=True, slots=True)
class About:
    """What an event is, read from its provider's words."""

    type: str
    source: str
    """Where it comes from: `/linear/<workspace>`, `/github/<owner>/<name>`, `/vercel/<project>`."""
    subject: str
    """The issue, pull request, run or deployment it is about; empty when it is about none."""
    behind: str = ""
    """What its order is kept with, where that is not the subject."""

    @property
    def line(self) -> str:
        """Events of one line are worked on in their order; empty: of no line."""
        subject = self.behind or self.subject
        return f"{self.source} {subject}"[: 2 * MOST_CHARACTERS] if subject else ""

    @property
    def sender(self) -> str:
        """The account it comes from: `/linear/<workspace>`, `/github/<owner>`, `/vercel/<project>`.

        Senders take turns, so that a flood of one holds up no other.
        """
        return "/".join(self.source.split("/")[:3])


@dataclass(frozen=True, slots=True)
class Envelope:
    """One event, as processors and people see it."""

    id: str
    about: About
    time: str
    """When it was received, RFC 3339."""
    org_id: str | None
    project_id: str | None
    correlation_id: str
    data: Mapping[str, Any]

    def attributes(self) -> dict[str, Any]:
        """The CloudEvents attributes without `data`; extensions in lower case, as the rules ask."""
        optional = {
            "subject": self.about.subject,
            "orgid": self.org_id,
            "projectid": self.project_id,
        }
        return {
            "specversion": SPEC_VERSION,
            "id": self.id,
            "type": self.about.type,
            "source": self.about.source,
            "time": self.time,
            "datacontenttype": "application/json",
            "correlationid": self.correlation_id,
            **{name: value for name, value in optional.items() if value},
        }


def about(provider: str, event_name: str, payload: Mapping[str, Any]) -> About:
    """Read what an event is; `event_name` is `<event>.<action>`, as it was stored."""
    if provider == "linear":
        return About(
            _linear_type(payload),
            _source("linear", _text(payload, "organizationId")),
            _linear_subject(payload),
            _linear_behind(payload),
        )
    if provider in {"github", "github-actions"}:
        repository = _text(_object(payload, "repository"), "full_name").lower()
        return About(
            _github_type(provider, event_name, payload),
            _source("github", repository),
            _github_subject(payload),
            _github_behind(payload),
        )
    inner = _object(payload, "payload")
    project = _text(_object(inner, "project"), "id") or _text(inner, "projectId")
    deployment = _text(_object(inner, "deployment"), "id") or _text(inner, "deploymentId")
    return About(
        _joined("vercel", event_name),
        _source("vercel", project),
        f"deployment/{deployment}" if deployment else "",
    )


def _linear_type(payload: Mapping[str, Any]) -> str:
    entity, action = _text(payload, "type"), _text(payload, "action")
    named = LINEAR_ENTITIES.get(entity) or _snake(entity)
    return _joined("linear", named, LINEAR_ACTIONS.get(action, _snake(action)))


def _linear_subject(payload: Mapping[str, Any]) -> str:
    agent_session, data = _object(payload, "agentSession"), _object(payload, "data")
    issue = (
        _text(_object(agent_session, "issue"), "id")
        or _text(agent_session, "issueId")
        or _text(data, "issueId")
        or _text(_object(data, "issue"), "id")
        or (_text(data, "id") if payload.get("type") == "Issue" else "")
    )
    if issue:
        return f"issue/{issue}"
    session = _text(agent_session, "id")
    return f"session/{session}" if session else ""


def _linear_behind(payload: Mapping[str, Any]) -> str:
    """A label, or whatever else is about no issue."""
    entity = _text(_object(payload, "data"), "id")
    return "" if not entity or _linear_subject(payload) else f"{_text(payload, 'type')}/{entity}"


def _github_type(provider: str, event_name: str, payload: Mapping[str, Any]) -> str:
    if provider == "github-actions":
        return _joined("github_actions", event_name)
    if event_name == "pull_request.closed" and _object(payload, "pull_request").get("merged"):
        return "github.pr.merged"
    if event_name in GITHUB_TYPES:
        return GITHUB_TYPES[event_name]
    event, _, action = event_name.partition(".")
    return _joined(GITHUB_PREFIXES.get(event) or _joined("github", event), action)


def _github_subject(payload: Mapping[str, Any]) -> str:
    for name, prefix in (("pull_request", "pull"), ("issue", "issue")):
        number = _object(payload, name).get("number")
        if isinstance(number, int):
            is_pull = prefix == "pull" or "pull_request" in _object(payload, name)
            return f"{'pull' if is_pull else prefix}/{number}"
    for name in ("workflow_run", "workflow_job", "check_run", "check_suite"):
        entity = _object(payload, name)
        number = entity.get("run_id") if name == "workflow_job" else entity.get("id")
        if isinstance(number, int):
            return f"{'workflow_run' if name == 'workflow_job' else name}/{number}"
    ref = _text(payload, "ref")
    return f"ref/{ref}" if ref else ""


def _github_behind(payload: Mapping[str, Any]) -> str:
    """The first pull request that a run or check names: it is linked where that is linked."""
    for name in ("workflow_run", "check_run"):
        pulls = _object(payload, name).get("pull_requests")
        first = pulls[0] if isinstance(pulls, list) and pulls else None
        number = first.get("number") if isinstance(first, dict) else None
        if isinstance(number, int):
            return f"pull/{number}"
    return ""


def _source(provider: str, name: str) -> str:
    return f"/{provider}/{name}"[:MOST_CHARACTERS] if name else f"/{provider}"


def _joined(*words: str) -> str:
    return ".".join(word for word in words if word)[:MOST_CHARACTERS]


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _object(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def _text(parent: Mapping[str, Any], name: str) -> str:
    value = parent.get(name)
    return value.replace("\x00", "")[:MOST_CHARACTERS] if isinstance(value, str) else ""
