"""The project's texts, read once; what checks them never opens a file itself."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

Tree = Mapping[str, str]
"""Path from the project's root -> text."""

_KINDS: Final = frozenset({".md", ".mdx", ".py", ".toml", ".txt", ".yaml", ".json", ".svg"})
_ELSEWHERE: Final = frozenset({"build", "node", "node_modules", "bench", "demo", "__pycache__"})
"""Folders in which nothing is compared."""


def read_tree(root: Path) -> dict[str, str]:
    """Everything the checks look at."""
    return {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(_files(root))
    }


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name in _ELSEWHERE:
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.suffix in _KINDS:
            yield path
