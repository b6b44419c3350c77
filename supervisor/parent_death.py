"""A child that must not outlive its parent, even when the parent is killed outright."""

import ctypes
import os
import sys
from collections.abc import Callable
from signal import Signals
from typing import Final

PR_SET_PDEATHSIG: Final = 1

# Loaded before any fork: a child between fork and exec must not import or allocate much.
_libc: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def end_with_parent(parent: int, farewell: Signals) -> bool:
    """Have the kernel send `farewell` to this process when its parent dies.

    False when the parent is gone already, which the kernel would not report any more.
    Other systems than Linux have no such signal; there the watchdog does this.
    """
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, int(farewell), 0, 0, 0)
    return os.getppid() == parent


def tie_to_this_process(farewell: Signals) -> Callable[[], None]:
    """What a child of this process runs between fork and exec.

    It must run after the child has taken its own uid: changing credentials clears the wish.
    """
    parent = os.getpid()

    def tie() -> None:
        if not end_with_parent(parent, farewell):
            os._exit(1)

    return tie
