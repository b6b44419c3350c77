"""The pages as files: the same pages, whose links lead to one another wherever they lie."""

import json
import posixpath
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from auth.scopes import RULES, Rule
from pages import components, create_pages, reference, static_site

ADDRESS = "https://rensei.example.com"


@pytest.fixture(scope="module")
def part(spec: dict[str, Any]) -> dict[str, Any]:
    """One operation of each tag and what they use; tests of the browser build the whole site."""
    paths: dict[str, Any] = {}
    tags = set()
    for path, item in spec["paths"].items():
        for method, raw in item.items():
            if isinstance(raw, dict) and raw.get("tags") and raw["tags"][0] not in tags:
                tags.add(raw["tags"][0])
                paths.setdefault(path, {})[method] = raw
    cut = {**spec, "paths": paths}
    used = {each.name for each in components.read(cut).values() if each.uses}
    schemas = {name: spec["components"]["schemas"][name] for name in used}
    return {**cut, "components": {**spec["components"], "schemas": schemas}}


@pytest.fixture(scope="module")
def site(part: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "below" / "site"
    static_site.build(create_pages(part, RULES, ADDRESS), folder)
    return folder


def links(file: Path) -> set[str]:
    found = re.findall(r'\b(?:href|src|action|data-index)="([^"]*)"', file.read_text("utf-8"))
    return {unescape(each) for each in found}


def test_every_operation_component_and_list_has_a_file(site: Path, part: dict[str, Any]) -> None:
    shown = reference.read(part, RULES)
    assert len(shown.operations) > 10
    for each in shown.operations:
        page = site / "docs/api/reference" / each.slug / f"{each.id}.html"
        assert each.summary in unescape(page.read_text("utf-8"))
        assert ADDRESS in page.read_text("utf-8")
    for name in shown.components:
        assert (site / "docs/api/reference/components" / f"{name}.html").exists()
    for name in ("index.html", "docs/api/reference.html", "docs/search.html"):
        assert (site / name).exists()


def test_every_link_is_relative_and_leads_to_a_file(site: Path, spec: dict[str, Any]) -> None:
    # A guide may tell of an operation that this part of the contract leaves out.
    whole = {each.address for each in reference.read(spec, RULES).operations}
    files = {str(each.relative_to(site)) for each in site.rglob("*")}
    pages = [each for each in files if each.endswith(".html")]
    for page in pages:
        for link in links(site / page):
            parts = urlsplit(link)
            if parts.scheme or link in whole:
                continue
            assert not link.startswith("/"), (page, link)
            target = posixpath.normpath(posixpath.join(page, "..", unquote(parts.path)))
            assert not parts.path or target in files, (page, link)
    assert len(pages) > 20


def test_the_index_leads_to_files(site: Path) -> None:
    rows = json.loads((site / "docs/search.json").read_text("utf-8"))

    assert len(rows) > 20
    for row in rows:
        assert (site / "docs" / unquote(row[2])).is_file(), row[2]


def test_the_pages_say_that_no_server_is_behind_them(site: Path) -> None:
    for page in ("docs/search.html", "docs/api/reference/system/getHealth.html"):
        assert re.search(r"<body data-static\b", (site / page).read_text("utf-8"))


def test_a_second_build_leaves_nothing_of_the_first(
    small: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "old.html").write_text("old")
    pages = create_pages(small(), {"getThing": Rule("none")}, ADDRESS)

    count = static_site.build(pages, tmp_path / "site")

    found = [each for each in (tmp_path / "site").rglob("*") if each.is_file()]
    assert len(found) == count
    assert not (tmp_path / "site" / "old.html").exists()


def test_what_looks_like_an_address_in_a_text_stays_as_it_is(
    small: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    text = 'write href="/docs/api/reference" there'
    pages = create_pages(small(description=text), {"getThing": Rule("none")}, ADDRESS)

    static_site.build(pages, tmp_path / "site")

    page = tmp_path / "site/docs/api/reference/things/getThing.html"
    assert text in unescape(page.read_text("utf-8"))


def test_the_served_pages_say_nothing_of_it(client: Any) -> None:
    assert "data-static" not in client.get("/docs/api/reference").text
