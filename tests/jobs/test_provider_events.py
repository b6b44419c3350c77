"""What GitHub and Vercel say is written beside the sessions it belongs to, and followed up."""

import secrets

import pytest

from domain import github_events, vercel_events
from jobs.deliver_events import deliver_events
from jobs.processors import PROCESSORS
from tests import provider_payloads as say
from tests.provider_payloads import delivered

INGEST = "/api/webhooks/ingest"
OWN_SECRET = "an organization's own secret"
PULL = "https://github.com/{}/pull/7"


@pytest.fixture
async def repository(make, run_job):
    """The repository of this test's project, whose events come under the organization's secret."""
    await run_job(deliver_events)  # what other tests left
    name = f"acme-{secrets.token_hex(4)}/billing"
    given = dict.fromkeys(["github", "github-actions", "vercel"], OWN_SECRET)
    answer = await make.system.patch(
        f"/api/org/{make.org_id}/settings", json={"webhookSecrets": given}
    )
    assert answer.status_code == 200
    await make.settings_of_project(repositories=[{"cloneUrl": f"https://github.com/{name}"}])
    for provider, workspace in (("vercel", f"prj-{make.slug}"), ("github", name)):
        mapping = {"provider": provider, "workspaceId": workspace, "projectId": make.project_id}
        mapped = await make.org.post(f"/api/org/{make.org_id}/workspaces", json=mapping)
        assert mapped.status_code == 201, mapped.text
    return name


@pytest.fixture
def tell(anonymous, run_job, owner):
    """Deliver an event and let it be worked on; returns its row."""

    async def tell(provider, event, payload):
        request = delivered(provider, payload, event=event, secret=OWN_SECRET)
        answer = await anonymous.post(f"{INGEST}/{provider}", **request)
        assert answer.status_code == 200, answer.text
        await run_job(deliver_events)
        rows = await owner.execute(
            "select * from webhook_events where id = %s", [answer.json()["eventId"]]
        )
        return await rows.fetchone()

    return tell


@pytest.fixture
def links(make):
    """What the page of a session shows of its links."""

    async def links(session_id):
        public_id = (await make.stored(session_id)).public_id
        answer = await make.org.get(f"/api/public/sessions/{public_id}")
        return answer.json()["session"].get("links", [])

    return links


@pytest.fixture
def rewards(owner, make):
    """(session id, outcome, reward) of all that routing has learned here."""

    async def rewards():
        rows = await owner.execute(
            "select session_id, outcome, reward from routing_observations"
            " where org_id = %s order by id",
            [make.org_id],
        )
        return [tuple(row) for row in await rows.fetchall()]

    return rewards


def of_vercel(make, what="succeeded", **more):
    return say.deployment(what, f"prj-{make.slug}", **more)


EVERY = {
    "github.pr.opened": ("pull_request", say.pull_request, {}, "pull-request", "open"),
    "github.pr.reopened": (
        "pull_request", say.pull_request, {"action": "reopened"}, "pull-request", "open",
    ),
    "github.pr.edited": (
        "pull_request", say.pull_request, {"action": "edited"}, "pull-request", "open",
    ),
    "github.pr.synchronize": (
        "pull_request", say.pull_request, {"action": "synchronize"}, "pull-request", "open",
    ),
    "github.pr.ready_for_review": (
        "pull_request", say.pull_request, {"action": "ready_for_review"}, "pull-request", "open",
    ),
    "github.pr.converted_to_draft": (
        "pull_request", say.pull_request, {"action": "converted_to_draft", "draft": True},
        "pull-request", "draft",
    ),
    "github.pr.closed": (
        "pull_request", say.pull_request, {"action": "closed"}, "pull-request", "closed",
    ),
    "github.pr.merged": ("pull_request", say.merged, {}, "pull-request", "merged"),
    "github.pr.review_submitted": (
        "pull_request_review", say.review, {"state": "changes_requested"},
        "review", "changes_requested",
    ),
    "github.pull_request_review.edited": (
        "pull_request_review", say.review, {"action": "edited"}, "review", "approved",
    ),
    "github.pull_request_review.dismissed": (
        "pull_request_review", say.review, {"action": "dismissed", "state": "dismissed"},
        "review", "dismissed",
    ),
    "github.pr.review_comment_created": (
        "pull_request_review_comment", say.review_comment, {}, "comment", "created",
    ),
    "github.pull_request_review_comment.edited": (
        "pull_request_review_comment", say.review_comment, {"action": "edited"},
        "comment", "edited",
    ),
    "github.pull_request_review_comment.deleted": (
        "pull_request_review_comment", say.review_comment, {"action": "deleted"},
        "comment", "deleted",
    ),
    "github_issues.issue.opened": ("issues", say.issue, {}, "issue", "open"),
    "github_issues.issue.edited": ("issues", say.issue, {"action": "edited"}, "issue", "open"),
    "github_issues.issue.assigned": ("issues", say.issue, {"action": "assigned"}, "issue", "open"),
    "github_issues.issue.closed": ("issues", say.issue, {"action": "closed"}, "issue", "closed"),
    "github_issues.issue.reopened": ("issues", say.issue, {"action": "reopened"}, "issue", "open"),
    "github_issues.comment.created": (
        "issue_comment", say.issue_comment, {}, "comment", "created",
    ),
    "github_issues.comment.edited": (
        "issue_comment", say.issue_comment, {"action": "edited"}, "comment", "edited",
    ),
    "github_issues.comment.deleted": (
        "issue_comment", say.issue_comment, {"action": "deleted"}, "comment", "deleted",
    ),
    "github.check_run.created": ("check_run", say.check_run, {"conclusion": None},
                                 "check", "in_progress"),
    "github.check_run.completed": ("check_run", say.check_run, {}, "check", "success"),
    "github.check_run.rerequested": ("check_run", say.check_run, {"action": "rerequested"},
                                     "check", "success"),
    "github.workflow_run.requested": (
        "workflow_run", say.workflow_run, {"conclusion": None, "action": "requested"},
        "run", "in_progress",
    ),
    "github.workflow_run.in_progress": (
        "workflow_run", say.workflow_run, {"conclusion": None}, "run", "in_progress",
    ),
    "github.workflow_run.completed": (
        "workflow_run", say.workflow_run, {"conclusion": "failure"}, "run", "failure",
    ),
}  # fmt: skip


def payload_of(make_payload, repository, **more):
    """A payload whose action is as asked, whatever its factory would say."""
    takes_action = make_payload in {say.check_run, say.workflow_run}
    action = more.pop("action", None) if takes_action else None
    payload = make_payload(full_name=repository, **more)
    return {**payload, "action": action} if action else payload


@pytest.mark.parametrize("type_", EVERY)
async def test_every_event_of_github_is_linked_to_the_session_of_its_issue(
    make, repository, tell, links, type_
):
    event, make_payload, more, kind, state = EVERY[type_]
    session_id = await make.session(issue_identifier="ENG-7")

    row = await tell("github", event, payload_of(make_payload, repository, **more))

    assert (row.type, row.status) == (type_, "done"), row.outcome
    (link,) = await links(session_id)
    assert (link["kind"], link["state"]) == (kind, state)
    assert link["url"].startswith(f"https://github.com/{repository}/")
    assert link["title"]


@pytest.mark.parametrize(
    ("event", "payload"), [("check_run", say.check_run), ("workflow_run", say.workflow_run)]
)
async def test_checks_and_runs_may_come_to_either_address(
    make, repository, tell, links, event, payload
):
    session_id = await make.session(issue_identifier="ENG-7")

    for provider in ("github", "github-actions"):
        row = await tell(provider, event, payload(full_name=repository))
        assert row.status == "done"

    assert row.type == f"github_actions.{event}.completed"
    assert len(await links(session_id)) == 1


@pytest.mark.parametrize("what", ["created", "succeeded", "promoted", "canceled", "error"])
async def test_every_event_of_a_deployment_is_linked(make, repository, tell, links, what):
    session_id = await make.session(issue_identifier="ENG-7")

    row = await tell("vercel", "", of_vercel(make, what))

    assert (row.type, row.status) == (f"vercel.deployment.{what}", "done")
    assert await links(session_id) == [
        {
            "kind": "deployment",
            "url": "https://billing-git-eng-7-acme.vercel.app",
            "title": "billing",
            "state": what,
            "at": "2026-07-01T09:00:00.000Z",
        }
    ]


def test_every_type_that_something_follows_from_is_tried_here():
    twins = {
        name.replace("github.", "github_actions.", 1)
        for name in EVERY
        if name.startswith(("github.check_run.", "github.workflow_run."))
    }
    linear = {name for name in PROCESSORS if name.startswith("linear.")}
    vercel = {name for name in PROCESSORS if name.startswith("vercel.")}

    assert set(PROCESSORS) == set(EVERY) | twins | linear | vercel
    assert len(vercel) == 5


# --- whose session it belongs to -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("branch", "title"),
    [
        ("eng-7-keep-the-currency", "Keep it"),
        ("feature/ENG-7", "Keep it"),
        ("agent/Eng-7_qa", "Keep it"),
        ("fix", "[ENG-7] Keep it"),
        ("fix", "Keep it (eng-7)"),
    ],
)
async def test_a_branch_or_a_title_names_the_issue(make, repository, tell, links, branch, title):
    session_id = await make.session(issue_identifier="ENG-7")
    head = {"ref": branch, "sha": "a" * 40}

    await tell("github", "pull_request", say.pull_request("opened", repository, head=head,
                                                          title=title))  # fmt: skip

    assert [link["url"] for link in await links(session_id)] == [PULL.format(repository)]


@pytest.mark.parametrize("branch", ["eng-77", "peng-7", "eng7", "7", "main", "eng-7a", "eng--7"])
async def test_a_name_that_is_only_alike_is_no_name(make, repository, tell, links, branch):
    session_id = await make.session(issue_identifier="ENG-7")
    head = {"ref": branch, "sha": "a" * 40}

    row = await tell("github", "pull_request", say.pull_request("opened", repository, head=head))

    assert (row.status, row.outcome) == ("done", "linked to 0 sessions")
    assert await links(session_id) == []


@pytest.mark.parametrize("end", ["", "/"])
async def test_a_session_that_named_the_pull_request_is_its_session(
    make, repository, tell, links, end
):
    session_id = await make.session(
        issue_identifier="OPS-1",
        external_urls=f'[{{"label": "PR", "url": "{PULL.format(repository)}{end}"}}]',
    )
    head = {"ref": "unnamed", "sha": "a" * 40}

    await tell("github", "pull_request", say.pull_request("opened", repository, head=head))
    run = say.workflow_run(None, repository, head_branch="unnamed", pull_requests=[{"number": 7}])
    await tell("github-actions", "workflow_run", run)

    assert {link["kind"] for link in await links(session_id)} == {"pull-request", "run"}


async def test_another_projects_and_another_repositorys_sessions_are_left_alone(
    make, repository, tell, links
):
    elsewhere = await make.session(await make.project(), issue_identifier="ENG-7")
    other = await make.session(
        issue_identifier="ENG-7", work='{"repository": "https://github.com/acme/other"}'
    )
    same = await make.session(
        issue_identifier="ENG-7", work=f'{{"repository": "git@github.com:{repository}.git"}}'
    )

    row = await tell("github", "pull_request", say.pull_request("opened", repository))

    assert row.outcome == "linked to 1 session"
    assert [len(await links(each)) for each in (elsewhere, other, same)] == [0, 0, 1]


async def test_what_the_provider_said_later_stays_whatever_comes_last(
    make, repository, tell, links, audit_log
):
    session_id = await make.session(issue_identifier="ENG-7")

    await tell("github", "workflow_run", say.workflow_run("success", repository))
    await tell("github", "workflow_run", say.workflow_run(None, repository))
    (link,) = await links(session_id)
    rerun = say.workflow_run(None, repository, run_attempt=2, updated_at="2026-07-01T09:20:00Z")
    await tell("github", "workflow_run", rerun)
    (again,) = await links(session_id)

    assert (link["state"], link["at"]) == ("success", "2026-07-01T09:08:00.000Z")
    assert again["state"] == "in_progress"
    assert await audit_log(of="session.linked") == [("session.linked", session_id)]


@pytest.mark.parametrize(
    ("event", "broken"),
    [
        ("pull_request", {"pull_request": None}),
        ("pull_request", {"pull_request": {"number": "7"}}),
        ("pull_request", {"pull_request": {"number": 7, "html_url": "javascript:alert(1)"}}),
        ("pull_request", {"pull_request": {"number": True, "html_url": "https://x"}}),
        ("pull_request", {"repository": {"full_name": 7}}),
    ],
)
def test_a_payload_that_lacks_what_it_always_has_is_not_tried_again(event, broken):
    with pytest.raises(github_events.Unreadable):
        github_events.pull_request({**say.pull_request(), **broken})
    with pytest.raises(vercel_events.Unreadable):
        vercel_events.deployment({"type": "deployment.created", "payload": {"deployment": {}}})


async def test_an_unreadable_event_is_dead_at_once(make, repository, tell):
    payload = say.pull_request("opened", repository, html_url="javascript:alert(1)")

    row = await tell("github", "pull_request", payload)

    assert (row.status, row.outcome) == ("dead", "the pull-request has no html_url")


# --- what a pull request earned ------------------------------------------------------------------


async def worked(make, **columns):
    """A session that was worked on with a provider."""
    given = {"issue_identifier": "ENG-7", "provider": "claude", "lease_epoch": 1, **columns}
    return await make.session(status="completed", **given)


@pytest.mark.parametrize(
    ("payload", "outcome", "reward"),
    [
        (say.merged, "pull-request.merged", 1.0),
        (lambda name: say.pull_request("closed", name), "pull-request.closed", 0.0),
    ],
)
async def test_the_end_of_a_pull_request_is_learned_once(
    make, repository, tell, rewards, owner, audit_log, payload, outcome, reward
):
    session_id = await worked(make)
    await worked(make, work_type="qa", provider="codex")

    row = await tell("github", "pull_request", payload(repository))
    await tell("github", "pull_request", payload(repository))

    rows = await owner.execute("select * from routing_arms where org_id = %s", [make.org_id])
    (arm,) = await rows.fetchall()
    assert row.outcome == "linked to 2 sessions; routing learned from 1"
    assert await rewards() == [(session_id, outcome, reward)]
    assert (arm.provider, arm.work_type, arm.observations) == ("claude", "development", 1)
    assert (arm.alpha, arm.beta) == (1 + reward, 2 - reward)
    assert await audit_log(of="session.routing_feedback") == [
        ("session.routing_feedback", session_id)
    ]


async def test_closing_and_then_merging_are_two_outcomes_and_a_new_attempt_is_no_third(
    make, repository, tell, rewards, owner
):
    session_id = await worked(make)

    await tell("github", "pull_request", say.pull_request("closed", repository))
    await tell("github", "pull_request", say.merged(repository))
    await owner.execute("update sessions set lease_epoch = 2 where id = %s", [session_id])
    await tell("github", "pull_request", say.merged(repository, updated_at="2026-07-02T10:00:00Z"))

    assert await rewards() == [
        (session_id, "pull-request.closed", 0.0),
        (session_id, "pull-request.merged", 1.0),
    ]


async def test_who_named_the_pull_request_earns_and_not_the_latest_of_the_issue(
    make, repository, tell, rewards
):
    author = await worked(
        make, external_urls=f'[{{"label": "PR", "url": "{PULL.format(repository)}"}}]'
    )
    await worked(make, work_type="refinement")

    await tell("github", "pull_request", say.merged(repository))

    assert await rewards() == [(author, "pull-request.merged", 1.0)]


async def test_the_workers_own_word_and_the_merge_both_count(make, repository, tell, rewards):
    worker = await make.worker()
    session_id = await make.claimed(worker, issue_identifier="ENG-7", provider="claude")
    said = await worker.client.post(
        f"/api/sessions/{session_id}/routing-feedback",
        json={"provider": "claude", "workType": "development", "reward": 0.5},
    )

    await tell("github", "pull_request", say.merged(repository))

    assert said.status_code == 200, said.text
    assert await rewards() == [
        (session_id, "", 0.5),
        (session_id, "pull-request.merged", 1.0),
    ]


async def test_a_session_that_nobody_worked_on_earns_nothing(make, repository, tell, rewards):
    await make.session(issue_identifier="ENG-7")

    await tell("github", "pull_request", say.merged(repository))

    assert await rewards() == []


# --- failures that are looked into ---------------------------------------------------------------


@pytest.fixture
def scans(owner, make):
    async def scans():
        rows = await owner.execute(
            "select * from sessions where org_id = %s and id like 'scan-%%' order by created_at",
            [make.org_id],
        )
        return await rows.fetchall()

    return scans


async def test_nothing_starts_by_itself_unless_the_project_asked_for_it(
    make, repository, tell, scans
):
    await tell("github-actions", "workflow_run", say.workflow_run("failure", repository))
    await tell("vercel", "", of_vercel(make, "error"))

    assert await scans() == []


@pytest.mark.parametrize("conclusion", ["failure", "timed_out", "startup_failure"])
async def test_a_failed_run_queues_one_session_whichever_way_it_is_told(
    make, repository, tell, scans, conclusion
):
    await make.settings_of_project(automation={"failedRuns": True})

    for provider in ("github-actions", "github", "github-actions"):
        row = await tell(provider, "workflow_run", say.workflow_run(conclusion, repository))
    await tell("vercel", "", of_vercel(make, "error"))

    (scan,) = await scans()
    assert row.outcome.endswith(f"session {scan.id} is known already")
    assert (scan.work_type, scan.status, scan.waits_for) == (
        "operational-scanner-ci", "pending", None,
    )  # fmt: skip
    assert scan.issue_identifier == f"{repository}@{say.BRANCH}"
    assert scan.work["repository"] == f"https://github.com/{repository}"
    assert scan.work["ref"] == say.BRANCH
    assert "CI failed" in scan.work["promptContext"]


@pytest.mark.parametrize("conclusion", ["success", "cancelled", "skipped", "neutral", None])
async def test_a_run_that_did_not_fail_queues_nothing(make, repository, tell, scans, conclusion):
    await make.settings_of_project(automation={"failedRuns": True})

    await tell("github-actions", "workflow_run", say.workflow_run(conclusion, repository))

    assert await scans() == []


async def test_of_one_branch_one_failure_is_looked_into_at_a_time_and_three_in_a_day(
    make, repository, tell, scans
):
    await make.settings_of_project(automation={"failedRuns": True})

    for number in range(5):
        payload = say.workflow_run("failure", repository, id=9100 + number)
        row = await tell("github-actions", "workflow_run", payload)
    elsewhere = say.workflow_run("failure", repository, id=9200, head_branch="main")
    await tell("github-actions", "workflow_run", elsewhere)

    found = await scans()
    assert row.outcome.endswith("3 scans of it today already")
    assert [(each.status, each.waits_for) for each in found] == [
        ("pending", None),
        ("stopped", None),
        ("pending", "issue"),
        ("pending", None),
    ]


async def test_a_fork_is_looked_into_without_its_branch(make, repository, tell, scans):
    await make.settings_of_project(automation={"failedRuns": True})
    fork = {"full_name": "stranger/billing"}

    payload = say.workflow_run("failure", repository, head_repository=fork)
    await tell("github-actions", "workflow_run", payload)

    (scan,) = await scans()
    assert "ref" not in scan.work


async def test_a_type_of_work_that_the_project_does_without_stays_out(
    make, repository, tell, scans
):
    await make.settings_of_project(
        automation={"failedRuns": True}, disabledWorkTypes=["operational-scanner-ci"]
    )

    await tell("github-actions", "workflow_run", say.workflow_run("failure", repository))

    assert await scans() == []


async def test_a_failed_deployment_queues_a_session_of_its_own_kind(make, repository, tell, scans):
    await make.settings_of_project(automation={"failedDeployments": True})

    for _ in range(2):
        await tell("vercel", "", of_vercel(make, "error"))
    await tell("vercel", "", of_vercel(make, "succeeded"))
    await tell("github-actions", "workflow_run", say.workflow_run("failure", repository))

    (scan,) = await scans()
    assert (scan.work_type, scan.issue_identifier) == (
        "operational-scanner-vercel", f"billing@{say.BRANCH}",
    )  # fmt: skip
    assert "https://vercel.com/acme/billing/dpl_1" in scan.work["promptContext"]
