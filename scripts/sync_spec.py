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
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

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
    yield from status_record.record_differences(contract, tree.get(status_record.RECORD))
    yield from released.breaking_differences(contract, tree)
    if not fast:
        yield from examples.example_differences(contract)
    wanted: Mapping[str, str] = {}
    if not fast and {each.id for each in contract.operations} <= set(copies.rules):
        try:
            wanted = generated.texts(contract, copies.rules, tree)
        except (ValueError, LookupError) as error:
            yield f"docs/guides: {error}; mend it, then {generated.MEND}"
        else:
            yield from generated.copy_differences(wanted, tree)
    names = frozenset(name for name, _, _ in copies.settings)
    known = guide_names.names(contract, tree[CONTRACT], copies.rules, names)
    # Guides link to twins, of which only their making says whether they will be there.
    made = wanted or dict.fromkeys(generated.paths(contract), "")
    yield from guide_names.guide_differences({**made, **tree}, known)


def found(tree: Tree, *, fast: bool = False) -> tuple[list[str], int]:
    """Every difference, and the number of operations."""
    try:
        copies = read(tree)
        told = [*differences(copies), *further_differences(copies, tree, fast=fast)]
    except ContractError as error:
        return list(error.problems), 0
    except handler_source.Unreadable as error:
        return [str(error)], 0
    return list(dict.fromkeys(told)), len(copies.contract.operations)


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
    stale = generated.changes(generated.texts(copies.contract, copies.rules, tree), tree)
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
