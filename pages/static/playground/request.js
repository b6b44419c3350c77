// What a filled form means as a request: target, headers, signature.

/** Path and query of a call. */
export function target(operation, call) {
  const path = operation.path.replace(/\{([^}]+)\}/g, (_, name) =>
    encodeURIComponent(call.path[name] ?? ""),
  );
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(call.query)) {
    for (const each of [value].flat()) query.append(name, each);
  }
  return path + (query.size ? `?${query}` : "");
}

/** How the provider of a delivery signs; Linear's way where there is no such provider. */
export function signing(credential, call) {
  const known = Object.hasOwn(credential.signed, call.path.provider ?? "");
  return credential.signed[known ? call.path.provider : "linear"];
}

/** The signature of a body, in hex, with what the provider puts before it. */
export async function signature({ algorithm, prefix }, secret, body) {
  if (!globalThis.crypto?.subtle) throw new Error("To sign, the page must come by https or from localhost.");
  const bytes = (text) => new TextEncoder().encode(text);
  const how = { name: "HMAC", hash: algorithm };
  const key = await crypto.subtle.importKey("raw", bytes(secret), how, false, ["sign"]);
  const made = new Uint8Array(await crypto.subtle.sign("HMAC", key, bytes(body)));
  return prefix + Array.from(made, (each) => each.toString(16).padStart(2, "0")).join("");
}
