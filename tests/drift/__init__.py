"""Mutations of the project: kinds of drift that the checker must name, and of harmless edits."""

from tests.drift import contract_drifts, copy_drifts, handler_drifts, harmless_edits
from tests.drift.kinds import DRIFTS, HARMLESS, spread
from tests.drift.sources import Mutation, Sources

__all__ = [
    "DRIFTS",
    "HARMLESS",
    "Mutation",
    "Sources",
    "contract_drifts",
    "copy_drifts",
    "handler_drifts",
    "harmless_edits",
    "spread",
]
