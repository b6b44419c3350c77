"""Samples of every operation in the languages of its readers, each of which runs as it is shown.

They say the same: one request with what the contract requires and its examples, and what comes of
it. Credentials come from the environment.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pages.reference import Operation
from pages.samples import curl, python, typescript
from pages.samples.request import ENDED_BY
from pages.schemas import Json

__all__ = ["ENDED_BY", "Sample", "SamplesOf", "samples_of"]

_LANGUAGES: Final = (
    ("curl", "curl", curl.sample),
    ("python", "Python", python.sample),
    ("typescript", "TypeScript", typescript.sample),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample as it is shown; `language` is its name in addresses, classes and code fences."""

    language: str
    title: str
    text: str


SamplesOf = Callable[[Operation], tuple[Sample, ...]]
"""Makes the samples of an operation when they are first asked for."""


def samples_of(operation: Operation, spec: Json, url: str) -> tuple[Sample, ...]:
    """The samples of an operation at `url`, curl first."""
    return tuple(
        Sample(language, title, sample(operation, spec, url))
        for language, title, sample in _LANGUAGES
    )
