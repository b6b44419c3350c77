"""Every page of the reference before axe-core and on a phone, in both themes."""

import pytest

from tests.browser.axe import judge, judged
from tests.browser.conftest import chromium, server

__all__ = ["judged", "server"]

OVERVIEW = "/docs/api/reference"
PHONE = {"width": 390, "height": 844}

pytestmark = pytest.mark.prove


@pytest.fixture(scope="module")
def browser():
    """Gone before the next file, whose tests may be asynchronous."""
    with chromium() as running:
        yield running


def test_no_page_has_a_violation_and_none_scrolls_sideways_on_a_phone(judged, scaled):
    judged.goto(OVERVIEW)
    links = "links => links.map(a => a.getAttribute('href'))"
    pages = judged.eval_on_selector_all("#menu li a", links)
    judged.goto(f"{OVERVIEW}/components")
    pages += judged.eval_on_selector_all("main a", links)
    assert len(pages) > 300
    step = len(pages) // scaled(len(pages))
    found = {}

    for address in [OVERVIEW, *pages[::step]]:
        judged.goto(address)
        found[address] = judge(judged)
        size = judged.viewport_size
        judged.set_viewport_size(PHONE)
        width = judged.evaluate("document.documentElement.scrollWidth")
        if width > PHONE["width"]:
            found[address].append(f"{width} pixels wide")
        judged.set_viewport_size(size)

    assert {address: each for address, each in found.items() if each} == {}
