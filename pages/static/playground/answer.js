// An answer as a reader sees it: status, timing, headers, and the body laid out or live.

import { copyButton, el } from "./dom.js";
import { indented, paint } from "./json.js";
import { live } from "./stream.js";

const MOST_SHOWN = 200_000;

const REASONS = {
  200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 304: "Not Modified",
  400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
  405: "Method Not Allowed", 409: "Conflict", 412: "Precondition Failed", 413: "Content Too Large",
  415: "Unsupported Media Type", 422: "Unprocessable Content", 428: "Precondition Required",
  429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable",
};

/** Show an answer, and all of its body; ends with the body. */
export async function answered(result, { status, place, operation }) {
  const kind = header(result, "content-type").split(";")[0].trim().toLowerCase();
  const words = `${result.status} ${REASONS[result.status] ?? ""}`.trim();
  const say = (rest) => (status.textContent = `${words} · ${rest}`);
  status.className = `pg-status pg-${String(result.status)[0]}`;
  status.dataset.status = result.status;
  say(`${Math.round(result.ms)} ms`);
  place.replaceChildren(headers(result));
  if (kind === "text/event-stream" && result.stream) {
    say("live");
    status.scrollIntoView({ block: "nearest" });
    const count = await live(result, place, say);
    say(`ended after ${count}`);
    return;
  }
  const bytes = new Uint8Array(await new Response(result.stream).arrayBuffer());
  say(`${Math.round(performance.now() - result.begun)} ms · ${size(bytes.length)}`);
  place.append(...body(bytes, kind, operation));
}

/** Say why there is no answer, or that its reader wanted no more of it. */
export function failed(error, stopped, status) {
  status.className = stopped ? "pg-status" : "pg-status pg-5";
  status.textContent = stopped
    ? `${status.dataset.status ? `${status.dataset.status} · ` : ""}stopped`
    : error.message;
}

const header = (result, wanted) =>
  result.headers.find(([name]) => name.toLowerCase() === wanted)?.[1] ?? "";

const size = (bytes) => (bytes < 10_000 ? `${bytes} bytes` : `${Math.round(bytes / 1000)} kB`);

function headers(result) {
  const rows = result.headers.map(([name, value]) => [
    el("dt", { textContent: name }),
    el("dd", { textContent: value }),
  ]);
  return el(
    "details",
    { className: "pg-headers" },
    el("summary", { textContent: `${result.headers.length} headers` }),
    el("dl", {}, rows),
  );
}

function body(bytes, kind, operation) {
  if (!bytes.length) return [el("p", { className: "about", textContent: "No body." })];
  const isJson = /[/+]json$/.test(kind);
  if (!isJson && !kind.startsWith("text/")) return [save(bytes, kind, operation)];
  const plain = new TextDecoder().decode(bytes);
  const text = isJson ? indented(plain) : plain;
  const shown = el("pre", { tabIndex: 0, attributes: { role: "region", "aria-label": "Body of the answer" } });
  const code = el("code", { textContent: text.slice(0, MOST_SHOWN) });
  if (isJson) paint(code, code.textContent);
  shown.append(code);
  const tools = el("div", { className: "pg-tools" }, copyButton("Copy", () => text));
  if (text.length > MOST_SHOWN) tools.append(save(bytes, kind, operation));
  return [tools, shown];
}

function save(bytes, kind, operation) {
  const href = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
  const end = { "application/gzip": "gz", "application/json": "json" }[kind] ?? "bin";
  return el("p", {}, `${size(bytes.length)} of ${kind || "no type"}. `,
    el("a", { href, download: `${operation.id}.${end}`, textContent: "Save" }));
}
