"""The pages as a Flask application: addresses, templates, errors and headers."""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from flask import Flask, abort, jsonify, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from pages import answers, documents, guides, markup, picture, playground_form, reference, search
from pages.reference import Operation, Reference, Rule
from pages.samples import Sample, SamplesOf, samples_of

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

FIRST_CALL: Final = "whoami"
"""The operation with which the overview begins, when the contract has it."""

LONGEST_QUERY: Final = 200


def create_pages(
    contract_spec: dict[str, Any], scopes: Mapping[str, Rule], public_url: str
) -> Flask:
    """Make the application that serves the reference under `/docs`.

    `scopes` is the table from operationId to scope and kinds of credential; `public_url` is the
    server's own address, to which the samples send. Raises LookupError for an operation without
    a scope.
    """
    shown = reference.read(contract_spec, scopes)

    made: dict[str, tuple[Sample, ...]] = {}

    def samples(operation: Operation) -> tuple[Sample, ...]:
        if operation.id not in made:
            made[operation.id] = samples_of(operation, contract_spec, public_url)
        return made[operation.id]

    pages = Flask(__name__, static_url_path="/docs/static")
    pages.url_map.strict_slashes = False
    pages.jinja_env.trim_blocks = True
    pages.jinja_env.lstrip_blocks = True
    named = {each.id: each.address for each in shown.operations}
    pages.jinja_env.filters["markdown"] = lambda text: markup.with_links(
        markup.markdown(text), named
    )
    pages.jinja_env.filters["inline_markdown"] = markup.inline_markdown
    pages.jinja_env.filters["coloured"] = markup.coloured
    pages.jinja_env.globals["reference"] = shown
    pages.jinja_env.globals["playground_form"] = playground_form.form
    pages.register_error_handler(HTTPException, _refuse)
    pages.after_request(_with_headers)
    pages.after_request(answers.travel)
    pages.url_defaults(_name_the_version(Path(str(pages.static_folder))))
    _add_addresses(pages, shown, samples, public_url)
    _add_components(pages, shown)
    _add_search(pages, shown)
    told = guides.about(each.id for each in shown.operations)
    documents.add(pages, shown, told, samples, public_url)
    return pages


def _add_addresses(pages: Flask, shown: Reference, samples: SamplesOf, public_url: str) -> None:
    neighbours = _neighbours(shown.operations)
    lede, _, common = shown.description.strip().partition("\n\n")
    tags = {each.slug: each for each in shown.tags}

    @pages.get("/")
    def start() -> Response:
        return redirect(url_for("overview"))

    @pages.get("/docs")
    def docs() -> Response:
        return redirect(url_for("overview"))

    @pages.get("/docs/api/reference")
    @answers.kept
    def overview() -> str:
        first = neighbours.get(FIRST_CALL, (None,))[0]
        return render_template(
            "overview.html",
            public_url=public_url,
            first=first,
            lede=lede,
            common=common,
            picture=picture.columns(shown.tags),
            first_call=samples(first)[0].text if first else None,
        )

    @pages.get("/docs/api/reference/<slug>/<operation_id>")
    @answers.kept
    def operation(slug: str, operation_id: str) -> str:
        if operation_id not in neighbours:
            abort(404)
        found, before, after = neighbours[operation_id]
        if found.slug != slug:
            abort(404)
        return render_template(
            "operation.html",
            operation=found,
            tag=tags[slug],
            samples=samples(found),
            before=before,
            after=after,
        )


def _add_components(pages: Flask, shown: Reference) -> None:
    by_id = {each.id: each for each in shown.operations}

    @pages.get("/docs/api/reference/components")
    @answers.kept
    def components() -> str:
        return render_template("components.html", components_shown=True)

    @pages.get("/docs/api/reference/components/<name>")
    @answers.kept
    def component(name: str) -> str:
        if name not in shown.components:
            abort(404)
        return render_template("component.html", component=shown.components[name], by_id=by_id)


def _add_search(pages: Flask, shown: Reference) -> None:
    @cache
    def entries() -> tuple[search.Entry, ...]:
        # The guides are there by the first question, whoever brought them.
        guides: Any = pages.jinja_env.globals["guides"]
        return search.index(shown, guides)

    @pages.get("/docs/search.json")
    def search_index() -> Response:
        return jsonify(search.as_json(entries()))

    @pages.get("/docs/search", endpoint="search")
    def search_page() -> str:
        query = request.args.get("q", "")[:LONGEST_QUERY].strip()
        return render_template("search.html", query=query, hits=search.find(entries(), query))


def _neighbours(
    operations: tuple[Operation, ...],
) -> dict[str, tuple[Operation, Operation | None, Operation | None]]:
    before = (None, *operations[:-1])
    after = (*operations[1:], None)
    return {
        each.id: (each, previous, following)
        for each, previous, following in zip(operations, before, after, strict=True)
    }


def _name_the_version(folder: Path) -> Any:
    """Give the address of each static file the hash of what is in it, so that it may be kept."""

    @cache
    def version(name: str, _: int) -> str:
        return hashlib.sha256((folder / name).read_bytes()).hexdigest()[:10]

    def add(endpoint: str, values: dict[str, Any]) -> None:
        name = values.get("filename", "")
        if endpoint == "static" and (folder / name).is_file():
            values.setdefault("v", version(name, (folder / name).stat().st_mtime_ns))

    return add


def _refuse(error: HTTPException) -> Response:
    text = {
        404: "Page not found; the reference starts at /docs/api/reference",
        405: "A page can only be read; use GET",
    }.get(error.code or 500, "The page could not be made; try again")
    # A client that takes anything is a program, and programs read JSON here.
    if any(kind == "text/html" and quality > 0 for kind, quality in request.accept_mimetypes):
        answer = Response(render_template("error.html", text=text), mimetype="text/html")
    else:
        answer = jsonify(error=text)
    answer.status_code = error.code or 500
    if allowed := getattr(error, "valid_methods", None):
        answer.headers["Allow"] = ", ".join(sorted(allowed))
    return answer


def _with_headers(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response
