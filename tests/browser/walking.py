"""A walk through pages of the reference, and what may be wrong with them."""

from collections.abc import Iterable, Mapping
from typing import Any

from playwright.sync_api import Page

OVERVIEW = "/docs/api/reference"
DESK = {"width": 1280, "height": 900}
PHONE = {"width": 375, "height": 812}

Seen = Mapping[str, Mapping[str, Any]]
"""What each page says of itself, by its address."""

# What one look at a page tells: at a phone's width too, since resizing is cheaper than loading.
LOOK = """
() => {
  const current = [...document.querySelectorAll('#menu a[aria-current="page"]')];
  return {
    title: document.title,
    heading: document.querySelector("h1").innerText,
    current: current.map(a => a.getAttribute("href")),
    shown: current.every(a => a.checkVisibility()),
    inside: [...document.querySelectorAll("main a[href], header a[href]")].map(a => a.href),
    lost: [...document.querySelectorAll('a[href^="#"]')].map(a => a.hash.slice(1))
      .filter(id => !document.getElementById(decodeURIComponent(id))),
  };
}
"""


def menu(page: Page) -> list[str]:
    """Where the menu leads."""
    page.goto(OVERVIEW)
    links: list[str] = page.eval_on_selector_all(
        "#menu li a", "links => links.map(a => a.getAttribute('href'))"
    )
    assert len(links) > 100
    return links


def walked(page: Page, addresses: Iterable[str]) -> Seen:
    """The overview and these pages, as they say they are."""
    seen = {}
    for address in (OVERVIEW, *addresses):
        page.set_viewport_size(DESK)
        answer = page.goto(address, wait_until="domcontentloaded")
        assert answer is not None
        seen[address] = page.evaluate(LOOK) | {"status": answer.status}
        page.set_viewport_size(PHONE)
        seen[address]["width"] = page.evaluate("document.documentElement.scrollWidth")
    return seen


def not_their_own(seen: Seen) -> list[str]:
    """Pages that are not there, or take themselves for others."""
    headings: dict[str, str] = {}
    wrong = []
    for address, each in seen.items():
        if address == OVERVIEW:
            continue
        # A page outside the reference may leave itself unmarked, but marks no other.
        marks = ([address], [] if "/reference/" not in address else [address])
        if each["status"] != 200 or each["current"] not in marks or not each["shown"]:
            wrong.append(f"{address}: {each['status']}, marks {each['current']}")
        if each["heading"] not in each["title"]:
            wrong.append(f"{address}: {each['heading']!r} is not in {each['title']!r}")
        if (other := headings.setdefault(each["heading"], address)) != address:
            wrong.append(f"{address}: has the heading of {other}")
    return wrong


def dead_links(page: Page, seen: Seen, base: str) -> list[str]:
    """Links of these pages that lead to nothing."""
    inside = {link.partition("#")[0] for each in seen.values() for link in each["inside"]}
    own = {link: page.request.get(link).status for link in inside if link.startswith(base)}
    return [
        *(f"{link}: {status}" for link, status in own.items() if status != 200),
        *(f"{address}: {each['lost']}" for address, each in seen.items() if each["lost"]),
    ]


def too_wide(seen: Seen) -> list[str]:
    """Pages that scroll sideways on a phone."""
    return [address for address, each in seen.items() if each["width"] > PHONE["width"]]
