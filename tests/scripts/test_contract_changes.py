"""What breaks a client is told from what does not, by own rules and by another tool's."""

import copy
import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from openapi_schema_validator import OAS30Validator

from contract.loading import read
from scripts import comparing, released
from scripts.contract_changes import changes

ANSWER: Final = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id"],
    "properties": {
        "id": {"type": "string"},
        "state": {"type": "string", "enum": ["open", "closed"]},
    },
}
REQUEST: Final = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "maxLength": 50},
        "color": {"type": "string", "enum": ["red", "blue"]},
    },
}
SPEC: Final[dict[str, Any]] = {
    "openapi": "3.0.3",
    "info": {"title": "Small", "version": "0.1.0"},
    "paths": {
        "/api/things/{id}": {
            "post": {
                "operationId": "changeThing",
                "description": "Changes it.\n\n*Permissions:* `things:write`.\n",
                "security": [{"key": []}, {"cookie": []}],
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 9}},
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": REQUEST}},
                },
                "responses": {
                    "200": {
                        "description": "Changed.",
                        "headers": {"ETag": {"required": True, "schema": {"type": "string"}}},
                        "content": {"application/json": {"schema": ANSWER}},
                    },
                    "404": {"description": "Gone."},
                },
            },
        },
    },
    "components": {
        "securitySchemes": {
            "key": {"type": "http", "scheme": "bearer"},
            "cookie": {"type": "apiKey", "in": "cookie", "name": "c"},
        },
    },
}

Edit = Callable[[dict[str, Any]], object]


def edited(edit: Edit) -> dict[str, Any]:
    spec = copy.deepcopy(SPEC)
    edit(spec["paths"]["/api/things/{id}"]["post"])
    return spec


def request(raw: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = raw["requestBody"]["content"]["application/json"]["schema"]
    return found


def answer(raw: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = raw["responses"]["200"]["content"]["application/json"]["schema"]
    return found


BREAKING: Final[dict[str, tuple[Edit, str]]] = {
    "new required parameter": (
        lambda raw: raw["parameters"].append(
            {"name": "why", "in": "query", "required": True, "schema": {"type": "string"}}
        ),
        "query parameter why: added, required",
    ),
    "parameter removed": (lambda raw: raw["parameters"].pop(), "query parameter limit: removed"),
    "parameter now required": (
        lambda raw: raw["parameters"][1].update(required=True),
        "query parameter limit: required from now on",
    ),
    "parameter narrowed": (
        lambda raw: raw["parameters"][1]["schema"].update(maximum=5),
        "query parameter limit: maximum 9 became 5",
    ),
    "parameter of another type": (
        lambda raw: raw["parameters"][1].update(schema={"type": "boolean"}),
        "query parameter limit: type integer became boolean",
    ),
    "new required member": (
        lambda raw: (
            request(raw)["properties"].update(size={"type": "integer"}),
            request(raw)["required"].append("size"),
        ),
        "request body.size: added, required",
    ),
    "member now required": (
        lambda raw: request(raw)["required"].append("color"),
        "request body.color: required from now on",
    ),
    "request member removed": (
        lambda raw: request(raw)["properties"].pop("color"),
        "request body.color: removed",
    ),
    "request enum narrowed": (
        lambda raw: request(raw)["properties"]["color"].update(enum=["red"]),
        "request body.color: enum lost blue",
    ),
    "request bound narrowed": (
        lambda raw: request(raw)["properties"]["name"].update(maxLength=20),
        "request body.name: maxLength 50 became 20",
    ),
    "request closed": (
        lambda raw: request(raw).update(additionalProperties=False),
        "request body: closed to other members",
    ),
    "media type removed": (
        lambda raw: raw["requestBody"].update(content={"text/plain": {"schema": REQUEST}}),
        "request body: no longer application/json",
    ),
    "answer enum widened": (
        lambda raw: answer(raw)["properties"]["state"].update(enum=["open", "closed", "lost"]),
        "200 answer.state: enum gained lost",
    ),
    "answer member removed": (
        lambda raw: answer(raw)["properties"].pop("state"),
        "200 answer.state: removed",
    ),
    "answer member optional": (
        lambda raw: answer(raw).pop("required"),
        "200 answer.id: optional from now on",
    ),
    "answer may be null": (
        lambda raw: answer(raw)["properties"]["id"].update(nullable=True),
        "200 answer.id: may be null now",
    ),
    "answer of another type": (
        lambda raw: answer(raw)["properties"]["id"].update(type="integer"),
        "200 answer.id: type string became integer",
    ),
    "answer removed": (
        lambda raw: raw["responses"].update({"201": raw["responses"].pop("200")}),
        "200 answer: removed",
    ),
    "header removed": (
        lambda raw: raw["responses"]["200"].pop("headers"),
        "200 answer: header ETag removed",
    ),
    "security narrowed": (
        lambda raw: raw["security"].pop(),
        "security: cookie is no longer taken",
    ),
    "scope changed": (
        lambda raw: raw.update(description="*Permissions:* `things:all`."),
        "scope: things:write became things:all",
    ),
}

QUIET: Final[dict[str, Edit]] = {
    "nothing": lambda raw: None,
    "prose": lambda raw: raw.update(summary="Change it"),
    "new optional parameter": lambda raw: raw["parameters"].append(
        {"name": "why", "in": "query", "schema": {"type": "string"}}
    ),
    "new optional member": lambda raw: request(raw)["properties"].update(size={"type": "integer"}),
    "request enum widened": lambda raw: request(raw)["properties"]["color"]["enum"].append("green"),
    "request bound widened": lambda raw: request(raw)["properties"]["name"].update(maxLength=99),
    "answer gains a member": lambda raw: answer(raw)["properties"].update(at={"type": "string"}),
    "answer enum narrowed": lambda raw: answer(raw)["properties"]["state"].update(enum=["open"]),
    "answer member always there": lambda raw: answer(raw)["required"].append("state"),
    "another refusal": lambda raw: raw["responses"].update({"409": {"description": "No."}}),
    "security widened": lambda raw: raw["security"].append({}),
}


@pytest.mark.parametrize(("edit", "text"), BREAKING.values(), ids=BREAKING)
def test_what_breaks_a_client_is_told(edit: Edit, text: str) -> None:
    (found,) = changes(read(SPEC), read(edited(edit)))

    assert found.breaking
    assert text in [each.text for each in found.changes if each.breaking]


@pytest.mark.parametrize("edit", QUIET.values(), ids=QUIET)
def test_what_breaks_nobody_is_not_called_breaking(edit: Edit) -> None:
    assert not any(each.breaking for each in changes(read(SPEC), read(edited(edit))))


def test_an_operation_that_went_away_breaks_and_one_that_came_does_not() -> None:
    empty = {**SPEC, "paths": {}}

    assert [each.breaking for each in changes(read(SPEC), read(empty))] == [True]
    assert [each.breaking for each in changes(read(empty), read(SPEC))] == [False]


@pytest.mark.parametrize(
    ("version", "allowed"), [("0.1.0", False), ("0.1.9", False), ("0.2.0", True), ("1.0.0", True)]
)
def test_a_version_that_rose_far_enough_may_break(version: str, allowed: bool) -> None:
    spec = {**SPEC, "info": {"title": "Small", "version": version}, "paths": {}}

    told = list(
        released.breaking_differences(read(spec), "now", ("released/0.1.0.yaml", json.dumps(SPEC)))
    )

    assert (told == []) == allowed
    assert allowed or told[0].startswith("changeThing: was released and is no longer there")


def test_a_contract_is_compared_with_the_platforms() -> None:
    text, status = comparing.told(
        read(SPEC), read(edited(BREAKING["security narrowed"][0])), "platform.yaml"
    )

    assert status == 1
    assert text.splitlines() == [
        "1 operations differ from platform.yaml, 1 in a way that breaks its clients:",
        "",
        "Changed: 1",
        "! changeThing (POST /api/things/{id})",
        "  ! security: cookie is no longer taken",
    ]
    assert comparing.told(read(SPEC), read(SPEC), "platform.yaml")[1] == 0


def test_the_fragment_of_the_changelog_names_what_changed() -> None:
    text = released.fragment(read(SPEC), read(edited(BREAKING["scope changed"][0])))

    assert "### Changed" in text
    assert "! scope: things:write became things:all" in text
    assert released.fragment(read(SPEC), read(SPEC)) == ""


# --- a second opinion ---


def _values(schema: dict[str, Any]) -> list[Any]:
    """Values on both sides of everything that the schema says."""
    if schema.get("type") == "object":
        return _objects(schema)
    if "enum" in schema:
        return [*schema["enum"], *([None] if schema.get("nullable") else [])]
    kinds = {
        "string": ["", "x" * schema.get("maxLength", 200)],
        "integer": [0, 7],
        "boolean": [True],
    }
    return [*kinds[schema["type"]], *([None] if schema.get("nullable") else [])]


def _objects(schema: dict[str, Any]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [{}]
    for name, each in schema["properties"].items():
        values = _values(each)
        optional = name not in schema.get("required", ())
        made = [
            *(made if optional else []),
            *({**rest, name: value} for rest in made for value in values),
        ]
    is_open = schema.get("additionalProperties", True) is not False
    return [*made, *({**each, "other": 1} for each in made if is_open)]


def _refused(new: dict[str, Any], old: dict[str, Any]) -> list[Any]:
    """Requests that fitted and fit no longer, and answers that fit and would not have."""
    broken = [
        each for each in _values(request(old)) if not OAS30Validator(request(new)).is_valid(each)
    ]
    return broken + [
        each for each in _values(answer(new)) if not OAS30Validator(answer(old)).is_valid(each)
    ]


OF_BODIES: Final = {
    name: edit
    for name, (edit, text) in BREAKING.items()
    if text.startswith(("request body", "200 answer")) and ("." in text or "closed" in text)
}
REMOVED: Final = {"request member removed", "answer member removed"}
"""An open request still takes it, and an answer without it still fits: only people notice."""


@pytest.mark.parametrize("name", sorted(OF_BODIES.keys() - REMOVED))
def test_a_validator_refuses_what_breaks(name: str) -> None:
    old = edited(lambda raw: None)["paths"]["/api/things/{id}"]["post"]
    new = edited(OF_BODIES[name])["paths"]["/api/things/{id}"]["post"]

    assert _refused(new, old) != []


@pytest.mark.parametrize("name", sorted(QUIET.keys() - {"answer gains a member"}))
def test_a_validator_takes_what_does_not_break(name: str) -> None:
    old = edited(lambda raw: None)["paths"]["/api/things/{id}"]["post"]
    new = edited(QUIET[name])["paths"]["/api/things/{id}"]["post"]

    assert _refused(new, old) == []
