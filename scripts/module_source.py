"""`auth/scopes.py` and `settings.py` as their texts have them, whatever is imported."""

import ast
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from scripts.handler_source import Unreadable

SCOPES: Final = "auth/scopes.py"
SETTINGS: Final = "settings.py"


@lru_cache(4)
def rules(text: str) -> Mapping[str, Any]:
    """The table of scopes; raises `Unreadable`."""
    found: Mapping[str, Any] = _run(SCOPES, text).RULES
    return found


@lru_cache(4)
def settings_table(text: str) -> list[tuple[str, str, str]]:
    """Name, default and meaning of every setting; raises `Unreadable`."""
    found: list[tuple[str, str, str]] = _run(SETTINGS, text).table()
    return found


def rules_told_twice(text: str) -> Iterator[str]:
    """Names that stand twice in the table, of which Python silently takes the last."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Dict):
            seen = set()
            for key in node.keys:
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    if key.value in seen:
                        yield f"{SCOPES}: {key.value!s} stands twice in the table; keep one"
                    seen.add(key.value)


def _run(path: str, text: str) -> Any:
    name = path.removesuffix(".py").replace("/", ".") + "_as_text"
    module = ModuleType(name)
    module.__file__ = str(Path(path).absolute())
    # Data classes look their module up by name while they are made.
    sys.modules[name] = module
    try:
        exec(compile(text, path, "exec"), module.__dict__)  # noqa: S102  # our own source
    except Exception as error:
        number = getattr(error, "lineno", None)
        place = f"{path}:{number}" if number else path
        raise Unreadable(f"{place}: {error}; correct it") from error
    finally:
        del sys.modules[name]
    return module
