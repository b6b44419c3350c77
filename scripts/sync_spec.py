"""The contract and all its copies agree: `python scripts/sync_spec.py`.

Without a flag it writes anew what is made from the contract (the reference's twins, docs map,
llms.txt, llms-full.txt, table of scopes; the status record from what tests have noted), prints
what it changed, and then what only a person can mend. With `--check` it changes nothing: it prints
every difference with the command or the edit that mends it, and exits 1 when there is one.
`--fast` leaves out what takes more than a moment.

`--against FILE` compares with another contract, `--changelog` writes what changed since the last
release as a fragment of the changelog.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml

# Started as a file, Python looks beside it and not in the root, where the project is.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from contract import Contract, ContractError
from contract.loading import loads
from scripts import (
    comparing,
    documents,
    examples,
    generated,
    guide_names,
    handler_bodies,
    handler_source,
    manners,
    module_source,
    permissions,
    released,
    status_record,
    wiring,
)
from scripts.handler_source import Handler
from scripts.permissions import Rule
from scripts.tree import Tree, read_tree

ROOT: Final = Path(__file__).resolve().parent.parent
CONTRACT: Final = "openapi/rensei-api.yaml"
NOTED: Final = "build/statuses"
"""Where `make record` lets the tests note what they saw."""


@dataclass(frozen=True, slots=True)
class Copies:
    """The contract and everything that repeats a part of it, parsed; None is a missing file."""

    contract: Contract
    handlers: Sequence[Handler]
    rules: Mapping[str, Rule]
    settings: Sequence[documents.Setting]
    readme: str | None
    project: dict[str, Any] | None
    changelog: str | None


def read(tree: Tree) -> Copies:
    """Read the copies; raises `ContractError` or `Unreadable` when one cannot be understood."""
    project = tree.get("pyproject.toml")
    return Copies(
        contract=_contract(tree.get(CONTRACT, "")),
        handlers=[each for path, text in _handlers(tree) for each in _module(path, text)],
        rules=module_source.rules(tree[module_source.SCOPES]),
        settings=module_source.settings_table(tree[module_source.SETTINGS]),
        readme=tree.get("README.md"),
        project=None if project is None else tomllib.loads(project),
        changelog=tree.get("CHANGELOG.md"),
    )


@lru_cache(4)
def _contract(text: str) -> Contract:
    return loads(text, CONTRACT)


@lru_cache(256)
def _module(path: str, text: str) -> list[Handler]:
    return list(handler_source.read_module(Path(path).stem, text))


def _handlers(tree: Tree) -> list[tuple[str, str]]:
    return [(path, tree[path]) for path in sorted(tree) if path.startswith("handlers/")]


def differences(copies: Copies) -> Iterator[str]:
    """Everything in which contract, handlers, scopes, README and versions disagree."""
    contract = copies.contract
    yield from manners.manner_differences(contract)
    yield from wiring.handler_differences(contract.operations, copies.handlers)
    yield from wiring.signature_differences(contract.operations, copies.handlers)
    yield from permissions.scope_differences(contract.operations, copies.rules)
    yield from documents.settings_differences(copies.readme, copies.settings)
    yield from documents.version_differences(
        contract.spec["info"]["version"], copies.project, copies.changelog
    )


def further_differences(copies: Copies, tree: Tree, *, fast: bool = False) -> Iterator[str]:
    """What else disagrees: bodies of handlers, examples, guides, generated texts, the record."""
    contract = copies.contract
    yield from module_source.rules_told_twice(tree[module_source.SCOPES])
    yield from handler_bodies.body_differences(contract, dict(_handlers(tree)))
    marks = _fingerprints(tree[CONTRACT])
    yield from status_record.record_differences(contract, marks, tree.get(status_record.RECORD))
    yield from _breaking(tree[CONTRACT], released.latest(tree))
    if not fast:
        yield from _examples(tree[CONTRACT])
    wanted: Mapping[str, str] = {}
    if not fast and {each.id for each in contract.operations} <= set(copies.rules):
        try:
            wanted = _generated(
                tree[CONTRACT], tree[module_source.SCOPES], generated.guide_texts(tree)
            )
        except (ValueError, LookupError) as error:
            yield f"docs/guides: {error}; mend it, then {generated.MEND}"
        else:
            yield from generated.copy_differences(wanted, tree)
    names = frozenset(name for name, _, _ in copies.settings)
    known = guide_names.names(contract, tree[CONTRACT], copies.rules, names)
    # Guides link to twins, of which only their making says whether they will be there.
    made = wanted or dict.fromkeys(generated.paths(contract), "")
    yield from guide_names.guide_differences({**made, **tree}, known)


# What follows depends on few texts and is asked again and again while the others change.


@lru_cache(2)
def _fingerprints(text: str) -> Mapping[str, str]:
    return status_record.fingerprints(_contract(text))


@lru_cache(2)
def _breaking(text: str, last: tuple[str, str] | None) -> list[str]:
    return list(released.breaking_differences(_contract(text), text, last))


@lru_cache(2)
def _examples(text: str) -> list[str]:
    return list(examples.example_differences(_contract(text)))


@lru_cache(2)
def _generated(text: str, scopes: str, guides: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return generated.texts(_contract(text), module_source.rules(scopes), guides)


def found(tree: Tree, *, fast: bool = False) -> tuple[list[str], int]:
    """Every difference, and the number of operations."""
    try:
        copies = read(tree)
        told = [*differences(copies), *further_differences(copies, tree, fast=fast)]
    except ContractError as error:
        return [_with_operation(each, tree.get(CONTRACT, "")) for each in error.problems], 0
    except handler_source.Unreadable as error:
        return [str(error)], 0
    return list(dict.fromkeys(told)), len(copies.contract.operations)


def _with_operation(problem: str, text: str) -> str:
    """The problem of a contract that cannot be served, with the operation it speaks of."""
    try:
        paths = yaml.load(text, yaml.CSafeLoader)["paths"]
    except (yaml.YAMLError, TypeError, KeyError):
        return problem
    for path, item in paths.items():
        for method, each in item.items():
            if problem.startswith(f"/paths/{path}/{method}/"):
                return f"{each.get('operationId', method)}: {problem}"
    within = [path for path in paths if re.search(rf"{re.escape(path)}(?![\w/-])", problem)]
    if not within:
        return problem
    item = paths[max(within, key=len)]
    named = [
        str(each["operationId"])
        for method, each in item.items()
        if isinstance(each, dict)
        and "operationId" in each
        and re.search(rf"\b{method}\b", problem, re.IGNORECASE)
    ]
    return f"{', '.join(named)}: {problem}" if named else problem


def report(tree: Tree, *, fast: bool = False) -> tuple[str, int]:
    """What to print about the tree, and the exit status."""
    told, count = found(tree, fast=fast)
    if not told:
        return f"the contract and all its copies agree: {count} operations", 0
    noun = "difference" if len(told) == 1 else "differences"
    return "\n".join([f"{len(told)} {noun}:", *(f"- {each}" for each in told)]), 1


def write(root: Path) -> list[str]:
    """Write anew what is made from the contract; tells what changed."""
    tree = read_tree(root)
    copies = read(tree)
    stale = generated.changes(
        generated.texts(copies.contract, copies.rules, generated.guide_texts(tree)), tree
    )
    record = tree.get(status_record.RECORD)
    noted = root / NOTED
    if record is not None or noted.is_dir():
        new = status_record.written(copies.contract, record, noted if noted.is_dir() else None)
        if new != record:
            stale[status_record.RECORD] = new
    return generated.write(root, stale)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; answers its exit status."""
    parser = argparse.ArgumentParser(description="Make the contract and all its copies agree.")
    parser.add_argument("--check", action="store_true", help="change nothing, prove that they do")
    parser.add_argument("--fast", action="store_true", help="leave out what takes a moment longer")
    parser.add_argument("--against", metavar="FILE", type=Path, help="compare with this contract")
    parser.add_argument(
        "--changelog", action="store_true", help="write what changed since the last release"
    )
    given = parser.parse_args(arguments)
    if given.against is not None:
        return _print(*comparing.report(given.against, ROOT / CONTRACT))
    if given.changelog:
        return _print(*released.write_fragment(ROOT))
    if not given.check:
        try:
            done = write(ROOT)
        except (ContractError, handler_source.Unreadable, ValueError, LookupError):
            done = []  # the report says why nothing could be made
        print("\n".join(done) or "nothing to write")
    return _print(*report(read_tree(ROOT), fast=given.fast))


def _print(text: str, status: int) -> int:
    print(text)
    return status


if __name__ == "__main__":
    sys.exit(main())
