// An answer -> labels with bars where it is a classification, tables otherwise, and the JSON as it came.

import { el, picture } from "./dom.js";
import { shapeOf, shown } from "./tensors.js";

const MOST_ROWS = 12;
const MOST_COLUMNS = 8;
const MOST_TEXT = 20_000; // characters of JSON that are shown
const FLOATS = ["FP16", "BF16", "FP32", "FP64"];

/** The answer's elements, and one sentence for those who cannot see it. */
export function render(text, files) {
  const outputs = JSON.parse(text, text.includes("INT64") ? exact : undefined).outputs ?? [];
  const ranked = classification(outputs);
  const shownOutputs = ranked ? [] : outputs;
  const parts = ranked ? ranked.rows.map((row, index) => labels(row, files.length === ranked.rows.length ? files[index] : null)) : [];
  parts.push(...shownOutputs.map(table), raw(text));
  return { element: el("div", {}, ...parts), sentence: ranked ? sentence(ranked.rows) : described(outputs) };
}

/** Integers over 53 bits as they were written. */
function exact(_key, value, context) {
  const rounded = Number.isInteger(value) && !Number.isSafeInteger(value);
  return rounded && /^-?\d+$/.test(context?.source ?? "") ? BigInt(context.source) : value;
}

/** Rows of `{ label, probability }` if these are labels with their probabilities; else null. */
function classification(outputs) {
  const names = outputs.find((output) => output.name === "labels" && output.datatype === "BYTES" && output.shape.length === 2);
  const same = (output) => FLOATS.includes(output.datatype) && String(output.shape) === String(names?.shape);
  const scores = names && outputs.find(same);
  if (!scores) return null;
  const [flatNames, flatScores] = [names.data.flat(), scores.data.flat()];
  if (!flatScores.every((score) => score !== null && score >= 0 && score <= 1)) return null;
  const [count, width] = names.shape;
  const row = (index) =>
    Array.from({ length: width }, (_, place) => ({
      label: String(flatNames[index * width + place]),
      probability: flatScores[index * width + place],
    }));
  return { rows: Array.from({ length: count }, (_, index) => row(index)) };
}

function labels(row, file) {
  const items = row.map(({ label, probability }) => {
    const bar = el("span", { class: "fill" });
    bar.style.width = `${100 * probability}%`;
    const track = el("span", { class: "gauge", "aria-hidden": "true" }, bar);
    return el("li", {}, el("span", { class: "label" }, label), el("span", { class: "percent" }, percent(probability)), track);
  });
  const list = el("ol", { class: "labels", "aria-label": file ? `Labels of ${file.name}` : "Labels" }, ...items);
  if (!file) return list;
  return el("figure", { class: "photo" }, picture(file, file.name), list);
}

function table(output) {
  const title = el("caption", {}, el("span", { class: "name" }, output.name), " ", el("span", { class: "spec" }, `${output.datatype} ${shown(output.shape)}`));
  if (!Array.isArray(output.data)) return el("p", { class: "hint" }, `${output.name} came without data.`);
  const values = output.data.flat(Infinity);
  const rows = output.shape.length > 1 ? output.shape[0] : values.length;
  const width = rows ? values.length / rows : 0;
  const body = Array.from({ length: Math.min(rows, MOST_ROWS) }, (_, index) => {
    const cells = values.slice(index * width, index * width + Math.min(width, MOST_COLUMNS)).map((value) => el("td", {}, written(value)));
    return el("tr", {}, el("th", { scope: "row" }, String(index)), ...cells);
  });
  const left = [rows > MOST_ROWS ? `${rows - MOST_ROWS} more rows` : "", width > MOST_COLUMNS ? `${width - MOST_COLUMNS} more columns` : ""];
  const more = left.filter(Boolean).join(" and ");
  const scroll = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Output ${output.name}` }, el("table", { class: "values" }, title, el("tbody", {}, ...body)));
  return el("div", { class: "output" }, scroll, more ? el("p", { class: "hint" }, `… and ${more}; all of it is in the JSON.`) : "");
}

function raw(text) {
  const cut = text.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT)}\n… ${text.length - MOST_TEXT} more characters` : text;
  const shownText = el("pre", { tabindex: "0", role: "region", "aria-label": "The answer as JSON" }, cut);
  return el("details", { class: "raw" }, el("summary", {}, "The answer as JSON"), shownText);
}

function sentence(rows) {
  const best = rows.map(([first]) => (first ? `${first.label}, ${percent(first.probability)}` : "nothing"));
  return best.length > 3 ? `${best.length} photos; the first: ${best[0]}` : best.join("; ");
}

function described(outputs) {
  return outputs.map((output) => `${output.name} ${shown(output.shape ?? shapeOf(output.data))}`).join(", ");
}

function percent(probability) {
  return `${(100 * probability).toFixed(1)} %`;
}

function written(value) {
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(6)));
  const text = value === null ? "NaN" : String(value);
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}
