"""The addresses of guides and twins: prose for people, plain Markdown for programs."""

from collections.abc import Mapping, Sequence
from functools import cache
from threading import Lock
from typing import Final

from flask import Flask, abort, render_template, request
from werkzeug.wrappers import Response

from pages import guides, reference, twins
from pages.guide_prose import rendered
from pages.guides import Guide, by_operation
from pages.reference import Reference, Rule
from pages.samples import SamplesOf, samples_of
from pages.schemas import Json
from pages.twins import Samples, address_of, guide_path, path_of

MARKDOWN: Final = "text/markdown"
EXAMPLE_URL: Final = "http://127.0.0.1:8080"
"""Where the samples of committed texts send: a server that `make run` started."""

MAP: Final = "/docs/map"
OVERVIEW: Final = "/docs/api/reference"

_PLAIN: Final = {".md": MARKDOWN, ".txt": "text/plain"}


def committed(
    spec: Json, scopes: Mapping[str, Rule], told: Sequence[Guide] | None = None
) -> dict[str, str]:
    """Every text that is generated and committed, by its path below the root of the project."""
    shown = reference.read(spec, scopes)
    if told is None:
        told = guides.about(each.id for each in shown.operations)
    return twins.texts(shown, told, samples(shown, spec, EXAMPLE_URL))


def samples(shown: Reference, spec: Json, url: str) -> Samples:
    """The samples of every operation, sent to `url`."""
    return _by_language(shown, lambda operation: samples_of(operation, spec, url))


def _by_language(shown: Reference, samples: SamplesOf) -> Samples:
    return {
        each.id: {sample.title: sample.text for sample in samples(each)}
        for each in shown.operations
    }


def add(
    pages: Flask, shown: Reference, told: Sequence[Guide], samples: SamplesOf, base: str
) -> None:
    """Give the application the guides, the docs map, and every twin; `base` is its own address.

    A page that has a twin answers with it when the client would rather have Markdown.
    """
    known = _pages_with_twins(shown, told)
    base = base.rstrip("/")
    making = Lock()

    @cache
    def written() -> Mapping[str, str]:
        return twins.served(shown, told, _by_language(shown, samples), base)

    def answer(address: str) -> Response:
        # Made once, when first asked for: all of it takes some tenths of a second.
        with making:
            found = written()
        if address not in found:
            abort(404)
        ending = address[address.rindex(".") :]
        return Response(found[address], mimetype=_PLAIN[ending])

    def twin(**_: str) -> Response:
        return answer(request.path)

    for number, rule in enumerate(
        (
            f"{OVERVIEW}/<slug>/<operation_id>.md",
            "/docs/guides/<name>.md",
            f"{MAP}.md",
            "/llms.txt",
            "/llms-full.txt",
        )
    ):
        pages.add_url_rule(rule, f"twin_{number}", twin)

    @pages.before_request
    def as_markdown() -> Response | None:
        address = known.get(request.path.rstrip("/"))
        if address is None or request.method not in {"GET", "HEAD"} or not _prefers_markdown():
            return None
        return answer(address)

    @pages.after_request
    def by_accept(response: Response) -> Response:
        if request.path.rstrip("/") in known:
            response.vary.add("Accept")
        return response

    _add_pages(pages, shown, told)


def _pages_with_twins(shown: Reference, told: Sequence[Guide]) -> dict[str, str]:
    """The address of the twin of each page, by the page's own."""
    twins_of = [address_of(path_of(each)) for each in shown.operations]
    twins_of += [address_of(guide_path(each)) for each in told]
    found = {each.removesuffix(".md"): each for each in twins_of}
    return found | {MAP: f"{MAP}.md", OVERVIEW: f"{MAP}.md"}


def _prefers_markdown() -> bool:
    """Whether Markdown is named, and wanted no less than HTML. Browsers never name it."""
    asked = dict(request.accept_mimetypes)
    return MARKDOWN in asked and asked[MARKDOWN] >= asked.get("text/html", 0)


def _add_pages(pages: Flask, shown: Reference, told: Sequence[Guide]) -> None:
    named = {each.name: each for each in told}
    operations = {each.id: each for each in shown.operations}
    pages.jinja_env.globals["guides"] = told
    pages.jinja_env.globals["guides_of"] = by_operation(told)

    @pages.get("/docs/guides/<name>")
    def guide(name: str) -> str:
        if name not in named:
            abort(404)
        found = named[name]
        place = told.index(found)
        return render_template(
            "guide.html",
            guide=found,
            prose=rendered(found),
            operations=[operations[each] for each in found.operations if each in operations],
            before=told[place - 1] if place else None,
            after=told[place + 1] if place + 1 < len(told) else None,
        )

    @pages.get(MAP)
    def docs_map() -> str:
        return render_template("map.html")
