"""The contract and its copies agree: `python scripts/sync_spec.py --check`.

Compares the contract with the handlers, their signatures, the table of scopes, its own manners,
the README's table of settings and the version of the package. Prints every difference with what
to do about it and exits 1, or one line and exits 0. Nothing is generated, so that running it
without `--check` does the same.
"""

import argparse
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

# Started as a file, Python looks beside it and not in the root, where the project is.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import settings
from auth.scopes import RULES
from contract import Contract, ContractError, load
from scripts import documents, handler_source, manners, permissions, wiring
from scripts.handler_source import Handler
from scripts.permissions import Rule

ROOT: Final = Path(__file__).resolve().parent.parent
CONTRACT: Final = "openapi/rensei-api.yaml"


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


def read(root: Path) -> Copies:
    """Read the copies; raises `ContractError` or `Unreadable` when one cannot be understood."""
    project = _text(root / "pyproject.toml")
    return Copies(
        contract=load(root / CONTRACT),
        handlers=handler_source.read_folder(root / "handlers"),
        rules=RULES,
        settings=settings.table(),
        readme=_text(root / "README.md"),
        project=None if project is None else tomllib.loads(project),
        changelog=_text(root / "CHANGELOG.md"),
    )


def differences(copies: Copies) -> Iterator[str]:
    """Everything in which the copies disagree; each ends with what to do."""
    contract = copies.contract
    yield from manners.manner_differences(contract)
    yield from wiring.handler_differences(contract.operations, copies.handlers)
    yield from wiring.signature_differences(contract.operations, copies.handlers)
    yield from permissions.scope_differences(contract.operations, copies.rules)
    yield from documents.settings_differences(copies.readme, copies.settings)
    yield from documents.version_differences(
        contract.spec["info"]["version"], copies.project, copies.changelog
    )


def report(root: Path) -> tuple[str, int]:
    """What to print about the tree under `root`, and the exit status."""
    try:
        copies = read(root)
        found = list(differences(copies))
    except ContractError as error:
        found = list(error.problems)
    except handler_source.Unreadable as error:
        found = [str(error)]
    if not found:
        count = len(copies.contract.operations)
        return f"contract, handlers and scopes agree: {count} operations", 0
    noun = "difference" if len(found) == 1 else "differences"
    return "\n".join([f"{len(found)} {noun}:", *(f"- {each}" for each in found)]), 1


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; answers its exit status."""
    parser = argparse.ArgumentParser(description="Compare the contract with its copies.")
    parser.add_argument(
        "--check", action="store_true", help="only compare, as it does without the flag too"
    )
    parser.parse_args(arguments)
    text, status = report(ROOT)
    print(text)
    return status


if __name__ == "__main__":
    sys.exit(main())
