"""Checkpoints go into a file, which whoever rewrites the database would have to rewrite too."""

import asyncio
import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import settings
from persistence import audit_chains, database

MOST: Final = 500
TAIL_BYTES: Final = 1 << 20
WHOLE: Final = re.compile(rb"(?:^|\n)\xe2\x80\x94 [^\n]+\n\n")
"""The end of a whole checkpoint: a line of signature and an empty one."""
ENDS_WHOLE: Final = re.compile(WHOLE.pattern + rb"\Z")


async def file_checkpoints() -> int:
    """Append every checkpoint that is not in the file yet; returns how many.

    One that a crash kept from being noted as filed is in the file twice, which says no more than
    once.
    """
    path = settings.current().audit_checkpoint_file
    if path is None:
        return 0
    count = 0
    while True:
        async with database.hot_transaction() as db:
            rows = await audit_chains.unfiled(db, MOST)
            if not rows:
                return count
            await asyncio.to_thread(append, path, [row.note for row in rows])
            await audit_chains.mark_filed(db, rows)
        count += len(rows)


def append(path: Path, notes: Sequence[str]) -> None:
    """Write the notes at the end, an empty line after each, and wait until they are on the disk."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _held(path) as file:
        _mend(file)
        os.lseek(file, 0, os.SEEK_END)
        whole = "".join(f"{note}\n" for note in notes).encode()
        while whole:
            whole = whole[os.write(file, whole) :]
        os.fsync(file)


@contextmanager
def _held(path: Path) -> Iterator[int]:
    """The file, open, with a lock against other processes of this machine."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


def _mend(file: int) -> None:
    """Cut off what a power cut left of a half-written checkpoint; it is written again."""
    size = os.fstat(file).st_size
    start = max(0, size - TAIL_BYTES)
    tail = os.pread(file, size - start, start)
    if tail and not ENDS_WHOLE.search(tail):
        end = max((found.end() for found in WHOLE.finditer(tail)), default=0)
        if end or start == 0:
            os.ftruncate(file, start + end)
