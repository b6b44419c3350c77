"""The contract, the handlers, the scopes and the documents hang together, or nothing starts."""

import ast
import copy
import tomllib
from collections.abc import Callable
from typing import Any, Final

import pytest

import app
import contract
from auth import schemes
from auth.scopes import RULES, authorize
from contract import Contract, ContractError, Operation
from contract.loading import read
from contract.references import resolved
from handlers.refusals import refuse
from scripts import manners
from scripts.manners import manner_differences
from scripts.permissions import scope_differences, told_scope
from settings import PROJECT
from tests.contract.operations import (
    CONTRACT,
    FLAGGED,
    OPERATIONS,
    OWN_REFUSALS,
    example_of,
    rule,
)

Raw = dict[str, Any]

# Each of these starts the application anew, which takes a good part of a second.
some_operations: Final = pytest.mark.parametrize(
    "operation", OPERATIONS[::15], ids=[operation.id for operation in OPERATIONS[::15]]
)
every_operation: Final = pytest.mark.parametrize(
    "operation", OPERATIONS, ids=[operation.id for operation in OPERATIONS]
)


def build(loaded: Contract = CONTRACT, **changes: Any) -> Any:
    """Put the application together as `app.create_app` does, with something changed."""
    given = {
        "handlers": app.find_handlers(),
        "authenticate": schemes.authenticate,
        "authorize": authorize,
        "decided": RULES,
        "refuse": refuse,
    }
    return contract.build_app(loaded, **(given | changes))


def damaged(operation: Operation, change: Callable[[Raw], object]) -> Raw:
    """A copy of the contract with one operation changed."""
    spec = copy.deepcopy(CONTRACT.spec)
    change(spec["paths"][operation.path][operation.method.lower()])
    return spec


# --- one handler per operation, one operation per handler ---


@every_operation
def test_an_operation_has_exactly_one_handler(operation):
    found = [name for name in app.find_handlers() if name == contract.snake(operation.id)]

    assert len(found) == 1


@pytest.mark.parametrize("name", sorted(app.find_handlers()))
def test_a_public_coroutine_in_handlers_is_an_operation(name):
    assert name in {contract.snake(operation.id) for operation in OPERATIONS}


def test_the_table_of_scopes_and_the_contract_say_the_same():
    assert list(scope_differences(OPERATIONS, RULES)) == []


@every_operation
def test_an_operation_tells_its_scope(operation):
    assert told_scope(operation) == RULES[operation.id].scope


# --- what stops the start ---


def test_the_contract_as_it_is_starts():
    assert build() is not None


@some_operations
def test_two_operations_of_one_name_stop_the_start(operation):
    twin = next(each for each in OPERATIONS if each is not operation)

    with pytest.raises(ContractError, match=f"{twin.id!r} belongs to"):
        build(read(damaged(operation, lambda raw: raw.update(operationId=twin.id))))


@some_operations
def test_a_missing_handler_stops_the_start(operation):
    handlers = app.find_handlers()
    del handlers[contract.snake(operation.id)]

    with pytest.raises(ContractError, match=f"{operation.id} .*has no handler"):
        build(handlers=handlers)


@some_operations
def test_an_operation_without_a_security_decision_stops_the_start(operation):
    with pytest.raises(ContractError, match="has no security decision"):
        build(read(damaged(operation, lambda raw: raw.pop("security"))))


@some_operations
def test_an_operation_without_a_scope_stops_the_start(operation):
    decided = RULES.keys() - {operation.id}

    with pytest.raises(ContractError, match=f"{operation.id} .*nobody decided its scope"):
        build(decided=decided)


@some_operations
def test_an_unknown_security_scheme_stops_the_start(operation):
    with pytest.raises(ContractError, match="unknown security scheme 'nobodys'"):
        build(read(damaged(operation, lambda raw: raw.update(security=[{"nobodys": []}]))))


# --- floors ---


def test_nothing_imports_the_application():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    floors = project["tool"]["importlinter"]["root_packages"]
    modules = [path for floor in floors for path in (PROJECT / floor).rglob("*.py")]

    importers = [path for path in [*modules, PROJECT / "settings.py"] if "app" in imports(path)]

    assert set(floors) <= {path.relative_to(PROJECT).parts[0] for path in modules}
    assert importers == []


def imports(path: Any) -> set[str]:
    """The first names of everything that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module).split(".")[0])
    return found


# --- manners ---


def test_the_contract_keeps_its_manners():
    """Tag, summary, Permissions, default and examples; responses closed, requests open."""
    assert list(manner_differences(CONTRACT)) == []


@pytest.mark.parametrize("reference", sorted(manners.CLOSED_REQUESTS))
def test_a_request_that_is_excused_for_being_closed_is_closed(reference):
    schema = CONTRACT.spec["components"]["schemas"][reference.rpartition("/")[2]]

    assert schema["additionalProperties"] is False


@every_operation
def test_every_refusal_is_the_one_envelope(operation):
    for status, response in operation.raw["responses"].items():
        if status == "default" or status >= "400":
            name = OWN_REFUSALS.get((operation.id, status), "Error")
            found = contract.references.resolved(CONTRACT.spec, response)
            schema = found["content"]["application/json"]["schema"]
            assert schema == {"$ref": f"#/components/schemas/{name}"}
            assert "error" in contract.references.resolved(CONTRACT.spec, schema)["required"]


@every_operation
def test_a_protected_operation_documents_its_refusals(operation):
    documented = set(operation.raw["responses"])

    assert {"401", "default"} <= documented or not operation.security
    names_a_thing = {"{orgId}", "{id}"} & set(operation.path.split("/"))
    assert "404" in documented or not names_a_thing or operation.id in FLAGGED
    assert "400" in documented or not (operation.parameters or example_of(operation))
    assert "403" in documented or rule(operation).scope in {"none", "any"}


@every_operation
def test_every_body_that_is_shown_has_an_example(operation):
    shown = list(operation.raw["responses"].items())
    if "requestBody" in operation.raw:
        shown.append(("request", operation.raw["requestBody"]))

    without = [
        (place, kind)
        for place, raw in shown
        for kind, media in resolved(CONTRACT.spec, raw).get("content", {}).items()
        if not {"example", "examples"} & media.keys()
    ]

    assert without == []


@every_operation
def test_every_path_parameter_has_an_example(operation):
    in_path = [each for each in operation.parameters if each["in"] == "path"]

    assert [each["name"] for each in in_path if "example" not in each] == []
