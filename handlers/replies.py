"""What every handler returns."""

from collections.abc import Mapping
from typing import Any

Reply = tuple[Any, int] | tuple[Any, int, Mapping[str, str]]
