"""Providers' events read into CloudEvents envelopes."""

import re

import pytest

from domain.provider_events import Envelope, about

REPOSITORY = {"full_name": "Acme/Billing"}

ISSUE = {"id": "i-1", "identifier": "ENG-1"}


@pytest.mark.parametrize(
    ("provider", "name", "payload", "type_", "source", "subject"),
    [
        (
            "linear",
            "AgentSessionEvent.created",
            {
                "type": "AgentSessionEvent",
                "action": "created",
                "organizationId": "lin_1",
                "agentSession": {"id": "s-1", "issue": ISSUE},
            },
            "linear.agent_session.created",
            "/linear/lin_1",
            "issue/i-1",
        ),
        (
            "linear",
            "AgentSessionEvent.prompted",
            {
                "type": "AgentSessionEvent",
                "action": "prompted",
                "organizationId": "lin_1",
                "agentSession": {"id": "s-1"},
            },
            "linear.agent_session.prompted",
            "/linear/lin_1",
            "session/s-1",
        ),
        (
            "linear",
            "Issue.update",
            {"type": "Issue", "action": "update", "organizationId": "lin_1", "data": ISSUE},
            "linear.issue.updated",
            "/linear/lin_1",
            "issue/i-1",
        ),
        (
            "linear",
            "Comment.create",
            {"type": "Comment", "action": "create", "data": {"id": "c-1", "issueId": "i-1"}},
            "linear.comment.created",
            "/linear",
            "issue/i-1",
        ),
        (
            "github",
            "pull_request.opened",
            {"action": "opened", "repository": REPOSITORY, "pull_request": {"number": 7}},
            "github.pr.opened",
            "/github/acme/billing",
            "pull/7",
        ),
        (
            "github",
            "pull_request.closed",
            {"repository": REPOSITORY, "pull_request": {"number": 7, "merged": True}},
            "github.pr.merged",
            "/github/acme/billing",
            "pull/7",
        ),
        (
            "github",
            "pull_request.closed",
            {"repository": REPOSITORY, "pull_request": {"number": 7, "merged": False}},
            "github.pr.closed",
            "/github/acme/billing",
            "pull/7",
        ),
        (
            "github",
            "pull_request_review.submitted",
            {"repository": REPOSITORY, "pull_request": {"number": 7}},
            "github.pr.review_submitted",
            "/github/acme/billing",
            "pull/7",
        ),
        (
            "github",
            "check_run.completed",
            {"repository": REPOSITORY, "check_run": {"id": 91}},
            "github.check_run.completed",
            "/github/acme/billing",
            "check_run/91",
        ),
        (
            "github",
            "issues.assigned",
            {"repository": REPOSITORY, "issue": {"number": 3}},
            "github_issues.issue.assigned",
            "/github/acme/billing",
            "issue/3",
        ),
        (
            "github",
            "issue_comment.created",
            {"repository": REPOSITORY, "issue": {"number": 7, "pull_request": {}}},
            "github_issues.comment.created",
            "/github/acme/billing",
            "pull/7",
        ),
        (
            "github",
            "push",
            {"repository": REPOSITORY, "ref": "refs/heads/main"},
            "github.push",
            "/github/acme/billing",
            "ref/refs/heads/main",
        ),
        (
            "github-actions",
            "workflow_run.completed",
            {"repository": REPOSITORY, "workflow_run": {"id": 5}},
            "github_actions.workflow_run.completed",
            "/github/acme/billing",
            "workflow_run/5",
        ),
        (
            "github-actions",
            "workflow_job.completed",
            {"repository": REPOSITORY, "workflow_job": {"id": 9, "run_id": 5}},
            "github_actions.workflow_job.completed",
            "/github/acme/billing",
            "workflow_run/5",
        ),
        (
            "vercel",
            "deployment.succeeded",
            {"payload": {"project": {"id": "prj_1"}, "deployment": {"id": "dpl_1"}}},
            "vercel.deployment.succeeded",
            "/vercel/prj_1",
            "deployment/dpl_1",
        ),
        ("linear", "", {}, "linear", "/linear", ""),
        ("github", "", {"repository": 7, "issue": []}, "github", "/github", ""),
        ("vercel", "x", {"payload": None}, "vercel.x", "/vercel", ""),
    ],
)
def test_what_an_event_is(provider, name, payload, type_, source, subject):
    said = about(provider, name, payload)

    assert (said.type, said.source, said.subject) == (type_, source, subject)
    assert said.line == (f"{source} {subject}" if subject else "")


def test_what_happens_to_a_label_keeps_its_order():
    label = {"type": "IssueLabel", "organizationId": "lin-7", "data": {"id": "l-1"}}
    renamed, removed = [about("linear", "", {**label, "action": a}) for a in ("update", "remove")]

    assert removed.type == "linear.issue_label.removed"
    assert (removed.source, removed.subject) == ("/linear/lin-7", "")
    assert removed.line == renamed.line == "/linear/lin-7 IssueLabel/l-1"


@pytest.mark.parametrize("kind", ["check_run", "workflow_run"])
def test_what_ran_for_a_pull_request_comes_behind_it(kind):
    ran = {"repository": REPOSITORY, kind: {"id": 5, "pull_requests": [{"number": 7}]}}
    opened = {"repository": REPOSITORY, "pull_request": {"number": 7}}

    said = about("github", f"{kind}.completed", ran)

    assert said.subject == f"{kind}/5"
    assert said.line == about("github", "pull_request.opened", opened).line


@pytest.mark.parametrize(
    ("provider", "payload", "sender"),
    [
        ("linear", {"organizationId": "lin-7"}, "/linear/lin-7"),
        ("github", {"repository": REPOSITORY}, "/github/acme"),
        ("github-actions", {"repository": REPOSITORY}, "/github/acme"),
        ("vercel", {"payload": {"project": {"id": "prj_1"}}}, "/vercel/prj_1"),
        ("linear", {}, "/linear"),
    ],
)
def test_whose_turn_an_event_is(provider, payload, sender):
    assert about(provider, "", payload).sender == sender


def test_whatever_a_body_holds_its_names_are_short_and_storable():
    payload = {
        "type": "A" * 5_000,
        "action": "\x00" * 5_000,
        "organizationId": "l" * 5_000,
        "data": {"issueId": "i\x00" * 5_000},
    }

    said = about("linear", "", payload)

    assert max(map(len, (said.type, said.source))) <= 200
    assert len(said.line) <= 400
    assert "\x00" not in said.type + said.line


def test_the_envelope_keeps_the_rules_of_cloudevents():
    payload = {"type": "Issue", "action": "update", "organizationId": "lin_1", "data": ISSUE}
    envelope = Envelope(
        "evt_1",
        about("linear", "Issue.update", payload),
        "2026-07-01T09:00:00.000Z",
        "org_1",
        "proj_1",
        "corr_1",
        payload,
    )

    said = envelope.attributes()

    assert said == {
        "specversion": "1.0",
        "id": "evt_1",
        "type": "linear.issue.updated",
        "source": "/linear/lin_1",
        "subject": "issue/i-1",
        "time": "2026-07-01T09:00:00.000Z",
        "datacontenttype": "application/json",
        "correlationid": "corr_1",
        "orgid": "org_1",
        "projectid": "proj_1",
    }
    assert all(re.fullmatch("[a-z0-9]{1,20}", name) for name in said)
    assert all(said.values())
