"""Meaning as numbers, where the operator has switched it on: notes are then found by it as well.

Nothing here is needed: without an embedder notes are found by their words. One that is switched on
is loaded when the first note asks for it.
"""

import asyncio
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import settings


class Embedder(Protocol):
    """Texts to vectors of one length; texts that mean the same lie near each other."""

    @property
    def name(self) -> str:
        """What the vectors are stored under: other models, other names."""

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text. Called in a thread."""


class WordLlama:
    """Averaged word vectors of 256 numbers; the wheel on PyPI carries them, 16 MB."""

    name = "wordllama-l2_supercat-256"

    def __init__(self) -> None:
        module: Any = importlib.import_module("wordllama")
        # It looks for half of what it brings along in a folder of another name, and then online.
        brought = Path(module.__file__).parent
        self._model = module.WordLlama.load(cache_dir=brought, disable_download=True)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text."""
        made: list[list[float]] = self._model.embed(list(texts), norm=True).tolist()
        return made


EMBEDDERS: Final[dict[str, Callable[[], Embedder]]] = {"wordllama": WordLlama}

_made: dict[str, Embedder] = {}
_making = asyncio.Lock()


async def embed(text: str) -> tuple[str, list[float]] | None:
    """The embedder's name and the text's vector; None while embedding is off."""
    chosen = settings.current().embedder
    if chosen is None:
        return None
    async with _making:
        if chosen not in _made:
            _made[chosen] = await asyncio.to_thread(EMBEDDERS[chosen])
    embedder = _made[chosen]
    (vector,) = await asyncio.to_thread(embedder.embed, [text])
    return embedder.name, vector
