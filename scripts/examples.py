"""Whether every example of the contract fits the schema it stands beside."""

from collections.abc import Iterator
from typing import Any, Final

from openapi_schema_validator import OAS30ReadValidator, OAS30Validator, OAS30WriteValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from contract import Contract, Operation
from contract.references import Json, resolved

_HERE: Final = "urn:contract"
_SHOWN: Final = 3

Place = tuple[str, Json, Any]


def example_differences(contract: Contract) -> Iterator[str]:
    """Examples that break their schemas; each with the place inside it."""
    registry = Registry().with_resource(
        _HERE, Resource.from_contents(contract.spec, default_specification=DRAFT4)
    )
    done: dict[int, list[str]] = {}
    for operation in contract.operations:
        for place, node, judge in _places(contract.spec, operation):
            # A shared component is judged once, and named at each operation that shows it.
            if id(node) not in done:
                done[id(node)] = list(_complaints(node, judge, registry))
            for complaint in done[id(node)]:
                yield (
                    f"{operation.id}: the example of {place} does not fit its schema: "
                    f"{complaint}; correct one of them"
                )


def _places(spec: Json, operation: Operation) -> Iterator[Place]:
    for parameter in operation.parameters:
        yield f"the parameter `{parameter['name']}`", parameter, OAS30WriteValidator
    if "requestBody" in operation.raw:
        content = resolved(spec, operation.raw["requestBody"]).get("content", {})
        for kind, media in content.items():
            yield f"the request as {kind}", media, OAS30WriteValidator
    for status, response in operation.raw.get("responses", {}).items():
        for kind, media in resolved(spec, response).get("content", {}).items():
            yield f"the {status} as {kind}", media, OAS30ReadValidator


def _complaints(node: Json, judge: Any, registry: Any) -> Iterator[str]:
    shown = [node["example"]] if "example" in node else []
    shown += [each["value"] for each in node.get("examples", {}).values() if "value" in each]
    if not shown:
        return
    validator = judge(
        _absolute(node.get("schema", {})),
        registry=registry,
        format_checker=OAS30Validator.FORMAT_CHECKER,
    )
    for example in shown:
        errors = sorted(validator.iter_errors(example), key=lambda error: error.json_path)
        for error in errors[:_SHOWN]:
            yield f"{error.json_path}: {error.message[:200]}"


def _absolute(node: Any) -> Any:
    """The schema with its references pointing into the contract."""
    if isinstance(node, dict):
        return {
            name: _HERE + each if name == "$ref" and isinstance(each, str) else _absolute(each)
            for name, each in node.items()
        }
    return [_absolute(each) for each in node] if isinstance(node, list) else node
