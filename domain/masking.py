"""How a secret is shown to people who know it and to nobody else."""

from typing import Final

SHOWN_CHARACTERS: Final = 4
LEAST_TO_SHOW: Final = 16


def masked(secret: str) -> str:
    """The end of a secret that is long enough to have one."""
    return "…" + (secret[-SHOWN_CHARACTERS:] if len(secret) >= LEAST_TO_SHOW else "")
