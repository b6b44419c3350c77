"""axe-core finds nothing: one page of every kind here, every page in `make prove`."""

import pytest

from tests.browser.axe import judge, judged
from tests.sampling import spread

__all__ = ["judged"]

OVERVIEW = "/docs/api/reference"
OTHERS = (
    f"{OVERVIEW}/components",
    f"{OVERVIEW}/components/QueuedWork",
    "/docs/search?q=session",
    "/docs/search",
    "/docs/nowhere",
)

pytestmark = pytest.mark.browser


def test_no_kind_of_page_has_a_violation_in_either_theme(judged):
    judged.goto(OVERVIEW)
    of_each_tag = judged.eval_on_selector_all(
        "#menu details", "all => all.map(e => e.querySelector('li a').getAttribute('href'))"
    )
    assert len(of_each_tag) > 10
    found = {OVERVIEW: judge(judged, menu=True)}

    for address in (*spread(of_each_tag, 1), *OTHERS):
        judged.goto(address)
        found[address] = judge(judged)

    assert {address: each for address, each in found.items() if each} == {}


def test_a_phone_has_no_violation_either_with_its_menu_open(judged):
    judged.set_viewport_size({"width": 390, "height": 844})
    judged.goto(f"{OVERVIEW}/authentication/mintApiKey")
    closed = judge(judged, both=False)

    judged.get_by_role("button", name="Menu").click()
    judged.locator("#menu [aria-current]").click(trial=True)

    assert closed == []
    assert judge(judged, both=False, menu=True) == []


def test_the_list_of_hits_has_no_violation(judged):
    judged.goto(OVERVIEW)
    judged.keyboard.press("/")
    judged.keyboard.type("key")
    judged.get_by_role("option").first.wait_for()

    assert judge(judged) == []
