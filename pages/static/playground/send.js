// The call itself: through this server's proxy, or straight to a server that the form names.

import { signature, signing, target } from "./request.js";

/** Send a call; answers status, headers, the body as a stream, and the milliseconds to the head. */
export async function send(operation, call, signal) {
  const credential = await shownCredential(call);
  const begun = performance.now();
  const found = operation.proxy
    ? await throughProxy(operation, call, credential, signal)
    : await straight(operation, call, credential, signal);
  return { ...found, begun, ms: performance.now() - begun };
}

async function shownCredential(call) {
  const { credential } = call;
  if (credential?.kind !== "signature") return credential;
  const how = signing(credential, call);
  const value = await signature(how, credential.value, call.body ?? "");
  return { ...credential, header: how.header, value };
}

async function throughProxy(operation, call, credential, signal) {
  const { path, query, header, cookie, body, contentType } = call;
  const shown = credential && {
    scheme: credential.name,
    value: credential.value,
    ...(credential.header ? { header: credential.header } : {}),
  };
  const response = await fetch(operation.proxy, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ path, query, header, cookie, body, contentType, credential: shown }),
    cache: "no-store",
    redirect: "error",
    signal,
  });
  const told = response.headers.get(operation.answer);
  if (told === null) throw new Error(await refusal(response));
  return { ...JSON.parse(told), stream: response.body };
}

async function refusal(response) {
  try {
    return `Not sent: ${(await response.json()).error}`;
  } catch {
    return `Not sent: ${response.status} from the server`;
  }
}

async function straight(operation, call, credential, signal) {
  const headers = { ...call.header };
  if (call.contentType) headers["Content-Type"] = call.contentType;
  if (credential?.kind === "cookie") {
    throw new Error("A browser sends no typed cookie to another server; take the curl command below.");
  }
  if (credential?.kind === "bearer") headers.Authorization = `Bearer ${credential.value}`;
  if (credential?.kind === "signature") headers[credential.header] = credential.value;
  const base = new URL(call.server).href.replace(/\/+$/, "");
  try {
    const response = await fetch(base + target(operation, call), {
      method: operation.method,
      headers,
      body: call.body,
      credentials: "omit",
      cache: "no-store",
      signal,
    });
    return { status: response.status, headers: [...response.headers], stream: response.body };
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Error(`No answer from ${base}: it cannot be reached, or does not let these pages call it.`);
  }
}
