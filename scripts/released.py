"""The contract beside the one that was released last: what breaks, and what the changelog says.

`openapi/released/` keeps one file per release. Within a version nothing may break that was
released: the first number of the version has to rise for that, or the second while the first is 0.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

from contract import Contract, ContractError, load
from contract.loading import loads
from scripts.comparing import listed
from scripts.contract_changes import Changed, changes
from scripts.tree import Tree

FOLDER: Final = "openapi/released/"
FRAGMENTS: Final = "docs/changes"


def latest(tree: Tree) -> tuple[str, str] | None:
    """The file of the newest release and its text; None before the first."""
    found = [path for path in tree if path.startswith(FOLDER) and path.endswith(".yaml")]
    path = max(found, key=lambda path: _numbers(Path(path).stem), default=None)
    return None if path is None else (path, tree[path])


def breaking_differences(
    contract: Contract, text: str, last: tuple[str, str] | None
) -> Iterator[str]:
    """Every change since the last release that the version does not allow."""
    if last is None:
        yield f"{FOLDER}: no contract was ever released; copy the one that is, named VERSION.yaml"
        return
    path, before_text = last
    if before_text == text:
        return
    try:
        before = _parsed(before_text, path)
    except ContractError as error:
        yield f"{path}: {error.problems[0]}; restore it from the history"
        return
    if _may_break(before.spec["info"]["version"], contract.spec["info"]["version"]):
        return
    for each in changes(before, contract):
        if each.what == "removed":
            yield f"{each.operation}: was released and is no longer there; {_advice(before)}"
        for change in each.changes:
            if change.breaking:
                yield (
                    f"{each.operation}: breaks clients of the last release: {change.text}; "
                    f"{_advice(before)}"
                )


@lru_cache(2)
def _parsed(text: str, path: str) -> Contract:
    return loads(text, path)


def _advice(before: Contract) -> str:
    numbers = _numbers(before.spec["info"]["version"])
    major, minor = (*numbers, 0, 0)[:2]
    higher = f"{major + 1}.0.0" if major else f"0.{minor + 1}.0"
    return f"take it back, or make it version {higher}"


def _may_break(before: str, now: str) -> bool:
    """Whether the version rose far enough for a change that breaks clients."""
    old, new = (*_numbers(before), 0, 0), (*_numbers(now), 0, 0)
    return new[:1] > old[:1] or (old[0] == new[0] == 0 and new[1] > old[1])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in version.split(".") if each.isdecimal())


def fragment(before: Contract, now: Contract) -> str:
    """What changed, as a fragment of the changelog; empty when nothing did."""
    found = changes(before, now)
    if not found:
        return ""
    version = before.spec["info"]["version"]
    lines = [f"Since version {version} of the contract (`!` marks what breaks its clients):"]
    for what in ("added", "removed", "changed"):
        of_kind: list[Changed] = [each for each in found if each.what == what]
        if of_kind:
            lines += ["", f"### {what.capitalize()}", "", "```", *listed(of_kind), "```"]
    return "\n".join(lines) + "\n"


def write_fragment(root: Path) -> tuple[str, int]:
    """Write the fragment to docs/changes/; what to print, and the exit status."""
    files = [path.relative_to(root).as_posix() for path in (root / FOLDER).glob("*.yaml")]
    last = latest(dict.fromkeys(files, ""))
    if last is None:
        return f"{FOLDER} has no release to compare with", 2
    path, _ = last
    text = fragment(load(root / path), load(root / "openapi" / "rensei-api.yaml"))
    if not text:
        return f"nothing has changed since {path}", 0
    there = root / FRAGMENTS / f"{datetime.now(UTC):%Y-%m-%d}-contract.md"
    there.parent.mkdir(parents=True, exist_ok=True)
    there.write_text(text, encoding="utf-8")
    return f"wrote {there.relative_to(root)}\n\n{text}", 0
