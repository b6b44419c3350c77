"""A guide as HTML: headings that can be linked to, tables and code that scroll, diagrams drawn."""

import re
from collections.abc import MutableMapping, Sequence
from functools import cache
from html import escape
from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from pages import figures, twins
from pages.guides import Guide

Environment = MutableMapping[str, Any]

# No raw HTML, and no images: they would be loaded from foreign hosts.
_MARKDOWN: Final = MarkdownIt("js-default").disable("image")


@cache
def rendered(guide: Guide) -> Markup:
    """The prose of a guide's page."""
    # The guides are written here; the parser lets no raw HTML through all the same.
    return Markup(_MARKDOWN.render(twins.addressed(guide, "", ""), {}))  # noqa: S704


def anchor(words: str) -> str:
    """The name of a heading in an address, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", words.lower()).strip().replace(" ", "-")


def _fence(_: Any, tokens: Sequence[Token], place: int, options: Any, env: Environment) -> str:
    token = tokens[place]
    language = token.info.strip()
    if language in figures.KINDS:
        env["figures"] = env.get("figures", 0) + 1
        drawn = figures.draw(language, token.content, f"figure-{env['figures']}")
        title = escape(figures.title_of(token.content))
        return (
            f'<figure class="diagram"><div class="scrolls" tabindex="0" role="group" '
            f'aria-label="{title}">{drawn}</div><figcaption>{title}</figcaption></figure>\n'
        )
    return f'<pre tabindex="0"><code>{escape(token.content.rstrip())}</code></pre>\n'


def _heading(_: Any, tokens: Sequence[Token], place: int, options: Any, env: Environment) -> str:
    token = tokens[place]
    return f'<{token.tag} id="{escape(anchor(tokens[place + 1].content))}">'


def _table_open(*_: Any) -> str:
    return '<div class="scrolls" tabindex="0" role="group" aria-label="Table"><table>\n'


def _table_close(*_: Any) -> str:
    return "</table></div>\n"


_MARKDOWN.add_render_rule("fence", _fence)
_MARKDOWN.add_render_rule("heading_open", _heading)
_MARKDOWN.add_render_rule("table_open", _table_open)
_MARKDOWN.add_render_rule("table_close", _table_close)
