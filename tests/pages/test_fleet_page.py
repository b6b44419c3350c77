"""The fleet page over the whole application: who sees what, and what is done from there."""

import re


async def page(caller, address="/fleet"):
    answer = await caller.get(address)
    assert answer.status_code == 200, answer.text
    return answer.text


async def test_without_a_session_there_is_the_form(anonymous):
    answer = await anonymous.get("/fleet")

    assert answer.status_code == 200
    assert 'action="/fleet/sign-in"' in answer.text
    assert "data-part" not in answer.text


async def test_the_page_shows_all_parts_to_who_may_see_all(make):
    await make.worker()
    await make.session(issue_title="Keep the currency")

    text = await page(await make.browser())

    assert re.findall(r'data-part="(\w+)"', text) == [
        "glance", "charts", "sessions", "feed", "workers", "webhooks", "audit",
    ]  # fmt: skip
    assert "Keep the currency" in text
    assert "forge-01" in text
