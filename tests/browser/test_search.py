"""The search in a browser: by keyboard, by mouse, without a script, and with hostile words."""

import pytest

OVERVIEW = "/docs/api/reference"
OPERATION = f"{OVERVIEW}/authentication/mintApiKey"

pytestmark = pytest.mark.browser


def hits(page):
    page.get_by_role("option").first.wait_for()
    return page.locator("#found .hit > span:first-child").all_inner_texts()


@pytest.mark.parametrize("key", ["/", "Control+k", "Meta+k"])
def test_a_key_leads_to_the_field_and_the_field_to_the_page(visit, key):
    page = visit().page
    page.goto(OVERVIEW)

    page.keyboard.press(key)
    page.keyboard.type("mint ")
    first = hits(page)[0]
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{OPERATION}")

    assert first == "Mint a new rsk_ API key"
    assert page.locator("h1").inner_text() == first


def test_arrows_choose_and_escape_ends(visit):
    page = visit().page
    page.goto(OVERVIEW)
    field = page.get_by_role("combobox")

    field.fill("session")
    found = hits(page)
    field.press("ArrowDown")
    field.press("ArrowDown")
    field.press("ArrowUp")
    chosen = page.locator("#found [aria-selected=true]")
    assert chosen.count() == 1
    assert chosen.get_attribute("id") == field.get_attribute("aria-activedescendant")
    assert found[1] in chosen.inner_text()
    field.press("ArrowUp")
    field.press("ArrowUp")
    assert found[-1] in chosen.inner_text()
    field.press("Escape")

    assert page.locator("#found").is_hidden()
    assert field.get_attribute("aria-expanded") == "false"


def test_a_click_on_a_hit_leads_there(visit):
    page = visit().page
    page.goto(OVERVIEW)

    page.get_by_role("combobox").press_sequentially("workerPoll")
    page.get_by_role("option").first.click()

    page.wait_for_url("**/worker-protocol/workerPoll")


def test_a_slash_in_a_field_is_a_slash(visit):
    page = visit().page
    page.goto(OVERVIEW)
    field = page.get_by_role("combobox")

    field.press_sequentially("/api/cli")

    assert field.input_value() == "/api/cli"
    assert hits(page)[0] == "Show who the credential speaks for"


def test_the_browser_finds_what_the_server_finds(visit):
    page = visit().page
    for query in ("session", "mint key", "poll", "audit", "api/org", "lease token"):
        page.goto(f"/docs/search?q={query}")
        from_server = page.locator(".results > li > a").all_inner_texts()
        page.get_by_role("combobox").fill("")
        page.get_by_role("combobox").fill(query)

        found = hits(page)

        assert found == from_server[:12], query
        assert len(found) > 0


def test_without_a_script_the_form_asks_the_server(visit):
    page = visit(java_script_enabled=False).page
    page.goto(OVERVIEW)

    page.get_by_role("searchbox").fill("mint key")
    page.get_by_role("searchbox").press("Enter")
    page.get_by_role("link", name="Mint a new rsk_ API key").first.click()

    assert page.url.endswith(OPERATION)


def test_words_that_would_be_markup_are_words(visit):
    page = visit().page
    bad = "<img src=x onerror=alert(1)>"
    row = [bad, bad, "api/reference", "hostileOne", bad, bad, bad]
    page.route("**/docs/search.json", lambda route: route.fulfill(json=[row]))
    page.goto(OVERVIEW)

    page.get_by_role("combobox").fill("hostileOne")

    assert hits(page) == [bad]
    assert page.locator("#found img").count() == 0


def test_when_the_index_does_not_come_enter_still_asks_the_server(browser, server):
    context = browser.new_context(base_url=server.url)
    page = context.new_page()
    page.route("**/docs/search.json", lambda route: route.abort())
    page.goto(OVERVIEW)

    page.get_by_role("combobox").fill("mint key")
    page.get_by_role("combobox").press("Enter")
    page.wait_for_url("**/docs/search?q=mint*")

    assert page.locator(".results > li").count() > 0
    context.close()
