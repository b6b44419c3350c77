"""The acceptance client itself: it stumbles over what the table forbids, and only over that."""

import asyncio
import json

import pytest

from tests.acceptance.table import Broken, judge
from tests.acceptance.wire import Journal, NoAnswerError, Wire

ISSUE = {"id": "i", "identifier": "ENG-1", "title": "T", "labels": []}
MESSAGE = {"id": "1-0", "sessionId": "s", "lane": "urgent", "type": "stop", "payload": ""}
POLLED = {"work": [], "inboxMessages": {}, "hasInboxMessages": False}


def issue(**change):
    return 200, {"success": True, "data": {**ISSUE, **change}}


FORBIDDEN = {
    "no worker id": ("1", 201, {"heartbeatInterval": 400, "pollInterval": 400}),
    "no interval": ("1", 201, {"workerId": "w", "heartbeatInterval": 400}),
    "an interval of seconds": (
        "1",
        201,
        {"workerId": "w", "heartbeatInterval": 10, "pollInterval": 5},
    ),
    "no registration": ("1", 403, {"error": "no"}),
    "no projects": ("2", 200, {"projects": None}),
    "another 404 for a heartbeat": ("3", 404, {"error": "Not found"}),
    "another 404 for a poll": ("4", 404, {"error": "no such worker"}),
    "no inbox": ("4", 200, {"work": []}),
    "work without an issue": ("4", 200, {**POLLED, "work": [{"sessionId": "s"}]}),
    "a message without a time": (
        "4",
        200,
        {**POLLED, "hasInboxMessages": True, "inboxMessages": {"s": [MESSAGE]}},
    ),
    "messages that nobody announces": (
        "4",
        200,
        {**POLLED, "inboxMessages": {"s": [{**MESSAGE, "createdAt": 1}]}},
    ),
    "a claim without an answer": ("4b", 200, {}),
    "progress without an answer": ("6", 200, {"ok": True}),
    "no issue": ("7", 404, {"error": "Issue not found"}),
    "an issue without labels": ("7", *issue(labels=None)),
    "an issue without a title": ("7", *issue(title="")),
    "an accepted issue": ("7", *issue(state={"name": "Accepted"})),
    "a state without a name": ("7", *issue(state={"id": "1"})),
    "a child": ("7b", 200, {"success": True, "data": True}),
    "a move that fails": ("8", 200, {"success": False}),
    "an activity without an answer": ("12", 200, {}),
    "another 403": ("12", 403, {"error": "Forbidden"}),
    "a state without a worker": ("13", 200, {"status": "running"}),
    "a lock without an answer": ("14", 200, {}),
    "a completion refused": ("17", 400, {"error": "workerId: is missing"}),
    "released by nobody": ("18", 200, {}),
    "a text instead of JSON": ("19", 200, None),
    "a refusal without a text": ("19", 500, None),
    "a final status refused": ("21", 400, {"error": "no"}),
    "no list of what was left": ("22", 200, {"deregistered": True}),
    "a transfer without an answer": ("again", 200, {}),
}


@pytest.mark.parametrize(("line", "status", "said"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_what_the_table_forbids_breaks_the_client(line, status, said):
    assert judge(line, status, said, may_be_gone=True)


ALLOWED = {
    "a 404 that it knows": ("3", 404, {"error": "Worker not found"}),
    "an empty poll": ("4", 200, POLLED),
    "a message": (
        "4",
        200,
        {**POLLED, "hasInboxMessages": True, "inboxMessages": {"s": [{**MESSAGE, "createdAt": 1}]}},
    ),
    "an issue without a state": ("7", *issue()),
    "an issue with all": ("7", *issue(state={"name": "Backlog"}, parent={"id": "p"})),
    "a session of another": ("12", 403, {"error": "Session is owned by another worker"}),
    "running after a stop": ("9", 409, {"error": "Session is stopped and cannot become running"}),
}


@pytest.mark.parametrize(("line", "status", "said"), ALLOWED.values(), ids=ALLOWED)
def test_what_the_table_allows_does_not(line, status, said):
    assert judge(line, status, said, may_be_gone=True) is None


class Answering:
    """A server that gives one answer to everything, or none, and counts the requests."""

    def __init__(self, answer):
        self.answer, self.heads = answer, []

    async def serve(self, reader, writer):
        while head := await reader.readuntil(b"\r\n\r\n"):
            self.heads.append(head.decode().lower())
            if self.answer is None:
                break
            writer.write(self.answer)
            await writer.drain()
        writer.close()


@pytest.mark.parametrize(
    ("answer", "raised"),
    [(b"HTTP/1.1 204 No Content\r\n\r\n", Broken), (None, NoAnswerError)],
    ids=["an empty answer", "no answer"],
)
async def test_a_request_without_an_answer_is_sent_three_times(answer, raised):
    stub = Answering(answer)
    async with await asyncio.start_server(stub.serve, "127.0.0.1", 0) as listening:
        wire = Wire(listening.sockets[0].getsockname()[1], "one", Journal(), pace=0.001)
        with pytest.raises(raised):
            await wire.call("18", "POST", "/api/sessions/s/files/release-all", about="s")
        wire.close()

    assert len(stub.heads) == 3
    assert all("content-type: application/json" in head for head in stub.heads)
    assert all("content-length: 0" in head for head in stub.heads)


async def test_a_lost_answer_is_asked_for_again():
    body = json.dumps({"released": 0}).encode()
    stub = Answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    async with await asyncio.start_server(stub.serve, "127.0.0.1", 0) as listening:
        wire = Wire(listening.sockets[0].getsockname()[1], "one", Journal(), pace=0.001)
        wire.loses_every = 2
        for _ in range(2):
            await wire.call("18", "POST", "/api/sessions/s/files/release-all", about="s")
        wire.close()

    assert (len(stub.heads), wire.lost) == (3, 1)
