"""When two notes of agents say the same."""

import hashlib
import re
import unicodedata
from typing import Final

_TOKEN: Final = re.compile(r"\S+")
_EDGES: Final = ".,;:!?()[]{}\"'`"
_DENIALS: Final = frozenset({"no", "not", "never", "none", "without", "nothing", "cannot"})


def content_hash(content: str) -> bytes:
    """Equal for contents that differ only in case and white space."""
    plain = " ".join(unicodedata.normalize("NFKC", content).casefold().split())
    return hashlib.sha256(plain.encode()).digest()


def says_the_same(one: str, other: str) -> bool:
    """Whether two notes that look alike differ in nothing that a fact hangs on.

    That is every word that is more than small letters (numbers, names, paths, code) and every
    denial: `the limit is 5` and `the limit is 7` are two facts.
    """
    return _facts(one) == _facts(other)


def _facts(content: str) -> frozenset[str]:
    found = set()
    for number, raw in enumerate(_TOKEN.findall(content)):
        token = raw.strip(_EDGES)
        # The first word of a sentence is capital for no reason of its own.
        word = token.lower() if number == 0 or token.istitle() else token
        is_plain = word.isalpha() and word.islower()
        if word and (not is_plain or word in _DENIALS):
            found.add(word)
    return frozenset(found)
