"""The guides: prose about how operations work together, read from `docs/guides/`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).resolve().parent.parent / "docs" / "guides"

_FENCE: Final = "---\n"


@dataclass(frozen=True, slots=True)
class Guide:
    """One guide: `operations` are the ids of those it tells of, `text` is all below its title."""

    name: str
    order: int
    title: str
    summary: str
    operations: tuple[str, ...]
    text: str


def read(folder: Path = FOLDER) -> tuple[Guide, ...]:
    """All guides in their order; raises ValueError for one whose front matter is not whole."""
    return parsed({path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.md")})


def parsed(texts: Mapping[str, str]) -> tuple[Guide, ...]:
    """The same from the texts of the guides by their names."""
    found = [_guide(name, whole) for name, whole in texts.items()]
    return tuple(sorted(found, key=lambda guide: (guide.order, guide.name)))


def about(operations: Iterable[str], folder: Path = FOLDER) -> tuple[Guide, ...]:
    """The guides of which every operation is among these: those of a contract that has them all."""
    known = set(operations)
    return tuple(each for each in read(folder) if known.issuperset(each.operations))


def by_operation(guides: Iterable[Guide]) -> Mapping[str, tuple[Guide, ...]]:
    """The guides that tell of each operation, in their order."""
    found: dict[str, tuple[Guide, ...]] = {}
    for guide in guides:
        for each in guide.operations:
            found[each] = (*found.get(each, ()), guide)
    return found


def _guide(name: str, whole: str) -> Guide:
    parts = whole.split(_FENCE, 2)
    if len(parts) != 3 or parts[0]:
        raise ValueError(f"{name}.md does not begin with front matter between lines of ---")
    front: dict[str, Any] = yaml.safe_load(parts[1])
    try:
        return Guide(
            name=name,
            order=int(front["order"]),
            title=str(front["title"]),
            summary=str(front["summary"]),
            operations=tuple(map(str, front["operations"])),
            text=parts[2].strip() + "\n",
        )
    except KeyError as error:
        raise ValueError(f"{name}.md has no {error.args[0]} in its front matter") from error
