// Requests to the transformer that served this page. Paths are relative, so that a prefix in front of it does no harm.

let token = "";

/** What went wrong, in the server's words where it had any; `status` is 0 if there was no answer. */
export class Failure extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/** Use this bearer token from now on. It is kept here, in memory, and nowhere else. */
export function useToken(text) {
  token = text.trim();
}

/** Whether there is a token. */
export function hasToken() {
  return token !== "";
}

/** The absolute address of a path. */
export function address(path) {
  return new URL(path, document.baseURI).href;
}

/** The answer `{ text, headers, ms }`; throws Failure. */
export async function ask(path, { method = "GET", body, headers = {}, signal } = {}) {
  const sent = { ...headers };
  if (token) sent.Authorization = `Bearer ${token}`;
  performance.clearResourceTimings(); // their list has a limit, after which the browser keeps no more
  const start = performance.now();
  let reply, text;
  try {
    reply = await fetch(path, { method, body, headers: sent, signal, cache: "no-store" });
    text = await reply.text();
  } catch (error) {
    if (error.name === "AbortError") throw new Failure(0, "Cancelled.");
    throw new Failure(0, "The transformer does not answer. Is it running, and can this machine reach it?");
  }
  if (!reply.ok) throw new Failure(reply.status, wordsOf(text) || reply.statusText || "no reason given");
  return { text, headers: reply.headers, ms: onTheWire(path) ?? performance.now() - start };
}

/** The JSON document at a path; throws Failure. */
export async function read(path) {
  return JSON.parse((await ask(path)).text);
}

/** Milliseconds from the request's first byte to the answer's last, which leaves out the browser's own queueing. */
function onTheWire(path) {
  const entry = performance.getEntriesByName(address(path), "resource").at(-1);
  return entry?.requestStart ? entry.responseEnd - entry.requestStart : undefined;
}

function wordsOf(text) {
  try {
    return JSON.parse(text).error;
  } catch {
    return "";
  }
}
