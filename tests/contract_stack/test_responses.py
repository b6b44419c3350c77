"""What a handler may answer: what its operation declares, and nothing else."""

import datetime
import enum
import http
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from contract.loading import read
from tests.contract_stack.conftest import Connect
from tests.contract_stack.menagerie import make_app, spec


def answering(connect: Connect, answer: Any, **changes: Any) -> httpx.AsyncClient:
    async def answer_anything() -> Any:
        return answer

    return connect(handlers={"answer_anything": answer_anything}, **changes)


async def ask(client: httpx.AsyncClient) -> httpx.Response:
    return await client.get("/api/answer")


async def test_a_dict_is_sent_as_json_of_the_declared_type(connect: Connect):
    client = answering(connect, ({"bars": 3}, 200))

    answer = await ask(client)

    assert answer.content == b'{"bars":3}'
    assert dict(answer.headers) == {"content-type": "application/json", "content-length": "10"}


async def test_the_media_type_is_the_contracts_when_it_declares_another(connect: Connect):
    client = connect()

    answer = await client.get("/.well-known/keys/a")

    assert answer.headers["content-type"] == "application/jwk-set+json"


async def test_headers_of_the_handler_are_sent(connect: Connect):
    client = answering(connect, ({"bars": 3}, 200, {"X-Door": "open", "Retry-After": "3"}))

    answer = await ask(client)

    assert (answer.headers["x-door"], answer.headers["retry-after"]) == ("open", "3")


async def test_no_body_is_sent_as_no_body(connect: Connect):
    client = answering(connect, (None, 204))

    answer = await ask(client)

    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers
    assert "content-length" not in answer.headers


@pytest.mark.parametrize("status", [http.HTTPStatus.OK, 200])
async def test_a_status_may_be_a_number_or_its_name(connect: Connect, status: Any):
    client = answering(connect, ({"bars": 3}, status))

    answer = await ask(client)

    assert answer.status_code == 200


async def test_a_status_of_a_declared_range_is_held_to_the_range(connect: Connect):
    fine = answering(connect, ({"error": "no"}, 418))
    broken = answering(connect, ({"reason": "no"}, 418))

    answers = [await ask(fine), await ask(broken)]

    assert [each.status_code for each in answers] == [418, 500]


async def test_the_exact_status_comes_before_the_range_and_the_default(connect: Connect):
    exact = spec()
    responses = exact["paths"]["/api/answer"]["get"]["responses"]
    responses["418"] = {"description": "Teapot"}
    responses["default"] = {
        "description": "Other",
        "content": {"application/json": {"schema": {"type": "array"}}},
    }
    contract = read(exact)

    answers = [
        await ask(answering(connect, answer, contract=contract))
        for answer in [(None, 418), ({"error": "no"}, 419), ([], 500), ({}, 503)]
    ]

    assert [each.status_code for each in answers] == [418, 419, 500, 500]
    assert [each.content for each in answers[:3]] == [b"", b'{"error":"no"}', b"[]"]
    assert answers[3].json() == {"error": "Internal server error"}


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Cage:
    bars: int


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (({"bars": "3"}, 200), "body.bars: '3' is not an integer"),
        (({}, 200), "body.bars: is required"),
        (({"bars": 3, "more": 1}, 200), "does not take 'more'"),
        (({"bars": 3, "lock": "1234"}, 200), "body.lock: is write-only; leave it out"),
        (({"bars": 3, "opened": "soon"}, 200), "body.opened: must be a time"),
        (({"bars": float("nan")}, 200), "is not an integer"),
        (({"bars": object()}, 200), "not JSON serializable"),
        (({1: 2, "bars": 3}, 200), "must be str"),
        ((Cage("x"), 200), "body.bars: 'x' is not an integer"),  # type: ignore[arg-type]
        ((None, 200), "declares content but the body is None"),
        (({"bars": 3}, 204), "has a body but not one declared media type"),
        (({}, 201), "status 201 is not declared"),
        (({}, 500), "status 500 is not declared"),
        (({}, "200"), "'200' is not a final status"),
        (({}, 100), "100 is not a final status"),
        (({}, 203), "lacks header x-seal"),
        (({"bars": 3}, 206, {"Content-Type": "text/html"}), "does not declare 'text/html'"),
        (({"bars": 3}, 206, {"Content-Type": "text/plain"}), "is not JSON; return str or bytes"),
        (({"bars": 3}, 200, {"X-Door": "a\r\nSet-Cookie: b"}), "contains a control character"),
        (({"bars": 3}, 200, {"X-Door": "дверь"}), "header 'X-Door'"),
        (({"bars": 3}, 200, {"X-Door": 3}), "header 'X-Door'"),
        (({"bars": 3},), "a handler returns (body, status)"),
        ({"bars": 3}, "a handler returns (body, status)"),
        ("ok", "a handler returns (body, status)"),
        (None, "a handler returns (body, status)"),
        (JSONResponse({"bars": "x"}), "body.bars: 'x' is not an integer"),
        (JSONResponse({}, 418), "418, which the contract covers only as `4XX`: body.error: is"),
        (JSONResponse({}, 201), "status 201 is not declared"),
        (PlainTextResponse("x"), "does not declare 'text/plain'"),
        (Response(b"{", media_type="application/json"), "is not JSON"),
        (JSONResponse({}, 203), "lacks header x-seal"),
    ],
)
async def test_a_broken_answer_is_a_bare_500_whose_reason_is_only_in_the_log(
    connect: Connect, caplog: pytest.LogCaptureFixture, answer: Any, word: str
):
    client = answering(connect, answer)

    with caplog.at_level(logging.ERROR, "contract"):
        told = await ask(client)

    assert (told.status_code, told.json()) == (500, {"error": "Internal server error"})
    (record,) = caplog.records
    id_ = told.headers["x-request-id"]
    assert f"request {id_}: answerAnything broke the contract" in record.getMessage()
    assert word in record.getMessage()


async def test_a_write_only_member_is_not_missed_in_an_answer(connect: Connect):
    loose = spec()
    loose["components"]["schemas"]["Cage"]["required"] = ["bars", "lock"]
    client = answering(connect, ({"bars": 3}, 200), contract=read(loose))

    answer = await ask(client)

    assert answer.status_code == 200


async def test_what_orjson_writes_as_text_is_checked_as_that_text(connect: Connect):
    opened = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)
    client = answering(connect, ({"bars": 3, "opened": opened}, 200))

    answer = await ask(client)

    assert answer.json() == {"bars": 3, "opened": "2026-01-31T12:00:00+00:00"}


async def test_an_answer_of_two_forms_is_json_unless_the_handler_names_the_other(
    connect: Connect,
):
    answers = [
        await ask(answering(connect, ({"a": 1}, 206))),
        await ask(answering(connect, ("a – b", 206, {"content-type": "text/plain"}))),
        await ask(answering(connect, (b"raw", 206, {"content-type": "text/plain"}))),
    ]

    assert [each.headers["content-type"] for each in answers] == [
        "application/json",
        "text/plain; charset=utf-8",
        "text/plain; charset=utf-8",
    ]
    assert [each.content for each in answers] == [b'{"a":1}', "a – b".encode(), b"raw"]


async def test_a_required_header_may_come_from_the_handler(connect: Connect):
    answers = [
        await ask(answering(connect, ({}, 203, {"x-seal": "red"}))),
        await ask(answering(connect, JSONResponse({}, 203, {"X-Seal": "red"}))),
    ]

    assert [each.status_code for each in answers] == [203, 203]


async def test_without_checking_bodies_the_status_must_be_declared_all_the_same(
    connect: Connect,
):
    answers = [
        await ask(answering(connect, answer, check_responses=False))
        for answer in [({"bars": "x"}, 200), ({}, 201), (None, 200), (JSONResponse({}), 200)]
    ]

    assert [each.status_code for each in answers[:3]] == [200, 500, 200]


async def test_a_stream_reaches_the_client(keeper: httpx.AsyncClient):
    answer = await keeper.get("/api/stream")

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text == "data: 1\n\ndata: 2\n\n"


async def test_a_stream_of_an_undeclared_type_is_broken(connect: Connect):
    async def events() -> AsyncIterator[bytes]:
        yield b"never seen"

    client = answering(connect, StreamingResponse(events(), media_type="text/event-stream"))

    answer = await ask(client)

    assert (answer.status_code, answer.json()) == (500, {"error": "Internal server error"})


async def test_a_stream_that_fails_midway_is_broken_off_and_not_dressed_up(connect: Connect):
    async def events() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        raise RuntimeError("lost the thread")

    async def watch_animals() -> Any:
        return StreamingResponse(events(), media_type="text/event-stream")

    app = make_app(handlers={"watch_animals": watch_animals})
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "asgi": {"spec_version": "2.4"},
        "method": "GET",
        "path": "/api/stream",
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer good-token")],
    }
    with pytest.raises(RuntimeError, match="lost the thread"):
        await app(scope, receive, send)

    assert [each["type"] for each in sent] == ["http.response.start", "http.response.body"]
    assert json.dumps([each.get("status") for each in sent]) == "[200, null]"
