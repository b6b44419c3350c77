"""How two spellings of one file of a repository become the same path."""

import posixpath
import re
from typing import Final

from domain.errors import Invalid

_DRIVE: Final = re.compile(r"[A-Za-z]:/")
_SHOWN: Final = 100


def normalized(path: str) -> str:
    """The path from the root of the repository, with slashes and without detours; its case stays.

    Raises `Invalid` for a path that leaves the repository, or that names no file in it.
    """
    slashed = path.replace("\\", "/")
    made = posixpath.normpath(slashed)
    outside = slashed.startswith("/") or _DRIVE.match(slashed) or made.split("/", 1)[0] == ".."
    if outside or made == ".":
        why = "leaves the repository" if outside else "names no file of the repository"
        raise Invalid(f"filePaths: {path[:_SHOWN]!r} {why}; send paths from its root")
    return made
