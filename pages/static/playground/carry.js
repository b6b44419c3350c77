// Credentials live in this module and nowhere else. Loading another page would end it, so from the
// first credential on, pages of the reference come into this one instead.

/** Credentials by the scheme under which they are shown. */
export const held = new Map();

let carrying = false;
let here = location.pathname;

/** Keep the memory from now on while the reader turns pages. */
export function carry() {
  if (carrying) return;
  carrying = true;
  document.addEventListener("click", follow);
  addEventListener("popstate", () => {
    if (location.pathname !== here) turn(location.href, false);
  });
}

function follow(event) {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button !== 0) return;
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  if (link.target || link.download || link.origin !== location.origin) return;
  // A place on this page needs nothing, and what is no page of ours is left to the browser.
  if (link.pathname === location.pathname || !isPage(link)) return;
  event.preventDefault();
  turn(link.href, true);
}

const isPage = (link) => link.pathname.includes("/docs/") && !/\.(md|mdx|txt|json|ya?ml)$/.test(link.pathname);

async function turn(address, forward) {
  let page;
  try {
    const response = await fetch(address, { headers: { Accept: "text/html" } });
    if (!response.ok || !response.headers.get("content-type")?.startsWith("text/html")) throw new Error();
    page = new DOMParser().parseFromString(await response.text(), "text/html");
    if (!page.querySelector("main")) throw new Error();
  } catch {
    // Whatever this is, the browser shows it better; the credential is gone with this page.
    location.assign(address);
    return;
  }
  if (forward) history.pushState(null, "", address);
  here = location.pathname;
  document.title = page.title;
  // The element stays, since others hold on to it; what is in it does not.
  const main = document.querySelector("main");
  main.replaceChildren(...document.adoptNode(page.querySelector("main")).childNodes);
  mark();
  // On a phone the menu lies over the page that was chosen in it.
  if (document.documentElement.classList.contains("menu-open")) {
    document.querySelector(".menu-button")?.click();
  }
  // Whoever dresses pages up when they are loaded does it again.
  document.dispatchEvent(new CustomEvent("rensei:page"));
  const goal = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  main.focus({ preventScroll: true });
  if (goal) goal.scrollIntoView();
  else scrollTo(0, 0);
}

function mark() {
  for (const link of document.querySelectorAll("#menu a[href]")) {
    if (link.pathname !== here) {
      link.removeAttribute("aria-current");
      continue;
    }
    link.setAttribute("aria-current", "page");
    const part = link.closest("details");
    if (part) part.open = true;
    link.scrollIntoView({ block: "nearest" });
  }
}
