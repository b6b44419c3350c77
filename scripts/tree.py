"""The project's texts, read once; what checks them never opens a file itself."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

Tree = Mapping[str, str]
"""Path from the project's root -> text."""

_PATTERNS: Final = (
    "*.md", "*.toml", "*.py", "openapi/**/*.yaml", "openapi/**/*.json", "handlers/*.py",
    "auth/scopes.py", "docs/**/*.md", "docs/**/*.mdx", "docs/**/*.txt", "docs/**/*.svg",
)  # fmt: skip


def read_tree(root: Path) -> dict[str, str]:
    """Everything the checks look at."""
    return dict(_texts(root))


def _texts(root: Path) -> Iterator[tuple[str, str]]:
    for pattern in _PATTERNS:
        for path in sorted(root.glob(pattern)):
            if path.is_file():
                yield path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")
