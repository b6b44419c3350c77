"""The issue tracker as workers use it: one operation, a method a call."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from domain import issue_states, tracker_calls
from domain.errors import Invalid, NotFound
from domain.principal import Principal
from handlers.replies import Reply
from persistence import audit, database, projects, tracker_comments, tracker_issues
from persistence.ephemeral import nudges
from services import issue_shapes as shapes
from services import issue_writes, linear_reads
from services.automation import move
from services.issues import find, hold, require_alive

AGENT: Final = "Rensei"
OF_AN_ISSUE: Final = frozenset(
    {
        "getIssue",
        "updateIssue",
        "unassignIssue",
        "updateIssueStatus",
        "createComment",
        "getIssueComments",
        "getIssueRelations",
        "getSubIssues",
        "getSubIssueStatuses",
        "getSubIssueGraph",
        "isParentIssue",
        "isChildIssue",
    }
)
"""Methods whose first argument names an issue."""
WRITING: Final = frozenset({"updateIssue", "unassignIssue", "updateIssueStatus", "createComment"})


async def get_worker_config(user: Principal) -> Reply:
    """Tell a worker what its credential serves."""
    async with database.statement() as db:
        await require_alive(db, user)
        page = await projects.list_page(db, str(user.org_id), user.projects, 200, None)
    return {
        "projects": [],
        "organizationId": user.org_id,
        "served": [{"id": row.id, "name": row.name, "slug": row.slug} for row in page.rows],
    }, 200


async def issue_tracker_proxy(body: dict[str, Any], user: Principal) -> Reply:
    """Do one thing with the tracker's issues."""
    name = body["method"]
    args = tracker_calls.arguments(name, body["args"])
    try:
        data = await _do(name, args, user)
    except NotFound:
        # Outside of every transaction: Linear may take its time.
        if name not in OF_AN_ISSUE or not await linear_reads.learn(user, args[0]):
            raise
        data = await _do(name, args, user)
    if name in WRITING:
        await nudges.try_nudge(nudges.OUTBOX)
        for project_id in user.projects or ():
            await nudges.try_nudge(nudges.work(str(user.org_id), project_id))
    return {"success": True, "data": data}, 200


async def _do(name: str, args: list[Any], user: Principal) -> Any:
    async with database.transaction() as db:
        await require_alive(db, user)
        return await METHODS[name](db, user, *args)


async def _get_issue(db: AsyncConnection, user: Principal, name: str) -> Any:
    return shapes.issue(await find(db, user, name))


async def _update_issue(
    db: AsyncConnection, user: Principal, name: str, change: dict[str, Any]
) -> Any:
    issue = await hold(db, user, name)
    values = {
        column: change[member]
        for member, column in tracker_calls.PLAIN_CHANGES.items()
        if member in change
    }
    if "assigneeId" in change:
        person = change["assigneeId"]
        values["assignee"] = person and _assignee(issue, person)
    if "labelIds" in change:
        values["labels"] = await tracker_issues.labels(
            db, issue.org_id, issue.project_id, change["labelIds"]
        )
    if values:
        await tracker_issues.change(db, issue.org_id, issue.project_id, issue.id, values)
        await audit.append(
            db, issue.org_id, user, "issue.changed", ("issue", issue.id), {"members": list(values)}
        )
        sent = {member: each for member, each in change.items() if member != "stateId"}
        await issue_writes.change(db, issue, sent)
    if "stateId" in change:
        await move(db, issue, await _state_of_id(db, user, issue, change["stateId"]), user)
    return await _get_issue(db, user, issue.id)


def _assignee(issue: Any, person: str) -> dict[str, str]:
    known = issue.assignee if issue.assignee and issue.assignee["id"] == person else None
    return known or {"id": person, "name": person}


async def _state_of_id(db: AsyncConnection, user: Principal, issue: Any, state_id: str) -> str:
    """One of our states, for the id of a team's or of one that is kept here."""
    kept = issue_states.named(state_id.removeprefix(issue_states.KEPT_HERE))
    if kept and state_id.startswith(issue_states.KEPT_HERE):
        return kept
    team = shapes.team(issue)
    known, _ = await tracker_issues.states(
        db, str(user.org_id), [issue.project_id], team["id"] if team else ""
    )
    name, type_ = known.get(state_id, ("", ""))
    state = issue_states.ours(name, type_, issue.state_names)
    if state is None:
        raise Invalid("body.args[1].stateId: the issue's team has no such state")
    return state


async def _update_issue_status(db: AsyncConnection, user: Principal, name: str, state: str) -> Any:
    issue = await hold(db, user, name)
    await move(db, issue, state, user)
    return await _get_issue(db, user, issue.id)


async def _unassign_issue(db: AsyncConnection, user: Principal, name: str) -> Any:
    issue = await hold(db, user, name)
    if issue.assignee is not None:
        values = {"assignee": None}
        await tracker_issues.change(db, issue.org_id, issue.project_id, issue.id, values)
        await audit.append(db, issue.org_id, user, "issue.unassigned", ("issue", issue.id))
        await issue_writes.change(db, issue, {"assigneeId": None})
    return await _get_issue(db, user, issue.id)


async def _create_comment(db: AsyncConnection, user: Principal, name: str, text: str) -> Any:
    """Comment, once: real clients send a request again whose answer was lost."""
    issue = await hold(db, user, name)
    digest = hashlib.sha256(f"{user.registration_id}\n{text}".encode()).digest()
    known = await tracker_comments.repeated(db, issue.org_id, issue.project_id, issue.id, digest)
    if known is not None:
        return shapes.comment(known)
    values = {
        "org_id": issue.org_id,
        "project_id": issue.project_id,
        "id": str(uuid4()),
        "issue_id": issue.id,
        "body": text,
        "author": {"id": user.worker_id or user.id, "name": AGENT},
        "digest": digest,
    }
    made = await tracker_comments.add(db, values)
    await audit.append(
        db, issue.org_id, user, "issue.commented", ("issue", issue.id), {"commentId": made.id}
    )
    await issue_writes.comment(db, issue, made.id, text)
    return shapes.comment(made)


async def _get_issue_comments(db: AsyncConnection, user: Principal, name: str) -> Any:
    issue = await find(db, user, name)
    rows = await tracker_comments.of_issue(db, issue.org_id, issue.project_id, issue.id)
    return [shapes.comment(row) for row in rows]


async def _get_team_statuses(db: AsyncConnection, user: Principal, team_id: str) -> Any:
    """The id of each of our states: the team's own, or one that is kept here."""
    known, names = await tracker_issues.states(db, str(user.org_id), user.projects, team_id)
    return {
        issue_states.shown(state): issue_states.theirs(state, known, names)
        or issue_states.KEPT_HERE + state
        for state in issue_states.STATES
    }


async def _create_relation(db: AsyncConnection, user: Principal, wanted: dict[str, str]) -> Any:
    issue = await find(db, user, wanted["issueId"])
    related = await find(db, user, wanted["relatedIssueId"])
    if related.project_id != issue.project_id:
        raise NotFound("Issue not found")
    values = {
        "org_id": issue.org_id,
        "project_id": issue.project_id,
        "id": str(uuid4()),
        "issue_id": issue.id,
        "related_issue_id": related.id,
        "type": wanted["type"],
    }
    relation_id = await tracker_comments.relate(db, values)
    if relation_id == values["id"]:
        about = {"relationId": relation_id, "relatedIssueId": related.id, "type": wanted["type"]}
        await audit.append(db, issue.org_id, user, "issue.related", ("issue", issue.id), about)
    return {"success": True, "relationId": relation_id}


async def _get_relations(db: AsyncConnection, user: Principal, name: str) -> Any:
    issue = await find(db, user, name)
    rows = await tracker_comments.relations(db, issue.org_id, issue.project_id, [issue.id])
    return {
        "relations": [shapes.relation(row) for row in rows if row.issue_id == issue.id],
        "inverseRelations": [
            shapes.relation(row) for row in rows if row.related_issue_id == issue.id
        ],
    }


async def _delete_relation(db: AsyncConnection, user: Principal, relation_id: str) -> Any:
    org_id = str(user.org_id)
    for gone in await tracker_comments.unrelate(db, org_id, user.projects, relation_id):
        about = {"relationId": gone.id, "relatedIssueId": gone.related_issue_id, "type": gone.type}
        await audit.append(db, org_id, user, "issue.unrelated", ("issue", gone.issue_id), about)
    return {"success": True}


async def _children(db: AsyncConnection, user: Principal, name: str) -> tuple[Any, list[Any]]:
    issue = await find(db, user, name)
    return issue, await tracker_issues.children(db, issue.org_id, issue.project_id, issue.id)


async def _get_sub_issues(db: AsyncConnection, user: Principal, name: str) -> Any:
    _, rows = await _children(db, user, name)
    return [shapes.issue(row) for row in rows]


async def _get_sub_issue_statuses(db: AsyncConnection, user: Principal, name: str) -> Any:
    _, rows = await _children(db, user, name)
    return [
        {"identifier": row.identifier, "title": row.title, "status": shapes.state_name(row)}
        for row in rows
    ]


async def _get_sub_issue_graph(db: AsyncConnection, user: Principal, name: str) -> Any:
    issue, rows = await _children(db, user, name)
    ids = [row.id for row in rows]
    relations = await tracker_comments.relations(db, issue.org_id, issue.project_id, ids)
    return shapes.graph(issue, rows, relations)


async def _is_parent_issue(db: AsyncConnection, user: Principal, name: str) -> Any:
    _, rows = await _children(db, user, name)
    return bool(rows)


async def _is_child_issue(db: AsyncConnection, user: Principal, name: str) -> Any:
    return (await find(db, user, name)).parent_id is not None


async def _list_project_issues(db: AsyncConnection, user: Principal, name: str) -> Any:
    rows = await tracker_issues.of_project(db, str(user.org_id), user.projects, name)
    return [shapes.listed(row) for row in rows]


async def _get_repository(db: AsyncConnection, user: Principal, name: str) -> Any:
    return await tracker_issues.repository(db, str(user.org_id), user.projects, name)


async def _get_viewer(_db: AsyncConnection, user: Principal) -> Any:
    return {"id": user.worker_id or user.id, "name": AGENT, "email": ""}


async def _get_team(db: AsyncConnection, user: Principal, name: str) -> Any:
    team = await tracker_issues.team(db, str(user.org_id), user.projects, name)
    # Before the tracker has told of it, a team is what the identifiers of its issues say.
    return team or {"id": name, "name": name, "key": name}


METHODS: Final[dict[str, Callable[..., Awaitable[Any]]]] = {
    "getIssue": _get_issue,
    "updateIssue": _update_issue,
    "unassignIssue": _unassign_issue,
    "updateIssueStatus": _update_issue_status,
    "getTeamStatuses": _get_team_statuses,
    "createComment": _create_comment,
    "getIssueComments": _get_issue_comments,
    "createIssueRelation": _create_relation,
    "getIssueRelations": _get_relations,
    "deleteIssueRelation": _delete_relation,
    "getSubIssues": _get_sub_issues,
    "getSubIssueStatuses": _get_sub_issue_statuses,
    "getSubIssueGraph": _get_sub_issue_graph,
    "isParentIssue": _is_parent_issue,
    "isChildIssue": _is_child_issue,
    "listProjectIssues": _list_project_issues,
    "getProjectRepositoryUrl": _get_repository,
    "getViewer": _get_viewer,
    "getTeam": _get_team,
}
