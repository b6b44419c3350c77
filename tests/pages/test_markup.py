"""Samples in colour: the same text, with nothing in it that a browser would run."""

import json
import re
from html import unescape
from typing import Any

import pytest

from pages.markup import coloured, markdown, with_links
from pages.reference import Reference

HARD: dict[str, Any] = {
    '<script>"</script>': ["</span><img src=x onerror=alert(1)>", "a\\", 'b": 1', "{{ 7*7 }}"],
    "numbers": [-1.5e-7, 0, True, False, None],
}


def text_of(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html))


def test_colours_change_no_letter(shown: Reference) -> None:
    for operation in shown.operations:
        for _, each in operation.samples:
            assert text_of(coloured(each.example_text, each.content_type)) == each.example_text


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_a_hostile_sample_is_text(kind: str) -> None:
    text = json.dumps(HARD, indent=2)

    html = coloured(text, kind)

    assert text_of(html) == text
    assert not set(re.findall(r"<[^>]*>", html)) - {
        "</span>", '<span class="k">', '<span class="s">', '<span class="n">',
    }  # fmt: skip


def test_names_strings_and_values_are_told_apart() -> None:
    html = coloured('{"a": "b", "c": null}')

    assert '<span class="k">&#34;a&#34;</span>' in html
    assert '<span class="s">&#34;b&#34;</span>' in html
    assert '<span class="n">null</span>' in html


def test_what_is_no_json_has_no_colours() -> None:
    assert "<span" not in coloured('data: {"a": 1}', "text/event-stream")


def test_names_of_operations_lead_to_their_pages_once() -> None:
    text = markdown("`getThing`, `getOther`, [`getThing`](/x), `<b>getThing`")

    html = with_links(text, {"getThing": '/docs/"things'})

    assert html.count('<a href="/docs/&#34;things"><code>getThing</code></a>') == 1
    assert html.count("<a ") == 2
    assert "<code>getOther</code>" in html
    assert "<b>" not in html
