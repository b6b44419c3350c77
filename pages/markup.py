"""Texts of the contract as HTML: Markdown without raw HTML, and JSON with colours. All escaped."""

import re
from collections.abc import Mapping
from typing import Final

from markdown_it import MarkdownIt
from markupsafe import Markup, escape

# The preset takes no raw HTML. Images are off, since they would be loaded from foreign hosts.
_MARKDOWN: Final = MarkdownIt("js-default").disable("image")

_JSON_TOKEN: Final = re.compile(
    r'(?P<k>"(?:[^"\\]|\\.)*"(?=\s*:))|(?P<s>"(?:[^"\\]|\\.)*")'
    r"|(?P<n>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\btrue\b|\bfalse\b|\bnull\b)"
)


# What is a link already ends with `">` just before.
_NAMED: Final = re.compile(r'(?<!">)<code>(\w+)</code>')


# The renderer escapes what it is given, and the preset lets no raw HTML through.
def markdown(text: str) -> Markup:
    """Blocks of Markdown."""
    return Markup(_MARKDOWN.render(text))  # noqa: S704


def with_links(html: Markup, addresses: Mapping[str, str]) -> Markup:
    """The names of operations in a text lead to their pages."""

    def link(found: re.Match[str]) -> str:
        address = addresses.get(found[1])
        return found[0] if address is None else f'<a href="{escape(address)}">{found[0]}</a>'

    return Markup(_NAMED.sub(link, html))  # noqa: S704 - of rendered text alone


def inline_markdown(text: str) -> Markup:
    """One line of Markdown, without a block around it."""
    return Markup(_MARKDOWN.renderInline(text.strip()))  # noqa: S704


def coloured(text: str, content_type: str = "application/json") -> Markup:
    """A sample; what is JSON gets its names, strings and values marked."""
    if not content_type.endswith("json"):
        return escape(text)
    parts = [Markup()]
    done = 0
    for found in _JSON_TOKEN.finditer(text):
        parts += [escape(text[done : found.start()]), _span(found.lastgroup, found[0])]
        done = found.end()
    return Markup().join([*parts, escape(text[done:])])


def _span(name: str | None, text: str) -> Markup:
    return Markup('<span class="{}">{}</span>').format(name, text)
