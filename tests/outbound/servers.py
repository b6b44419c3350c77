"""Servers on loopback that others are played by: any bytes, a small Linear, a small GitHub."""

import asyncio
import json
import re
import time
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.errors import JoseError

from outbound.linear import (
    CREATE_ACTIVITY,
    CREATE_COMMENT,
    CREATE_ISSUE,
    UPDATE_ISSUE,
    UPDATE_SESSION,
)

SHORT = {
    CREATE_ACTIVITY: "activity",
    CREATE_COMMENT: "comment",
    CREATE_ISSUE: "issue",
    UPDATE_SESSION: "external_urls",
    UPDATE_ISSUE: "issue_update",
}


@dataclass
class Asked:
    """One request that a server got."""

    method: str
    path: str
    headers: dict
    body: bytes


def reply(status=200, body=b"", **headers):
    """The bytes of an answer; `_` in a header's name stands for `-`."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([f"HTTP/1.1 {status} Some", *lines, "", ""]).encode() + body


@dataclass
class Server:
    """Answers with what `answer(asked)` gives: bytes, or an awaitable of bytes."""

    answer: object
    asked: list = field(default_factory=list)
    port: int = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.split("\r\n")
                method, path, _ = first.split(" ")
                headers = {
                    name.lower(): value
                    for name, _, value in (line.partition(": ") for line in lines if line)
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                asked = Asked(method, path, headers, body)
                self.asked.append(asked)
                said = self.answer(asked)
                writer.write(said if isinstance(said, bytes) else await said)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def running(server, **options):
    """Listen on a free port of loopback around the body."""
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, **options)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


class FakeLinear(Server):
    """Linear's GraphQL as far as the server uses it, with its answers to limits and known ids.

    `said` are (kind, what) of all that was accepted, `tried` the ids of all that was asked.
    `trouble` are answers to give first, one a request; None lets one through.
    """

    def __init__(self):
        super().__init__(self._answer)
        self.said = []
        self.tried = []
        self.trouble = []
        self.known = set()
        self.issues = {}
        self.seconds = 0.0
        self.at_once = 0
        self.most_at_once_of_one = 0
        self._busy = {}

    async def _answer(self, asked):
        request = json.loads(asked.body)
        variables = request["variables"]
        entity_id = variables.get("input", {}).get("id") or variables.get("id")
        self.tried.append(entity_id)
        self._busy[entity_id] = self._busy.get(entity_id, 0) + 1
        self.most_at_once_of_one = max(self.most_at_once_of_one, self._busy[entity_id])
        try:
            await asyncio.sleep(self.seconds)
            if self.trouble and (trouble := self.trouble.pop(0)) is not None:
                return trouble
            return self._do(request["query"], variables, entity_id)
        finally:
            self._busy[entity_id] -= 1

    def _do(self, query, variables, entity_id):
        kind = SHORT.get(query)
        if "identifier" in query:
            found = self.issues.get(entity_id)
            if found is None:
                return graphql_error("Entity not found: Issue")
            return graphql({"done": found})
        if kind is None:
            return graphql({"done": {"team": {"id": "team-1"}}})
        if kind not in {"external_urls", "issue_update"}:
            assert re.fullmatch(r"[0-9a-f-]{14}4[0-9a-f-]{21}", entity_id), "no UUID of version 4"
            if entity_id in self.known:
                return known(entity_id)
            self.known.add(entity_id)
        self.said.append((kind, variables.get("input")))
        return graphql({"done": {"success": True}})

    def texts(self):
        """What was said, as plain texts in order."""
        return [
            what.get("content", what).get("body") or what["content"].get("parameter")
            for _, what in self.said
        ]


class FakeGitHub(Server):
    """GitHub's REST API as far as the server uses it: tokens of one installation, account `acme`,
    and the attempts at delivering the app's webhook, told `page` at once.

    `trouble` are answers to give first, one a request; None lets one through. `minted` are the
    bare names that each token was asked for. While `door` is not set, no answer goes out.
    """

    def __init__(self, key):
        super().__init__(self._answer)
        self.key = key
        self.app_id = "4711"
        self.repositories = ("billing", "ledger")
        self.lifetime = 3600.0
        self.seconds = 0.0
        self.door = asyncio.Event()
        self.door.set()
        self.trouble = []
        self.minted = []
        self.attempts = []
        self.page = 2

    async def _answer(self, asked):
        await asyncio.sleep(self.seconds)
        await self.door.wait()
        if self.trouble and (trouble := self.trouble.pop(0)) is not None:
            return trouble
        if not self._knows(asked.headers["authorization"].removeprefix("Bearer ")):
            return github(401, {"message": "A JSON web token could not be decoded"})
        if asked.path.startswith("/app/hook/deliveries"):
            return self._deliveries(asked.path)
        if asked.path != "/app/installations/99/access_tokens":
            return github(404, {"message": "Not Found"})
        names = json.loads(asked.body)["repositories"]
        if unknown := set(names) - set(self.repositories):
            return github(422, {"message": f"There is no repository {min(unknown)}"})
        self.minted.append(names)
        expires_at = datetime.now(UTC) + timedelta(seconds=self.lifetime)
        return github(
            201,
            {
                "token": f"ghs_{len(self.minted)}",
                "expires_at": expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "repositories": [{"full_name": f"acme/{name}"} for name in names],
            },
        )

    def attempt(self, event, payload, *, status=502, path="/api/webhooks/ingest/github", **more):
        """Note that an event was sent, and what it was answered; its guid."""
        attempt = {
            "id": len(self.attempts) + 1,
            "guid": str(uuid.uuid4()),
            "delivered_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "redelivery": False,
            "status": "OK" if status < 300 else "Invalid HTTP Response",
            "status_code": status,
            "event": event,
            "installation_id": 99,
            **more,
        }
        url = f"https://rensei.example{path}"
        self.attempts.append((attempt, {"url": url, "request": {"payload": payload}}))
        return attempt["guid"]

    def _deliveries(self, path):
        place, _, query = path.partition("?")
        number = place.removeprefix("/app/hook/deliveries").removeprefix("/")
        if number:
            attempt, sent = self.attempts[int(number) - 1]
            return github(200, {**attempt, **sent})
        asked = parse_qs(query)
        begin = int(asked.get("cursor", ["v1_0"])[0].removeprefix("v1_"))
        newest = [attempt for attempt, _ in reversed(self.attempts)]
        more = {}
        if begin + self.page < len(newest):
            following = f"{self.url}{place}?per_page=100&cursor=v1_{begin + self.page}"
            more = {"Link": f'<{following}>; rel="next"'}
        return github(200, newest[begin : begin + self.page], **more)

    def _knows(self, token):
        """As GitHub does: the app's key, a life of ten minutes at the most, and not of later."""
        try:
            claims = jwt.decode(token, self.key, algorithms=["RS256"]).claims
        except JoseError:
            return False
        now = time.time()
        return (
            claims["iss"] == self.app_id
            and claims["iat"] <= now < claims["exp"]
            and claims["exp"] - claims["iat"] <= 600
        )


def github(status, said, **headers):
    return reply(status, json.dumps(said).encode(), Content_Type="application/json", **headers)


def graphql(data):
    return reply(200, json.dumps({"data": data}).encode(), Content_Type="application/json")


def graphql_error(message, status=200, code="INVALID_INPUT", **headers):
    error = {"message": message, "extensions": {"code": code, "userPresentableMessage": message}}
    return reply(status, json.dumps({"errors": [error], "data": None}).encode(), **headers)


def known(entity_id):
    """What Linear says to an id that it has already."""
    error = {
        "message": "conflict on insert of AgentActivity",
        "extensions": {
            "code": "INPUT_ERROR",
            "userPresentableMessage": f"Entity AgentActivity with id {entity_id} already exists.",
        },
    }
    return reply(200, json.dumps({"errors": [error], "data": None}).encode())
