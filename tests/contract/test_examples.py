"""What the reference shows works: its samples are run, and its answers fit their schemas."""

import subprocess
from collections.abc import Iterator
from typing import Any, Final

import pytest
from openapi_schema_validator import OAS30ReadValidator, OAS30Validator, OAS30WriteValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from auth.scopes import RULES
from contract.references import resolved
from pages import curl, reference
from tests import statuses
from tests.contract.live import Live, live_server, seed
from tests.contract.operations import CONTRACT, OPERATIONS

SAMPLES: Final = reference.read(CONTRACT.spec, RULES).operations

# Silent but for errors, and with the status and its media type on a line of its own at the end.
CURL: Final = (
    """curl() { command curl -sS --max-time 20 -w '\\n%{http_code} %{content_type}' "$@"; }\n"""
)

HERE: Final = "urn:contract"
REGISTRY: Final = Registry().with_resource(
    HERE, Resource.from_contents(CONTRACT.spec, default_specification=DRAFT4)
)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server whose only things are those that the examples speak of."""
    with live_server(tmp_path_factory.mktemp("examples")) as live:
        yield live


@pytest.mark.parametrize("operation", SAMPLES, ids=[each.id for each in SAMPLES])
def test_the_sample_of_the_reference_works(operation, live, tmp_path):
    variables = seed(live)
    sample = curl.sample(operation, CONTRACT.spec, live.base_url)

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", CURL + sample],
        env={**variables, "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )

    body, _, last = done.stdout.rpartition("\n")
    status, _, content_type = last.partition(" ")
    assert done.returncode == 0, done.stderr
    assert status.startswith("2"), f"{status} {body}\n{sample}"
    assert live.complaints() == []
    statuses.note_operation(operation.id, int(status), content_type)


def _examples() -> Iterator[Any]:
    """(schema, example, validator) of every body and parameter of every operation."""
    for operation in OPERATIONS:
        for place, node, judge in _places(operation):
            schema = node.get("schema", {})
            shown = [node["example"]] if "example" in node else []
            shown += [each["value"] for each in node.get("examples", {}).values()]
            for number, example in enumerate(shown):
                yield pytest.param(schema, example, judge, id=f"{operation.id}-{place}-{number}")


def _places(operation: Any) -> Iterator[tuple[str, Any, Any]]:
    for parameter in operation.parameters:
        yield f"parameter {parameter['name']}", parameter, OAS30WriteValidator
    if "requestBody" in operation.raw:
        for kind, media in resolved(CONTRACT.spec, operation.raw["requestBody"])["content"].items():
            yield f"request {kind}", media, OAS30WriteValidator
    for status, response in operation.raw["responses"].items():
        for kind, media in resolved(CONTRACT.spec, response).get("content", {}).items():
            yield f"{status} {kind}", media, OAS30ReadValidator


@pytest.mark.parametrize(("schema", "example", "judge"), list(_examples()))
def test_an_example_fits_its_schema(schema, example, judge):
    validator = judge(
        _absolute(schema), registry=REGISTRY, format_checker=OAS30Validator.FORMAT_CHECKER
    )

    complaints = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(example)]

    assert complaints == []


def _absolute(node: Any) -> Any:
    """The schema with its references pointing into the contract."""
    if isinstance(node, dict):
        return {
            name: HERE + each if name == "$ref" else _absolute(each) for name, each in node.items()
        }
    return [_absolute(each) for each in node] if isinstance(node, list) else node
