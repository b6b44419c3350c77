"""The control: the least that the same work can cost in Python on the same server.

A bare Starlette under the same gunicorn, worker class and settings runs the statements that the
server runs (they are imported, none is written here) through a raw psycopg pool, and answers the
same JSON under the same paths. What it leaves out is what the server adds: it looks at no
credential, validates neither request nor answer, and writes no audit event of its own. (The event
of a claim is part of the claiming statement, so that one is written here as well.) Of these
operations the webhook alone tells Redis anything, and so does the control's.

`python -m bench` starts it. It serves the workers and the organization of one run, which it gets
as `BENCH_FACTS`, where the server reads them from a token.
"""

import hashlib
import hmac
import os
import secrets
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

import orjson
from psycopg.rows import namedtuple_row
from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis
from sqlalchemy import create_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from domain.session_health import Observed, health
from persistence import (
    activities,
    completions,
    interview_frames,
    memory,
    public_sessions,
    queue,
    sessions,
    webhook_events,
    workers,
)
from persistence.database import POOL_SIZE
from persistence.ephemeral import nudges

LEASE_SECONDS: Final = 50.0
PAGE: Final = 500
SIGNING_KEY: Final = secrets.token_bytes(32)
HEADER: Final = urlsafe_b64encode(b'{"alg":"HS256","typ":"mcp+jwt","kid":"control"}').rstrip(b"=")

Values = Mapping[str, Any]


class Statement:
    """The SQL that a persistence function sends, with names in place of the values."""

    def __init__(self) -> None:
        self._sql = ""
        self._values: dict[str, Any] = {}

    async def execute(self, statement: Any, values: Values = MappingProxyType({})) -> None:
        """Take the place of a connection: keep what it is given, and send nothing."""
        engine = create_engine("postgresql+psycopg://")
        compiled = statement.compile(
            dialect=engine.dialect,
            column_keys=sorted(values) or None,
            compile_kwargs={"render_postcompile": True},
        )
        self._sql, self._values = str(compiled), {**compiled.params, **values}
        raise _Heard

    async def run(self, connection: Any, given: Values) -> Any:
        """Send it; a value that is one of the names in `given` is replaced by what is given."""
        values = {name: given.get(value, value) for name, value in self._values.items()}
        return await connection.execute(self._sql, values)


class _Heard(Exception):
    """The statement is known; the function that made it need not go on."""


async def _hear(function: Any, *arguments: Any) -> Statement:
    statement = Statement()
    try:
        await function(statement, *arguments)
    except _Heard:
        pass
    return statement


class Control:
    """The operations that are measured."""

    def __init__(self, facts: Any, url: str) -> None:
        self._workers: dict[str, dict[str, str]] = facts["workers"]
        self._list_org: str = facts["list_org"]
        self._remembers: dict[str, str] = facts["remembers"]
        self._talking: dict[str, str] = facts["talking"]
        self._pool = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=POOL_SIZE,
            open=False,
            kwargs={"autocommit": True, "row_factory": namedtuple_row},
        )

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Open the pool, and learn the statements that SQLAlchemy makes."""
        self._change = await _hear(sessions.change, "$org", "$session", {})
        self._list = await _hear(public_sessions.list_page, "$org", None, PAGE, None)
        self._is_new = await _hear(
            webhook_events.is_new, "linear", "", "$event", {"id": "$id", "sha256": "$sha256"}
        )
        names = (
            "id",
            "correlation_id",
            "event_name",
            "type",
            "line",
            "sender",
            "delivery_id",
            "body",
        )
        values = {name: f"${name}" for name in names}
        values |= {"provider": "linear", "verified_by": ""}
        self._store_event = await _hear(webhook_events.store, values)
        self._redis = Redis.from_url(os.environ["REDIS_URL"])
        await self._pool.open()
        yield
        await self._redis.aclose()
        await self._pool.close()

    async def heartbeat(self, request: Request) -> Response:
        """POST /api/workers/{id}/heartbeat."""
        body = orjson.loads(await request.body())
        values = self._facts(request.path_params["id"]) | {
            "active": body["activeCount"],
            "status": None,
            "capacity": None,
            "lease": LEASE_SECONDS,
        }
        (beat,) = await self._rows(workers.BEAT, values)
        return _json(
            {
                "acknowledged": True,
                "serverTime": _iso(beat.server_time),
                "pendingWorkCount": beat.waiting,
                "hostStatus": {"status": beat.host_status},
            }
        )

    async def poll(self, request: Request) -> Response:
        """GET /api/workers/{id}/poll."""
        facts = self._facts(request.path_params["id"])
        values = facts | {"most": queue.MOST_PER_POLL, "lease": LEASE_SECONDS}
        rows = await self._rows(queue.CLAIM, values)
        claimed = [row for row in rows if row.session_id is not None]
        work = [
            {
                **row.work,
                "sessionId": row.session_id,
                "issueId": row.issue_id,
                "issueIdentifier": row.issue_identifier,
                "priority": row.priority,
                "queuedAt": _ms(row.queued_at),
                "workType": row.work_type,
                "organizationId": facts["org"],
                "projectId": row.project_id,
                "leaseEpoch": row.lease_epoch,
                "mcpAuthToken": _token(facts["org"], facts["worker"], row),
                "mcpAuthTokenExpiresAt": _iso(row.polled_at),
            }
            for row in claimed
        ]
        return _json(
            {
                "work": work,
                "inboxMessages": {},
                "hasInboxMessages": False,
                "preClaimed": bool(claimed),
                "claimedSessionIds": [row.session_id for row in claimed],
                "gitCredentials": [],
            }
        )

    async def status(self, request: Request) -> Response:
        """POST /api/sessions/{id}/status, of the status that is stored already."""
        body = orjson.loads(await request.body())
        facts = self._facts(body["workerId"])
        given = {f"${name}": value for name, value in facts.items()}
        given["$session"] = request.path_params["id"]
        async with self._pool.connection() as connection, connection.transaction():
            await self._hold(connection, facts, request)
            changed = await self._change.run(connection, given)
            row: Any = await changed.fetchone()
        optional = {
            "issueIdentifier": row.issue_identifier,
            "promptContext": row.work.get("promptContext"),
            "projectName": row.project_name,
            "provider": row.provider,
            "totalCostUsd": row.total_cost_usd,
            "inputTokens": row.input_tokens,
            "outputTokens": row.output_tokens,
            "failureReason": row.failure_reason,
        }
        state = {
            "linearSessionId": row.id,
            "trackerSessionId": row.id,
            "issueId": row.issue_id,
            "providerSessionId": row.provider_session_id,
            "worktreePath": row.worktree_path or "",
            "status": row.status,
            "createdAt": _ms(row.created_at),
            "updatedAt": _ms(row.updated_at),
            "workerId": row.worker_id,
            "queuedAt": _ms(row.queued_at),
            "claimedAt": _ms(row.claimed_at),
            "priority": row.priority,
            "organizationId": row.org_id,
            "workType": row.work_type,
            "leaseEpoch": row.lease_epoch,
            **{name: value for name, value in optional.items() if value is not None},
        }
        return _json({"updated": True, "session": state})

    async def completion(self, request: Request) -> Response:
        """POST /api/sessions/{id}/completion."""
        raw = await request.body()
        body = orjson.loads(raw)
        facts = self._facts(body["workerId"])
        values = facts | {
            "session": request.path_params["id"],
            "hash": hashlib.sha256(raw).digest(),
            "summary": body["summary"],
            "items": "null",
        }
        async with self._pool.connection() as connection, connection.transaction():
            row = await self._hold(connection, facts, request)
            cursor = await connection.execute(
                completions.STORE, {**values, "epoch": row.lease_epoch}
            )
            await cursor.fetchone()
        reason = "no Linear credential is configured for the organization"
        return _json({"posted": 0, "errors": [], "reason": reason})

    @staticmethod
    async def _hold(connection: Any, facts: Mapping[str, str], request: Request) -> Any:
        """The row of the session that a request names, held."""
        named = {"session": request.path_params["id"], "projects": [facts["project"]]}
        cursor = await connection.execute(sessions.LOCK, {**facts, **named})
        return await cursor.fetchone()

    async def activity(self, request: Request) -> Response:
        """POST /api/sessions/{id}/activity."""
        body = orjson.loads(await request.body())
        session_id = request.path_params["id"]
        values = self._facts(body["workerId"]) | {
            "session": session_id,
            "epoch": None,
            "type": body["activity"]["type"],
            "activity": orjson.dumps(body["activity"]).decode(),
            "repeat": None,
            "told": None,
        }
        await self._rows(activities.STORE, values)
        return _json(
            {
                "forwarded": False,
                "linearSessionId": session_id,
                "reason": "sending to the tracker is not configured",
            }
        )

    async def token_delta(self, request: Request) -> Response:
        """POST /api/sessions/{id}/token-delta."""
        body = orjson.loads(await request.body())
        session_id = request.path_params["id"]
        frames = body["frames"]
        values = self._facts(self._talking[session_id]) | {
            "epoch": None,
            "session": session_id,
            "turn": body["turnId"],
            "indexes": [frame["index"] for frame in frames],
            "texts": [frame["text"] for frame in frames],
            "dones": [frame["done"] for frame in frames],
        }
        await self._rows(interview_frames.STORE, values)
        return _json({"published": len(frames)})

    async def webhook(self, request: Request) -> Response:
        """POST /api/webhooks/ingest/linear, of an event that is new."""
        raw = await request.body()
        body = orjson.loads(raw)
        delivery, issue_id = request.headers["linear-delivery"], body["agentSession"]["issue"]["id"]
        event_id, correlation_id = f"evt_{secrets.token_hex(8)}", f"corr_{secrets.token_hex(8)}"
        given = {
            "$event": event_id,
            "$id": delivery,
            "$sha256": hashlib.sha256(raw).hexdigest(),
        }
        event = {
            "$id": event_id,
            "$correlation_id": correlation_id,
            "$event_name": f"{body['type']}.{body['action']}",
            "$type": "linear.agent_session.created",
            "$line": f"/linear/{body['organizationId']} issue/{issue_id}",
            "$sender": f"/linear/{body['organizationId']}",
            "$delivery_id": delivery,
            "$body": raw,
        }
        async with self._pool.connection() as connection, connection.transaction():
            noted = await self._is_new.run(connection, given)
            if len(await noted.fetchall()) < 2:
                return _json({"ok": True, "duplicate": True})
            await self._store_event.run(connection, event)
        await self._redis.publish(nudges.EVENTS, "")
        return _json({"ok": True, "eventId": event_id, "correlationId": correlation_id})

    async def list_sessions(self, _: Request) -> Response:
        """GET /api/public/sessions."""
        async with self._pool.connection() as connection:
            cursor = await self._list.run(connection, {"$org": self._list_org})
            rows = await cursor.fetchall()
        cut = rows[:PAGE]
        last = cut[-1]
        microseconds = round(last.queued_at.timestamp() * 1_000_000)
        return _json(
            {
                "sessions": [_summary(row) for row in cut],
                "count": len(cut),
                "timestamp": _iso(last.now),
                "nextCursor": f"{microseconds}_{last.public_id}" if len(rows) > PAGE else None,
            }
        )

    async def recall(self, request: Request) -> Response:
        """POST /api/mcp/{id}, of which it knows one tool."""
        body = orjson.loads(await request.body())
        values = {
            **self._remembers,
            "session": request.path_params["id"],
            "query": body["params"]["arguments"]["query"],
            "tags": None,
            "scope": None,
            "limit": 10,
        }
        rows = await self._rows(memory.RECALL, values)
        result = {"results": [_note(row) for row in rows], "total": rows[0].total if rows else 0}
        return _json(
            {
                "jsonrpc": "2.0",
                "id": body["id"],
                "result": {
                    "content": [{"type": "text", "text": orjson.dumps(result).decode()}],
                    "isError": False,
                    "structuredContent": result,
                },
            }
        )

    def _facts(self, worker_id: str) -> dict[str, Any]:
        return {**self._workers[worker_id], "worker": worker_id}

    async def _rows(self, sql: str, values: Values) -> Any:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(sql, values)
            return await cursor.fetchall()


def create_app() -> Starlette:
    """What gunicorn serves."""
    control = Control(
        orjson.loads(os.environ["BENCH_FACTS"]), os.environ["RENSEI_WEB_DATABASE_URL"]
    )
    worker, session = "/api/workers/{id}", "/api/sessions/{id}"
    return Starlette(
        lifespan=control.lifespan,
        routes=[
            Route(f"{worker}/heartbeat", control.heartbeat, methods=["POST"]),
            Route(f"{worker}/poll", control.poll),
            Route(f"{session}/status", control.status, methods=["POST"]),
            Route(f"{session}/completion", control.completion, methods=["POST"]),
            Route(f"{session}/activity", control.activity, methods=["POST"]),
            Route(f"{session}/token-delta", control.token_delta, methods=["POST"]),
            Route("/api/webhooks/ingest/linear", control.webhook, methods=["POST"]),
            Route("/api/public/sessions", control.list_sessions),
            Route("/api/mcp/{id}", control.recall, methods=["POST"]),
        ],
    )


def _note(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "content": row.content,
        "score": round(row.score, 4),
        "source": row.source,
        "type": "pattern_discovered",
        "tags": row.tags,
        "scope": row.scope,
        "sessionId": row.session_id,
        "timestamp": _iso(row.remembered_at),
    }


def _summary(row: Any) -> dict[str, Any]:
    working = row.status in {"claimed", "running", "finalizing"}
    shown = "working" if working else "queued" if row.status == "pending" else row.status
    optional = {"costUsd": row.total_cost_usd, "provider": row.provider}
    return {
        "id": row.public_id,
        "identifier": row.issue_identifier or "Unknown",
        "status": shown,
        "workType": row.work_type,
        "startedAt": _iso(row.queued_at),
        "duration": int(((row.finished_at or row.now) - row.queued_at).total_seconds()),
        "health": health(Observed(row.status, row.claimed_at, row.last_heartbeat_at), row.now),
        **{name: value for name, value in optional.items() if value is not None},
    }


def _token(org_id: str, worker_id: str, row: Any) -> str:
    """A signed token with the claims that the server's has, made by hand."""
    claims = {
        "sub": row.session_id,
        "wkr": worker_id,
        "org": org_id,
        "proj": row.project_id,
        "at": _ms(row.polled_at) * 1000,
        "iss": "rensei",
        "aud": "rensei-mcp",
        "iat": _ms(row.polled_at) // 1000,
        "exp": _ms(row.polled_at) // 1000 + 86400,
    }
    signed = HEADER + b"." + urlsafe_b64encode(orjson.dumps(claims)).rstrip(b"=")
    mac = hmac.digest(SIGNING_KEY, signed, "sha256")
    return (signed + b"." + urlsafe_b64encode(mac).rstrip(b"=")).decode()


def _json(body: Any) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _ms(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
