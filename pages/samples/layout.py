"""Code laid out as formatters do it: on one line where it fits, else one item to a line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 80


@dataclass(frozen=True, slots=True)
class Group:
    """Items between brackets; each has words that stand before it, like the name of a member.

    `pad` stands inside the brackets when all is on one line.
    """

    opening: str
    items: Sequence[tuple[str, "Node"]]
    closing: str
    pad: str = ""


Node = str | Group


def laid_out(node: Node, step: str, *, margin: str = "", before: int = 0, after: int = 0) -> str:
    """The code of a node whose line begins with `margin`.

    `before` and `after` are the lengths of what else stands on its line; `step` is one indentation.
    """
    flat = _flat(node)
    if isinstance(node, str) or not node.items:
        return flat
    if len(margin) + before + len(flat) + after <= WIDTH:
        return flat
    inner = margin + step
    lines = [
        inner + words + laid_out(each, step, margin=inner, before=len(words), after=1) + ","
        for words, each in node.items
    ]
    return "\n".join([node.opening, *lines, margin + node.closing])


def _flat(node: Node) -> str:
    if isinstance(node, str):
        return node
    inside = ", ".join(words + _flat(each) for words, each in node.items)
    pad = node.pad if inside else ""
    return node.opening + pad + inside + pad + node.closing
