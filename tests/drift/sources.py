"""The project's texts as a mutation sees them, with the means to change one of them a little."""

import ast
import copy
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any, Final

import yaml

SPEC: Final = "openapi/rensei-api.yaml"
SCOPES: Final = "auth/scopes.py"
RECORD: Final = "openapi/status-record.json"
SETTINGS: Final = "settings.py"
METHODS: Final = ("get", "put", "post", "delete", "patch", "head", "options")

_ANCHOR: Final = re.compile(r"(?<=[ \[{])&\w+ ?")
"""What other parts of the text repeat; without it they could not be read."""

Edits = Mapping[str, str | None]


@dataclass(frozen=True)
class Later(Mapping[str, str | None]):
    """An edit whose text takes long to write, and is written when it is needed."""

    path: str
    write: Callable[[], str]

    def __getitem__(self, path: str) -> str:
        if path != self.path:
            raise KeyError(path)
        return self._text

    def __iter__(self) -> Iterator[str]:
        return iter((self.path,))

    def __len__(self) -> int:
        return 1

    @cached_property
    def _text(self) -> str:
        return self.write()


@dataclass(frozen=True)
class Mutation:
    """One edit, and the word (operationId or file) that the report must hold."""

    kind: str
    about: str
    edits: Edits
    word: str = ""
    wide: bool = False  # it touches what many operations share

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.about}"


@dataclass(frozen=True)
class Place:
    """Where an operation stands in the contract."""

    id: str
    path: str
    method: str


class _Plain(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def dumped(node: Any, indent: int) -> str:
    text = yaml.dump(node, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100)
    return "".join(" " * indent + line for line in text.splitlines(keepends=True))


def snake(name: str) -> str:
    words = re.findall(
        r"[A-Z]\d[A-Z](?![a-z])|[A-Z]+\d*(?![a-z])|[A-Z]?[a-z]+\d*|\d+",
        name,
    )
    return "_".join(word.lower() for word in words)


@dataclass(frozen=True)
class Sources:
    """All texts, by path from the project's root. Parsed once; edits go to copies."""

    texts: Mapping[str, str]
    _modules: dict[str, ast.Module] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Path) -> "Sources":
        kept = ("*.py", "*.md", "*.mdx", "*.yaml", "*.yml", "*.json", "*.txt", "*.toml", "Makefile")
        skipped = {".venv", "node", "node_modules", ".git", "build", ".mypy_cache", ".rensei"}
        found = {}
        for pattern in kept:
            for path in root.rglob(pattern):
                parts = path.relative_to(root).parts
                if skipped.isdisjoint(parts) and path.is_file():
                    found["/".join(parts)] = path.read_text(encoding="utf-8")
        return cls(found)

    # --- the contract ---

    @cached_property
    def spec(self) -> dict[str, Any]:
        read: dict[str, Any] = yaml.load(self.texts[SPEC], yaml.CSafeLoader)
        return read

    @cached_property
    def places(self) -> list[Place]:
        return [
            Place(operation["operationId"], path, method)
            for path, item in self.spec["paths"].items()
            for method, operation in item.items()
            if method in METHODS
        ]

    def item(self, place: Place) -> tuple[dict[str, Any], dict[str, Any]]:
        """A copy of the path item, and the operation in it."""
        item = copy.deepcopy(self.spec["paths"][place.path])
        return item, item[place.method]

    def with_item(self, place: Place, item: Any, path: str | None = None) -> Edits:
        """The contract with another path item at this place; without it when that is None."""
        text = self.texts[SPEC]
        start = text.index(f"\n  {place.path}:\n") + 1
        end = _after(text, start, r"^(?:  (?:/|# ---)|\S)")
        if _ANCHOR.search(text[start:end]):
            paths = {
                (path or place.path if each == place.path else each): (
                    item if each == place.path else node
                )
                for each, node in self.spec["paths"].items()
                if each != place.path or item
            }
            return Later(SPEC, lambda: dumped({**self.spec, "paths": paths}, 0))
        written = dumped({path or place.path: item}, 2) + "\n" if item else ""
        return {SPEC: text[:start] + written + text[end:]}

    def component(self, section: str, name: str) -> Any:
        return copy.deepcopy(self.spec["components"][section][name])

    def with_component(self, section: str, name: str, node: Any) -> Edits:
        text = self.texts[SPEC]
        section_at = re.search(rf"^  {section}:\n", text, re.MULTILINE)
        assert section_at
        named = re.compile(rf"^    {re.escape(name)}:.*\n", re.MULTILINE).search(
            text, section_at.end()
        )
        assert named
        start, end = named.start(), _after(text, named.start(), r"^(?:    (?:\S)|  \S|\S)")
        assert not _ANCHOR.search(text[start:end])
        return {SPEC: text[:start] + dumped({name: node}, 4) + text[end:]}

    def resolved(self, node: Any) -> Any:
        while isinstance(node, dict) and "$ref" in node:
            found: Any = self.spec
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            node = found
        return node

    # --- Python ---

    def module(self, path: str) -> ast.Module:
        if path not in self._modules:
            self._modules[path] = ast.parse(self.texts[path])
        return self._modules[path]

    @cached_property
    def handlers(self) -> dict[str, tuple[str, ast.AsyncFunctionDef]]:
        """operationId -> (file, function)"""
        functions = {
            node.name: (path, node)
            for path in sorted(self.texts)
            if path.startswith("handlers/") and path.endswith(".py")
            for node in self.module(path).body
            if isinstance(node, ast.AsyncFunctionDef)
        }
        return {
            place.id: functions[snake(place.id)]
            for place in self.places
            if snake(place.id) in functions
        }

    def spliced(self, path: str, node: Any, text: str) -> Edits:
        """The file with one node of its tree written anew."""
        return {path: replaced(self.texts[path], node, text)}

    def segment(self, path: str, node: ast.AST) -> str:
        found = ast.get_source_segment(self.texts[path], node)
        assert found is not None
        return found


def offset(text: str, line: int, column: int) -> int:
    """Where (line, byte column) is in the text."""
    lines = text.splitlines(keepends=True)
    return sum(map(len, lines[: line - 1])) + len(lines[line - 1].encode()[:column].decode())


def replaced(text: str, node: Any, new: str) -> str:
    start = offset(text, node.lineno, node.col_offset)
    end = offset(text, node.end_lineno, node.end_col_offset)
    return text[:start] + new + text[end:]


def _after(text: str, start: int, pattern: str) -> int:
    first_line_end = text.index("\n", start) + 1
    found = re.compile(pattern, re.MULTILINE).search(text, first_line_end)
    return found.start() if found else len(text)


def chosen(random: Random, among: Any) -> Any:
    """One of them, or None of nothing."""
    things = list(among)
    return random.choice(things) if things else None
