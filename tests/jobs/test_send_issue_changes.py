"""What workers do to issues reaches Linear, in order, and comes back without doing anything."""

import pytest

from jobs.send_outbox import send_outbox
from tests.outbound.servers import reply
from tests.tracker import ask


@pytest.fixture(autouse=True)
async def empty(owner, application):
    """Nothing of other tests is left to send."""
    await owner.execute("update outbox set status = 'dead' where status in ('waiting', 'sending')")


async def team(tracker):
    """Linear has told of these states of the team."""
    for number, state in enumerate(("In Progress", "Done", "Todo"), 2):
        await tracker.issue(number, state)


async def test_moves_comments_and_changes_go_out_in_order(make, tracker, linear, run_job):
    worker = await make.worker()
    await team(tracker)
    await tracker.issue(1, "Todo", assignee={"id": "u1", "name": "Ada"})

    await ask(worker, "updateIssueStatus", tracker.id(), "Started")
    comment = await ask(worker, "createComment", tracker.id(), "On it.")
    await ask(worker, "updateIssue", tracker.id(), {"title": "Better", "assigneeId": "u2"})
    await ask(worker, "unassignIssue", tracker.id())
    await ask(worker, "updateIssueStatus", tracker.id(), "Accepted")
    linear.trouble = [reply(500)]
    await run_job(send_outbox)
    nothing = list(linear.said)
    await make.owner.execute(
        "update outbox set next_try_at = now() where org_id = %s", (make.org_id,)
    )
    await run_job(send_outbox)

    assert nothing == []
    assert linear.said == [
        ("issue_update", {"stateId": "st-In Progress"}),
        ("comment", {"id": comment["id"], "issueId": tracker.id(), "body": "On it."}),
        ("issue_update", {"title": "Better", "assigneeId": "u2"}),
        ("issue_update", {"assigneeId": None}),
        ("issue_update", {"stateId": "st-Done"}),
    ]


async def test_a_repeat_is_sent_once(make, tracker, linear, run_job):
    worker = await make.worker()
    await team(tracker)
    await tracker.issue(1, "Todo")

    for _ in range(3):
        await ask(worker, "updateIssueStatus", tracker.id(), "Started")
        await ask(worker, "createComment", tracker.id(), "On it.")
        await ask(worker, "unassignIssue", tracker.id())
    await run_job(send_outbox)

    assert [kind for kind, _ in linear.said] == ["issue_update", "comment"]


async def test_a_state_that_the_team_lacks_is_kept_here_and_not_sent(
    make, tracker, linear, run_job
):
    worker = await make.worker()
    await team(tracker)
    await tracker.issue(1, "In Progress")

    answer = await ask(worker, "updateIssueStatus", tracker.id(), "Delivered")
    await run_job(send_outbox)

    assert answer["state"]["name"] == "Delivered"
    assert linear.said == []


async def test_what_was_sent_comes_back_and_moves_nothing(
    make, tracker, linear, run_job, audit_log
):
    worker = await make.worker()
    await team(tracker)
    await tracker.issue(1, "Todo")
    await ask(worker, "updateIssueStatus", tracker.id(), "Started")
    await ask(worker, "updateIssueStatus", tracker.id(), "Finished")
    await run_job(send_outbox)
    before = await audit_log(of="issue.moved")

    await tracker.issue(1, "In Progress")

    assert (await ask(worker, "getIssue", tracker.id()))["state"]["name"] == "Finished"
    assert await audit_log(of="issue.moved") == before
    await tracker.issue(1, "Todo")  # a person's move
    assert (await ask(worker, "getIssue", tracker.id()))["state"]["name"] == "Backlog"


async def test_a_comment_of_ours_that_comes_back_is_the_same_comment(
    make, tracker, linear, run_job
):
    worker = await make.worker()
    await tracker.issue()
    made = await ask(worker, "createComment", tracker.id(), "On it.")

    await tracker.tell("Comment", "create", id=made["id"], issueId=tracker.id(), body="On it.")

    (comment,) = await ask(worker, "getIssueComments", tracker.id())
    assert comment["id"] == made["id"]


async def test_without_a_credential_everything_is_done_here_and_nothing_waits(make, tracker):
    worker = await make.worker()
    await team(tracker)
    await tracker.issue(1, "Todo")

    await ask(worker, "updateIssueStatus", tracker.id(), "Started")
    await ask(worker, "createComment", tracker.id(), "On it.")

    found = await make.owner.execute(
        "select count(*) from outbox where org_id = %s", (make.org_id,)
    )
    assert (await found.fetchone())[0] == 0
