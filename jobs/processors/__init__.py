"""What follows from an event: one function a type, found by the envelope's `type`.

A processor works inside the transaction that closes the event and returns what came of it, in
words for people. It raises `domain.linear_events.Unreadable` when trying again will not help.
"""

from typing import Final

from domain import github_events, vercel_events
from jobs.processors import agent_sessions, tracker
from jobs.processors.event import Processor
from jobs.processors.linking import ended, linked
from jobs.processors.scanning import scanned

_pull_request = linked(github_events.pull_request)
_pull_request_ended = ended(github_events.pull_request)
_review = linked(github_events.review)
_comment = linked(github_events.comment)
_issue = linked(github_events.issue)
_check = linked(github_events.check_run)
_deployment = linked(vercel_events.deployment)
_run = scanned(
    github_events.workflow_run,
    github_events.failed_run,
    "operational-scanner-ci",
    "scan_failed_runs",
)

PROCESSORS: Final[dict[str, Processor]] = {
    "linear.agent_session.created": agent_sessions.created,
    "linear.agent_session.prompted": agent_sessions.prompted,
    "linear.agent_session.updated": agent_sessions.updated,
    "github.pr.opened": _pull_request,
    "github.pr.reopened": _pull_request,
    "github.pr.edited": _pull_request,
    "github.pr.synchronize": _pull_request,
    "github.pr.ready_for_review": _pull_request,
    "github.pr.converted_to_draft": _pull_request,
    "github.pr.closed": _pull_request_ended,
    "github.pr.merged": _pull_request_ended,
    "github.pr.review_submitted": _review,
    "github.pull_request_review.edited": _review,
    "github.pull_request_review.dismissed": _review,
    "github.pr.review_comment_created": _comment,
    "github.pull_request_review_comment.edited": _comment,
    "github.pull_request_review_comment.deleted": _comment,
    "github_issues.comment.created": _comment,
    "github_issues.comment.edited": _comment,
    "github_issues.comment.deleted": _comment,
    "github_issues.issue.opened": _issue,
    "github_issues.issue.edited": _issue,
    "github_issues.issue.assigned": _issue,
    "github_issues.issue.closed": _issue,
    "github_issues.issue.reopened": _issue,
    # Checks and runs come to whichever of GitHub's two addresses the webhook names.
    **{
        f"{source}.{name}": process
        for source in ("github", "github_actions")
        for name, process in {
            "check_run.created": _check,
            "check_run.completed": _check,
            "check_run.rerequested": _check,
            "workflow_run.requested": _run,
            "workflow_run.in_progress": _run,
            "workflow_run.completed": _run,
        }.items()
    },
    "vercel.deployment.created": _deployment,
    "vercel.deployment.succeeded": _deployment,
    "vercel.deployment.promoted": _deployment,
    "vercel.deployment.canceled": _deployment,
    "vercel.deployment.error": scanned(
        vercel_events.deployment,
        vercel_events.failed_deployment,
        "operational-scanner-vercel",
        "scan_failed_deployments",
    ),
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
