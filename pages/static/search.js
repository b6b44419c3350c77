// Search as one types: the index comes with the first key, and the words are weighed here.
// The numbers are those of pages/search.py, so that both find the same in the same order.

const EXACT = 40, BEGINNING = 12, TITLE = 8, ID = 8, PATH = 5, TEXT = 1;
const SHOWN = 12, LIMIT = 50;

const form = document.querySelector(".search");
const input = form?.querySelector("input");
const indexAddress = new URL(document.body.dataset.index, location.href);

let reading;

function entries() {
  reading ??= fetch(indexAddress)
    .then((answer) => {
      if (!answer.ok) throw new Error(`The index answers ${answer.status}`);
      return answer.json();
    })
    .then((rows) => rows.map(([title, kind, href, id, method, path, text]) => ({
      title, kind, id, method, path, text, href: new URL(href, indexAddress).href,
      parts: [[title.toLowerCase(), TITLE], [id.toLowerCase(), ID], [path.toLowerCase(), PATH],
        [text.toLowerCase(), TEXT]],
    })))
    .catch((error) => {
      reading = undefined;
      throw error;
    });
  return reading;
}

function score(entry, words) {
  const [[title], [id], [path]] = entry.parts;
  let total = 0;
  for (const word of words) {
    let worth = 0;
    if (word === id || word === title || word === path) worth += EXACT;
    if (id.startsWith(word) || title.startsWith(word) || title.includes(` ${word}`)) worth += BEGINNING;
    for (const [part, value] of entry.parts) if (part.includes(word)) worth += value;
    if (worth === 0) return 0;
    total += worth;
  }
  return total;
}

export async function find(query, limit) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return [];
  const scored = (await entries()).map((entry) => [score(entry, words), entry]);
  return scored.filter(([worth]) => worth > 0).sort((a, b) => b[0] - a[0]).slice(0, limit)
    .map(([, entry]) => entry);
}

/** Elements are made, never parsed: what the contract says stays text. */
function element(name, properties = {}, ...inside) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...inside);
  return made;
}

function method(entry) {
  return entry.method
    ? [element("span", { className: `method ${entry.method.toLowerCase()}` }, entry.method)]
    : [];
}

function startField() {
  const list = element("ul", { className: "found", id: "found", hidden: true });
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Found");
  const said = element("p", { className: "unseen" });
  said.setAttribute("role", "status");
  form.append(list, said);
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-controls", "found");
  input.setAttribute("aria-expanded", "false");

  let hits = [];
  let at = 0;
  let asked = 0;

  const close = () => {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const mark = (place) => {
    at = (place + hits.length) % hits.length;
    [...list.children].forEach((each, number) => {
      each.setAttribute("aria-selected", String(number === at));
    });
    input.setAttribute("aria-activedescendant", `found-${at}`);
    list.children[at].scrollIntoView({ block: "nearest" });
  };
  const show = (found) => {
    hits = found;
    list.replaceChildren(...hits.map((each, number) => {
      const item = element("li", { id: `found-${number}` },
        element("span", { className: "hit" }, element("span", {}, each.title), ...method(each)),
        element("span", { className: "where" }, each.path || each.kind));
      item.setAttribute("role", "option");
      item.addEventListener("pointermove", () => at !== number && mark(number));
      item.addEventListener("click", () => location.assign(each.href));
      return item;
    }));
    list.hidden = hits.length === 0;
    input.setAttribute("aria-expanded", String(hits.length > 0));
    said.textContent = input.value.trim() === "" ? "" : hits.length === 0 ? "Nothing found" : `${hits.length} found`;
    if (hits.length > 0) mark(0);
    else close();
  };
  const look = async () => {
    const mine = ++asked;
    try {
      const found = await find(input.value, SHOWN);
      if (mine === asked) show(found);
    } catch {
      // Enter still asks the server.
      if (mine === asked) show([]);
    }
  };

  input.addEventListener("focus", () => {
    entries().catch(() => {});
    if (input.value.trim() !== "" && document.activeElement === input) look();
  });
  input.addEventListener("input", look);
  input.addEventListener("blur", () => {
    asked += 1;
    // A press on a hit takes the focus first; the list stays until the press is over.
    if (!list.matches(":hover, :active")) close();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      if (list.hidden) input.blur();
      else close();
      event.preventDefault();
      return;
    }
    if (list.hidden || hits.length === 0) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      mark(at + (event.key === "ArrowDown" ? 1 : -1));
      event.preventDefault();
    } else if (event.key === "Enter" && !event.isComposing) {
      location.assign(hits[at].href);
      event.preventDefault();
    }
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    const slash = event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey;
    const combined = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.shiftKey;
    if (!slash && !combined) return;
    event.preventDefault();
    input.focus();
    input.select();
  });
}

/** The page of results, where no server has written it. */
async function startResults() {
  const place = document.getElementById("results");
  const query = new URLSearchParams(location.search).get("q")?.trim();
  if (!place || !query || !("static" in document.body.dataset)) return;
  input.value = query;
  const found = await find(query, LIMIT);
  const results = element("ol", { className: "results" });
  for (const each of found) {
    results.append(element("li", {}, element("a", { href: each.href }, each.title), " ",
      ...method(each), element("div", { className: "where" }, each.path || each.kind)));
  }
  const said = element("p", { className: "about" }, `${found.length} found for “${query}”.`);
  said.setAttribute("role", "status");
  place.replaceChildren(said, results);
}

if (input) startField();
startResults();
