"""The samples of an operation are tabs that need no JavaScript."""

import pytest

PAGE = "/docs/api/reference/worker-protocol/daemonRegister"
WORDS = {"curl": "curl -X POST", "python": "import httpx", "typescript": "await fetch("}

pytestmark = pytest.mark.browser


def shown(page):
    """The languages whose sample is seen."""
    panels = page.locator(".samples pre")
    seen = [each.inner_text() for each in panels.all() if each.is_visible()]
    return [name for name, words in WORDS.items() for text in seen if words in text]


def test_one_sample_is_seen_at_a_time_chosen_by_pointer_and_by_keyboard(visit):
    page = visit(java_script_enabled=False).page
    page.goto(PAGE)

    assert shown(page) == ["curl"]
    page.locator("label[for=in-python]").click()
    assert shown(page) == ["python"]
    page.keyboard.press("ArrowRight")
    assert shown(page) == ["typescript"]
