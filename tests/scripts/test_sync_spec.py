"""Each kind of difference is found, and its message says what to do."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from auth.scopes import Rule
from contract import Contract
from contract.loading import read as read_contract
from scripts import sync_spec
from scripts.handler_bodies import body_differences
from scripts.handler_source import Handler, Unreadable, read_module
from scripts.sync_spec import Copies, differences

CLOSED = {"type": "object", "additionalProperties": False, "properties": {"ok": {"type": "string"}}}
OPEN = {"type": "object", "additionalProperties": True, "properties": {"name": {"type": "string"}}}

SPEC: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Small", "version": "1.2.3"},
    "tags": [{"name": "Things", "description": "Things."}],
    "paths": {
        "/api/things/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {}}],
            "post": {
                "operationId": "changeThing",
                "tags": ["Things"],
                "summary": "Change a thing",
                "description": "Changes it.\n\n*Permissions:* `things:write`, of its owner.\n",
                "security": [{"key": []}],
                "parameters": [
                    {"name": "dryRun", "in": "query", "schema": {"type": "boolean"}},
                    {"name": "X-Org", "in": "header", "schema": {"type": "string"}},
                ],
                "requestBody": {"content": {"application/json": {"schema": OPEN, "example": {}}}},
                "responses": {
                    "200": {
                        "description": "Changed.",
                        "content": {"application/json": {"schema": CLOSED, "example": {}}},
                    },
                    "default": {"description": "Refused."},
                },
            },
        },
    },
    "components": {
        "schemas": {"OrgSettingsChange": CLOSED, "Closed": CLOSED, "Open": OPEN},
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
    },
}

SOURCE = "async def change_thing(id_: str, body: Json, user: User, dry_run: bool = False): ..."

AGREED = Copies(
    contract=read_contract(SPEC),
    handlers=list(read_module("things", SOURCE)),
    rules={"changeThing": Rule("things:write")},
    settings=[("RENSEI_PORT", "8080", "port of the server"), ("REDIS_URL", "", "where it is")],
    readme=(
        "| Setting | Default | Meaning |\n"
        "|---|---|---|\n"
        "| `RENSEI_PORT` | `8080` | port of the server |\n"
        "| `REDIS_URL` |  | where it is |\n"
    ),
    project={"project": {"version": "1.2.3"}},
    changelog="# Changelog\n\n## Unreleased\n\n## 1.2.3\n",
)


def contract(change: Callable[[dict[str, Any]], object]) -> Contract:
    """The contract after a change to a copy of its data."""
    spec = copy.deepcopy(SPEC)
    change(spec)
    return read_contract(spec)


def operation(spec: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = spec["paths"]["/api/things/{id}"]["post"]
    return found


def edited(change: Callable[[dict[str, Any]], object]) -> Copies:
    """Copies that agree but for a change to the one operation."""
    return replace(AGREED, contract=contract(lambda spec: change(operation(spec))))


def handled(source: str) -> Copies:
    """Copies that agree but for the handlers."""
    return replace(AGREED, handlers=list(read_module("things", source)))


def only(copies: Copies) -> str:
    """The one difference."""
    found = list(differences(copies))
    assert len(found) == 1, found
    return found[0]


def body(schema: Any) -> Callable[[dict[str, Any]], None]:
    def change(raw: dict[str, Any]) -> None:
        raw["requestBody"]["content"]["application/json"]["schema"] = schema

    return change


def answer(schema: Any) -> Callable[[dict[str, Any]], None]:
    def change(raw: dict[str, Any]) -> None:
        raw["responses"]["200"]["content"]["application/json"]["schema"] = schema

    return change


def test_copies_that_agree_have_no_difference() -> None:
    assert list(differences(AGREED)) == []


# --- handlers ---


def test_an_operation_without_a_handler() -> None:
    message = only(replace(AGREED, handlers=[]))

    assert message.startswith("changeThing: no handler; write `async def change_thing`")


def test_a_handler_without_an_operation() -> None:
    message = only(handled(SOURCE + "\nasync def lose_thing(): ..."))

    assert message.startswith("handlers/things.py: lose_thing serves no operation; describe it")


def test_a_handler_made_twice() -> None:
    twice = [*AGREED.handlers, replace(AGREED.handlers[0], module="others")]

    message = only(replace(AGREED, handlers=twice))

    assert message == (
        "changeThing: change_thing stands in handlers/things.py and handlers/others.py; keep one"
    )


def test_only_public_coroutines_at_module_level_are_handlers() -> None:
    source = """
def shape(): ...
async def _helper(): ...
class Thing:
    async def method(self): ...
async def change_thing(a, /, b, *c, d=1, **e):
    async def inner(): ...
"""

    found = list(read_module("things", source))

    assert found == [Handler("change_thing", "things", ("a", "b", "d", "*c", "**e"))]


def test_a_module_that_is_not_python() -> None:
    with pytest.raises(Unreadable, match=r"handlers/things\.py:1: .*; correct the syntax"):
        list(read_module("things", "async def ("))


# --- signatures ---


def test_a_path_parameter_that_the_handler_ignores() -> None:
    message = only(handled("async def change_thing(dry_run, body): ..."))

    assert "ignores the path parameter `id`; add the argument `id_`" in message


def test_a_query_parameter_that_the_handler_ignores() -> None:
    message = only(handled("async def change_thing(id_, body): ..."))

    assert "ignores the query parameter `dryRun`; add the argument `dry_run`, or" in message


def test_an_argument_that_the_contract_does_not_declare() -> None:
    message = only(handled("async def change_thing(id_, dry_run, body, color): ..."))

    assert "takes `color`, which the contract does not declare; add the parameter" in message


def test_header_body_user_and_request_may_be_arguments() -> None:
    source = "async def change_thing(id_, dry_run, x_org, body, user, request): ..."

    assert list(differences(handled(source))) == []


def test_an_argument_for_everything() -> None:
    message = only(handled("async def change_thing(id_, dry_run, body, **rest): ..."))

    assert "takes **rest; write its arguments out" in message


def test_a_body_that_the_contract_does_not_have() -> None:
    message = only(edited(lambda raw: raw.pop("requestBody")))

    assert "takes a body; add a requestBody to the contract" in message


def test_a_body_that_the_handler_ignores() -> None:
    source = "async def change_thing(id_, dry_run): return id_, dry_run"

    told = list(body_differences(AGREED.contract, {"handlers/things.py": source}))

    assert len(told) == 1
    assert told[0].startswith("changeThing: handlers/things.py: change_thing ignores the body")


def test_what_a_handler_answers_and_reads_is_in_the_contract() -> None:
    source = (
        "async def change_thing(id_, dry_run, body):\n"
        "    if dry_run: return {'ok': id_}, 204\n"
        "    return {'more': body['size']}, 200\n"
    )

    told = list(body_differences(AGREED.contract, {"handlers/things.py": source}))

    assert {each.partition("change_thing ")[2].partition(",")[0] for each in told} == {
        "answers 204",
        "answers the member `more`",
        "reads the member `size`",
    }


def test_a_user_of_a_public_operation() -> None:
    message = only(edited(lambda raw: raw.update(security=[])))

    assert "takes a user of a public operation; add security" in message


# --- scopes ---


def test_an_operation_without_a_scope() -> None:
    message = only(replace(AGREED, rules={}))

    assert message == "changeThing: no scope; add it to RULES in auth/scopes.py"


def test_a_scope_without_an_operation() -> None:
    message = only(replace(AGREED, rules={**AGREED.rules, "loseThing": Rule("none")}))

    assert message.startswith("auth/scopes.py: loseThing is no operation; remove it")


@pytest.mark.parametrize(
    ("line", "scope", "told", "advice"),
    [
        ("`things:read`.", "things:write", "things:read", "begin the line with `things:write`"),
        ("ask the owner of `things:write`.", "things:write", "nothing", "begin the line with `"),
        ("`things:write`.", "none", "things:write", "begin the line with none"),
        ("none; public.", "any", "none", "begin the line with any"),
    ],
)
def test_a_permissions_line_that_names_another_scope(
    line: str, scope: str, told: str, advice: str
) -> None:
    copies = edited(lambda raw: raw.update(description=f"It.\n\n*Permissions:* {line}"))

    message = only(replace(copies, rules={"changeThing": Rule(scope)}))

    assert f"line says {told} and auth/scopes.py says {scope}" in message
    assert advice in message


@pytest.mark.parametrize(
    ("rule", "advice"),
    [
        (
            Rule("things:write", worker_scope="worker:thing"),
            "does not tell of workers; add `worker:thing` to it, or correct RULES",
        ),
        (
            Rule("things:write", anonymous=True),
            "differ about anonymous calls; add or remove the alternative {}, or correct RULES",
        ),
    ],
)
def test_a_rule_that_the_contract_does_not_tell(rule: Rule, advice: str) -> None:
    assert advice in only(replace(AGREED, rules={"changeThing": rule}))


def test_a_permissions_line_may_tell_of_workers_in_its_second_line() -> None:
    text = "It.\n\n*Permissions:* `things:write`,\nor `worker:thing`.\n"
    copies = edited(lambda raw: raw.update(description=text))
    rule = Rule("things:write", worker_scope="worker:thing")

    assert list(differences(replace(copies, rules={"changeThing": rule}))) == []


@pytest.mark.parametrize("word", ["none", "any"])
def test_a_permissions_line_without_a_scope_begins_with_the_word_for_it(word: str) -> None:
    copies = edited(lambda raw: raw.update(description=f"*Permissions:* {word} at all."))

    assert list(differences(replace(copies, rules={"changeThing": Rule(word)}))) == []


# --- manners ---


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda raw: raw.update(tags=["Things", "More"]), "needs exactly one tag; name"),
        (lambda raw: raw.update(tags=["Other"]), "'Other' is not declared; add it to `tags`"),
        (lambda raw: raw.pop("summary"), "no summary; write"),
        (lambda raw: raw.update(summary="x" * 61), "has 61 characters; use at most 60"),
        (lambda raw: raw.update(description="Changes it."), "no *Permissions:* line; end"),
        (lambda raw: raw["responses"].pop("default"), "no default response; add"),
        (
            lambda raw: raw["requestBody"]["content"]["application/json"].pop("example"),
            "no example of the request as application/json; add `example`",
        ),
        (
            lambda raw: raw["responses"]["200"]["content"]["application/json"].pop("example"),
            "no example of the 200 as application/json; add `example`",
        ),
    ],
)
def test_an_operation_that_forgets_its_manners(
    change: Callable[[dict[str, Any]], object], complaint: str
) -> None:
    found = list(differences(edited(change)))

    assert any(each.startswith("changeThing: ") and complaint in each for each in found), found


def test_an_operation_id_that_is_not_camel_case() -> None:
    copies = edited(lambda raw: raw.update(operationId="Change-thing"))

    assert any(
        each.startswith("Change-thing: not camelCase; begin with a small letter")
        for each in differences(copies)
    )


def test_an_example_may_stand_in_the_schema() -> None:
    def move(raw: dict[str, Any]) -> None:
        media = raw["requestBody"]["content"]["application/json"]
        media["schema"] = OPEN | {"example": media.pop("example")}

    assert list(differences(edited(move))) == []


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"type": "object"}, "changeThing 200"),
        ({"type": "array", "items": {"properties": {}}}, "changeThing 200.items"),
        (CLOSED | {"properties": {"x": {"type": "object"}}}, "changeThing 200.x"),
        ({"oneOf": [{"type": "object"}]}, "changeThing 200.oneOf[0]"),
    ],
)
def test_a_response_that_is_not_closed(schema: Any, place: str) -> None:
    message = only(edited(answer(schema)))

    assert message.startswith(f"{place}: a response may leak undocumented members; write `add")


def test_a_shared_schema_is_complained_about_once_and_may_contain_itself() -> None:
    def change(spec: dict[str, Any]) -> None:
        node = {"$ref": "#/components/schemas/Node"}
        spec["components"]["schemas"]["Node"] = {"type": "object", "properties": {"next": node}}
        answer(node)(operation(spec))
        content = {"application/json": {"schema": node}}
        operation(spec)["responses"]["default"]["content"] = content

    message = only(replace(AGREED, contract=contract(change)))

    assert message.startswith("Node: a response may leak")


@pytest.mark.parametrize(
    "schema",
    [CLOSED, OPEN | {"properties": {"x": CLOSED}}, {"$ref": "#/components/schemas/Closed"}],
)
def test_a_request_that_refuses_unknown_members(schema: Any) -> None:
    message = only(edited(body(schema)))

    assert "refuses unknown members, which breaks clients; write" in message


def test_a_change_of_settings_refuses_unknown_members_on_purpose() -> None:
    copies = edited(body({"$ref": "#/components/schemas/OrgSettingsChange"}))

    assert list(differences(copies)) == []


# --- documents ---


def test_a_readme_that_is_missing() -> None:
    assert only(replace(AGREED, readme=None)).startswith("README.md is missing; write it")


def test_a_setting_that_the_readme_leaves_out() -> None:
    readme = (AGREED.readme or "").replace("| `REDIS_URL` |  | where it is |\n", "")

    message = only(replace(AGREED, readme=readme))

    assert message.endswith("REDIS_URL is missing; add the row | `REDIS_URL` |  | where it is |")


def test_a_setting_that_the_readme_tells_differently() -> None:
    readme = (AGREED.readme or "").replace("8080", "80")

    message = only(replace(AGREED, readme=readme))

    assert message.endswith("write the row | `RENSEI_PORT` | `8080` | port of the server |")


def test_a_setting_that_only_the_readme_knows() -> None:
    message = only(replace(AGREED, readme=f"{AGREED.readme}| `OLD_ONE` | 1 | gone |\n"))

    assert message.startswith("README.md: OLD_ONE is no setting; remove the row")


@pytest.mark.parametrize(
    ("project", "changelog", "message"),
    [
        (None, AGREED.changelog, "pyproject.toml is missing; write it"),
        (
            {"project": {"version": "1.2.4"}},
            AGREED.changelog,
            "pyproject.toml says version 1.2.4 and the contract 1.2.3; make them equal",
        ),
        (AGREED.project, None, "CHANGELOG.md is missing; write it"),
        (AGREED.project, "## 11.2.3\n## 1.2.30", "CHANGELOG.md does not mention 1.2.3; add"),
    ],
)
def test_versions_that_differ(
    project: dict[str, Any] | None, changelog: str | None, message: str
) -> None:
    assert only(replace(AGREED, project=project, changelog=changelog)).startswith(message)


# --- the command ---


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[[Copies], tuple[str, int]]:
    def tell(copies: Copies) -> tuple[str, int]:
        monkeypatch.setattr(sync_spec, "read", lambda _: copies)
        monkeypatch.setattr(sync_spec, "further_differences", lambda *_, **__: iter(()))
        return sync_spec.report({})

    return tell


def test_the_report_is_one_line_when_all_agree(told: Callable[..., tuple[str, int]]) -> None:
    assert told(AGREED) == ("the contract and all its copies agree: 1 operations", 0)


def test_the_report_lists_the_differences(told: Callable[..., tuple[str, int]]) -> None:
    text, status = told(replace(AGREED, rules={}, readme=None))

    assert status == 1
    assert text.splitlines()[0] == "2 differences:"
    assert all(line.startswith("- ") for line in text.splitlines()[1:])


def test_a_contract_that_cannot_be_served_is_reported() -> None:
    text, status = sync_spec.report({sync_spec.CONTRACT: "openapi: 3.1.0\npaths: {}\n"})

    assert status == 1
    assert "write `openapi: 3.0.3`" in text


def test_a_contract_that_cannot_be_served_names_the_operation() -> None:
    spec = copy.deepcopy(SPEC)
    spec["paths"]["/api/things/{name}"] = spec["paths"].pop("/api/things/{id}")

    text, status = sync_spec.report({sync_spec.CONTRACT: json.dumps(spec)})

    assert status == 1
    assert "- changeThing: POST /api/things/{name}: path parameter 'name' is not declared" in text


def test_the_command_with_check_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sync_spec, "read", lambda _: AGREED)
    monkeypatch.setattr(sync_spec, "further_differences", lambda *_, **__: iter(()))
    monkeypatch.setattr(sync_spec, "write", lambda _: pytest.fail("it wrote"))

    status = sync_spec.main(["--check"])

    assert status == 0
    assert "agree: 1 operations" in capsys.readouterr().out
