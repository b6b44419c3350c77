"""Request bodies: read within limits, recognised, parsed, checked."""

import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest

from contract.loading import read
from contract.schemas import Direction, Schemas
from tests.contract_stack.conftest import Connect
from tests.contract_stack.menagerie import HANDLERS, TOKEN, animal, make_app, spec

JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def roomy() -> dict[str, Any]:
    """The menagerie without the narrow limit of its notes."""
    wide = spec()
    del wide["paths"]["/api/notes"]["post"]["x-max-body-bytes"]
    return wide


async def test_a_body_arrives_as_it_was_sent(keeper: httpx.AsyncClient):
    body = animal(nickname=None, mood=None, extra={"kept": [1, 2.5]})

    answer = await keeper.post("/api/animals", json=body)

    assert answer.json()["got"]["body"] == body


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": ...}, "body.name: is required"),
        ({"name": ""}, "body.name: must have at least 1 character"),
        ({"name": "x" * 31}, "body.name: must have at most 30 characters"),
        ({"name": 7}, "body.name: 7 is not a string"),
        ({"name": None}, "body.name: null is not a string"),
        ({"kind": "dog"}, "body.kind: 'dog' is not one of ['bird', 'fish', 'cat']"),
        ({"legs": 1.5}, "body.legs: 1.5 is not an integer"),
        ({"legs": True}, "body.legs: true is not an integer"),
        ({"legs": "4"}, "body.legs: '4' is not an integer"),
        ({"legs": -1}, "body.legs: must be at least 0"),
        ({"weight": 0}, "body.weight: must be more than 0"),
        ({"born": "yesterday"}, "body.born: must be a time such as 2026-01-31T12:00:00Z"),
        ({"born": "2024-01-01T00:00:00"}, "body.born: must be a time"),
        ({"born": "2023-02-29T00:00:00Z"}, "body.born: must be a time"),
        ({"tags": ["a", "b", "c", "d"]}, "body.tags: must have at most 3 items"),
        ({"tags": ["a", "a"]}, "body.tags: must not hold the same item twice"),
        ({"tags": ["a", 1]}, "body.tags[1]: 1 is not a string"),
        ({"tags": {}}, "body.tags: an object is not a list"),
        ({"code": "A"}, "body.code: 'A' does not match ^[a-z]+$"),
        ({"code": "a\n"}, "body.code: 'a\\n' does not match ^[a-z]+$"),
        ({"id": "a1"}, "body.id: is read-only; leave it out"),
        ({"mood": "odd"}, "body.mood: 'odd' is not one of ['calm', 'wild', null]"),
        ({"home": {"bars": 1, "x": 1}}, "body.home: does not take 'x' (as Cage)"),
    ],
)
async def test_a_body_that_breaks_the_contract_is_told_where_and_what_is_wanted(
    keeper: httpx.AsyncClient, changes: dict[str, Any], words: str
):
    answer = await keeper.post("/api/animals", json=animal(**changes))

    assert answer.status_code == 400
    assert answer.json()["error"].startswith(words)


async def test_several_faults_are_told_together_but_not_without_end(keeper: httpx.AsyncClient):
    answer = await keeper.post("/api/animals", json={"name": 1, "kind": 1, "legs": "x"})

    told = answer.json()["error"].split("; ")
    assert told[0] == "body.weight: is required"
    assert len(told) == 4
    assert told[3].endswith("more")


@pytest.mark.parametrize(
    ("diet", "words"),
    [
        ({"eats": "air"}, "body.diet.eats: 'air' is not one of ['grass', 'meat']"),
        ({"eats": ["meat"]}, "body.diet.eats: a list is not one of ['grass', 'meat']"),
        ({}, "body.diet.eats: is required; it is one of ['grass', 'meat']"),
        ({"eats": "grass"}, "body.diet.grams: is required (as Grazer)"),
        ({"eats": "meat", "prey": 1}, "body.diet.prey: 1 is not one of ['bird', 'fish', 'cat']"),
        ("meat", "body.diet: 'meat' is not an object (as Grazer)"),
    ],
)
async def test_a_wrong_variant_is_told_by_the_name_of_its_branch(
    keeper: httpx.AsyncClient, diet: Any, words: str
):
    answer = await keeper.post("/api/animals", json=animal(diet=diet))

    assert answer.json()["error"].startswith(words)


@pytest.mark.parametrize(
    ("home", "words"),
    [
        ({"litres": "x"}, "body.home.litres: 'x' is not a number (as Pond)"),
        ({"bars": "x"}, "body.home.bars: 'x' is not an integer (as Cage)"),
    ],
)
async def test_without_a_discriminator_the_closest_branch_is_named(
    keeper: httpx.AsyncClient, home: Any, words: str
):
    answer = await keeper.post("/api/animals", json=animal(home=home))

    assert answer.json()["error"] == words


async def test_a_read_only_member_is_not_missed_when_it_is_left_out(keeper: httpx.AsyncClient):
    label = {"name": "Ada", "colour": "red"}

    fine = await keeper.post("/api/animals", json=animal(label=label))
    wrong = await keeper.post("/api/animals", json=animal(label={**label, "printed": True}))

    assert fine.status_code == 201
    assert wrong.json()["error"] == "body.label.printed: is read-only; leave it out"


@pytest.mark.parametrize(
    "born", ["2024-02-29t12:00:00z", "2024-02-29T12:00:00.123456+05:30", "2016-12-31T23:59:60Z"]
)
async def test_times_are_those_of_rfc_3339(keeper: httpx.AsyncClient, born: str):
    answer = await keeper.post("/api/animals", json=animal(born=born))

    assert answer.status_code == 201


async def test_formats_other_than_times_are_decoration(keeper: httpx.AsyncClient):
    answer = await keeper.post("/api/animals", json=animal(chip="not a uuid"))

    assert answer.status_code == 201


async def test_a_whole_float_is_not_an_integer_so_that_handlers_get_ints(
    keeper: httpx.AsyncClient,
):
    answer = await keeper.post("/api/animals", json=animal(legs=4.0))

    assert answer.json()["error"] == "body.legs: 4.0 is not an integer"


async def test_an_integer_beyond_64_bits_is_refused(keeper: httpx.AsyncClient):
    answer = await keeper.post(
        "/api/token", json={"grant_type": "client_credentials", "lifetime": 2**64}
    )

    assert answer.status_code == 400
    assert "is not an integer" in answer.json()["error"]


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b'{"text": NaN}',
        b'{"text": Infinity}',
        b'{"text": 1e999}',
        b'{"text": "\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"text": "\\ud800"}',
        b'{"text": "a\x00b"}',
        b"{'text': 1}",
        b"{} {}",
        b"  ",
        b"[" * 60,
    ],
)
async def test_what_is_not_json_is_malformed_and_never_an_error_of_ours(
    visitor: httpx.AsyncClient, raw: bytes
):
    answer = await visitor.post("/api/notes", content=raw, headers=JSON)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("body: is not valid JSON")


@pytest.mark.parametrize(("depth", "status"), [(200, 200), (201, 400), (1000, 400)])
async def test_what_is_nested_deeper_than_could_be_written_again_is_malformed(
    connect: Connect, depth: int, status: int
):
    client = connect(make_app(read(roomy())))
    body = b'{"text":"[[[","deep":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"

    answer = await client.post("/api/notes", content=body, headers=JSON)

    assert answer.status_code == status
    if status == 400:
        assert answer.json()["error"] == "body: is nested more than 200 levels deep"


async def test_a_flat_body_with_many_brackets_is_not_deep(connect: Connect):
    client = connect(make_app(read(roomy())))

    answer = await client.post("/api/notes", json={"flat": [[]] * 500})

    assert answer.status_code == 200


async def test_nesting_without_end_is_malformed(keeper: httpx.AsyncClient):
    deep = b'{"name":"a","parents":[' * 5000 + b"]}" * 5000

    answer = await keeper.put("/api/animals/a/pedigree", content=deep, headers=JSON)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("body: is not valid JSON")


@pytest.mark.parametrize("depth", [1, 3, 90])
async def test_a_schema_may_contain_itself(keeper: httpx.AsyncClient, depth: int):
    fine: dict[str, Any] = {"name": "first"}
    for _ in range(depth):
        fine = {"name": "later", "parents": [fine]}

    good = await keeper.put("/api/animals/a/pedigree", content=orjson.dumps(fine), headers=JSON)
    text = orjson.dumps(fine).replace(b"first", b"").replace(b'""', b"1")
    bad = await keeper.put("/api/animals/a/pedigree", content=text, headers=JSON)

    assert good.status_code == 200
    assert bad.status_code == 400
    assert bad.json()["error"].endswith("parents[0].name: 1 is not a string")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"text": "a\\u0000b"}',
        b'{"other": {"deep": ["\\u0000"]}}',
        b'{"a\\u0000": 1}',
    ],
)
async def test_a_nul_character_anywhere_in_a_body_is_malformed(
    visitor: httpx.AsyncClient, raw: bytes
):
    answer = await visitor.post("/api/notes", content=raw, headers=JSON)

    assert answer.json()["error"] == "body: must not contain a NUL character"


async def test_the_six_characters_of_an_escaped_nul_are_not_a_nul(visitor: httpx.AsyncClient):
    answer = await visitor.post("/api/notes", content=b'{"text": "\\\\u0000"}', headers=JSON)

    assert answer.json()["got"]["body"] == {"text": "\\u0000"}


@pytest.mark.parametrize(
    "written",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        'Application/JSON ; Charset="utf-8"; q=1',
    ],
)
async def test_the_content_type_may_carry_a_charset(visitor: httpx.AsyncClient, written: str):
    answer = await visitor.post("/api/notes", content=b"{}", headers={"content-type": written})

    assert answer.json()["got"]["body"] == {}


@pytest.mark.parametrize(
    "written",
    ["text/plain", "application/jsonp", "application/merge-patch+json", "json", "", None],
)
async def test_a_body_of_another_type_is_refused_even_without_a_type(
    visitor: httpx.AsyncClient, written: str | None
):
    headers = {} if written is None else {"content-type": written}

    answer = await visitor.post("/api/notes", content=b"{}", headers=headers)

    assert answer.status_code == 415
    assert answer.json()["error"] == "Content-Type must be application/json"


async def test_json_in_another_charset_is_refused(visitor: httpx.AsyncClient):
    answer = await visitor.post(
        "/api/notes",
        content="{}".encode("utf-16"),
        headers={"content-type": "application/json; charset=utf-16"},
    )

    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("written", "status"),
    [("application/merge-patch+json", 200), ("application/json", 415), ("text/x+json", 415)],
)
async def test_a_range_of_json_types_takes_its_members(
    keeper: httpx.AsyncClient, written: str, status: int
):
    answer = await keeper.patch(
        "/api/animals/a", content=b'{"name":"b"}', headers={"content-type": written}
    )

    assert answer.status_code == status


@pytest.mark.parametrize("headers", [{}, JSON, {"content-type": "text/plain"}])
async def test_an_empty_body_passes_under_any_type_where_none_is_required(
    visitor: httpx.AsyncClient, headers: dict[str, str]
):
    answer = await visitor.post("/api/notes", headers=headers)

    assert answer.status_code == 202
    assert answer.content == b""


@pytest.mark.parametrize("headers", [{}, JSON])
async def test_an_empty_body_is_malformed_where_one_is_required(
    keeper: httpx.AsyncClient, headers: dict[str, str]
):
    answer = await keeper.post("/api/animals", headers=headers)

    assert (answer.status_code, answer.json()["error"]) == (400, "body: is required")


async def test_a_chunked_body_is_read_to_its_end(visitor: httpx.AsyncClient):
    body = chunks(b'{"te', b'xt": ', b"", b'"x"}')

    answer = await visitor.post("/api/notes", content=body, headers=JSON)

    assert "content-length" not in answer.request.headers
    assert answer.json()["got"]["body"] == {"text": "x"}


async def test_an_empty_chunked_body_is_no_body(visitor: httpx.AsyncClient):
    answer = await visitor.post("/api/notes", content=chunks(), headers=JSON)

    assert answer.status_code == 202


async def test_a_body_that_the_handler_does_not_ask_for_is_checked_all_the_same(
    connect: Connect,
):
    async def create_animal(user: str) -> Any:
        return {"got": {}}, 201

    client = connect(handlers={"create_animal": create_animal})
    client.headers["authorization"] = f"Bearer {TOKEN}"

    answers = [await client.post("/api/animals", json=each) for each in (animal(), {})]

    assert [each.status_code for each in answers] == [201, 400]


async def test_a_body_that_the_contract_does_not_know_is_not_read(keeper: httpx.AsyncClient):
    answer = await keeper.request("GET", "/api/animals/a", content=b"\xff" * 2_000_000)

    assert answer.status_code == 200


async def test_a_form_arrives_converted(visitor: httpx.AsyncClient):
    form = "grant_type=client_credentials&lifetime=60&scope=a&scope=b+c&more=x&client_id="

    answer = await visitor.post("/api/token", content=form, headers=FORM)

    assert answer.json()["got"]["body"] == {
        "grant_type": "client_credentials",
        "lifetime": 60,
        "scope": ["a", "b c"],
        "more": "x",
        "client_id": "",
    }


async def test_one_operation_takes_a_form_and_json_alike(visitor: httpx.AsyncClient):
    body = {"grant_type": "client_credentials", "scope": ["a"]}

    answers = [
        await visitor.post("/api/token", data=body),
        await visitor.post("/api/token", json=body),
    ]

    assert [each.json()["got"]["body"] for each in answers] == [body, body]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("lifetime=60", "body.grant_type: is required"),
        ("grant_type=password", "body.grant_type: 'password' is not one of"),
        ("grant_type=client_credentials&lifetime=x", "body.lifetime: 'x' is not an integer"),
        ("grant_type=client_credentials&lifetime=0", "body.lifetime: must be at least 1"),
        (
            "grant_type=client_credentials&grant_type=client_credentials",
            "body.grant_type: is given more than once",
        ),
        ("grant_type=%FF", "body: is not valid UTF-8"),
        ("grant_type=\xff", "body: is not valid UTF-8"),
        ("grant_type=client_credentials&client_id=%00", "body.client_id: must not contain a NUL"),
        ("grant_type=client_credentials&o=%00", "body: must not contain a NUL"),
        ("a=1&" * 1001, "body: has more than 1000 fields"),
    ],
)
async def test_a_form_that_breaks_the_contract_is_told_where(
    visitor: httpx.AsyncClient, form: str, words: str
):
    answer = await visitor.post("/api/token", content=form.encode("latin-1"), headers=FORM)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith(words)


async def test_a_body_that_may_be_null_arrives_as_none(connect: Connect):
    loose = spec()
    body = loose["paths"]["/api/notes"]["post"]["requestBody"]
    body["content"]["application/json"]["schema"]["nullable"] = True
    client = connect(make_app(read(loose), handlers=HANDLERS))

    answer = await client.post("/api/notes", content=b"null", headers=JSON)

    assert answer.status_code == 202


async def test_null_is_not_an_object(visitor: httpx.AsyncClient):
    answer = await visitor.post("/api/notes", content=b"null", headers=JSON)

    assert answer.json()["error"] == "body: null is not an object"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"scope": [1] * 300_000}, "body.scope[0]: 1 is not a string"),
        ({"name": "x" * 5_000}, "body.name: must have at most 30 characters"),
        ({"home": {"bars": [1] * 300_000}}, "body.home: fits none of its allowed forms"),
        ({"diet": {"eats": "x" * 5_000}}, "body.diet: fits none of its allowed forms"),
        ({"id": "x" * 5_000}, "body.id: is read-only; leave it out"),
    ],
)
async def test_a_megabyte_of_faults_is_told_its_first_one_at_once(
    keeper: httpx.AsyncClient, body: dict[str, Any], words: str
):
    path, whole = "/api/animals", animal(**body)
    if "scope" in body:
        path, whole = "/api/token", {"grant_type": "client_credentials", **body}
    started = time.process_time()

    answer = await keeper.post(path, json=whole)

    assert answer.json()["error"] == words
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a secret", "body.token: the value does not match ^[!-~]+$"),
        (7, "body.token: the value is not a string"),
        (["a secret"], "body.token: a list is not a string"),
    ],
)
@pytest.mark.parametrize("chosen", [False, True])
def test_what_may_be_a_secret_is_not_told_back(value: Any, words: str, chosen: bool):
    token = {"type": "string", "pattern": "^[!-~]+$", "format": "password"}
    holder = {"type": "object", "properties": {"token": token}}
    schema = {"oneOf": [holder, {"type": "integer"}]} if chosen else holder

    shape = Schemas({}).shape(schema, Direction.REQUEST)

    assert shape.complaint({"token": value}, "body", 20).removesuffix(" (as form 1)") == words
