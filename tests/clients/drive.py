"""The generated Python client at work, under `mypy --strict`: prints what it saw as JSON."""

import json
import os
from collections.abc import Iterator
from typing import Any, TypeVar

import httpx
from rensei_client import AuthenticatedClient
from rensei_client.api.sessions_public import (
    enqueue_session,
    get_public_session,
    list_public_sessions,
    stream_session,
)
from rensei_client.api.worker_protocol import (
    post_session_activity,
    post_session_completion,
    update_session_status,
    worker_heartbeat,
    worker_poll,
    workers_register,
)
from rensei_client.models import (
    ActivityReport,
    ActivityType,
    CompletionReport,
    Error,
    ReportedActivity,
    ReportedStatus,
    SessionActivity,
    SessionRequest,
    StatusReport,
    WorkerHeartbeat,
    WorkerRegistration,
)

Answer = TypeVar("Answer")


def said(answer: Answer | Error | None) -> Answer:
    """The answer, when it is no refusal."""
    if answer is None or isinstance(answer, Error):
        raise RuntimeError(answer)
    return answer


def client(key: str) -> AuthenticatedClient:
    """The client of whoever holds the key that this variable names."""
    return AuthenticatedClient(
        base_url=os.environ["RENSEI_URL"], token=os.environ[key], timeout=httpx.Timeout(20)
    )


def session(org: AuthenticatedClient, worker: AuthenticatedClient) -> dict[str, Any]:
    """One session from the queue to its end, watched from outside."""
    asked = SessionRequest(
        project_id="proj_demo", issue_id="i-1", issue_identifier="ENG-1", priority=1
    )
    public_id = said(enqueue_session.sync(client=org, body=asked)).session.id

    registration = WorkerRegistration(hostname="generated", capacity=1, project_id="proj_demo")
    worker_id = said(workers_register.sync(client=worker, body=registration)).worker_id
    said(worker_heartbeat.sync(worker_id, client=worker, body=WorkerHeartbeat(active_count=0)))
    polled = said(worker_poll.sync(worker_id, client=worker, wait_seconds=5))
    (work,) = polled.work
    id_ = work.session_id

    def report(status: ReportedStatus) -> None:
        body = StatusReport(worker_id=worker_id, status=status, total_cost_usd=0.5)
        said(update_session_status.sync(id_, client=worker, body=body))

    report(ReportedStatus.RUNNING)
    with org.get_httpx_client().stream(**stream_session._get_kwargs(public_id)) as response:
        seen = events(response)
        first = next(seen)
        activity = ReportedActivity(type_=ActivityType.THOUGHT, content="Hello from Python")
        body = ActivityReport(worker_id=worker_id, activity=activity)
        said(post_session_activity.sync(id_, client=worker, body=body))
        # It comes while the stream is open.
        name, data = next(seen)
        heard = SessionActivity.from_dict(data)
        done = CompletionReport(worker_id=worker_id, summary="Said hello.")
        said(post_session_completion.sync(id_, client=worker, body=done))
        report(ReportedStatus.COMPLETED)
        rest = list(seen)

    detail = said(get_public_session.sync(public_id, client=org)).session
    return {
        "claimed": polled.claimed_session_ids == [id_],
        "events": [first, [name, heard.type_, heard.content], rest[-1]],
        "status": detail.status,
        "cost": detail.cost_usd,
    }


def events(response: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of a stream as they come."""
    name = ""
    for line in response.iter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def refusal(org: AuthenticatedClient) -> list[Any]:
    """A session that nobody knows: status, type and text of the refusal."""
    answer = get_public_session.sync_detailed("0" * 16, client=org)
    refused = answer.parsed
    assert isinstance(refused, Error)
    return [answer.status_code, type(refused).__name__, refused.error]


def pages(org: AuthenticatedClient) -> list[list[str]]:
    """The identifiers of all sessions, two to a page."""
    first = said(list_public_sessions.sync(client=org, limit=2))
    found = [[each.identifier for each in first.sessions]]
    cursor = first.next_cursor
    while isinstance(cursor, str):
        page = said(list_public_sessions.sync(client=org, limit=2, cursor=cursor))
        found.append([each.identifier for each in page.sessions])
        cursor = page.next_cursor
    return found


def main() -> None:
    """Drive the server at `RENSEI_URL`."""
    with client("RENSEI_ORG_KEY") as org, client("RENSEI_WORKER_KEY") as worker:
        done = {"session": session(org, worker), "refusal": refusal(org), "pages": pages(org)}
        print(json.dumps(done))


if __name__ == "__main__":
    main()
