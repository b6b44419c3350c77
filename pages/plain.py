"""Markdown written out again from what it means, so that no text in it is taken for anything else.

A description is parsed as the pages parse it and written anew. What was text stays text, in plain
Markdown and in MDX, where braces, `<`, and lines that begin with `import` are code.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

# As the pages parse it: no raw HTML, and no images, which would be loaded from foreign hosts.
PARSER: Final = MarkdownIt("js-default").disable("image")

_ALWAYS: Final = re.compile(r"([\\`*\[\]<{}]|(?<!\w)_|_(?!\w)|~(?=~))")
_ENTITY: Final = re.compile(r"&(?=#?\w+;)")
_LINE_START: Final = re.compile(r"^([#>+=-]|\d{1,9}(?=[.)](?:\s|$)))", re.MULTILINE)
_MODULE: Final = re.compile(r"^(i|e)(?=(?:mport|xport)\b)", re.MULTILINE)
_DEEPEST: Final = 6
_BELOW: Final = 2
"""Headings of a description stand this much deeper, below those of its page."""


def text(words: str) -> str:
    """Plain words as Markdown and as MDX: nothing in them has a meaning."""
    line = " ".join(words.split())
    line = _ENTITY.sub("&amp;", _ALWAYS.sub(r"\\\1", line))
    return _line_starts(line)


def code(words: str) -> str:
    """Words as a code span."""
    line = " ".join(words.split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " if not line or line[0] == "`" or line[-1] == "`" else ""
    return f"{fence}{space}{line}{space}{fence}"


def fenced(words: str, language: str = "") -> str:
    """Lines as a block of code, in a fence longer than any in them."""
    longest = max((len(run) for run in re.findall("`{3,}", words)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{words.rstrip()}\n{fence}"


def link(words: str, address: str) -> str:
    """A link; the words are Markdown already."""
    for sign, safe in ((" ", "%20"), ("<", "%3C"), (">", "%3E"), ("{", "%7B"), ("}", "%7D")):
        address = address.replace(sign, safe)
    if address.count("(") != address.count(")"):
        address = address.replace("(", "%28").replace(")", "%29")
    return f"[{words}]({address})"


def cell(markdown: str) -> str:
    """Markdown of one line as the cell of a table."""
    return markdown.replace("|", r"\|")


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table of cells that are Markdown already."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell(each) for each in line) + " |" for line in lines)


@cache
def block(markdown: str) -> str:
    """A description of any length, written anew."""
    root = SyntaxTreeNode(PARSER.parse(markdown))
    return "\n\n".join(_blocks(root))


@cache
def inline(markdown: str) -> str:
    """A description as one line, for a cell or behind a name."""
    return _line_starts(_inline(SyntaxTreeNode(PARSER.parseInline(" ".join(markdown.split())))))


def _line_starts(line: str) -> str:
    line = _LINE_START.sub(lambda found: _held(found[0]), line)
    return _MODULE.sub(lambda found: f"&#{ord(found[0])};", line)


def _held(start: str) -> str:
    # A number is no list once its point is escaped, which needs the sign after it.
    return f"&#{ord(start[0])};{start[1:]}" if start.isdigit() else f"\\{start}"


def _blocks(node: SyntaxTreeNode) -> Iterator[str]:
    for each in node.children:
        match each.type:
            case "paragraph":
                yield _line_starts(_inline(each))
            case "heading":
                level = min(_DEEPEST, int(each.tag[1:]) + _BELOW)
                yield f"{'#' * level} {_inline(each)}"
            case "fence" | "code_block":
                # A hostile word behind the fence could hold anything; ours are letters.
                language = re.sub(r"\W.*", "", each.info) if each.type == "fence" else ""
                yield fenced(each.content, language)
            case "bullet_list":
                yield _list(each, None)
            case "ordered_list":
                yield _list(each, int(each.attrs.get("start", 1)))
            case "blockquote":
                inside = "\n\n".join(_blocks(each))
                yield "\n".join(f"> {line}".rstrip() for line in inside.splitlines())
            case "table":
                yield _table(each)
            case "hr":
                yield "---"
            case _:
                yield _line_starts(text(each.content))


def _list(node: SyntaxTreeNode, first: int | None) -> str:
    items = []
    for number, item in enumerate(node.children, first or 0):
        mark = "- " if first is None else f"{number}. "
        inside = "\n\n".join(_blocks(item)).splitlines() or [""]
        indent = " " * len(mark)
        rest = [f"{indent}{line}".rstrip() for line in inside[1:]]
        items.append("\n".join([f"{mark}{inside[0]}", *rest]))
    return "\n".join(items)


def _table(node: SyntaxTreeNode) -> str:
    rows = [
        tuple(_inline(each) for each in row.children)
        for part in node.children
        for row in part.children
    ]
    return table(rows[0], rows[1:])


def _inline(node: SyntaxTreeNode) -> str:
    parts = []
    for each in node.children:
        match each.type:
            case "text":
                parts.append(_ENTITY.sub("&amp;", _ALWAYS.sub(r"\\\1", each.content)))
            case "code_inline":
                parts.append(code(each.content))
            case "em":
                parts.append(f"*{_inline(each)}*")
            case "strong":
                parts.append(f"**{_inline(each)}**")
            case "s":
                parts.append(f"~~{_inline(each)}~~")
            case "link":
                # An exclamation mark before a link would make it a picture.
                if parts and parts[-1].endswith("!"):
                    parts[-1] = parts[-1][:-1] + r"\!"
                parts.append(link(_inline(each), str(each.attrs.get("href", ""))))
            case "softbreak" | "hardbreak":
                parts.append(" ")
            case "inline":
                parts.append(_inline(each))
            case _:
                parts.append(_ALWAYS.sub(r"\\\1", each.content))
    return "".join(parts)
