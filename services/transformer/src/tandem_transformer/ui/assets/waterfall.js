// Server-Timing -> where the time of one request went, as a table with bars.

import { el, milliseconds } from "./dom.js";

const WHERE = {
  decode: "transformer",
  preprocess: "transformer",
  queue: "predictor",
  batch: "predictor",
  inference: "predictor",
  postprocess: "transformer",
  encode: "transformer",
};
const CALL = ["queue", "batch", "inference"]; // what happens inside of the hop
const MEANING = {
  network: "client and network: what the server's phases leave",
  decode: "reading the request",
  preprocess: "your preprocess",
  hop: "to the predictor and back",
  queue: "waiting for a batch",
  batch: "gathering and splitting it",
  inference: "the engine",
  postprocess: "your postprocess",
  encode: "writing the answer",
};

/** Milliseconds by phase, in the header's order. */
export function parse(header) {
  const found = (header ?? "").split(",").map((entry) => entry.trim().match(/^([^;\s]+)\s*;(?:.*;)?\s*dur="?([\d.eE+-]+)"?/));
  return found.filter(Boolean).map(([, name, ms]) => ({ name, ms: Number(ms) }));
}

/** Rows in the order in which things happen. `span` is what a row encloses, `ms` what is its own. */
export function layout(phases, total) {
  const known = new Map(phases.filter(({ name }) => name in WHERE || name === "hop").map(({ name, ms }) => [name, ms]));
  const sum = [...known.values()].reduce((all, ms) => all + ms, 0);
  const network = Math.max(0, total - sum);
  const rows = [{ name: "network", where: "between", ms: network, start: 0, span: network + sum }];
  let at = network / 2; // how much of it lay before, and how much behind, nobody knows
  for (const name of ["decode", "preprocess", "hop", "postprocess", "encode"]) {
    if (!known.has(name)) continue;
    const start = at;
    if (name === "hop") {
      const inside = CALL.filter((phase) => known.has(phase));
      const span = known.get("hop") + inside.reduce((all, phase) => all + known.get(phase), 0);
      rows.push({ name, where: "between", ms: known.get(name), start, span });
      at += known.get("hop") / 2;
      for (const phase of inside) {
        rows.push({ name: phase, where: WHERE[phase], ms: known.get(phase), start: at, inside: true });
        at += known.get(phase);
      }
      at = start + span;
    } else {
      rows.push({ name, where: WHERE[name], ms: known.get(name), start });
      rows.push(...timers(phases, name).map((timer) => ({ ...timer, where: "transformer", start, inside: true })));
      at += known.get(name);
    }
  }
  return rows;
}

/** The table. `total`: milliseconds from the request's first byte to the answer's last. */
export function waterfall(header, total) {
  const phases = parse(header);
  const whole = Math.max(total, phases.filter(({ name }) => name in WHERE || name === "hop").reduce((all, { ms }) => all + ms, 0));
  const caption = el("caption", {}, `Where ${milliseconds(whole)} went`);
  const heads = [["Phase", "phase"], ["When", "bar"], ["Time", "time"]];
  const head = el("thead", {}, el("tr", {}, ...heads.map(([text, kind]) => el("th", { scope: "col", class: kind }, text))));
  const body = el("tbody", {}, ...layout(phases, total).map((row) => line(row, whole)));
  const columns = el("colgroup", {}, ...heads.map(([, kind]) => el("col", { class: kind })));
  return el("div", {}, el("table", { class: "waterfall" }, caption, columns, head, body), legend());
}

/** A transformer's own timers: those that ended before their phase did. */
function timers(phases, phase) {
  const end = phases.findIndex(({ name }) => name === phase);
  const own = [];
  for (let index = end - 1; index >= 0 && !(phases[index].name in WHERE) && phases[index].name !== "hop"; index -= 1) {
    own.unshift(phases[index]);
  }
  return ["preprocess", "postprocess"].includes(phase) ? own : [];
}

function line(row, whole) {
  const bar = el("div", { class: `${row.span ? "bracket" : "block"} ${row.where}` });
  bar.style.left = `${(100 * row.start) / whole}%`;
  bar.style.width = `${(100 * (row.span ?? row.ms)) / whole}%`;
  const name = el("th", { scope: "row", class: row.inside ? "phase inside" : "phase", title: MEANING[row.name] ?? "your timer" }, row.name);
  const time = el("td", { class: "time" }, milliseconds(row.ms));
  return el("tr", { "data-phase": row.name }, name, el("td", { class: "bar" }, el("div", { class: "track" }, bar)), time);
}

function legend() {
  const names = [["transformer", "transformer"], ["predictor", "predictor"], ["between", "network and hop, less what they span"]];
  const keys = names.map(([kind, text]) => el("li", {}, el("span", { class: `key ${kind}` }), text));
  return el("ul", { class: "legend", "aria-hidden": "true" }, ...keys);
}
