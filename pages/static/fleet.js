// Renews the parts of the fleet page: at once when the stream tells of news, and by the clock for
// what no stream tells. Without this script the page is what it was when it was loaded.

const NEWS_PARTS = ["glance", "sessions", "feed"];
const SOON_MS = 120;
const PAUSE_MS = 1500;
const ROUND_MS = 10000;
const TOLD_MS = 8000;

const frame = document.querySelector("[data-parts]");
const live = document.querySelector("[data-live]");
const told = document.querySelector("[data-told]");

let wanted = new Set();
let timer = null;
let lastAt = 0;
let silence = null;

const partNames = () => [...frame.querySelectorAll("[data-part]")].map((part) => part.dataset.part);

function show(state, word) {
  live.hidden = false;
  live.dataset.live = state;
  live.querySelector("[data-live-word]").textContent = word;
}

function tell(text) {
  clearTimeout(silence);
  told.textContent = text;
  silence = setTimeout(() => { told.textContent = ""; }, TOLD_MS);
}

// What somebody works in at this moment stays as it is.
function isBusy(part) {
  const at = document.activeElement;
  return part.contains(at) && at.matches("input, textarea, select, button");
}

// Where the reader is stays where it is: scrolled sideways, and with the focus on the same link.
function put(old, fresh) {
  const scrolled = old.querySelector(".scroll")?.scrollLeft ?? 0;
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const href = focused?.getAttribute("href");
  const known = new Set([...old.querySelectorAll("[data-key]")].map((row) => row.dataset.key));
  if (known.size) {
    for (const row of fresh.querySelectorAll("[data-key]")) {
      if (!known.has(row.dataset.key)) row.classList.add("new");
    }
  }
  old.replaceWith(fresh);
  const scroll = fresh.querySelector(".scroll");
  if (scroll) scroll.scrollLeft = scrolled;
  if (href) fresh.querySelector(`a[href="${CSS.escape(href)}"]`)?.focus({ preventScroll: true });
  else if (focused?.matches(".scroll")) scroll?.focus({ preventScroll: true });
}

async function renew(names) {
  const address = new URL(frame.dataset.fragments, location.href);
  address.searchParams.set("parts", names.join(","));
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  if (answer.status === 401) return location.reload();
  if (!answer.ok) return show("away", "away");
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const fresh of page.querySelectorAll("[data-part]")) {
    const old = frame.querySelector(`[data-part="${fresh.dataset.part}"]`);
    if (old && names.includes(fresh.dataset.part) && !isBusy(old)) put(old, document.adoptNode(fresh));
  }
  if (live.dataset.live === "away") show("still", "live");
}

// News that come together are fetched together, and never more often than the pause allows.
function soon(names) {
  for (const name of names) wanted.add(name);
  if (timer !== null || document.hidden) return;
  const wait = Math.max(SOON_MS, lastAt + PAUSE_MS - Date.now());
  timer = setTimeout(async () => {
    const names = [...wanted];
    wanted = new Set();
    lastAt = Date.now();
    try {
      await renew(names);
    } catch {
      show("away", "away");
    }
    timer = null;
    if (wanted.size) soon([]);
  }, wait);
}

function listen(address) {
  const stream = new EventSource(address);
  const news = () => soon(frame.querySelector('[data-part="feed"]') ? NEWS_PARTS : partNames());
  for (const kind of ["session", "gap", "activity", "status"]) stream.addEventListener(kind, news);
  stream.addEventListener("end", () => { stream.close(); show("still", "ended"); news(); });
  stream.addEventListener("open", () => { show("on", "live"); });
  stream.addEventListener("error", () => { show("away", "connecting"); });
}

async function act(form) {
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      headers: { Accept: "application/json" },
      body: new URLSearchParams(new FormData(form)),
    });
    tell((await answer.json()).said);
    if (answer.ok) {
      form.reset();
      form.closest("details")?.removeAttribute("open");
    }
  } catch {
    tell("The server did not answer; nothing is known of what became of it.");
  }
  button.disabled = false;
  button.blur();
  soon(partNames());
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-act]")) return;
  event.preventDefault();
  act(event.target);
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(partNames()); });
setInterval(() => soon(partNames()), ROUND_MS);
if (frame.dataset.stream) listen(frame.dataset.stream);
