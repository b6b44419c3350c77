// The same call for a terminal. The credential stays out of it, since commands are kept and shared.

import { signing, target } from "./request.js";

const CREDENTIAL = '"$RENSEI_CREDENTIAL"';

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The lines to paste into a shell in which RENSEI_CREDENTIAL is set. */
export function curl(operation, call) {
  const base = (operation.proxy ? location.origin : call.server).replace(/\/+$/, "");
  const { credential } = call;
  const lines = [`curl${operation.method === "GET" ? "" : ` -X ${operation.method}`} ${quoted(base + target(operation, call))}`];
  for (const [name, value] of Object.entries(call.header)) lines.push(`-H ${quoted(`${name}: ${value}`)}`);
  if (call.contentType) lines.push(`-H ${quoted(`Content-Type: ${call.contentType}`)}`);
  if (credential?.kind === "bearer") lines.push(`-H 'Authorization: Bearer '${CREDENTIAL}`);
  if (credential?.kind === "cookie") {
    lines.push(`-H 'Cookie: ${credential.cookie}='${CREDENTIAL}`);
    if (operation.method !== "GET") lines.push(`-H ${quoted(`Origin: ${base}`)}`);
  }
  let before = "";
  if (credential?.kind === "signature") {
    const { header, prefix, algorithm } = signing(credential, call);
    before =
      `body=${quoted(call.body ?? "")}\n` +
      `signature=$(printf %s "$body" | openssl dgst -${algorithm.replace("-", "").toLowerCase()} -hmac ${CREDENTIAL} -r | cut -d ' ' -f 1)\n`;
    lines.push(`-H '${header}: ${prefix}'"$signature"`, '--data-binary "$body"');
  } else if (call.body !== null) {
    lines.push(`--data-binary ${quoted(call.body)}`);
  }
  if (operation.streams) lines[0] = lines[0].replace("curl", "curl -N");
  return before + lines.join(" \\\n  ");
}
