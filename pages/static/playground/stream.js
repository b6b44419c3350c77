// A stream of server-sent events, shown while it runs.

import { el } from "./dom.js";
import { indented, paint } from "./json.js";

const MOST_SHOWN = 200;

/** Show events as they come, until the stream ends; answers their number in words. */
export async function live(result, place, say) {
  const list = el("ol", {
    className: "pg-events",
    tabIndex: 0,
    attributes: { "aria-label": "Events, the newest last" },
  });
  place.append(list);
  let count = 0;
  const words = () => (count === 1 ? "1 event" : `${count} events`);
  for await (const event of events(result.stream)) {
    count += 1;
    const follows = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    list.append(item(event, performance.now() - result.begun));
    if (list.children.length > MOST_SHOWN) list.firstElementChild.remove();
    if (follows) list.scrollTop = list.scrollHeight;
    say(`live · ${words()}`);
  }
  return words();
}

/** The events of a stream of bytes, by the rules of the HTML standard. */
export async function* events(stream) {
  let left = "";
  let event = {};
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      left += value;
      // A break may be cut in the middle: a return at the very end waits for what follows.
      const lines = left.split(/\r\n|\n|\r(?!$)/);
      left = lines.pop();
      for (const line of lines) {
        if (line !== "") {
          take(event, line);
        } else if (event.data !== undefined) {
          yield event;
          event = {};
        } else {
          event = {};
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function take(event, line) {
  const at = line.indexOf(":");
  if (at === 0) return;
  const name = at < 0 ? line : line.slice(0, at);
  const value = at < 0 ? "" : line.slice(at + 1).replace(/^ /, "");
  if (name === "data") event.data = event.data === undefined ? value : `${event.data}\n${value}`;
  else if (name === "event" || name === "id") event[name] = value;
}

function item({ event = "message", id, data }, ms) {
  const code = el("code");
  paint(code, indented(data));
  return el(
    "li",
    {},
    el(
      "p",
      {},
      el("strong", { textContent: event }),
      el("span", { className: "about", textContent: ` ${(ms / 1000).toFixed(1)} s${id ? ` · id ${id}` : ""}` }),
    ),
    el("pre", {}, code),
  );
}
