"""Every page of the reference in a browser: before axe-core, on a phone, and to call from."""

from types import SimpleNamespace

import pytest

from tests.browser.axe import judge, judged
from tests.browser.conftest import chromium
from tests.browser.playground import live, opened, page, refused
from tests.browser.walking import OVERVIEW, dead_links, menu, not_their_own, too_wide, walked
from tests.contract.operations import OPERATIONS
from tests.sampling import spread

__all__ = ["judged", "live", "opened", "page"]

PHONE = {"width": 390, "height": 844}

pytestmark = pytest.mark.prove


@pytest.fixture(scope="module")
def browser():
    """Gone before the next file, whose tests may be asynchronous."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def server(live):
    """One server for all of them."""
    return SimpleNamespace(url=live.base_url)


def test_no_page_has_a_violation_and_none_scrolls_sideways_on_a_phone(judged, scaled):
    judged.goto(OVERVIEW)
    links = "links => links.map(a => a.getAttribute('href'))"
    pages = judged.eval_on_selector_all("#menu li a", links)
    judged.goto(f"{OVERVIEW}/components")
    pages += judged.eval_on_selector_all("main a", links)
    assert len(pages) > 300
    found = {}

    for address in [OVERVIEW, *spread(pages, scaled(len(pages), enough=12))]:
        judged.goto(address)
        found[address] = judge(judged)
        size = judged.viewport_size
        judged.set_viewport_size(PHONE)
        width = judged.evaluate("document.documentElement.scrollWidth")
        if width > PHONE["width"]:
            found[address].append(f"{width} pixels wide")
        judged.set_viewport_size(size)

    assert {address: each for address, each in found.items() if each} == {}


def test_every_page_of_the_menu_is_its_own_and_leads_somewhere(page, server, scaled):
    links = menu(page)
    seen = walked(page, spread(links, scaled(len(links))))

    assert not_their_own(seen) == []
    assert dead_links(page, seen, server.url) == []
    assert too_wide(seen) == []


def test_every_operation_is_called_from_its_page(page, live, scaled):
    operations = spread(OPERATIONS, scaled(len(OPERATIONS)))

    assert refused(page, live, operations) == {}
