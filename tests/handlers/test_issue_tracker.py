"""The built-in tracker: what workers ask of it, and what Linear's events put into it."""

import asyncio

import pytest

from tests.conftest import SYSTEM_KEY
from tests.factories import Maker, linear_event
from tests.tracker import ask


async def test_an_issue_that_only_a_session_names_has_all_that_clients_need(make):
    worker = await make.worker()
    session_id = await make.claimed(worker, issue_title="Keep the currency", project_name="Billing")
    row = await make.stored(session_id)

    by_identifier = await ask(worker, "getIssue", row.issue_identifier)
    by_id = await ask(worker, "getIssue", row.issue_id)
    is_child = await ask(worker, "isChildIssue", row.issue_id)

    assert by_identifier == by_id
    assert (by_id["id"], by_id["identifier"]) == (row.issue_id, row.issue_identifier)
    assert (by_id["title"], by_id["labels"]) == ("Keep the currency", [])
    assert (by_id["team"]["name"], by_id["project"]["name"]) == ("ENG", "Billing")
    assert by_id["parent"] is None
    assert "state" not in by_id
    assert is_child is False


async def test_what_an_agent_sessions_event_tells_of_its_issue_is_known(make, tracker):
    worker = await make.worker()
    event = linear_event(
        tracker.workspace,
        description="Why",
        state={"id": "s1", "name": "Todo", "type": "unstarted"},
    )

    await tracker.send(event)

    issue = await ask(worker, "getIssue", event["agentSession"]["issue"]["id"])
    assert (issue["title"], issue["description"]) == ("Keep the currency of a refund", "Why")
    assert issue["state"] == {"id": "s1", "name": "Backlog", "type": "unstarted"}


async def test_an_issues_event_tells_it_whole(make, tracker):
    worker = await make.worker()
    await tracker.issue(
        2,
        labels=[{"id": "lab-1", "name": "billing"}],
        assignee={"id": "u1", "name": "Ada", "email": "ada@example.com"},
        project={"id": "prj-1", "name": "Billing"},
        parent={"id": tracker.id(1), "identifier": "ENG-1"},
        description="Why",
    )

    issue = await ask(worker, "getIssue", f"{tracker.prefix}-2")

    assert issue["url"] == "https://linear.app/acme/issue/ENG-2"
    assert issue["labels"] == [{"id": "lab-1", "name": "billing"}]
    assert issue["assignee"] == {"id": "u1", "name": "Ada", "email": "ada@example.com"}
    assert issue["team"] == {"id": "team-1", "name": "Engineering", "key": tracker.prefix}
    assert issue["project"] == {"id": "prj-1", "name": "Billing"}
    assert issue["parent"] == {"id": tracker.id(1), "identifier": "ENG-1"}
    assert await ask(worker, "isChildIssue", issue["id"]) is True


async def test_a_report_that_comes_late_changes_nothing(make, tracker):
    worker = await make.worker()
    await tracker.issue(title="New", second=30)

    late = await tracker.issue(title="Old", second=20)

    assert "as it became later" in late.outcome
    assert (await ask(worker, "getIssue", tracker.id()))["title"] == "New"


@pytest.mark.parametrize("name", ["Started", "Finished", "Delivered", "Accepted", "Rejected"])
async def test_a_state_is_moved_once_and_kept_where_the_team_lacks_it(
    make, tracker, audit_log, name
):
    worker = await make.worker()
    await tracker.issue()

    answers = await asyncio.gather(
        *(ask(worker, "updateIssueStatus", tracker.id(), name) for _ in range(3))
    )
    await tracker.issue(title="Another title")

    assert {answer["state"]["name"] for answer in answers} == {name}
    issue = await ask(worker, "getIssue", tracker.id())
    assert (issue["title"], issue["state"]["name"]) == ("Another title", name)
    assert len(await audit_log(of="issue.moved")) == 2  # into Backlog, and the one move


async def test_the_projects_names_of_states_hold_both_ways(make, tracker):
    worker = await make.worker()
    await make.settings_of_project(stateNames={"finished": "In Review", "accepted": "Done"})
    await tracker.issue(1, "In Progress")
    started = await ask(worker, "getIssue", tracker.id())
    await tracker.issue(1, "In Review")

    issue = await ask(worker, "getIssue", tracker.id())
    states = await ask(worker, "getTeamStatuses", "team-1")

    assert started["state"]["name"] == "Started"
    assert issue["state"] == {"id": "st-In Review", "name": "Finished", "type": "started"}
    assert states["Finished"] == "st-In Review"
    assert states["Started"] == "st-In Progress"
    assert states["Delivered"] == "rensei-delivered"


async def test_a_comment_is_made_once_however_often_it_is_sent(make, tracker, audit_log):
    worker = await make.worker()
    await tracker.issue()

    made = await asyncio.gather(
        *(ask(worker, "createComment", tracker.id(), "Done.") for _ in range(4))
    )
    await ask(worker, "createComment", tracker.id(), "Really.")
    await tracker.tell(
        "Comment", "create", id="c-9", issueId=tracker.id(), body="Thanks", user={"id": "u1"}
    )

    comments = await ask(worker, "getIssueComments", tracker.id())
    assert len({each["id"] for each in made}) == 1
    assert [each["body"] for each in comments if each["user"]["name"] == "Rensei"] == [
        "Done.",
        "Really.",
    ]
    assert {each["body"] for each in comments} == {"Done.", "Really.", "Thanks"}
    assert await audit_log(of="issue.commented") == [("issue.commented", tracker.id())] * 2
    await tracker.tell("Comment", "remove", id="c-9", issueId=tracker.id())
    assert len(await ask(worker, "getIssueComments", tracker.id())) == 2


async def test_an_issue_is_unassigned_and_changed(make, tracker):
    worker = await make.worker()
    await tracker.issue(assignee={"id": "u1", "name": "Ada"})
    await tracker.tell("IssueLabel", "create", id="lab-7", name="urgent")

    unassigned = await ask(worker, "unassignIssue", tracker.id())
    again = await ask(worker, "unassignIssue", tracker.id())
    changed = await ask(
        worker,
        "updateIssue",
        tracker.id(),
        {"title": "Better", "priority": 1, "labelIds": ["lab-7"], "stateId": "rensei-finished"},
    )

    emptied = await ask(
        worker,
        "updateIssue",
        tracker.id(),
        {"labelIds": [], "description": None, "assigneeId": "u2"},
    )

    assert (emptied["labels"], emptied["assignee"]) == ([], {"id": "u2", "name": "u2"})
    assert "description" not in emptied
    assert unassigned["assignee"] is None
    assert again["assignee"] is None
    assert (changed["title"], changed["priority"]) == ("Better", 1)
    assert changed["labels"] == [{"id": "lab-7", "name": "urgent"}]
    assert changed["state"]["name"] == "Finished"


async def test_a_labels_new_name_reaches_the_issues_that_have_it(make, tracker):
    worker = await make.worker()
    labels = [{"id": "lab-1", "name": "billing"}, {"id": "lab-2", "name": "later"}]
    await tracker.issue(labels=labels)

    await tracker.tell("IssueLabel", id="lab-1", name="money")
    await tracker.tell("IssueLabel", "remove", id="lab-2", name="later")

    issue = await ask(worker, "getIssue", tracker.id())
    assert issue["labels"] == [{"id": "lab-1", "name": "money"}]


async def test_sub_issues_and_what_blocks_them(make, tracker, audit_log):
    worker = await make.worker()
    parent = {"id": tracker.id(1), "identifier": "ENG-1"}
    await tracker.issue(1, project={"id": "prj-1", "name": "Billing"})
    await tracker.issue(2, "In Progress", parent=parent)
    await tracker.issue(3, parent=parent)
    wanted = {"issueId": tracker.id(2), "relatedIssueId": tracker.id(3), "type": "blocks"}

    made = [await ask(worker, "createIssueRelation", wanted) for _ in range(2)]

    graph = await ask(worker, "getSubIssueGraph", tracker.id(1))
    assert made[0] == made[1]
    assert [each["blocks"] for each in graph["subIssues"]] == [[f"{tracker.prefix}-3"], []]
    assert [each["blockedBy"] for each in graph["subIssues"]] == [[], [f"{tracker.prefix}-2"]]
    assert [each["status"] for each in await ask(worker, "getSubIssueStatuses", parent["id"])] == [
        "Started",
        "Backlog",
    ]
    assert len(await ask(worker, "getSubIssues", parent["id"])) == 2
    assert await ask(worker, "isParentIssue", parent["id"]) is True
    assert await ask(worker, "isParentIssue", tracker.id(2)) is False
    (listed,) = await ask(worker, "listProjectIssues", "Billing")
    assert (listed["identifier"], listed["childCount"]) == (f"{tracker.prefix}-1", 2)
    related = await ask(worker, "getIssueRelations", tracker.id(3))
    (back,) = related["inverseRelations"]
    assert (back["issueIdentifier"], related["relations"]) == (f"{tracker.prefix}-2", [])
    for _ in range(2):
        assert await ask(worker, "deleteIssueRelation", back["id"]) == {"success": True}
    assert (await ask(worker, "getIssueRelations", tracker.id(3)))["inverseRelations"] == []
    for event_type in ("issue.related", "issue.unrelated"):
        assert await audit_log(of=event_type) == [(event_type, tracker.id(2))]


async def test_teams_viewer_and_repository(make, tracker):
    worker = await make.worker()
    repository = {"cloneUrl": "https://github.com/acme/billing", "defaultBranch": "main"}
    await make.settings_of_project(repositories=[repository])
    await tracker.issue(project={"id": "prj-1", "name": "Billing"})

    assert await ask(worker, "getTeam", tracker.prefix) == {
        "id": "team-1",
        "name": "Engineering",
        "key": tracker.prefix,
    }
    assert (await ask(worker, "getViewer"))["id"] == worker.id
    assert await ask(worker, "getProjectRepositoryUrl", "prj-1") == repository["cloneUrl"]


async def test_another_project_and_another_organization_know_nothing_of_it(
    make, tracker, owner, application
):
    await tracker.issue()
    next_door = await make.project()
    key = await make.key(projects=[next_door], scopes=["worker:register", "worker:session"])
    neighbour = await make.worker(key, projectId=next_door)
    other = await Maker.begin(application, owner, SYSTEM_KEY)
    stranger = await other.worker()

    for caller in (neighbour, stranger):
        for method, *more in (
            ("getIssue",),
            ("updateIssueStatus", "Finished"),
            ("createComment", "Mine"),
            ("unassignIssue",),
            ("getSubIssueGraph",),
        ):
            text = await ask(caller, method, tracker.id(), *more, status=404)
            assert text == "Issue not found"
        assert await ask(caller, "getIssue", f"{tracker.prefix}-1", status=404)
    await other.close()


async def test_an_issue_that_was_taken_away_is_not_found(make, tracker):
    worker = await make.worker()
    await tracker.issue()

    await tracker.tell("Issue", "remove", id=tracker.id())

    assert await ask(worker, "getIssue", tracker.id(), status=404) == "Issue not found"


@pytest.mark.parametrize(
    ("method", "args", "text"),
    [
        ("getIssue", [], "body.args[0]: is required by getIssue"),
        ("getIssue", [7], "body.args[0]: must be a text of 1 to 200 characters"),
        ("updateIssueStatus", ["x", "Someday"], "body.args[1]: must be one of Icebox"),
        ("updateIssue", ["x", {"priority": 9}], "body.args[1].priority: must be a number"),
        ("updateIssue", ["x", {"description": [1]}], "body.args[1].description: must be a text"),
        ("updateIssue", ["x", 7], "body.args[1]: must be an object"),
        ("updateIssue", ["x", {"labelIds": [1]}], "body.args[1].labelIds[0]: must be a text"),
        ("createIssueRelation", [{"issueId": "x"}], "body.args[0].relatedIssueId: must be"),
        ("dropTables", [], "body.method: "),
    ],
)
async def test_arguments_that_do_not_fit_are_named(make, method, args, text):
    worker = await make.worker()

    said = await ask(worker, method, *args, status=400)

    assert said.startswith(text)


async def test_an_event_without_what_its_kind_always_has_is_dead(tracker):
    assert (await tracker.tell("Issue", title="No id")).status == "dead"
    assert (await tracker.tell("Issue", id="x", title="No identifier")).status == "dead"
    assert (await tracker.tell("IssueLabel", id="x")).status == "dead"
    assert (await tracker.tell("Comment", "create", id="x", body="On a project")).status == "done"


async def test_the_configuration_leaves_no_work_out_and_names_what_is_served(make):
    worker = await make.worker()

    said = (await worker.client.get("/api/config")).json()

    assert said["projects"] == []
    assert said["organizationId"] == make.org_id
    assert make.project_id in [each["id"] for each in said["served"]]
