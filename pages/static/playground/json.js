// JSON laid out for reading without being read: no number is rounded, no member lost or moved.

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

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
