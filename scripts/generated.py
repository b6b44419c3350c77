"""What is made from the contract and committed: made again, compared, written.

The reference's twins in MDX and Markdown, the docs map, llms.txt, llms-full.txt and the table of
scopes. Nobody edits them; `python scripts/sync_spec.py` writes them.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

from contract import Contract
from pages import documents, guides, reference, twins
from scripts.tree import Tree

SCOPE_TABLE: Final = "docs/scopes.md"
MEND: Final = "run `make docs`"

_FOLDER: Final = "docs/reference/"
_GUIDES: Final = "docs/guides/"
_SHOWN_FILES: Final = 4
_SHOWN_LINES: Final = 12


def guide_texts(tree: Tree) -> tuple[tuple[str, str], ...]:
    """(name, text) of every guide."""
    return tuple(
        (PurePosixPath(path).stem, tree[path])
        for path in sorted(tree)
        if path.startswith(_GUIDES) and path.endswith(".md")
    )


def texts(
    contract: Contract, rules: Mapping[str, Any], told: Sequence[tuple[str, str]]
) -> dict[str, str]:
    """Path -> text of everything that is generated; raises ValueError for an unreadable guide."""
    return {
        **documents.committed(contract.spec, rules, guides.parsed(dict(told))),
        SCOPE_TABLE: scope_table(contract, rules),
    }


def paths(contract: Contract) -> Iterator[str]:
    """Where the twins that guides may link to lie, without making them."""
    yield from (twins.MAP, SCOPE_TABLE)
    for each in contract.operations:
        yield f"{_FOLDER}{reference.slug(each.tag)}/{each.id}.md"


def scope_table(contract: Contract, rules: Mapping[str, Any]) -> str:
    """Which scope each operation needs, and which credentials may hold it."""
    lines = [
        "# Scopes",
        "",
        "Which scope each operation needs, and which kinds of credential may hold it. Written from",
        "`auth/scopes.py` by `make docs`; nobody edits it.",
    ]
    for tag in dict.fromkeys(each.tag for each in contract.operations):
        lines += [
            "",
            f"## {tag}",
            "",
            "| operation | request | scope | credentials |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {each.id} | `{each.method} {each.path}` | {_scope(rules[each.id])} "
            f"| {_credentials(rules[each.id])} |"
            for each in contract.operations
            if each.tag == tag
        ]
    return "\n".join(lines) + "\n"


def _scope(rule: Any) -> str:
    words = rule.scope if rule.scope in ("none", "any") else f"`{rule.scope}`"
    return f"{words}; workers: `{rule.worker_scope}`" if rule.worker_scope else words


def _credentials(rule: Any) -> str:
    kinds = ", ".join(sorted(kind.value for kind in rule.kinds)) or "none"
    return f"{kinds}; or another proof" if rule.anonymous else kinds


def changes(wanted: Mapping[str, str], tree: Tree) -> dict[str, str | None]:
    """What has to be written, and as None what has to go."""
    stale: dict[str, str | None] = {
        path: text for path, text in sorted(wanted.items()) if tree.get(path) != text
    }
    for path in sorted(tree):
        if path.startswith(_FOLDER) and path not in wanted:
            stale[path] = None
    return stale


def copy_differences(wanted: Mapping[str, str], tree: Tree) -> Iterator[str]:
    """Every generated text that is not as it would be made now; the first with their lines."""
    for number, (path, text) in enumerate(changes(wanted, tree).items()):
        if text is None:
            yield f"{path}: is made from nothing in the contract; {MEND}"
        elif path not in tree:
            yield f"{path}: is missing; {MEND}"
        elif number < _SHOWN_FILES:
            shown = _lines(path, tree[path], text)
            yield f"{path}: is not what the contract makes; {MEND}\n{shown}"
        else:
            yield f"{path}: is not what the contract makes; {MEND}"


def _lines(path: str, now: str, wanted: str) -> str:
    found = list(
        difflib.unified_diff(
            now.splitlines(),
            wanted.splitlines(),
            f"{path} as it is",
            "as it would be",
            "",
            "",
            1,
            "",
        )
    )
    more = len(found) - _SHOWN_LINES
    shown = found[:_SHOWN_LINES] + ([f"… and {more} lines more"] if more > 0 else [])
    return "\n".join(f"    {line}" for line in shown)


def write(root: Path, stale: Mapping[str, str | None]) -> list[str]:
    """Write what is stale, and tell what was done to which file."""
    done = []
    for path, text in stale.items():
        there = root / path
        if text is None:
            there.unlink()
            done.append(f"removed {path}")
            continue
        done.append(f"{'changed' if there.exists() else 'wrote'} {path}")
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(text, encoding="utf-8")
    return done
