"""Who may call what, and when that is asked."""

import hashlib
import hmac
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.contract_stack.conftest import Connect
from tests.contract_stack.menagerie import KEY, SECRET, TOKEN, animal

GOOD = {"authorization": f"Bearer {TOKEN}"}
BAD = {"authorization": "Bearer bad"}


async def test_an_operation_with_security_refuses_who_shows_nothing(visitor: httpx.AsyncClient):
    answer = await visitor.get("/api/animals")

    assert answer.status_code == 401


async def test_a_bad_credential_never_becomes_anonymous(visitor: httpx.AsyncClient):
    answers = [await visitor.get("/api/maybe", headers=each) for each in ({}, GOOD, BAD)]

    assert [each.status_code for each in answers] == [200, 200, 401]
    assert [each.json()["got"]["user"] for each in answers[:2]] == ["visitor", "keeper"]


async def test_a_bad_second_credential_never_hides_behind_a_good_one(visitor: httpx.AsyncClient):
    both = [
        {**GOOD, "x-key": "bad"},
        {**BAD, "x-key": KEY},
        {**GOOD, "x-key": KEY},
        {"x-key": KEY},
    ]

    answers = [await visitor.post("/api/animals", headers=each, json=animal()) for each in both]

    assert [each.status_code for each in answers] == [401, 401, 201, 201]


async def test_authenticate_is_given_the_alternatives_in_the_contracts_order(connect: Connect):
    asked = []

    async def authenticate(request: Any, alternatives: tuple[str, ...]) -> str:
        asked.append((request.operation.id, alternatives))
        return "keeper"

    client = connect(authenticate=authenticate)
    await client.post("/api/animals", json=animal())
    await client.get("/api/maybe")
    await client.get("/api/animals")

    assert asked == [
        ("createAnimal", ("bearer", "key")),
        ("maybeKnown", ("bearer", "")),
        ("listAnimals", ("bearer",)),
    ]


async def test_a_public_operation_asks_nobody_and_has_no_user(connect: Connect):
    async def authenticate(request: Any, alternatives: Any) -> None:
        raise AssertionError("a public operation asked who is there")

    def authorize(user: Any, operation_id: str) -> None:
        raise AssertionError("a public operation asked for a right")

    client = connect(authenticate=authenticate, authorize=authorize)

    answer = await client.post("/api/token", json={"grant_type": "client_credentials"})

    assert answer.json()["got"]["user"] is None


async def test_authorize_hears_the_user_and_the_operation(connect: Connect):
    heard = []
    client = connect(authorize=lambda user, operation_id: heard.append((user, operation_id)))

    await client.get("/api/animals/x", headers=GOOD)

    assert heard == [("keeper", "getAnimal")]


async def test_who_may_not_is_refused_although_known(visitor: httpx.AsyncClient):
    weak = {"authorization": "Bearer weak-token"}

    answers = [
        await visitor.get("/api/animals/x", headers=weak),
        await visitor.delete("/api/animals/x", headers=weak),
    ]

    assert [each.status_code for each in answers] == [200, 403]


@pytest.mark.parametrize(
    ("token", "status"), [("bad", 401), ("weak-token", 403)], ids=["unknown", "not allowed"]
)
async def test_not_a_byte_of_the_body_is_read_before_both_have_agreed(
    visitor: httpx.AsyncClient, token: str, status: int
):
    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append(True)
        yield b"not json"

    answer = await visitor.post(
        "/api/animals", headers={"authorization": f"Bearer {token}"}, content=body()
    )

    assert answer.status_code == status
    assert read == []


async def test_bad_parameters_are_not_discussed_with_strangers(visitor: httpx.AsyncClient):
    answer = await visitor.get("/api/animals?limit=x")

    assert answer.status_code == 401


async def test_a_signature_is_checked_over_the_raw_bytes_which_validation_then_parses(
    visitor: httpx.AsyncClient,
):
    raw = b'{ "b":1,\n "a": 2 }'
    headers = {
        "content-type": "application/json",
        "x-signature": hmac.new(SECRET, raw, hashlib.sha256).hexdigest(),
    }

    answer = await visitor.post("/api/hooks/linear", content=raw, headers=headers)
    forged = await visitor.post("/api/hooks/linear", content=raw + b" ", headers=headers)

    assert answer.json()["got"]["raw"] == raw.decode()
    assert answer.json()["got"]["body"] == {"b": 1, "a": 2}
    assert forged.status_code == 401
