// The playground of one operation: its form, its call, and what came of it.

import { answered, failed } from "./answer.js";
import { curl } from "./curl.js";
import { copyButton, el } from "./dom.js";
import { makeForm } from "./form.js";
import { send } from "./send.js";

const style = new Promise((resolve) => {
  const href = new URL("../playground.css", import.meta.url);
  document.head.append(
    el("link", { rel: "stylesheet", href, on: { load: resolve, error: resolve } }),
  );
});

/** Open or close the playground that a button belongs to. */
export async function toggle(button) {
  const section = button.parentElement;
  const place = section.querySelector("#playground-panel");
  await style;
  button.textContent = "Test it";
  if (!place.firstChild) {
    place.append(...panel(JSON.parse(section.dataset.form)));
  }
  place.hidden = !place.hidden;
  button.setAttribute("aria-expanded", String(!place.hidden));
  if (!place.hidden) place.querySelector("input, select, textarea, button").focus();
}

/** The end of a long answer first, so that in the end its status is in sight too. */
function show(...parts) {
  for (const part of parts) part.scrollIntoView({ block: "nearest" });
}

function panel(operation) {
  const form = makeForm(operation);
  const answer = el("div", { className: "pg-answer" });
  const status = el("p", { className: "pg-status", attributes: { role: "status" } });
  const stop = el("button", { type: "button", className: "button", textContent: "Stop", hidden: true });
  const go = el("button", { type: "submit", className: "button primary", textContent: "Send" });
  const command = el("code");
  const shown = el(
    "details",
    { className: "pg-curl", on: { toggle: () => (command.textContent = curl(operation, form.call())) } },
    el("summary", { textContent: "As curl" }),
    el("pre", { tabIndex: 0 }, command),
    copyButton("Copy", () => (command.textContent = curl(operation, form.call()))),
  );
  let running = null;

  const run = async () => {
    running?.abort();
    const mine = (running = new AbortController());
    stop.hidden = false;
    answer.replaceChildren();
    status.className = "pg-status";
    delete status.dataset.status;
    status.textContent = "Sent; waiting …";
    try {
      const result = await send(operation, form.call(), mine.signal);
      await answered(result, { status, place: answer, operation });
      if (running === mine) show(answer, status);
    } catch (error) {
      if (running === mine) failed(error, mine.signal.aborted, status);
    }
    // Focus must not fall off the page with the button that had it.
    if (running === mine) {
      if (document.activeElement === stop) go.focus();
      stop.hidden = true;
    }
  };
  stop.addEventListener("click", () => running?.abort());
  form.element.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  // What a textarea takes for itself elsewhere: send from anywhere in the form.
  form.element.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.element.requestSubmit();
  });
  form.element.append(el("div", { className: "pg-actions" }, go, stop), shown);
  return [form.element, status, answer];
}
