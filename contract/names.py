"""How names of the contract become names of Python."""

import builtins
import keyword
import re
from typing import Final

# A2A and M2M are single words, though they change between letters and digits.
_WORD: Final = re.compile(r"[A-Z]\d[A-Z](?![a-z])|[A-Z]+\d*(?![a-z])|[A-Z]?[a-z]+\d*|\d+")


def snake(name: str) -> str:
    """The snake_case form: `workerPoll` -> `worker_poll`, `issueM2MToken` -> `issue_m2m_token`."""
    return "_".join(word.lower() for word in _WORD.findall(name))


def argument_name(name: str) -> str:
    """The argument that a parameter arrives in: snake_case, `id` as `id_` since Python has one."""
    snaked = snake(name)
    if keyword.iskeyword(snaked) or hasattr(builtins, snaked):
        return snaked + "_"
    return snaked
