"""Nothing but refuse() answers for an exception, wherever it comes from."""

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse, Response

from contract import Request
from tests.contract_stack import menagerie
from tests.contract_stack.conftest import Connect
from tests.contract_stack.menagerie import TOKEN, make_app


def marked(error: Exception, request: Request) -> Response:
    answer = menagerie.refuse(error, request)
    answer.headers["x-made-by"] = type(error).__name__
    return answer


@pytest.mark.parametrize(
    ("method", "path", "content", "maker", "status"),
    [
        ("GET", "/nowhere", b"", "NoSuchPath", 404),
        ("GET", "/", b"", "NoSuchPath", 404),
        ("GET", "/openapi.json", b"", "NoSuchPath", 404),
        ("GET", "/ui/", b"", "NoSuchPath", 404),
        ("PUT", "/api/animals", b"", "MethodNotAllowed", 405),
        ("GET", "/api/animals/%ff", b"", "Malformed", 400),
        ("GET", "/api/animals", b"", "Unknown", 401),
        ("POST", "/api/notes", b"x" * 65, "BodyTooLarge", 413),
        ("POST", "/api/notes", b"x", "UnsupportedMedia", 415),
        ("POST", "/api/token", b"", "Malformed", 400),
        ("GET", "/api/refused/unknown", b"", "Unknown", 401),
        ("GET", "/api/refused/else", b"", "RuntimeError", 500),
    ],
)
async def test_every_refusal_is_made_by_refuse(
    connect: Connect, method: str, path: str, content: bytes, maker: str, status: int
):
    client = connect(refuse=marked)

    answer = await client.request(method, path, content=content)

    assert answer.status_code == status
    assert answer.headers["x-made-by"] == maker
    assert "problem" not in answer.headers["content-type"]


@pytest.mark.parametrize("where", ["authenticate", "authorize"])
async def test_an_accident_in_security_is_answered_by_refuse(connect: Connect, where: str):
    async def authenticate(request: Any, alternatives: Any) -> Any:
        raise LookupError("the key store is gone")

    def authorize(user: Any, operation_id: str) -> None:
        raise LookupError("the table is gone")

    accident: Any = {"authenticate": authenticate, "authorize": authorize}[where]
    client = connect(refuse=marked, **{where: accident})

    answer = await client.get("/api/animals", headers={"authorization": f"Bearer {TOKEN}"})

    assert (answer.status_code, answer.headers["x-made-by"]) == (500, "LookupError")


async def test_what_an_accident_says_is_in_the_log_and_not_in_the_answer(
    visitor: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.ERROR, "contract"):
        answer = await visitor.get("/api/refused/by-accident")

    assert answer.json() == {"error": "Internal server error"}
    id_ = answer.headers["x-request-id"]
    told = caplog.records[0].getMessage()
    assert told == f"request {id_}: GET /api/refused/by-accident failed"
    assert re.fullmatch("[0-9a-f]{16}", id_)
    assert "secret detail" in str(caplog.records[0].exc_info)


@pytest.mark.parametrize(
    ("given", "kept"), [("req-7.a_B", True), ("two words", False), ("x" * 65, False)]
)
async def test_an_accident_keeps_the_id_that_a_proxy_gave_the_request(
    visitor: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, given: str, kept: bool
):
    with caplog.at_level(logging.ERROR, "contract"):
        answer = await visitor.get("/api/refused/by-accident", headers={"X-Request-Id": given})

    assert (answer.headers["x-request-id"] == given) == kept
    assert (given in caplog.text) == kept


async def test_an_ordinary_refusal_is_not_an_error_in_the_log(
    visitor: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
):
    await visitor.get("/api/refused/unknown")
    await visitor.get("/nowhere")

    assert caplog.records == []


async def test_what_is_no_fault_of_the_server_has_no_id(visitor: httpx.AsyncClient):
    answer = await visitor.get("/nowhere", headers={"X-Request-Id": "req-7"})

    assert "x-request-id" not in answer.headers


def answers_nothing(error: Exception, request: Request) -> Any:
    return None


def fails_once(error: Exception, request: Request) -> Response:
    if type(error).__name__ != "ResponseBroken":
        raise KeyError("not in the table")
    return JSONResponse({"error": "bare"}, status_code=500)


def fails_always(error: Exception, request: Request) -> Response:
    raise KeyError("never in the table")


class Unsendable(Response):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise OSError("the file is gone")


@pytest.mark.parametrize(
    ("refuse", "body"),
    [
        (fails_once, {"error": "bare"}),
        (fails_always, {"error": "Internal server error"}),
        (answers_nothing, {"error": "Internal server error"}),
        (lambda error, request: Unsendable(), {"error": "Internal server error"}),
    ],
)
async def test_a_refuse_that_fails_still_ends_in_a_bare_500(
    connect: Connect, caplog: pytest.LogCaptureFixture, refuse: Any, body: Any
):
    client = connect(refuse=refuse)

    with caplog.at_level(logging.ERROR, "contract"):
        answer = await client.get("/nowhere")

    assert (answer.status_code, answer.json()) == (500, body)
    assert "NoSuchPath" in caplog.text


async def test_refuse_sees_the_operation_and_the_user_if_there_were_any(connect: Connect):
    seen = []

    def refuse(error: Exception, request: Request) -> Response:
        seen.append((request.operation and request.operation.id, request.user))
        return menagerie.refuse(error, request)

    client = connect(refuse=refuse)
    await client.get("/nowhere")
    await client.get("/api/animals")
    await client.get("/api/animals?limit=x", headers={"authorization": f"Bearer {TOKEN}"})

    assert seen == [(None, None), ("listAnimals", None), ("listAnimals", "keeper")]


async def test_the_lifespan_opens_before_and_closes_after():
    events = []

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        events.append("opened")
        yield
        events.append("closed")

    app = make_app(lifespan=lifespan)
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent = []

    async def receive() -> Any:
        message = next(messages)
        events.append(message["type"])
        return message

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan", "asgi": {}, "state": {}}, receive, send)

    assert events == ["lifespan.startup", "opened", "lifespan.shutdown", "closed"]
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_lifespan_that_fails_stops_the_start():
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    app = make_app(lifespan=lifespan)
    sent = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    with pytest.raises(RuntimeError, match="no database"):
        await app({"type": "lifespan", "asgi": {}, "state": {}}, receive, send)

    assert sent == ["lifespan.startup.failed"]


async def test_a_websocket_is_closed_before_it_opens():
    app = make_app()
    sent = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "websocket", "path": "/api/animals", "headers": []}, receive, send)

    assert sent == [{"type": "websocket.close", "code": 1008}]
