"""The status record: what each operation was seen to answer, and whether the contract says so.

`openapi/status-record.json` is written by the tests (`make record`). It has, per operation, the
statuses and media types that some test saw, and a fingerprint of what the contract said then. An
operation that has changed since has a stale record.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from contract import Contract, Operation
from contract.references import Json, resolved

RECORD: Final = "openapi/status-record.json"
MEND: Final = "run `make record`"

ANYWHERE: Final = frozenset({"405", "413", "415", "429", "500", "503"})
"""What any operation may answer and its `default` documents: it need not name them, and where it
does, tests of the server as a whole have seen them, not tests of the operation."""

UNSEEN: Final = ANYWHERE | {"400"}
"""What no test of the single operation has to see: one piece of code answers 400 to whatever does
not fit a schema, and the fuzzer judges it at each operation."""

_PROSE: Final = frozenset({"description", "summary", "example", "examples", "tags", "title"})
_NAMES: Final = frozenset({"properties", "responses", "headers", "content", "schemas"})
"""Below these, a member's name is data."""

Seen = Mapping[str, Sequence[str]]
"""Status -> media types."""


def fingerprint(contract: Contract, operation: Operation) -> str:
    """What the contract demands of an operation and its answers, prose and order aside."""
    meant = {
        "at": [operation.method, operation.path],
        "security": operation.raw.get("security"),
        "parameters": sorted(
            (_meaning(contract.spec, each, ()) for each in operation.parameters),
            key=lambda each: json.dumps(each, sort_keys=True),
        ),
        "body": _meaning(contract.spec, operation.raw.get("requestBody"), ()),
        "responses": _meaning(contract.spec, operation.raw.get("responses"), (), named=True),
    }
    return hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()[:16]


def _meaning(spec: Json, node: Any, above: tuple[str, ...], *, named: bool = False) -> Any:
    """The node with its references followed and its prose left out."""
    if isinstance(node, Mapping):
        reference = node.get("$ref")
        if isinstance(reference, str) and not named:
            if reference in above:
                return reference
            return _meaning(spec, resolved(spec, {"$ref": reference}), (*above, reference))
        return {
            str(name): _meaning(spec, each, above, named=not named and name in _NAMES)
            for name, each in node.items()
            if named or name not in _PROSE
        }
    if isinstance(node, list):
        parts = [_meaning(spec, each, above) for each in node]
        # `required` and `enum` are sets, whatever their order in the file.
        return sorted(parts) if all(isinstance(each, str) for each in parts) else parts
    return node


def fingerprints(contract: Contract) -> dict[str, str]:
    """The fingerprint of every operation, by its id."""
    return {each.id: fingerprint(contract, each) for each in contract.operations}


def record_differences(
    contract: Contract, marks: Mapping[str, str], text: str | None
) -> Iterator[str]:
    """Everything in which the record and the contract disagree."""
    if text is None:
        yield f"{RECORD} is missing; {MEND}"
        return
    try:
        operations = json.loads(text)["operations"]
        entries = {name: (each["contract"], each["seen"]) for name, each in operations.items()}
    except (ValueError, KeyError, TypeError):
        yield f"{RECORD}: cannot be read; {MEND}"
        return
    for operation in contract.operations:
        if operation.id not in entries:
            yield f"{operation.id}: {RECORD} has nothing of it; {MEND}"
            continue
        mark, seen = entries[operation.id]
        yield from (f"{operation.id}: {each}" for each in _unlike(contract, operation, seen))
        if mark != marks[operation.id]:
            yield (
                f"{operation.id}: the contract of its answers has changed since {RECORD} was "
                f"written; {MEND}"
            )
    known = {operation.id for operation in contract.operations}
    for name in entries:
        if name not in known:
            yield f"{RECORD}: {name} is no operation; {MEND}"


def _unlike(contract: Contract, operation: Operation, seen: Seen) -> Iterator[str]:
    documented = {
        str(status): resolved(contract.spec, response)
        for status, response in operation.raw.get("responses", {}).items()
    }
    for status in documented:
        if status != "default" and status not in seen and status not in UNSEEN:
            yield (
                f"documents {status}, which no test ever saw; write a test that does and "
                f"{MEND}, or remove it from the contract"
            )
    for status, kinds in sorted(seen.items()):
        if status in documented:
            told = set(documented[status].get("content", {}))
        elif "default" in documented and status in ANYWHERE:
            told = set(documented["default"].get("content", {}))
        else:
            yield f"answers {status}, which it does not document; add it to its responses"
            continue
        for kind in sorted(set(kinds) - told):
            yield f"answers {status} as {kind}, documented is {_list(told)}; make them equal"
        if status in documented and status.startswith("2"):
            for kind in sorted(told - set(kinds)):
                yield (
                    f"documents {status} as {kind}, which no test ever saw; write a test that "
                    f"does and {MEND}, or remove it from the contract"
                )


def _list(kinds: set[str]) -> str:
    return ", ".join(sorted(kinds)) or "no body"


def written(contract: Contract, before: str | None, folder: Path | None) -> str:
    """The record as it should be now, from what processes of the tests have noted in a folder.

    With a record from before, what it saw of operations that have not changed since is kept.
    """
    seen: dict[str, dict[str, set[str]]] = {}
    kept = json.loads(before)["operations"] if before else {}
    marks = fingerprints(contract)
    for name, entry in kept.items():
        if marks.get(name) == entry["contract"]:
            _add(seen, name, entry["seen"])
    for path in sorted(folder.glob("*.json")) if folder else ():
        for name, statuses in json.loads(path.read_text(encoding="utf-8")).items():
            _add(seen, name, statuses)
    operations = {
        name: {
            "contract": marks[name],
            "seen": {status: sorted(kinds) for status, kinds in sorted(seen[name].items())},
        }
        for name in sorted(marks)
        if name in seen
    }
    return _laid_out(operations)


def _add(seen: dict[str, dict[str, set[str]]], name: str, statuses: Seen) -> None:
    of_operation = seen.setdefault(name, {})
    for status, kinds in statuses.items():
        of_operation.setdefault(status, set()).update(kinds)


def _laid_out(operations: Mapping[str, Any]) -> str:
    """JSON with a line per status, so that a change of the record reads like one."""
    blocks = []
    for name, entry in operations.items():
        lines = [
            f"        {json.dumps(status)}: {json.dumps(kinds)}"
            for status, kinds in entry["seen"].items()
        ]
        inside = ",\n".join(lines)
        blocks.append(
            f'    "{name}": {{\n      "contract": "{entry["contract"]}",\n'
            f'      "seen": {{\n{inside}\n      }}\n    }}'
        )
    return '{\n  "operations": {\n' + ",\n".join(blocks) + "\n  }\n}\n"
