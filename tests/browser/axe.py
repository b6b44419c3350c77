"""axe-core in a page: what it finds against WCAG 2 A and AA and its own best practice."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

AXE = Path(__file__).parents[2] / "node" / "node_modules" / "axe-core" / "axe.min.js"

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
OF_COLOUR = ["color-contrast", "link-in-text-block"]
"""The rules whose answer may differ between the themes of one page."""

# What is folded away is judged too: parts of the menu once, since it is the same everywhere.
_JUDGE = """
async ([theme, tags, rules, menu]) => {
  document.documentElement.dataset.theme = theme;
  const parts = menu ? "details" : "main details";
  for (const each of document.querySelectorAll(parts)) each.open = true;
  const runOnly = rules ? {type: "rule", values: rules} : {type: "tag", values: tags};
  const where = menu ? document : {exclude: [["#menu"]]};
  const found = await axe.run(where, {runOnly, resultTypes: ["violations"], elementRef: false});
  return found.violations.map(v =>
    `${v.id}: ${v.help}: ` + v.nodes.slice(0, 3).map(n => `${n.html.slice(0, 120)} ` +
      `[${(n.any[0]?.message ?? n.all[0]?.message ?? "").slice(0, 160)}]`).join(" | "));
}
"""


def axe_script() -> str:
    """The source of axe-core; the test is skipped nowhere: without it, it fails and says why."""
    assert AXE.exists(), "axe-core is missing; `make browser` installs it"
    return AXE.read_text(encoding="utf-8")


def judge(page: Page, *, both: bool = True, menu: bool = False) -> list[str]:
    """The violations of the open page, in the light theme and, if asked, in the dark one too."""
    found = [f"light: {each}" for each in _run(page, "light", None, menu)]
    if both:
        found += [f"dark: {each}" for each in _run(page, "dark", OF_COLOUR, menu)]
    return found


def _run(page: Page, theme: str, rules: list[str] | None, menu: bool) -> list[Any]:
    found: list[Any] = page.evaluate(_JUDGE, [theme, TAGS, rules, menu])
    return found


@pytest.fixture
def judged(browser: Any, server: Any) -> Any:
    """A page in which axe-core is at hand; only the injection goes past the page's policy."""
    context = browser.new_context(
        base_url=server.url, bypass_csp=True, viewport={"width": 1440, "height": 900}
    )
    context.add_init_script(axe_script())
    yield context.new_page()
    context.close()
