"""The pages as a Flask application: addresses, templates, errors and headers."""

from collections.abc import Mapping
from typing import Any, Final

from flask import Flask, abort, jsonify, redirect, render_template, request, url_for
from markdown_it import MarkdownIt
from markupsafe import Markup
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from pages import curl, documents, guides, reference
from pages.reference import Operation, Reference, Rule

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

FIRST_CALL: Final = "whoami"
"""The operation with which the overview begins, when the contract has it."""

# The preset takes no raw HTML. Images are off, since they would be loaded from foreign hosts.
_MARKDOWN: Final = MarkdownIt("js-default").disable("image")


def create_pages(
    contract_spec: dict[str, Any], scopes: Mapping[str, Rule], public_url: str
) -> Flask:
    """Make the application that serves the reference under `/docs`.

    `scopes` is the table from operationId to scope and kinds of credential; `public_url` is the
    server's own address, to which the samples send. Raises LookupError for an operation without
    a scope.
    """
    shown = reference.read(contract_spec, scopes)
    samples = {each.id: curl.sample(each, contract_spec, public_url) for each in shown.operations}

    pages = Flask(__name__, static_url_path="/docs/static")
    pages.url_map.strict_slashes = False
    pages.jinja_env.trim_blocks = True
    pages.jinja_env.lstrip_blocks = True
    pages.jinja_env.filters["markdown"] = _markdown
    pages.jinja_env.filters["inline_markdown"] = _inline_markdown
    pages.jinja_env.globals["reference"] = shown
    pages.register_error_handler(HTTPException, _refuse)
    pages.after_request(_with_headers)
    _add_addresses(pages, shown, samples, public_url)
    told = guides.about(each.id for each in shown.operations)
    documents.add(
        pages, shown, told, documents.samples(shown, contract_spec, public_url), public_url
    )
    return pages


def _add_addresses(
    pages: Flask, shown: Reference, samples: Mapping[str, str], public_url: str
) -> None:
    neighbours = _neighbours(shown.operations)

    @pages.get("/")
    def start() -> Response:
        return redirect(url_for("overview"))

    @pages.get("/docs/api/reference")
    def overview() -> str:
        return render_template(
            "overview.html",
            public_url=public_url,
            first_call=samples.get(FIRST_CALL),
        )

    @pages.get("/docs/api/reference/<slug>/<operation_id>")
    def operation(slug: str, operation_id: str) -> str:
        if operation_id not in neighbours:
            abort(404)
        found, before, after = neighbours[operation_id]
        if found.slug != slug:
            abort(404)
        return render_template(
            "operation.html",
            operation=found,
            sample=samples[operation_id],
            before=before,
            after=after,
        )


def _neighbours(
    operations: tuple[Operation, ...],
) -> dict[str, tuple[Operation, Operation | None, Operation | None]]:
    before = (None, *operations[:-1])
    after = (*operations[1:], None)
    return {
        each.id: (each, previous, following)
        for each, previous, following in zip(operations, before, after, strict=True)
    }


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


# The renderer escapes what it is given, and the preset lets no raw HTML through.
def _markdown(text: str) -> Markup:
    return Markup(_MARKDOWN.render(text))  # noqa: S704


def _inline_markdown(text: str) -> Markup:
    return Markup(_MARKDOWN.renderInline(text.strip()))  # noqa: S704
