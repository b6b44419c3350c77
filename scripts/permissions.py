"""Whether the table of scopes, the contract and its *Permissions* lines say the same."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

from contract import Operation

LINE: Final = "*Permissions:*"
_WORDS: Final = ("none", "any")
"""What a rule says in place of a scope, and the line begins with, without backticks."""


class Rule(Protocol):
    """The part of a rule that the contract repeats."""

    @property
    def scope(self) -> str:
        """The scope, or `none`, or `any`."""

    @property
    def worker_scope(self) -> str | None:
        """The scope that a worker's credential may hold instead."""

    @property
    def anonymous(self) -> bool:
        """Whether a call without any credential is let through."""


def scope_differences(operations: Sequence[Operation], rules: Mapping[str, Rule]) -> Iterator[str]:
    """Operations and rules that miss each other, and lines that name another scope."""
    for operation in operations:
        rule = rules.get(operation.id)
        if rule is None:
            yield f"{operation.id}: no scope; add it to RULES in auth/scopes.py"
            continue
        told = told_scope(operation)
        if told is not None and told != rule.scope:
            shown = rule.scope if rule.scope in _WORDS else f"`{rule.scope}`"
            yield (
                f"{operation.id}: its {LINE} line says {told or 'nothing'} and auth/scopes.py "
                f"says {rule.scope}; begin the line with {shown}, or correct RULES"
            )
        if rule.worker_scope and f"`{rule.worker_scope}`" not in (_line(operation) or ""):
            yield (
                f"{operation.id}: its {LINE} line does not tell of workers; "
                f"add `{rule.worker_scope}` to it, or correct RULES"
            )
        if rule.anonymous != ("" in operation.security):
            yield (
                f"{operation.id}: security and auth/scopes.py differ about anonymous calls; "
                "add or remove the alternative {}, or correct RULES"
            )
    known = {operation.id for operation in operations}
    for name in rules:
        if name not in known:
            yield f"auth/scopes.py: {name} is no operation; remove it, or correct the name"


def told_scope(operation: Operation) -> str | None:
    """The scope that the description tells: "" when it tells none, None without the line."""
    text = _line(operation)
    if text is None:
        return None
    if (word := re.match(r"\w+", text)) and word[0] in _WORDS:
        return word[0]
    scope = re.match(r"`([^`]+)`", text)
    return scope[1] if scope else ""


def _line(operation: Operation) -> str | None:
    """What follows *Permissions:*, to the end of its paragraph; None without it."""
    found = re.search(
        rf"^{re.escape(LINE)}(.*?)(?:\n\s*\n|\Z)",
        operation.raw.get("description", ""),
        re.MULTILINE | re.DOTALL,
    )
    return found[1].strip() if found else None
