"""Whether README, changelog and package say what the settings and the contract say."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

_ROW: Final = re.compile(r"^\|\s*`([A-Z][A-Z0-9_]*)`\s*\|([^|]*)\|(.*)\|\s*$", re.MULTILINE)

Setting = tuple[str, str, str]
"""Name, default and meaning."""


def settings_differences(readme: str | None, settings: Sequence[Setting]) -> Iterator[str]:
    """Rows of the README's table of settings that are missing, too many or different."""
    if readme is None:
        yield "README.md is missing; write it, with the table of settings"
        return
    rows = {
        name: (default.strip().strip("`"), about.strip())
        for name, default, about in _ROW.findall(readme)
    }
    for name, default, about in settings:
        row = f"| `{name}` | {f'`{default}`' if default else ''} | {about} |"
        if name not in rows:
            yield f"README.md: the setting {name} is missing; add the row {row}"
        elif rows[name] != (default, about):
            yield f"README.md: the setting {name} reads differently; write the row {row}"
    known = {name for name, _, _ in settings}
    for name in rows:
        if name not in known:
            yield f"README.md: {name} is no setting; remove the row, or add it to settings.py"


def version_differences(
    version: str, project: dict[str, Any] | None, changelog: str | None
) -> Iterator[str]:
    """Versions other than the contract's `info.version`; None stands for a missing file."""
    if project is None:
        yield f'pyproject.toml is missing; write it, with `version = "{version}"`'
    elif (packaged := project.get("project", {}).get("version")) != version:
        yield (
            f"pyproject.toml says version {packaged} and the contract {version}; make them equal"
        )
    if changelog is None:
        yield f"CHANGELOG.md is missing; write it, with the heading `## {version}`"
    elif not re.search(rf"(?<![\w.]){re.escape(version)}(?![\w.])", changelog):
        yield f"CHANGELOG.md does not mention {version}; add the heading `## {version}`"
