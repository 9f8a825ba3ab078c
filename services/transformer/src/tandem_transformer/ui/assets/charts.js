// Small line charts of the last two minutes: a drawing, the newest value in words, and the same as a table.

import { el, id, svg } from "./dom.js";

const SPAN = 120; // seconds
const GAP = 6; // seconds without a value after which the line breaks
const ROWS = 15; // of the table
const WIDTH = 300;
const HEIGHT = 100;

/** One chart. `series`: [{ key, label }], drawn in this order; `format`: a value as text. */
export class Chart {
  constructor({ title, series, format, nothing }) {
    this.series = series;
    this.format = format;
    this.nothing = nothing;
    const heading = el("h3", { id: id("chart") }, title);
    this.now = el("p", { class: "now" });
    this.drawing = svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-labelledby": heading.id,
    });
    this.about = svg("desc", { id: id("about") });
    this.drawing.setAttribute("aria-describedby", this.about.id);
    this.lines = series.map((_, index) => svg("path", { class: `line line-${index}` }));
    const grid = [0.5, HEIGHT / 2, HEIGHT - 0.5].map((y) => svg("path", { class: "grid", d: `M0 ${y}H${WIDTH}` }));
    this.drawing.append(this.about, ...grid, ...this.lines.toReversed());
    this.top = el("span", { class: "tick top" });
    this.middle = el("span", { class: "tick middle" });
    this.empty = el("p", { class: "empty" }, nothing);
    this.cursor = svg("path", { class: "cursor" });
    this.drawing.append(this.cursor);
    this.pointed = null; // seconds ago that the pointer is at
    this.drawing.addEventListener("pointermove", (event) => this.point(event));
    this.drawing.addEventListener("pointerleave", () => this.point(null));
    const plot = el("div", { class: "plot" }, this.drawing, this.top, this.middle, this.empty);
    this.when = el("b");
    const axis = el("p", { class: "axis", "aria-hidden": "true" }, el("span", {}, "2 min ago"), this.when, el("span", {}, "now"));
    this.table = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${title}, as a table` });
    this.details = el("details", {}, el("summary", {}, "As a table"), this.table);
    this.details.addEventListener("toggle", () => this.tabulate());
    this.points = [];
    this.element = el("figure", { class: "chart" }, el("figcaption", {}, heading, this.now), plot, axis, this.details);
    this.update([], 0);
  }

  /** Show these points, `{ time, ... }` with null where there is no value, as they are at `time` (seconds). */
  update(points, time, nothing = this.nothing) {
    this.points = points.filter((point) => time - point.time <= SPAN);
    this.time = time;
    const values = this.points.flatMap((point) => this.series.map(({ key }) => point[key])).filter((value) => value !== null);
    const top = nice(1.05 * Math.max(0, ...values));
    this.lines.forEach((line, index) => line.setAttribute("d", this.path(this.series[index].key, top)));
    this.top.textContent = values.length ? this.format(top) : "";
    this.middle.textContent = values.length ? this.format(top / 2) : "";
    this.empty.textContent = nothing;
    this.empty.hidden = values.length > 0;
    this.newest();
    this.tabulate();
  }

  path(key, top) {
    let last = -Infinity;
    const steps = [];
    for (const point of this.points) {
      if (point[key] === null) continue;
      const x = (WIDTH * (1 - (this.time - point.time) / SPAN)).toFixed(1);
      const y = (HEIGHT - 1 - (HEIGHT - 4) * (point[key] / top)).toFixed(1);
      steps.push(point.time - last > GAP ? `M${x} ${y}h1` : `L${x} ${y}`);
      last = point.time;
    }
    return steps.join("");
  }

  /** Show the values where the pointer is; without one, the newest. */
  point(event) {
    const box = this.drawing.getBoundingClientRect();
    this.pointed = event && SPAN * (1 - (event.clientX - box.left) / box.width);
    this.newest();
  }

  /** The newest values, beside the title and as the drawing's description. */
  newest() {
    const distance = (point) => Math.abs(this.time - point.time - this.pointed);
    const near = this.pointed === null ? null : this.points.toSorted((a, b) => distance(a) - distance(b))[0];
    const x = near ? WIDTH * (1 - (this.time - near.time) / SPAN) : 0;
    this.cursor.setAttribute("d", near ? `M${x.toFixed(1)} 0V${HEIGHT}` : "");
    const newest = near ?? this.points.at(-1);
    const said = this.series.map(({ key, label }) => {
      const value = newest && newest[key] !== null ? this.format(newest[key]) : "–";
      return { label, value };
    });
    this.when.textContent = near ? `${(this.time - near.time).toFixed(0)} s ago` : "";
    this.now.replaceChildren(
      ...said.map(({ label, value }, index) => el("span", { class: `value value-${index}` }, el("span", { class: "key", "aria-hidden": "true" }), `${label} `, el("b", {}, value))),
    );
    this.about.textContent = this.empty.hidden ? `Now: ${said.map(({ label, value }) => `${label} ${value}`).join(", ")}.` : this.empty.textContent;
  }

  tabulate() {
    if (!this.details.open) return;
    const heads = ["Seconds ago", ...this.series.map(({ label }) => label)].map((text) => el("th", { scope: "col" }, text));
    const rows = this.points.slice(-ROWS).toReversed().map((point) => {
      const cells = this.series.map(({ key }) => el("td", {}, point[key] === null ? "–" : this.format(point[key])));
      return el("tr", {}, el("th", { scope: "row" }, (this.time - point.time).toFixed(0)), ...cells);
    });
    this.table.replaceChildren(el("table", { class: "values" }, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows)));
  }
}

/** A number not below this one that reads well at the end of an axis, as its half does in the middle. */
export function nice(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((end) => end >= value);
}
