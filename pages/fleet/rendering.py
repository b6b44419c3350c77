"""The templates of the fleet page. All text is escaped: most of it was written by agents."""

from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from pages.fleet import words

TEMPLATES: Final = Path(__file__).parents[1] / "templates" / "fleet"

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

_environment: Final = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {
    "age": words.age,
    "ago": words.ago,
    "money": words.money,
    "count": words.count,
    "percent": words.percent,
}


def render(template: str, **given: Any) -> str:
    """The text of a template."""
    return _environment.get_template(template).render(given)


def answer(template: str, status: int = 200, **given: Any) -> HTMLResponse:
    """A page, or a piece of one, that nobody keeps."""
    return HTMLResponse(render(template, **given), status, HEADERS)
