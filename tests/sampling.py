"""Which cases of many are run: some of every list here, and `make prove` all of them."""

import os
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

import pytest

Thing = TypeVar("Thing")

SHARE: Final = float(os.environ.get("PROVE_SHARE") or 1)
"""What part of the full size to run."""


def spread(things: Sequence[Thing], count: int) -> list[Thing]:
    """So many of them, spread evenly, the first among them."""
    return [things[place * len(things) // count] for place in range(count)]


def few(cases: Iterable[Any], count: int) -> list[Any]:
    """The cases as parameters: `count` of them, spread evenly, in `make test`, the rest proved."""
    listed = list(cases)
    chosen = {round(place * (len(listed) - 1) / max(1, count - 1)) for place in range(count)}
    return [
        pytest.param(each, marks=[] if place in chosen else [pytest.mark.prove])
        for place, each in enumerate(listed)
    ]
