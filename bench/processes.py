"""What processes there are and what CPU they have used, read from `/proc`."""

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Seen:
    """One process as the kernel tells of it."""

    pid: int
    parent: int
    state: str
    cpu_seconds: float
    """Its own, and that of its children which have ended."""

    @property
    def command(self) -> str:
        """The words it was started with; empty when it has just ended."""
        return _file(self.pid, "cmdline").replace("\0", " ").strip()

    @property
    def environment(self) -> dict[str, str]:
        """The environment it was started with."""
        pairs = (each.partition("=") for each in _file(self.pid, "environ").split("\0"))
        return {name: value for name, equals, value in pairs if equals}


def everyone() -> Iterator[Seen]:
    """All living processes; those that have ended and only wait to be noticed do not count."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            status = _file(int(entry), "stat")
            # The name stands in parentheses and may hold anything, those included.
            words = status.rpartition(")")[2].split()
            if words and words[0] != "Z":
                ticks = sum(map(int, words[11:15]))
                yield Seen(int(entry), int(words[1]), words[0], ticks / TICKS_A_SECOND)


def tree(root: int) -> list[Seen]:
    """A process and all that descend from it, parents first; empty when it has ended."""
    by_parent = defaultdict(list)
    found: list[Seen] = []
    for each in everyone():
        by_parent[each.parent].append(each)
        if each.pid == root:
            found.append(each)
    for each in found:
        found += by_parent[each.pid]
    return found


def cpu_seconds(*roots: int) -> float:
    """The CPU that these processes and their descendants have used so far."""
    return sum(each.cpu_seconds for root in roots for each in tree(root))


def _file(pid: int, name: str) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    return ""
