"""Parameters: found, converted, checked, and named in every complaint."""

from typing import Any

import httpx
import pytest

from contract.loading import read
from tests.contract_stack.conftest import Connect
from tests.contract_stack.menagerie import TOKEN, echo, make_app, spec


async def got(client: httpx.AsyncClient, query: str, **headers: str) -> Any:
    answer = await client.get(f"/api/animals?{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["got"]


async def complaint(client: httpx.AsyncClient, query: str, **headers: str) -> str:
    answer = await client.get(f"/api/animals?{query}", headers=headers)
    assert answer.status_code == 400, answer.text
    return str(answer.json()["error"])


async def test_absent_parameters_arrive_as_their_defaults_or_none(keeper: httpx.AsyncClient):
    arguments = await got(keeper, "")

    assert arguments == {
        "limit": 20,
        "q": None,
        "born_after": None,
        "ratio": None,
        "wild": False,
        "kind": None,
        "tag": ["any"],
        "ids": None,
        "x_keeper_name": None,
        "cage": None,
        "user": "keeper",
    }


@pytest.mark.parametrize(
    ("query", "name", "value"),
    [
        ("limit=7", "limit", 7),
        ("limit=007", "limit", 7),
        ("ratio=1.5", "ratio", 1.5),
        ("ratio=-2e3", "ratio", -2000.0),
        ("ratio=4", "ratio", 4.0),
        ("wild=true", "wild", True),
        ("wild=False", "wild", False),
        ("q=", "q", ""),
        ("q=a+b%26", "q", "a b&"),
        ("q=null", "q", "null"),
        ("q=%C3%A9", "q", "é"),
        ("kind=fish", "kind", "fish"),
        ("bornAfter=2024-02-29T00:00:00%2B01:00", "born_after", "2024-02-29T00:00:00+01:00"),
        ("tag=a&tag=b,c", "tag", ["a", "b,c"]),
        ("tag=a", "tag", ["a"]),
        ("ids=1,-2,3", "ids", [1, -2, 3]),
        ("unknown=1&unknown=2", "limit", 20),
    ],
)
async def test_a_query_parameter_arrives_converted(
    keeper: httpx.AsyncClient, query: str, name: str, value: Any
):
    arguments = await got(keeper, query)

    assert arguments[name] == value
    assert type(arguments[name]) is type(value)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("limit=x", "query.limit: 'x' is not an integer"),
        ("limit=", "query.limit: '' is not an integer"),
        ("limit=1.0", "query.limit: '1.0' is not an integer"),
        ("limit=1_0", "query.limit: '1_0' is not an integer"),
        ("limit=%D9%A3", "query.limit: '٣' is not an integer"),
        ("limit=99999999999999999999", "query.limit: '99999999999999999999' is not an integer"),
        ("limit=9223372036854775808", "query.limit: '9223372036854775808' is not an integer"),
        ("limit=0", "query.limit: must be at least 1"),
        ("limit=101", "query.limit: must be at most 100"),
        ("limit=1&limit=1", "query.limit: is given more than once"),
        ("q=1234567890123", "query.q: must have at most 12 characters"),
        ("q=a%00b", "query.q: must not contain a NUL character"),
        ("q=%FF", "query: is not valid UTF-8"),
        ("ratio=nan", "query.ratio: 'nan' is not a number"),
        ("ratio=1e999", "query.ratio: '1e999' is not a number"),
        ("wild=1", "query.wild: '1' is not true or false"),
        ("kind=dog", "query.kind: 'dog' is not one of ['bird', 'fish', 'cat']"),
        ("bornAfter=2024-02-30T00:00:00Z", "query.bornAfter: must be a time such as"),
        ("tag=", "query.tag[0]: must have at least 1 character"),
        ("tag=a&tag=b&tag=c&tag=d", "query.tag: must have at most 3 items"),
        ("ids=1,x", "query.ids: 'x' is not an integer"),
        ("ids=1&ids=2", "query.ids: is given more than once"),
        ("&".join(f"f{n}=1" for n in range(1001)), "query: has more than 1000 fields"),
    ],
)
async def test_a_query_parameter_that_breaks_the_contract_is_named(
    keeper: httpx.AsyncClient, query: str, words: str
):
    told = await complaint(keeper, query)

    assert told.startswith(words)


async def test_a_long_value_is_not_echoed_in_full(keeper: httpx.AsyncClient):
    told = await complaint(keeper, "kind=" + "x" * 5000)

    assert len(told) < 150


async def test_a_header_parameter_is_checked_and_passed(keeper: httpx.AsyncClient):
    arguments = await got(keeper, "", **{"x-KEEPER-name": "Ada L"})
    told = await complaint(keeper, "", **{"x-keeper-name": "4da"})

    assert arguments["x_keeper_name"] == "Ada L"
    assert told == "header.X-Keeper-Name: '4da' does not match ^[A-Za-z ]+$"


async def test_a_header_given_twice_is_ambiguous(keeper: httpx.AsyncClient):
    twice = [("x-keeper-name", "Ada"), ("x-keeper-name", "Bo")]

    answer = await keeper.get("/api/animals", headers=twice)

    assert answer.json()["error"] == "header.X-Keeper-Name: is given more than once"


async def test_the_headers_that_openapi_reserves_are_not_parameters(keeper: httpx.AsyncClient):
    answer = await keeper.get("/api/animals")

    assert keeper.headers["authorization"].startswith("Bearer ")
    assert answer.status_code == 200


async def test_a_cookie_parameter_is_checked_and_passed(keeper: httpx.AsyncClient):
    arguments = await got(keeper, "", cookie="other=1; cage=4")
    told = await complaint(keeper, "", cookie="cage=0")

    assert arguments["cage"] == 4
    assert told == "cookie.cage: must be at least 1"


async def test_a_path_parameter_is_converted_and_checked(keeper: httpx.AsyncClient):
    answers = [await keeper.get(f"/api/animals/a/photos/{each}") for each in ("3", "x", "-1")]

    assert answers[0].json()["got"] == {"animal_id": "a", "index": 3}
    assert answers[1].json()["error"] == "path.index: 'x' is not an integer"
    assert answers[2].json()["error"] == "path.index: must be at least 0"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/api/animals/%00", "path.id: must not contain a NUL character"),
        ("/api/animals/" + "x" * 41, "path.id: must have at most 40 characters"),
    ],
)
async def test_a_path_parameter_that_breaks_the_contract_is_named(
    keeper: httpx.AsyncClient, path: str, words: str
):
    answer = await keeper.get(path)

    assert (answer.status_code, answer.json()["error"]) == (400, words)


@pytest.mark.parametrize("place", ["query", "header", "cookie"])
async def test_a_required_parameter_that_is_missing_is_named(connect: Connect, place: str):
    strict = spec()
    strict["paths"]["/api/maybe"]["get"]["parameters"] = [
        {"name": "door", "in": place, "required": True, "schema": {"type": "string"}}
    ]
    client = connect(make_app(read(strict)))

    answer = await client.get("/api/maybe")

    assert (answer.status_code, answer.json()["error"]) == (400, f"{place}.door: is required")


async def test_a_parameter_is_checked_even_if_the_handler_does_not_ask_for_it(connect: Connect):
    async def list_animals(user: str) -> Any:
        return echo(user=user)

    client = connect(handlers={"list_animals": list_animals})
    client.headers["authorization"] = f"Bearer {TOKEN}"

    answers = [await client.get(f"/api/animals?limit={each}") for each in ("5", "x")]

    assert [each.status_code for each in answers] == [200, 400]


async def test_an_absent_parameter_leaves_the_handlers_own_default(connect: Connect):
    async def list_animals(q: str = "mine", limit: int = 5) -> Any:
        return echo(q=q, limit=limit)

    client = connect(handlers={"list_animals": list_animals})

    arguments = await got(client, "", authorization=f"Bearer {TOKEN}")

    assert arguments == {"q": "mine", "limit": 20}


async def test_a_handler_that_changes_a_default_list_changes_only_its_own(connect: Connect):
    async def list_animals(tag: list[str]) -> Any:
        tag.append("more")
        return echo(tag=tag)

    client = connect(handlers={"list_animals": list_animals})

    answers = [await got(client, "", authorization=f"Bearer {TOKEN}") for _ in range(2)]

    assert answers == [{"tag": ["any", "more"]}] * 2
