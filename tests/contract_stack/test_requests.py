"""The Request: its view of the scope, and its body within limits."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from contract import BodyTooLarge, Disconnected, Malformed, Request
from contract.loading import read
from tests.contract_stack.conftest import Connect
from tests.contract_stack.menagerie import TOKEN, make_app, spec


class Wire:
    """A client that sends these parts and counts how many were taken."""

    def __init__(self, *parts: bytes, leaves: bool = False) -> None:
        self._parts = list(parts)
        self._leaves = leaves
        self.taken = 0

    async def __call__(self) -> Any:
        self.taken += 1
        if not self._parts:
            return {"type": "http.disconnect"}
        part = self._parts.pop(0)
        more = bool(self._parts) or self._leaves
        return {"type": "http.request", "body": part, "more_body": more}


def request(wire: Wire, limit: int = 10, **headers: str) -> Request:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/notes",
        "query_string": b"a=1&a=2",
        "client": ("10.0.0.9", 4711),
        "headers": [(name.replace("_", "-").encode(), v.encode()) for name, v in headers.items()],
    }
    return Request(scope, wire, limit)


def test_a_request_shows_its_scope():
    made = request(Wire(), cookie="a=1; b=2", x_one="yes")

    shown = (made.method, made.path, made.client_host, made.headers["X-One"], made.cookies)

    assert shown == ("POST", "/api/notes", "10.0.0.9", "yes", {"a": "1", "b": "2"})
    assert made.query_params.getlist("a") == ["1", "2"]
    assert made.operation is None
    assert made.scope["type"] == "http"


def test_a_request_without_a_known_client_has_no_host():
    made = request(Wire())
    made.scope["client"] = None

    host = made.client_host

    assert host is None


async def test_the_body_is_read_once_however_often_it_is_asked_for():
    wire = Wire(b"abc", b"def")
    made = request(wire)

    bodies = [await made.body() for _ in range(3)]

    assert bodies == [b"abcdef"] * 3
    assert wire.taken == 2


async def test_a_body_of_exactly_the_limit_passes():
    made = request(Wire(b"12345", b"67890"), limit=10, content_length="10")

    body = await made.body()

    assert body == b"1234567890"


@pytest.mark.parametrize("announced", ["11", "9" * 5000])
async def test_a_body_announced_too_large_is_refused_without_reading(announced: str):
    wire = Wire(b"12345678901")
    made = request(wire, limit=10, content_length=announced)

    with pytest.raises(BodyTooLarge) as refusal:
        await made.body()

    assert refusal.value.limit == 10
    assert wire.taken == 0


async def test_a_body_that_grows_too_large_is_refused_without_reading_on():
    wire = Wire(b"123456", b"123456", b"123456", b"123456")
    made = request(wire, limit=10)

    with pytest.raises(BodyTooLarge):
        await made.body()

    assert wire.taken == 2


async def test_a_length_that_is_no_number_is_malformed():
    made = request(Wire(b"1"), content_length="-1")

    with pytest.raises(Malformed, match="Content-Length"):
        await made.body()


async def test_a_client_that_leaves_is_noticed():
    made = request(Wire(b"12", leaves=True))

    with pytest.raises(Disconnected):
        await made.body()


async def test_a_client_that_leaves_ends_quietly_without_answer_or_log(
    caplog: pytest.LogCaptureFixture,
):
    app = make_app()
    sent: list[Any] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/notes",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, Wire(b"{", leaves=True), send)

    assert sent == []
    assert caplog.records == []


async def test_the_limit_of_an_operation_is_its_own_or_the_applications(connect: Connect):
    wide = spec()
    wide["paths"]["/api/token"]["post"]["x-max-body-bytes"] = 2_000
    client = connect(make_app(read(wide), max_body_bytes=100))
    client.headers["authorization"] = f"Bearer {TOKEN}"
    body = {"grant_type": "client_credentials", "client_id": "x" * 200}

    answers = {
        path: (await client.post(path, json=body)).status_code
        for path in ("/api/notes", "/api/animals", "/api/token")
    }

    assert answers == {"/api/notes": 413, "/api/animals": 413, "/api/token": 200}


async def test_a_refusal_of_a_large_body_closes_the_connection(connect: Connect):
    client = connect()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 50

    announced = await client.post("/api/notes", content=b"x" * 65)
    counted = await client.post("/api/notes", content=endless())

    assert [announced.status_code, counted.status_code] == [413, 413]
    assert announced.headers["connection"] == counted.headers["connection"] == "close"


async def test_a_megabyte_is_the_limit_unless_said_otherwise(connect: Connect):
    client = connect()
    room = 1_048_576 - len('{"grant_type":"client_credentials","client_id":""}')

    answers = [
        await client.post(
            "/api/token",
            content='{"grant_type":"client_credentials","client_id":"%s"}' % ("x" * size),
            headers={"content-type": "application/json"},
        )
        for size in (room, room + 1)
    ]

    assert [each.status_code for each in answers] == [200, 413]
