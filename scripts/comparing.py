"""The contract beside another one, for the weekly comparison with the platform's."""

from collections.abc import Sequence
from pathlib import Path

from contract import Contract, ContractError, load
from scripts.contract_changes import Changed, changes


def report(theirs: Path, ours: Path) -> tuple[str, int]:
    """What to print about the two files, and the exit status: 0 when they are equal."""
    try:
        other, own = load(theirs), load(ours)
    except (ContractError, OSError) as error:
        problems = error.problems if isinstance(error, ContractError) else [str(error)]
        return "\n".join([f"{theirs} and {ours} cannot be compared:", *problems]), 2
    return told(other, own, str(theirs))


def told(other: Contract, own: Contract, name: str) -> tuple[str, int]:
    """The differences in words."""
    found = changes(other, own)
    if not found:
        return f"the contract is that of {name}: {len(own.operations)} operations", 0
    breaking = sum(each.breaking for each in found)
    lines = [
        f"{len(found)} operations differ from {name}, {breaking} in a way that breaks its clients:"
    ]
    for what, title in (("added", "Only here"), ("removed", "Only there"), ("changed", "Changed")):
        of_kind = [each for each in found if each.what == what]
        if of_kind:
            lines += ["", f"{title}: {len(of_kind)}", *listed(of_kind)]
    return "\n".join(lines), 1


def listed(found: Sequence[Changed]) -> list[str]:
    """One line per operation and one, further in, per change; `!` marks what breaks clients."""
    lines = []
    for each in found:
        lines.append(f"{'!' if each.breaking else '-'} {each.operation} ({each.request})")
        lines += [f"  {'!' if change.breaking else '-'} {change.text}" for change in each.changes]
    return lines
