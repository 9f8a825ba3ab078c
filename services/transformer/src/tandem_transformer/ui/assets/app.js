// The page: what is asked on one side, the answer on the other, and below them how the pair is doing.
//
// metadata -> form -> request -> answer + waterfall;  /metrics -> charts, health

import { address, ask, Failure, hasToken, read, useToken } from "./api.js";
import { render } from "./answer.js";
import { el, find, milliseconds, say } from "./dom.js";
import { Editor, waiting } from "./editor.js";
import { live } from "./live.js";
import { asCurl, inferPath } from "./request.js";
import { waterfall } from "./waterfall.js";

const editor = new Editor();
let model = null;
let shape = ""; // of the metadata that the form was made for
let running = null; // the AbortController of the request on its way

/** Learn what the model takes, and make the form for it; where that cannot be, say why. */
async function describe() {
  try {
    [model] = (await read("v2/models")).models;
    const metadata = await read(`v2/models/${encodeURIComponent(model)}`);
    find("model").textContent = metadata.name;
    find("platform").textContent = [metadata.platform, `version ${metadata.versions.join(", ")}`].filter(Boolean).join(" · ");
    document.title = `${metadata.name} · Tandem`;
    find("token-form").hidden = true;
    find("send").disabled = find("copy").disabled = false;
    if (shape === JSON.stringify(metadata)) return;
    shape = JSON.stringify(metadata);
    editor.edit(metadata);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (error.status === 401) refused();
    else if (!shape) waiting(error.status === 503 ? "The form appears as soon as the predictor is ready." : error.message);
  }
}

function refused() {
  const form = find("token-form");
  find("token-error").hidden = !hasToken();
  find("token-error").textContent = "The token is not one that is known here.";
  if (hasToken()) find("token").focus();
  form.hidden = false;
  find("send").disabled = find("copy").disabled = true;
  waiting("The form appears once a token is given.");
}

async function send() {
  if (running) {
    running.abort();
    return;
  }
  const request = editor.request();
  if (!request) return;
  running = new AbortController();
  busy(true);
  try {
    const { body, headers } = request;
    const reply = await ask(inferPath(model), { method: "POST", body, headers, signal: running.signal });
    answered(reply, request.files);
  } catch (error) {
    failed(error);
  } finally {
    running = null;
    busy(false);
  }
}

function answered(reply, files) {
  const { element, sentence } = render(reply.text, files);
  find("answer").replaceChildren(element);
  find("timing").replaceChildren(waterfall(reply.headers.get("Server-Timing"), reply.ms));
  say(`Answered in ${milliseconds(reply.ms)}. ${sentence}`);
  find("result").scrollIntoView({ block: "nearest" });
}

function failed(error) {
  if (!(error instanceof Failure)) throw error;
  const title = error.status ? `${error.status}: ${kind(error.status)}` : "No answer";
  const about = el("div", { class: "refusal", role: "alert" }, el("h3", {}, title), el("p", {}, error.message));
  find("answer").replaceChildren(about);
  find("timing").replaceChildren();
  if (error.status === 401) refused();
}

function kind(status) {
  const kinds = { 400: "the request is not right", 401: "a token is needed", 404: "not found", 413: "too large", 429: "too busy, try again", 503: "not ready", 504: "out of time" };
  return kinds[status] ?? (status < 500 ? "refused" : "the pair failed");
}

function busy(on) {
  find("send").textContent = on ? "Cancel" : "Send";
  find("result").setAttribute("aria-busy", String(on));
}

async function copy() {
  const request = editor.request();
  if (!request) return;
  const text = asCurl(request, address(inferPath(model)), hasToken());
  try {
    await navigator.clipboard.writeText(text);
    find("copied").textContent = "Copied.";
    find("command-field").hidden = true;
  } catch {
    find("copied").textContent = "The browser does not let this page copy; here is the command.";
    find("command-field").hidden = false;
    find("command").value = text;
    find("command").select();
  }
}

find("request-form").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
find("request-form").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.requestSubmit();
});
find("copy").addEventListener("click", copy);
find("request-form").addEventListener("input", () => {
  find("copied").textContent = "";
  find("command-field").hidden = true;
});
find("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(find("token").value);
  find("token").value = "";
  describe();
});
live(describe);
