"""Which cases of many `make test` runs: some of every list here, and `make prove` all of them."""

from collections.abc import Iterable
from typing import Any

import pytest


def few(cases: Iterable[Any], count: int) -> list[Any]:
    """The cases as parameters: `count` of them, spread evenly, in `make test`, the rest proved."""
    listed = list(cases)
    chosen = {round(place * (len(listed) - 1) / max(1, count - 1)) for place in range(count)}
    return [
        pytest.param(each, marks=[] if place in chosen else [pytest.mark.prove])
        for place, each in enumerate(listed)
    ]
