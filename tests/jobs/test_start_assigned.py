"""An issue given to the agent is worked on, once, whether or not Linear opens an agent session."""

import pytest

from jobs.start_assigned import start_assigned
from tests.factories import linear_event

AGENT = "app-user-1"


@pytest.fixture
async def agent(tracker):
    """Linear has told who the agent is, with an agent session of another issue."""
    event = linear_event(tracker.workspace)
    event["agentSession"]["appUserId"] = AGENT
    await tracker.send(event)
    return AGENT


@pytest.fixture
def later(make):
    async def later():
        await make.owner.execute(
            "update assignments set assigned_at = assigned_at - interval '31 seconds'"
            " where org_id = %s",
            (make.org_id,),
        )

    return later


async def give(tracker, who, **issue):
    """Tell that the issue is now this one's."""
    tracker.seconds += 1
    changed = {"updatedFrom": {"delegateId": None}}
    event = {
        "type": "Issue",
        "action": "update",
        "organizationId": tracker.workspace,
        "data": {
            "id": tracker.id(),
            "identifier": f"{tracker.prefix}-1",
            "title": "Issue 1",
            "state": {"id": "st-1", "name": "Todo", "type": "unstarted"},
            "updatedAt": f"2026-07-01T10:00:{tracker.seconds:02}.000Z",
            "delegateId": who,
            **issue,
        },
        "webhookTimestamp": 1782896400000 + tracker.seconds,
    }
    await tracker.send({**event, **changed})


async def work_of(make, tracker):
    found = await make.owner.execute(
        "select id, work_type from sessions where org_id = %s and issue_id = %s",
        (make.org_id, tracker.id()),
    )
    return [(row.work_type, row.id.startswith("governor-")) for row in await found.fetchall()]


async def test_an_issue_without_an_agent_session_is_worked_on_after_half_a_minute(
    make, tracker, agent, later, run_job
):
    await give(tracker, agent)
    await run_job(start_assigned)
    early = await work_of(make, tracker)
    await later()

    await run_job(start_assigned)
    await run_job(start_assigned)

    assert early == []
    assert await work_of(make, tracker) == [("development", True)]


@pytest.mark.parametrize("first", ["assignment", "session"])
async def test_an_agent_session_that_comes_is_the_work(make, tracker, agent, later, run_job, first):
    event = linear_event(tracker.workspace, id=tracker.id(), identifier=f"{tracker.prefix}-1")
    if first == "session":
        await tracker.send(event)
    await give(tracker, agent)
    if first == "assignment":
        await tracker.send(event)
    await later()

    await run_job(start_assigned)

    assert await work_of(make, tracker) == [("development", False)]


async def test_what_is_given_to_a_person_or_taken_back_starts_nothing(
    make, tracker, agent, later, run_job
):
    await give(tracker, "somebody")
    await give(tracker, agent)
    await give(tracker, None)
    await later()

    await run_job(start_assigned)

    assert await work_of(make, tracker) == []


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("In Progress", "started", [("inflight", True)]),
        ("Done", "completed", []),
        ("Canceled", "canceled", []),
    ],
)
async def test_the_state_says_which_work(
    make, tracker, agent, later, run_job, name, kind, expected
):
    await give(tracker, agent, state={"id": "st-2", "name": name, "type": kind})
    await later()

    await run_job(start_assigned)

    assert await work_of(make, tracker) == expected


async def test_work_that_the_project_has_switched_off_does_not_start(
    make, tracker, agent, later, run_job
):
    await make.settings_of_project(disabledWorkTypes=["development"])
    await give(tracker, agent)
    await later()

    await run_job(start_assigned)

    assert await work_of(make, tracker) == []
