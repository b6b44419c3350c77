"""The reference as text: a Markdown and an MDX twin of every page, the docs map, and llms.txt.

Everything here is a pure function of the contract, the guides and the samples. The twins that are
committed link to one another as files; those that are served link as addresses.
"""

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from pages.definitions import declared, facts, named
from pages.guides import Guide, by_operation
from pages.plain import block, code, fenced, inline, link, table, text
from pages.reference import Media, Operation, Parameter, Reference, Response, Scheme
from pages.schemas import Schema

Samples = Mapping[str, Mapping[str, str]]
"""By operationId: the name of a language, as a reader says it, and the sample in it."""

REFERENCE: Final = "docs/reference"
GUIDES: Final = "docs/guides"
MAP: Final = f"{REFERENCE}/map.md"
LLMS: Final = "docs/llms.txt"
LLMS_FULL: Final = "docs/llms-full.txt"

_ADDRESSES: Final = (
    (MAP, "/docs/map.md"),
    (LLMS, "/llms.txt"),
    (LLMS_FULL, "/llms-full.txt"),
    (REFERENCE, "/docs/api/reference"),
    (GUIDES, f"/{GUIDES}"),
)

_ABOUT_TWINS: Final = (
    "Every link leads to plain Markdown. Every page answers in it, at its address with `.md` and "
    "when asked with `Accept: text/markdown`."
)
_HIGHLIGHTED: Final = {"curl": "bash", "Python": "python", "TypeScript": "ts"}
_RELATIVE: Final = re.compile(
    r"(\]\(|^\[[^]\n]+\]: )((?:\.\./)*[\w.()/-]+?\.md)(#[\w-]+)?(?=\)|$)", re.MULTILINE
)


def texts(reference: Reference, guides: Sequence[Guide], samples: Samples) -> dict[str, str]:
    """Every text that is committed, by its path below the root of the project."""
    writer = _Writer(reference, tuple(guides), samples, None)
    in_mdx = {path_of(each, "mdx"): writer.mdx(each) for each in reference.operations}
    return _plain(writer) | in_mdx


def served(
    reference: Reference, guides: Sequence[Guide], samples: Samples, base: str
) -> dict[str, str]:
    """Every text that the server shows, by its address; `base` is the server's own."""
    plain = _plain(_Writer(reference, tuple(guides), samples, base))
    found = {address_of(path): written for path, written in plain.items()}
    for each in guides:
        found[address_of(guide_path(each))] = guide_text(each, base)
    return found


def path_of(operation: Operation, ending: str = "md") -> str:
    """Where the twin of an operation lies in the project."""
    return f"{REFERENCE}/{operation.slug}/{operation.id}.{ending}"


def guide_path(guide: Guide) -> str:
    """Where a guide lies in the project."""
    return f"{GUIDES}/{guide.name}.md"


def address_of(path: str) -> str:
    """The address at which the server shows a text of the project."""
    for folder, address in _ADDRESSES:
        if path == folder or path.startswith(f"{folder}/"):
            return address + path.removeprefix(folder)
    raise LookupError(f"{path} is not served")


def guide_text(guide: Guide, base: str) -> str:
    """A guide whole, its links being addresses of the server at `base`."""
    return f"# {text(guide.title)}\n\n{text(guide.summary)}\n\n{addressed(guide, base)}"


def addressed(guide: Guide, base: str, ending: str = ".md") -> str:
    """The Markdown of a guide, its relative links being addresses that end with `ending`."""

    def mended(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(GUIDES, found[2]))
        address = address_of(path).removesuffix(".md") + ending
        return f"{found[1]}{base}{address}{found[3] or ''}"

    return _RELATIVE.sub(mended, guide.text)


def _plain(writer: "_Writer") -> dict[str, str]:
    """All but MDX, by path."""
    found = {path_of(each): writer.markdown(each) for each in writer.reference.operations}
    return found | {MAP: writer.map(), LLMS: writer.llms(), LLMS_FULL: writer.llms_full()}


@dataclass(frozen=True)
class _Writer:
    reference: Reference
    guides: tuple[Guide, ...]
    samples: Samples
    base: str | None

    def markdown(self, operation: Operation) -> str:
        """The Markdown twin of an operation's page."""
        at = path_of(operation)
        parts = [f"# {text(operation.summary)}", *self._pages[operation.id]]
        parts += self._types[operation.id]
        parts += self._around(operation, at)
        return "\n\n".join(parts) + "\n"

    def mdx(self, operation: Operation) -> str:
        """The MDX twin: the same below front matter, its links being the pages' addresses."""
        at = path_of(operation, "mdx")
        first = " ".join(operation.description.strip().split("\n\n", 1)[0].split())
        front = {
            "title": operation.summary,
            "description": first,
            "api": f"{operation.method} {operation.path}",
        }
        lines = [
            f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in front.items()
        ]
        parts = ["\n".join(["---", *lines, "---"]), *self._pages[operation.id]]
        parts += self._types[operation.id]
        parts += self._around(operation, at)
        return "\n\n".join(parts) + "\n"

    def map(self) -> str:
        """Everything there is to read, by section."""
        parts = [
            f"# Map of the {text(self.reference.title)}",
            "Every guide, and every operation by its tag.",
            *self._guide_list(MAP),
        ]
        for tag in self.reference.tags:
            if tag.operations:
                parts.append(f"## {text(tag.name)}")
                rows = [
                    (
                        link(text(each.summary), self._to(path_of(each), MAP)),
                        code(f"{each.method} {each.path}"),
                    )
                    for each in tag.operations
                ]
                parts.append(table(("Operation", "Call"), rows))
        return "\n\n".join(parts) + "\n"

    def llms(self) -> str:
        """The list of twins for language models, as llmstxt.org describes it."""
        parts = [
            f"# {text(self.reference.title)}",
            f"> {_first_paragraph(self.reference.description)}",
            f"Version {text(self.reference.version)}. {_ABOUT_TWINS}",
            *self._guide_list(LLMS),
        ]
        for tag in self.reference.tags:
            if tag.operations:
                parts.append(f"## {text(tag.name)}")
                parts.append("\n".join(self._entry(each, LLMS) for each in tag.operations))
        parts.append("## Optional")
        full = link("All of it", self._to(LLMS_FULL, LLMS))
        every = link("Map", self._to(MAP, LLMS))
        parts.append(
            f"- {full}: every guide and every operation in one text\n"
            f"- {every}: every page by section, with methods and paths"
        )
        return "\n\n".join(parts) + "\n"

    def llms_full(self) -> str:
        """Every guide and operation in one text, with each type declared once at its end."""
        parts = [f"# {text(self.reference.title)}", block(self.reference.description)]
        for guide in self.guides:
            body = guide.text if self.base is None else addressed(guide, self.base)
            parts += [f"# Guide: {text(guide.title)}", text(guide.summary), body.strip()]
        for operation in self.reference.operations:
            parts.append(f"# {text(operation.summary)}")
            parts += self._pages[operation.id]
        schemas = [each for operation in self.reference.operations for each in _schemas(operation)]
        parts += ["# Types", fenced(declared(schemas), "ts")]
        return "\n\n".join(parts) + "\n"

    @cached_property
    def _pages(self) -> dict[str, tuple[str, ...]]:
        """What all texts about an operation say alike, by operationId."""
        return {each.id: tuple(self._page(each)) for each in self.reference.operations}

    @cached_property
    def _types(self) -> dict[str, tuple[str, ...]]:
        """The types of an operation's page, by operationId."""
        return {each.id: tuple(_types(_schemas(each))) for each in self.reference.operations}

    def _page(self, operation: Operation) -> Iterator[str]:
        yield code(f"{operation.method} {operation.path}")
        if operation.deprecated:
            yield "**Deprecated.**"
        if operation.description.strip():
            yield block(operation.description)
        yield f"Operation {code(operation.id)}, under {text(self._tag(operation))}."
        for language, sample in self.samples.get(operation.id, {}).items():
            yield f"## {text(language)}"
            yield fenced(sample, _HIGHLIGHTED.get(language, ""))
        yield "## Authorization"
        yield "\n\n".join(self._authorization(operation))
        yield "## Permissions"
        yield "\n".join(_permissions(operation))
        for place in ("path", "query", "header", "cookie"):
            found = [each for each in operation.parameters if each.place == place]
            if found:
                yield f"## {place.capitalize()} parameters"
                yield table(
                    ("Name", "Type", "Required", "Meaning"), [_parameter(each) for each in found]
                )
        if operation.body is not None:
            yield "## Request body"
            must = "Required." if operation.body.required else "Optional."
            yield f"{must} {inline(operation.body.description)}".strip()
            for each in operation.body.media:
                yield from _media(each, "RequestBody")
        yield "## Responses"
        for response in operation.responses:
            yield from _response(response)

    def _authorization(self, operation: Operation) -> Iterator[str]:
        if not operation.security:
            yield "No credential in a header or cookie."
            return
        if len(operation.security) > 1:
            yield "Any one of these."
        lines = []
        for name in operation.security:
            scheme = self.reference.schemes.get(name)
            lines.append(_scheme(scheme) if scheme else "- no credential")
        yield "\n".join(lines)

    def _around(self, operation: Operation, at: str) -> Iterator[str]:
        yield from self._guide_list(at, by_operation(self.guides).get(operation.id, ()))
        operations = self.reference.operations
        place = operations.index(operation)
        turns = []
        if place > 0:
            turns.append(f"Previous: {self._named(operations[place - 1], at)}")
        if place + 1 < len(operations):
            turns.append(f"Next: {self._named(operations[place + 1], at)}")
        if turns:
            yield "---"
            yield " · ".join(turns)

    def _tag(self, operation: Operation) -> str:
        return next(each.name for each in self.reference.tags if operation in each.operations)

    def _named(self, operation: Operation, at: str) -> str:
        return link(text(operation.summary), self._to(path_of(operation), at))

    def _entry(self, operation: Operation, at: str) -> str:
        call = code(f"{operation.method} {operation.path}")
        about = _first_sentence(operation.description)
        return f"- {self._named(operation, at)}: {call}. {about}".rstrip()

    def _guide_list(self, at: str, guides: tuple[Guide, ...] | None = None) -> Iterator[str]:
        told = self.guides if guides is None else guides
        if told:
            yield "## Guides"
            yield "\n".join(
                f"- {link(text(each.title), self._to(guide_path(each), at))}: {text(each.summary)}"
                for each in told
            )

    def _to(self, target: str, at: str) -> str:
        if at.endswith(".mdx"):
            return address_of(target).removesuffix(".md")
        if self.base is None:
            return posixpath.relpath(target, posixpath.dirname(at))
        return self.base + address_of(target)


def _scheme(scheme: Scheme) -> str:
    about = inline(scheme.description)
    return f"- {code(scheme.name)}, in {text(scheme.place)}" + (f": {about}" if about else "")


def _permissions(operation: Operation) -> Iterator[str]:
    plain = operation.scope in {"none", "any"}
    yield f"- Scope: {operation.scope if plain else code(operation.scope)}"
    if operation.worker_scope:
        yield f"- Or, for workers: {code(operation.worker_scope)}"
    if operation.kinds:
        yield f"- Held by: {text(', '.join(operation.kinds))}"


def _parameter(parameter: Parameter) -> tuple[str, str, str, str]:
    schema = parameter.schema
    bounds = [each for each in facts(schema) if each != "integer"]
    words = ", ".join(["deprecated"] * parameter.deprecated + [_fact(each) for each in bounds])
    kind = "integer" if schema.type == "integer" and not schema.component else named(schema)
    about = dict.fromkeys([inline(parameter.description), inline(schema.description)])
    return (
        code(parameter.name),
        code(kind),
        "yes" if parameter.required else "no",
        _sentences(*about, words[:1].upper() + words[1:]),
    )


def _fact(words: str) -> str:
    """A bound as Markdown; a pattern is code."""
    name, _, pattern = words.partition(" ")
    return f"matches {code(pattern)}" if name == "matches" else text(words)


def _sentences(*said: str) -> str:
    return " ".join(f"{each.rstrip('.')}." for each in said if each)


def _response(response: Response) -> Iterator[str]:
    yield f"### {text(response.status)}"
    if response.description.strip():
        yield block(response.description)
    if response.headers:
        rows = [
            (
                code(each.name),
                code(named(each.schema)),
                _sentences(inline(each.description), ", ".join(map(_fact, facts(each.schema)))),
            )
            for each in response.headers
        ]
        yield table(("Header", "Type", "Meaning"), rows)
    for each in response.media:
        yield from _media(each, f"Response{response.status.capitalize()}")


def _media(media: Media, name: str) -> Iterator[str]:
    shown = code(media.content_type)
    if media.schema is not None:
        schema = _with_name(media.schema, name)
        about = (
            ""
            if schema.component
            else _sentences(*map(_fact, facts(schema)), inline(schema.description))
        )
        shown += f": {code(named(schema))} {about}".rstrip()
    yield shown
    if media.example_text:
        language = "json" if "json" in media.content_type else ""
        yield "Example:"
        yield fenced(media.example_text, language)


def _with_name(schema: Schema, name: str) -> Schema:
    """The schema, under a name of its own when it has an inside and none."""
    whole = schema.members or schema.choices or schema.others is not None
    return replace(schema, component=name) if whole and not schema.component else schema


def _schemas(operation: Operation) -> Iterator[Schema]:
    """Every schema of the page, in the order in which a reader meets it."""
    yield from (each.schema for each in operation.parameters)
    if operation.body is not None:
        for each in operation.body.media:
            if each.schema is not None:
                yield _with_name(each.schema, "RequestBody")
    for response in operation.responses:
        yield from (header.schema for header in response.headers)
        for each in response.media:
            if each.schema is not None:
                yield _with_name(each.schema, f"Response{response.status.capitalize()}")


def _types(schemas: Iterable[Schema]) -> Iterator[str]:
    written = declared(schemas)
    if written:
        yield "## Types"
        yield fenced(written, "ts")


def _first_paragraph(description: str) -> str:
    return inline(description.strip().split("\n\n", 1)[0])


def _first_sentence(description: str) -> str:
    first = " ".join(description.strip().split("\n\n", 1)[0].split())
    return inline(re.split(r"(?<=[.!?])\s+(?=[A-Z])", first, maxsplit=1)[0])
