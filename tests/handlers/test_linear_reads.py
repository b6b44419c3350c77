"""Issues that nobody has told of: read from Linear, once, where a credential is configured."""

import time

import pytest

from services import linear_reads
from tests.outbound.servers import graphql_error
from tests.tracker import ask


@pytest.fixture(autouse=True)
def nothing_remembered():
    linear_reads._missing.clear()


@pytest.fixture
def there(make, linear):
    """An issue of Linear's that no event has told of; its name."""
    name = f"{make.slug[-8:].upper()}-7"
    issue = {
        "id": f"{make.slug}-far-issue",
        "identifier": name,
        "title": "Keep the currency",
        "description": "Of a refund",
        "url": f"https://linear.app/acme/issue/{name}",
        "priority": 2,
        "createdAt": "2026-07-01T09:00:00.000Z",
        "updatedAt": "2026-07-01T09:30:00.000Z",
        "state": {"id": "st-1", "name": "Todo", "type": "unstarted"},
        "team": {"id": "team-9", "name": "Engineering", "key": "ENG"},
        "assignee": {"id": "u-1", "name": "Ada"},
        "project": None,
        "parent": None,
        "labels": {"nodes": [{"id": "l-1", "name": "bug"}]},
    }
    linear.issues |= {name: issue, issue["id"]: issue}
    return name


async def test_an_unknown_issue_is_read_once_and_known_from_then_on(make, linear, there):
    worker = await make.worker()

    read = await ask(worker, "getIssue", there)
    again = await ask(worker, "getIssue", there)
    by_id = await ask(worker, "isChildIssue", read["id"])

    assert (read["identifier"], read["title"], read["description"]) == (
        there,
        "Keep the currency",
        "Of a refund",
    )
    assert (read["state"]["name"], read["team"]["name"]) == ("Backlog", "Engineering")
    assert [label["name"] for label in read["labels"]] == ["bug"]
    assert again == read
    assert by_id is False
    assert linear.tried == [there]


async def test_a_change_of_an_unknown_issue_is_made_here_and_goes_out(make, linear, there):
    worker = await make.worker()

    moved = await ask(worker, "updateIssueStatus", there, "Started")

    assert moved["state"]["name"] == "Started"
    found = await make.owner.execute(
        "select count(*) as count from sessions where org_id = %s", (make.org_id,)
    )
    assert (await found.fetchone()).count == 0


async def test_what_linear_does_not_know_is_not_found_and_not_asked_for_at_once(make, linear):
    worker = await make.worker()

    for _ in range(3):
        assert await ask(worker, "getIssue", "ENG-404", status=404) == "Issue not found"

    assert linear.tried == ["ENG-404"]


@pytest.mark.parametrize("trouble", ["no answer in time", "an error", "a limit"])
async def test_where_linear_fails_the_issue_is_not_found_and_nobody_waits(
    make, linear, there, monkeypatch, trouble
):
    monkeypatch.setattr(linear_reads, "PATIENCE_SECONDS", 0.2)
    worker = await make.worker()
    if trouble == "no answer in time":
        linear.seconds = 5.0
    else:
        code = "RATELIMITED" if trouble == "a limit" else "INTERNAL_SERVER_ERROR"
        linear.trouble = [graphql_error("Sorry", 400, code)]

    begun = time.monotonic()
    assert await ask(worker, "getIssue", there, status=404) == "Issue not found"

    assert time.monotonic() - begun < 2


async def test_another_projects_issue_is_not_read_for_this_one(make, linear, there):
    """The credential may see more than the project: what is another's stays with it."""
    other = await make.project()
    elsewhere = await make.worker(key=await make.key(projects=[other]))
    await ask(elsewhere, "getIssue", there)
    worker = await make.worker()

    assert await ask(worker, "getIssue", there, status=404) == "Issue not found"


async def test_an_issue_that_the_tracker_took_away_is_not_brought_back(make, linear, there):
    worker = await make.worker()
    issue = await ask(worker, "getIssue", there)
    await make.owner.execute(
        "update tracker_issues set gone = true where org_id = %s and id = %s",
        (make.org_id, issue["id"]),
    )

    assert await ask(worker, "getIssue", there, status=404) == "Issue not found"


async def test_without_a_credential_nothing_goes_out(make):
    worker = await make.worker()

    assert await ask(worker, "getIssue", "ENG-404", status=404) == "Issue not found"
    assert linear_reads._missing
