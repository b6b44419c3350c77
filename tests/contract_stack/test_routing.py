"""Which operation a path means."""

import httpx
import pytest

from contract import NoSuchPath
from contract.loading import read
from tests.contract_stack.conftest import Connect
from tests.contract_stack.menagerie import TOKEN, make_app, spec


async def test_a_literal_segment_wins_over_a_templated_one_whatever_the_order(
    keeper: httpx.AsyncClient,
):
    answer = await keeper.get("/api/animals/newest")

    assert answer.json() == {"got": {"newest": True}}


async def test_a_literal_that_leads_nowhere_does_not_hide_a_parameter(keeper: httpx.AsyncClient):
    answer = await keeper.get("/api/animals/newest/photos/2")

    assert answer.json() == {"got": {"animal_id": "newest", "index": 2}}


async def test_a_parameter_next_to_literals_goes_on_past_them(keeper: httpx.AsyncClient):
    answer = await keeper.get("/api/animals/newest/name")

    assert answer.json() == {"got": {"name": True}}


@pytest.mark.parametrize("path", ["//api/animals/x", "///api/animals/x", "//api/animals/newest"])
async def test_repeated_leading_slashes_are_one(keeper: httpx.AsyncClient, path: str):
    answer = await keeper.get(f"http://zoo{path}")

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/animals/",
        "/api/animals/x/",
        "/api//animals",
        "/api/animals//photos/1",
        "/api",
        "/",
        "/api/animals/x/y",
        "/API/animals",
    ],
)
async def test_what_is_not_in_the_contract_is_not_found(keeper: httpx.AsyncClient, path: str):
    answer = await keeper.get(f"http://zoo{path}")

    assert answer.status_code == 404
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a%20b", "a b"),
        ("%C3%A9", "é"),
        ("a%2Fb", "a/b"),
        ("100%25", "100%"),
        ("a+b", "a+b"),
        ("%7Bid%7D", "{id}"),
    ],
)
async def test_a_segment_is_decoded_once_and_stays_one_segment(
    keeper: httpx.AsyncClient, written: str, meant: str
):
    answer = await keeper.get(f"/api/animals/{written}")

    assert answer.json()["got"]["id_"] == meant


async def test_an_encoded_literal_is_the_literal(keeper: httpx.AsyncClient):
    answer = await keeper.get("/api/animals/%6Eewest")

    assert answer.json() == {"got": {"newest": True}}


async def test_a_path_that_is_not_utf_8_is_malformed(keeper: httpx.AsyncClient):
    answer = await keeper.get("/api/animals/%FF")

    assert (answer.status_code, answer.json()["error"]) == (400, "path: is not valid UTF-8")


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD", "PUT", "POST", "TRACE", "BREW"])
async def test_another_method_is_told_all_that_the_path_has(keeper: httpx.AsyncClient, method: str):
    answer = await keeper.request(method, "/api/animals/x")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "DELETE, GET, PATCH"


async def test_the_methods_of_two_spellings_of_one_path_are_told_together(connect: Connect):
    shared = spec()
    item = shared["paths"]["/api/animals/{id}"]
    shared["paths"]["/api/animals/{key}"] = {
        "delete": item.pop("delete"),
        "parameters": [{**item["parameters"][0], "name": "key"}],
    }

    async def remove_animal(key: str) -> object:
        return None, 204

    app = make_app(read(shared), handlers={"remove_animal": remove_animal})
    client = connect(app)
    client.headers["authorization"] = f"Bearer {TOKEN}"

    told = await client.options("/api/animals/x")
    done = await client.delete("/api/animals/x")

    assert told.headers["allow"] == "DELETE, GET, PATCH"
    assert done.status_code == 204


async def test_a_refused_path_never_reaches_security(connect: Connect):
    asked = []

    async def authenticate(request: object, alternatives: object) -> None:
        asked.append(request)

    client = connect(authenticate=authenticate)

    answers = [await client.get("/nowhere"), await client.put("/api/animals")]

    assert [each.status_code for each in answers] == [404, 405]
    assert asked == []


async def test_the_root_path_of_a_mount_and_of_the_first_server_are_left_out(connect: Connect):
    moved = spec()
    moved["servers"] = [{"url": "https://zoo.example/v7"}]
    app = make_app(read(moved))

    mounted = httpx.ASGITransport(app, root_path="/under")
    async with httpx.AsyncClient(transport=mounted, base_url="http://zoo") as client:
        answers = [
            await client.get("/under/v7/.well-known/keys/a"),
            await client.get("/under/v7/.well-known/keys/a%20b"),
            await client.get("/under/.well-known/keys/a"),
        ]

    assert [each.status_code for each in answers] == [200, 200, 404]
    assert answers[1].json() == {"keys": ["a b"]}


async def test_a_handler_may_say_not_found_in_the_contracts_own_word(connect: Connect):
    async def maybe_known(user: str) -> object:
        raise NoSuchPath

    client = connect(handlers={"maybe_known": maybe_known})

    answer = await client.get("/api/maybe")

    assert answer.status_code == 404


async def test_the_request_knows_its_operation_and_path_parameters(connect: Connect):
    seen = []

    async def get_keys(workspace_id: str, request: object) -> object:
        seen.append((request.operation.id, dict(request.path_params)))  # type: ignore[attr-defined]
        return {"keys": []}, 200

    client = connect(handlers={"get_keys": get_keys})

    await client.get("/.well-known/keys/w%31")

    assert seen == [("getKeys", {"workspace_id": "w1"})]
