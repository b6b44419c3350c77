"""The reference as files, to be put on any host: `python -m pages.static_site`.

Every page that can be reached from the overview is asked of the application itself, so that the
files are the pages. Addresses become relative, with `.html` where a page has no ending of its own:
the folder works at any path, and by double-click as far as a browser lets files load scripts.
"""

import argparse
import json
import posixpath
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from html import escape, unescape
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from flask import Flask
from flask.testing import FlaskClient

import contract
import settings
from auth.scopes import RULES
from pages.site import create_pages

OVERVIEW: Final = "/docs/api/reference"
INDEX: Final = "/docs/search.json"
BEGIN: Final = (OVERVIEW, "/docs/search", INDEX, "/llms.txt", "/llms-full.txt")
"""Where the walk begins. What the application does not have is left out."""

# In text a quotation mark is always escaped, so these are found in tags alone.
_LINK: Final = re.compile(r'\b((?:href|src|action|data-[a-z-]+)=")(/[^"]*)"')


def build(pages: Flask, folder: Path) -> int:
    """Write the pages into the folder, which is emptied first; answers how many files there are."""
    pages.jinja_env.globals["static_site"] = True
    if folder.exists():
        shutil.rmtree(folder)
    # Scripts may ask for any file of theirs, so all are taken.
    names = sorted(Path(str(pages.static_folder)).rglob("*.*"))
    begin = [f"/docs/static/{each.relative_to(str(pages.static_folder))}" for each in names]
    files = dict(_walk(pages.test_client(), [*BEGIN, *begin]))
    known = files.keys()
    for address, (body, kind) in files.items():
        target = folder / _file_of(address)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_written(address, body, kind, known.__contains__))
    start = _relative(OVERVIEW, "/", known.__contains__)
    (folder / "index.html").write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Reference</title>'
        # Without an icon of its own a browser asks the host's root for one.
        '<link rel="icon" href="docs/static/icon.svg">'
        f'<meta http-equiv="refresh" content="0; url={escape(start)}">'
        f'<a href="{escape(start)}">To the reference</a></html>\n',
        encoding="utf-8",
    )
    return len(files) + 1


def _walk(client: FlaskClient, waiting: list[str]) -> Iterator[tuple[str, tuple[bytes, str]]]:
    """Each address that answers, with its body and its kind, from those given on."""
    seen = set(waiting)
    while waiting:
        address = waiting.pop(0)
        with client.get(address) as answer:
            if answer.status_code != 200:
                continue
            body, kind = answer.get_data(), answer.mimetype or ""
        yield address, (body, kind)
        for found in _leads(body, kind):
            if found not in seen:
                seen.add(found)
                waiting.append(found)


def _leads(body: bytes, kind: str) -> Iterator[str]:
    if kind != "text/html":
        return
    for _, link in _LINK.findall(body.decode()):
        path = urlsplit(unescape(link)).path
        # The server's own doors, the fleet page among them, are no part of the reference.
        if path.startswith("/docs/"):
            yield unquote(path)


def _written(address: str, body: bytes, kind: str, known: Callable[[str], bool]) -> bytes:
    if kind == "text/html":
        return _LINK.sub(
            lambda found: f'{found[1]}{escape(_relative(unescape(found[2]), address, known))}"',
            body.decode(),
        ).encode()
    if address == INDEX:
        rows = json.loads(body)
        for row in rows:
            row[2] = _relative(f"/docs/{row[2]}", address, known)
        return json.dumps(rows, ensure_ascii=False).encode()
    return body


def _file_of(address: str) -> str:
    """Where a page lies in the folder: `/docs/map` -> `docs/map.html`."""
    name = address.strip("/") or "index"
    return name if posixpath.splitext(name)[1] else f"{name}.html"


def _relative(link: str, page: str, known: Callable[[str], bool]) -> str:
    """The link as it stands in the file of a page; one that leads out of the folder stays."""
    parts = urlsplit(link)
    path = unquote(parts.path)
    if not known(path):
        return link
    below = posixpath.dirname(_file_of(page)) or "."
    found = quote(posixpath.relpath(_file_of(path), below), safe="/()")
    return found + (f"#{parts.fragment}" if parts.fragment else "")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Write the reference as a static site.")
    parser.add_argument("--folder", type=Path, default=settings.PROJECT / "build" / "site")
    parser.add_argument(
        "--address", default="http://127.0.0.1:8080", help="the server that the samples call"
    )
    given = parser.parse_args(arguments)
    loaded = contract.load(settings.PROJECT / "openapi" / "rensei-api.yaml")
    count = build(create_pages(loaded.spec, RULES, given.address), given.folder)
    print(f"{count} files in {given.folder}")  # noqa: T201 - a command, which a person runs


if __name__ == "__main__":
    main()
