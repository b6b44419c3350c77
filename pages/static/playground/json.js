// JSON laid out for reading without being read: no number is rounded, no member lost or moved.

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

const PARTS = /("(?:[^"\\]|\\.)*")(\s*:)?|-?\d[\d.eE+-]*|\b(?:true|false|null)\b/g;

const MOST_PAINTED = 50_000;

/** Put JSON into an element, names, texts and numbers in the colours of the samples. */
export function paint(element, text) {
  element.textContent = "";
  if (text.length > MOST_PAINTED) {
    element.textContent = text;
    return;
  }
  let at = 0;
  for (const match of text.matchAll(PARTS)) {
    const [whole, string, colon] = match;
    const span = document.createElement("span");
    span.className = string === undefined ? "n" : colon === undefined ? "s" : "k";
    span.textContent = string ?? whole;
    element.append(text.slice(at, match.index), span, colon ?? "");
    at = match.index + whole.length;
  }
  element.append(text.slice(at));
}

/** The text with line breaks and indents; text that is no JSON comes back as it is. */
export function indented(text) {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  const parts = [];
  let depth = 0;
  let opened = false;
  const line = () => parts.push("\n", "  ".repeat(depth));
  for (const [token] of text.matchAll(TOKEN)) {
    const closes = token === "}" || token === "]";
    if (closes) depth -= 1;
    if (closes ? !opened : opened) line();
    opened = token === "{" || token === "[";
    parts.push(token);
    if (opened) depth += 1;
    if (token === ",") line();
    if (token === ":") parts.push(" ");
  }
  return parts.join("");
}
