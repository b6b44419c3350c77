"""Search over operations, guides and components: one index for the browser and for the server."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pages.reference import Reference

LIMIT: Final = 50
"""How many hits a page of results has at most."""

# What a hit in each part of an entry is worth; `static/search.js` has the same numbers.
EXACT: Final = 40
BEGINNING: Final = 12
TITLE: Final = 8
ID: Final = 8
PATH: Final = 5
TEXT: Final = 1

# Commands and diagrams are found by the words around them.
_BLOCKS: Final = re.compile(r"^(```+).*?^\1", re.DOTALL | re.MULTILINE)
_MARKS: Final = re.compile(r"[*`_>#|]|\]\([^)]*\)|[\[\]]")
_BLANKS: Final = re.compile(r"\s+")


class Guide(Protocol):
    """What the index takes of a guide."""

    @property
    def name(self) -> str:
        """The last part of its address."""

    @property
    def title(self) -> str:
        """Its heading."""

    @property
    def summary(self) -> str:
        """What it is about."""

    @property
    def text(self) -> str:
        """Its Markdown."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One page that can be found. `href` is relative to `/docs/`."""

    title: str
    kind: str
    href: str
    id: str = ""
    method: str = ""
    path: str = ""
    text: str = ""


def index(reference: Reference, guides: Iterable[Guide] = ()) -> tuple[Entry, ...]:
    """Everything that can be found, in the order in which equals are shown."""
    return (*_guides(guides), *_operations(reference), *_components(reference))


def as_json(entries: Iterable[Entry]) -> list[list[Any]]:
    """The index as the browser reads it: a list for each entry, in the order of its members."""
    return [
        [each.title, each.kind, each.href, each.id, each.method, each.path, each.text]
        for each in entries
    ]


def find(entries: Iterable[Entry], query: str, limit: int = LIMIT) -> list[Entry]:
    """The entries that have every word of the query, best first."""
    words = query.lower().split()
    if not words:
        return []
    scored = [(_score(each, words), each) for each in entries]
    # Sorting is stable: equals stay in the order of the index.
    best = sorted((each for each in scored if each[0] > 0), key=lambda each: -each[0])
    return [entry for _, entry in best[:limit]]


def plain(markdown: str) -> str:
    """The words of a Markdown text on one line."""
    return _BLANKS.sub(" ", _MARKS.sub("", _BLOCKS.sub("", markdown))).strip()


def _score(entry: Entry, words: list[str]) -> int:
    title, name, path = entry.title.lower(), entry.id.lower(), entry.path.lower()
    text = entry.text.lower()
    total = 0
    for word in words:
        score = 0
        if word in (name, title, path):
            score += EXACT
        if name.startswith(word) or title.startswith(word) or f" {word}" in title:
            score += BEGINNING
        for part, worth in ((title, TITLE), (name, ID), (path, PATH), (text, TEXT)):
            if word in part:
                score += worth
        if score == 0:
            return 0
        total += score
    return total


def _guides(guides: Iterable[Guide]) -> Iterator[Entry]:
    for each in guides:
        text = plain(f"{each.summary} {each.text}")
        yield Entry(each.title, "Guide", f"guides/{each.name}", text=text)


def _operations(reference: Reference) -> Iterator[Entry]:
    for tag in reference.tags:
        for each in tag.operations:
            yield Entry(
                title=each.summary,
                kind=tag.name,
                href=f"api/reference/{each.slug}/{each.id}",
                id=each.id,
                method=each.method,
                path=each.path,
                text=plain(each.description),
            )


def _components(reference: Reference) -> Iterator[Entry]:
    for each in reference.components.values():
        text = plain(each.schema.description)
        href = f"api/reference/components/{each.name}"
        yield Entry(each.name, "Component", href, text=text)
