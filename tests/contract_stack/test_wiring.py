"""What build_app() refuses to put together, and how names become Python's."""

from typing import Any

import pytest

from contract import ContractError, build_app, snake
from contract.loading import read
from contract.names import argument_name
from tests.contract_stack import menagerie
from tests.contract_stack.menagerie import CONTRACT, DECIDED, HANDLERS, make_app, spec


def problems_of(**changes: Any) -> str:
    with pytest.raises(ContractError) as refusal:
        make_app(**changes)
    return "\n".join(refusal.value.problems)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("workerPoll", "worker_poll"),
        ("issueM2MToken", "issue_m2m_token"),
        ("listA2AAgents", "list_a2a_agents"),
        ("getA2AAgent", "get_a2a_agent"),
        ("mintApiKey", "mint_api_key"),
        ("getHTTPServer", "get_http_server"),
        ("postURL", "post_url"),
        ("workspace_id", "workspace_id"),
        ("X-Rensei-Org", "x_rensei_org"),
        ("sha256Sum", "sha256_sum"),
    ],
)
def test_a_name_of_the_contract_has_one_name_in_python(name: str, wanted: str):
    made = snake(name)

    assert made == wanted


def test_every_operation_id_printed_in_the_reference_gives_a_proper_name():
    for operation in CONTRACT.operations:
        assert snake(operation.id) in HANDLERS


@pytest.mark.parametrize(
    ("name", "wanted"), [("id", "id_"), ("from", "from_"), ("projectId", "project_id")]
)
def test_an_argument_never_shadows_what_python_has(name: str, wanted: str):
    made = argument_name(name)

    assert made == wanted


def test_a_missing_handler_stops_the_start():
    handlers = {name: each for name, each in HANDLERS.items() if name != "get_animal"}

    with pytest.raises(ContractError) as refusal:
        build_app(
            CONTRACT,
            handlers=handlers,
            authenticate=menagerie.authenticate,
            authorize=menagerie.authorize,
            decided=DECIDED,
            refuse=menagerie.refuse,
        )

    (problem,) = refusal.value.problems
    assert problem.startswith("getAnimal (GET /api/animals/{id}): has no handler")
    assert problem.endswith("write `async def get_animal`")


@pytest.mark.parametrize("undecided", ["getAnimal", "issueM2MToken"])
def test_an_operation_nobody_decided_stops_the_start_even_when_it_is_public(undecided: str):
    told = problems_of(decided=DECIDED - {undecided})

    assert told.startswith(f"{undecided} (")
    assert "nobody decided its scope" in told


async def lacks_the_path() -> Any: ...


async def wants_more(id_: str, colour: str) -> Any: ...


async def wants_a_body(id_: str, body: Any) -> Any: ...


async def takes_anything(id_: str, **rest: Any) -> Any: ...


async def takes_by_position(id_: str, /) -> Any: ...


def is_not_async(id_: str) -> Any: ...


@pytest.mark.parametrize(
    ("handler", "word"),
    [
        (lacks_the_path, "lacks path parameter 'id_'"),
        (wants_more, "does not supply argument 'colour'"),
        (wants_a_body, "does not supply argument 'body'"),
        (takes_anything, "takes *rest"),
        (takes_by_position, "by position only"),
        (is_not_async, "is not a coroutine function"),
        ("text", "is not a function"),
    ],
)
def test_a_handler_that_does_not_fit_its_operation_stops_the_start(handler: Any, word: str):
    told = problems_of(handlers={"get_animal": handler})

    assert told.startswith("getAnimal (GET /api/animals/{id}):")
    assert word in told


def test_a_parameter_called_like_one_of_ours_stops_the_start_if_the_handler_asks_for_it():
    damaged = spec()
    parameter = {"name": "user", "in": "query", "schema": {"type": "string"}}
    damaged["paths"]["/api/maybe"]["get"]["parameters"] = [parameter]

    told = problems_of(contract=read(damaged))

    assert "two things would arrive as argument 'user'" in told


def test_two_operations_never_share_a_handler_by_accident():
    damaged = spec()
    damaged["paths"]["/api/stream"]["get"]["operationId"] = "maybe_known"

    told = problems_of(contract=read(damaged))

    assert "would share a handler with maybeKnown" in told


@pytest.mark.parametrize(
    ("parameter", "word"),
    [
        ({"style": "deepObject", "schema": {"type": "object"}}, "unsupported style 'deepObject'"),
        ({"style": "pipeDelimited", "schema": {"type": "array"}}, "unsupported style"),
        ({"schema": {"type": "object"}}, "needs a type"),
        ({"schema": {}}, "needs a type"),
        ({"schema": {"type": "array", "items": {"type": "array"}}}, "needs a type"),
        ({"schema": {"type": "string", "nullable": True}}, "remove `nullable`"),
        ({"schema": {"type": "integer", "default": "ten"}}, "correct the default"),
        ({"content": {"application/json": {"schema": {}}}}, "give it one instead of `content`"),
        ({"in": "header", "style": "form", "schema": {"type": "string"}}, "unsupported style"),
        ({"in": "cookie", "schema": {"type": "array", "items": {"type": "string"}}}, "cookie"),
        ({"schema": {"type": "string", "pattern": "("}}, 'pattern: "(" is not a "regex"; correct'),
    ],
)
def test_a_parameter_that_could_not_be_read_stops_the_start(parameter: Any, word: str):
    damaged = spec()
    damaged["paths"]["/api/maybe"]["get"]["parameters"] = [
        {"name": "odd", "in": "query", **parameter}
    ]

    told = problems_of(contract=read(damaged))

    assert told.startswith("maybeKnown (GET /api/maybe):")
    assert word in told


def test_a_type_that_there_is_not_is_told_with_its_place_and_those_that_there_are():
    damaged = spec()
    damaged["components"]["schemas"]["Cage"]["properties"]["bars"] = {"type": "intgr"}

    told = problems_of(contract=read(damaged))

    assert (
        "components.schemas.Cage.properties.bars.type: 'intgr' is no type; write one of array, "
        "boolean, integer, number, object, string; correct the schema"
    ) in told


def test_an_optional_path_parameter_stops_the_start():
    damaged = spec()
    damaged["paths"]["/api/animals/{id}"]["parameters"][0]["required"] = False

    told = problems_of(contract=read(damaged))

    assert "is not required; write `required: true`" in told


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ({"multipart/form-data": {"schema": {"type": "object"}}}, "cannot be read"),
        ({"text/plain": {"schema": {"type": "string"}}}, "cannot be read"),
        ({}, "declares no content"),
        (
            {
                "application/x-www-form-urlencoded": {
                    "schema": {"type": "object", "properties": {"deep": {"type": "object"}}}
                }
            },
            "form field 'deep' needs a type",
        ),
        ({"application/json": {"schema": {"const": 1}}}, "no schema keyword 'const'"),
        (
            {"application/json": {"schema": {"nullable": True, "allOf": []}}},
            "`nullable` has no effect without `type`",
        ),
        (
            {"application/json": {"schema": {"type": "string", "nullable": True, "enum": ["a"]}}},
            "add null to the enum",
        ),
    ],
)
def test_a_body_that_could_not_be_checked_stops_the_start(content: Any, word: str):
    damaged = spec()
    damaged["paths"]["/api/notes"]["post"]["requestBody"] = {"content": content}

    told = problems_of(contract=read(damaged))

    assert told.startswith("leaveNote (POST /api/notes):")
    assert word in told


def test_an_operation_without_responses_stops_the_start():
    damaged = spec()
    damaged["paths"]["/api/maybe"]["get"]["responses"] = {}

    told = problems_of(contract=read(damaged))

    assert "declares no responses; add at least `default`" in told


def test_a_body_limit_that_is_not_a_number_stops_the_start():
    damaged = spec()
    damaged["paths"]["/api/notes"]["post"]["x-max-body-bytes"] = "64k"

    told = problems_of(contract=read(damaged))

    assert "x-max-body-bytes must be a number of bytes" in told


def test_all_problems_of_the_wiring_are_told_at_once():
    told = problems_of(
        decided=DECIDED - {"getKeys"},
        handlers={"get_animal": lacks_the_path, "get_photo": is_not_async},
    )

    assert len(told.splitlines()) == 3
