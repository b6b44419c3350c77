"""What the reference shows works: its samples are run, and its answers fit their schemas."""

import gzip
import subprocess
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from openapi_schema_validator import OAS30ReadValidator, OAS30Validator, OAS30WriteValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from auth.scopes import RULES
from contract.references import resolved
from pages import reference
from pages.samples import curl, python, typescript
from tests import statuses
from tests.contract.live import Live, live_server, seed
from tests.contract.operations import CONTRACT, OPERATIONS, SAFE
from tests.samples import Node, quick_httpx, run_python

SAMPLES: Final = reference.read(CONTRACT.spec, RULES).operations

# Those that only read come first: they leave the world as it is for the next.
BY_HARM: Final = sorted(SAMPLES, key=lambda each: each.method not in SAFE)

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


@pytest.fixture(scope="module")
def in_its_world(live: Live) -> Callable[..., str]:
    """Runs a sample where what it names is there; what it then complains of is its own fault.

    Making a world takes longer than most samples. Those that `share` one run where the last left
    off, and once more in a new one if that was used up.
    """
    variables: dict[str, str] = {}

    def run_in(run: Callable[[Mapping[str, str]], str], *, share: bool) -> str:
        if share and variables and not run(variables):
            return ""
        variables.update(seed(live))
        return run(variables)

    return run_in


@pytest.mark.parametrize("operation", BY_HARM, ids=[each.id for each in BY_HARM])
def test_the_curl_sample_of_the_reference_works(operation, live, in_its_world, tmp_path):
    sample = curl.sample(operation, CONTRACT.spec, live.base_url)

    def run(variables: Mapping[str, str]) -> str:
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
        fine = done.returncode == 0 and status.startswith("2")
        if fine:
            statuses.note_operation(operation.id, int(status), content_type)
        return "" if fine else f"{status} {body}{done.stderr}\n{sample}"

    # What changes something is tried in a world of its own, whatever went before.
    assert in_its_world(run, share=operation.method in SAFE) == ""
    assert live.complaints() == []


def test_every_python_sample_of_the_reference_works(live, in_its_world, tmp_path):
    def run(sample: str, variables: Mapping[str, str]) -> str:
        try:
            return nothing_of(run_python(sample, variables, tmp_path), tmp_path)
        except Exception as error:
            return f"{error!r}\n{sample}"

    with quick_httpx():
        complaints = [
            in_its_world(partial(run, sample), share=True) for sample in samples(python, live)
        ]
    assert [each for each in complaints if each] == []
    assert live.complaints() == []


def test_every_typescript_sample_of_the_reference_works(live, in_its_world, tmp_path):
    def run(sample: str, variables: Mapping[str, str]) -> str:
        came = node.run(sample, variables)
        if came["error"]:
            return f"{came['error']}\n{sample}"
        return nothing_of(came["said"], tmp_path)

    with Node(tmp_path) as node:
        complaints = [
            in_its_world(partial(run, sample), share=True) for sample in samples(typescript, live)
        ]
    assert [each for each in complaints if each] == []
    assert live.complaints() == []


def samples(language: Any, live: Live) -> list[str]:
    return [language.sample(each, CONTRACT.spec, live.base_url) for each in BY_HARM]


def nothing_of(said: str, folder: Path) -> str:
    """A complaint when a sample has neither printed anything nor written a file with something."""
    written = [gzip.decompress(each.read_bytes()) for each in folder.glob("*.gz")]
    for each in folder.glob("*.gz"):
        each.unlink()
    return "" if said or any(written) else "nothing came of it"


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
