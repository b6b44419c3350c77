"""The reference in a real browser: it loads alone, reads well, and works by keyboard and thumb."""

from itertools import pairwise

import pytest

from tests.browser.walking import OVERVIEW, PHONE, dead_links, menu, not_their_own, too_wide, walked
from tests.sampling import spread

OPERATION = f"{OVERVIEW}/authentication/mintApiKey"

pytestmark = pytest.mark.browser

# The contrast of every piece of text with what lies behind it (WCAG 2.2, 1.4.3), the weakest first.
CONTRASTS = """
() => {
  const numbers = c => c.match(/[\\d.]+/g).map(Number);
  const parse = c => { const n = numbers(c); return n.length < 4 ? [...n, 1] : n; };
  const over = (f, b) => [0, 1, 2].map(i => f[i] * f[3] + b[i] * (1 - f[3]));
  const light = c => { const [r, g, b] = c.map(v => { v /= 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const canvas = dark ? [18, 18, 18] : [255, 255, 255];
  const behind = e => { const layers = [];
    for (; e; e = e.parentElement) layers.unshift(parse(getComputedStyle(e).backgroundColor));
    return layers.reduce((below, layer) => over(layer, below), canvas); };
  const found = [];
  for (const e of document.body.querySelectorAll('*')) {
    const text = [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join('');
    if (!text || !e.checkVisibility()) continue;
    const style = getComputedStyle(e), back = behind(e);
    const [a, b] = [light(over(parse(style.color), back)), light(back)];
    const size = parseFloat(style.fontSize), bold = style.fontWeight >= 700;
    const large = size >= 24 || (bold && size >= 18.66);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push([ratio / (large ? 3 : 4.5), `${e.tagName}.${e.className}: ${text.slice(0, 40)}`]);
  }
  return found.sort((x, y) => x[0] - y[0]);
}
"""


@pytest.fixture(scope="module")
def walk(browser, server):
    """What some pages say of themselves; `make prove` walks to all of them."""
    context = browser.new_context(base_url=server.url)
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    seen = walked(page, spread(menu(page), 8))
    context.close()
    assert [url for url in asked if not url.startswith(server.url)] == []
    return seen


def test_the_root_leads_to_the_overview(visit):
    page = visit().page

    page.goto("/")

    assert page.url.endswith(OVERVIEW)
    assert page.title()
    assert page.locator("h1").count() == 1


def test_a_link_of_the_menu_leads_to_a_page_of_its_own(walk):
    assert not_their_own(walk) == []


def test_a_link_inside_a_page_leads_somewhere(visit, walk, server):
    assert dead_links(visit().page, walk, server.url) == []


def test_the_menu_works_by_click_and_back(visit):
    page = visit().page
    page.goto(OVERVIEW)

    page.locator("#menu summary", has_text="Authentication").click()
    page.locator("#menu").get_by_role("link", name="Mint a new rsk_ API key").click()
    heading = page.locator("h1").inner_text()
    page.go_back()

    assert heading == "Mint a new rsk_ API key"
    assert page.url.endswith(OVERVIEW)


def test_no_page_of_the_phone_scrolls_sideways(walk):
    assert too_wide(walk) == []


def test_a_phone_as_it_is_held_shows_no_page_too_wide_either(visit):
    page = visit(viewport=PHONE, is_mobile=True, has_touch=True).page

    for address in (OVERVIEW, OPERATION, f"{OVERVIEW}/components/QueuedWork", "/docs/search?q=a"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], address


def test_text_twice_as_large_does_not_scroll_sideways_either(visit):
    # The page's own policy takes no foreign style, so this one visit goes past it.
    page = visit(viewport={"width": 640, "height": 480}, bypass_csp=True).page

    for address in (OVERVIEW, OPERATION):
        page.goto(address)
        page.add_style_tag(content="html { font-size: 200% }")
        assert page.evaluate("document.documentElement.scrollWidth") <= 640, address


def test_the_menu_of_the_phone_is_one_tap_away(visit):
    page = visit(viewport=PHONE, is_mobile=True, has_touch=True).page
    page.goto(OPERATION)

    page.get_by_role("button", name="Menu").tap()
    page.locator("#menu [aria-current]").tap(trial=True)
    page.keyboard.press("Escape")

    page.locator("#menu").wait_for(state="hidden", timeout=2000)
    assert page.locator(":focus").get_attribute("aria-label") == "Menu"


def test_without_scripts_the_menu_of_the_phone_is_one_tap_away_too(visit):
    page = visit(viewport=PHONE, is_mobile=True, has_touch=True, java_script_enabled=False).page
    page.goto(OPERATION)

    page.get_by_role("link", name="All operations").tap()

    assert page.url.endswith("#menu")
    assert page.locator("#menu").bounding_box()["y"] < PHONE["height"]


def test_what_is_tapped_is_large_enough(visit):
    page = visit(viewport=PHONE, is_mobile=True, has_touch=True).page
    page.goto(OPERATION)
    page.get_by_role("button", name="Menu").tap()

    heights = page.eval_on_selector_all(
        "#menu a, #menu summary, .top a, .top button",
        "all => all.filter(e => e.checkVisibility()).map(e => e.getBoundingClientRect().height)",
    )

    assert min(heights) >= 24


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("address", [OVERVIEW, OPERATION, "/docs/nowhere"])
def test_every_text_stands_out_from_its_ground(browser, server, scheme, address):
    context = browser.new_context(base_url=server.url, color_scheme=scheme)
    page = context.new_page()
    page.goto(address)

    weakest, text = page.evaluate(CONTRASTS)[0]

    context.close()
    assert weakest >= 1, text


def test_light_and_dark_follow_the_reader(visit):
    grounds = {}
    for scheme in ("light", "dark"):
        page = visit(color_scheme=scheme).page
        page.goto(OVERVIEW)
        grounds[scheme] = page.evaluate(
            "getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).map(Number)"
        )

    assert sum(grounds["light"][:3]) > 600
    assert sum(grounds["dark"][:3]) < 165


def test_the_first_tab_is_the_way_past_the_menu(visit):
    page = visit().page
    page.goto(OPERATION)

    page.keyboard.press("Tab")
    skip = page.locator(":focus")
    box, text = skip.bounding_box(), skip.inner_text()
    page.keyboard.press("Enter")

    assert text == "Skip to the content"
    assert box["x"] >= 0
    assert box["y"] >= 0
    assert box["height"] > 10
    assert page.evaluate("document.activeElement.id") == "main"


def test_the_way_past_the_menu_is_out_of_sight_until_it_is_reached(visit):
    page = visit().page
    page.goto(OPERATION)

    box = page.locator(".skip").bounding_box()

    assert box["y"] + box["height"] <= 0 or box["x"] + box["width"] <= 0


def test_whatever_the_keyboard_reaches_is_marked(visit):
    page = visit().page
    page.goto(OPERATION)
    unmarked, reached = [], set()

    for _ in range(60):
        page.keyboard.press("Tab")
        at = page.evaluate(
            "() => { const e = document.activeElement, s = getComputedStyle(e);"
            " return [e.tagName, e.innerText.slice(0, 40), s.outlineStyle,"
            " parseFloat(s.outlineWidth), e.checkVisibility()]; }"
        )
        if at[0] == "BODY":
            break
        reached.add(at[0])
        if at[2] == "none" or at[3] < 1 or not at[4]:
            unmarked.append(at)

    assert unmarked == []
    assert {"A", "SUMMARY"} <= reached


def test_a_part_of_the_menu_opens_and_closes_by_keyboard(visit):
    page = visit().page
    page.goto(OPERATION)
    part = page.locator("#menu details:not([open])").first
    handle = part.element_handle()

    part.locator("summary").focus()
    page.keyboard.press("Enter")
    opened = handle.evaluate("e => e.open")
    page.keyboard.press("Space")

    assert opened is True
    assert handle.evaluate("e => e.open") is False


def test_the_pages_read_without_scripts(visit):
    page = visit(java_script_enabled=False).page

    page.goto(OPERATION)

    assert page.get_by_role("heading", level=1).inner_text() == "Mint a new rsk_ API key"


def test_a_screen_reader_finds_named_landmarks_and_headings_in_order(visit):
    page = visit().page
    for address in (OVERVIEW, f"{OVERVIEW}/components", OPERATION):
        page.goto(address)
        levels = page.eval_on_selector_all(
            "h1, h2, h3, h4, h5, h6", "all => all.map(h => Number(h.tagName[1]))"
        )
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(later - before <= 1 for before, later in pairwise(levels))
        assert page.get_by_role("main").count() == page.get_by_role("banner").count() == 1
        names = page.eval_on_selector_all("nav", "all => all.map(n => n.ariaLabel)")
        assert all(names)
        assert len(set(names)) == len(names)
        assert page.evaluate("document.documentElement.lang") == "en"


def test_an_unknown_page_says_where_to_go(browser, server):
    context = browser.new_context(base_url=server.url)
    page = context.new_page()

    answer = page.goto("/docs/nowhere")

    leads = page.locator("main a").first.get_attribute("href")
    context.close()
    assert answer.status == 404
    assert leads.endswith(OVERVIEW)
