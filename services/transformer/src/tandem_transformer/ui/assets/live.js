// The health marks and the charts, from what watch.js tells.

import { find, milliseconds, say } from "./dom.js";
import { Chart } from "./charts.js";
import { between } from "./metrics.js";
import { watch } from "./watch.js";

const KEPT = 70; // points; the charts show two minutes of them
const WORDS = { ready: "ready", waiting: "not ready", down: "no answer", unknown: "not known" };

const perSecond = (value) => `${value < 10 ? Number(value.toFixed(1)) : value.toFixed(0)}/s`;
const seconds = (value) => (value >= 1 ? `${Number(value.toFixed(2))} s` : milliseconds(value * 1000).replace(/\.0+ /, " "));
const rows = (value) => String(Number(value.toFixed(value < 10 ? 1 : 0)));

const CHARTS = {
  rate: {
    title: "Requests",
    series: [{ key: "rate", label: "all" }, { key: "failures", label: "refused or failed" }],
    format: perSecond,
    nothing: "No readings in the last two minutes.",
  },
  latency: {
    title: "Latency",
    series: [{ key: "p50", label: "p50" }, { key: "p99", label: "p99" }],
    format: seconds,
    nothing: "No requests in the last two minutes.",
  },
  batch: {
    title: "Batch size",
    series: [{ key: "batch", label: "rows a batch" }],
    format: rows,
    nothing: "No batches in the last two minutes.",
  },
};

/** Begin. `changed(ready)` is called when the pair becomes ready or ceases to be. */
export function live(changed) {
  const charts = Object.fromEntries(Object.entries(CHARTS).map(([name, options]) => [name, new Chart(options)]));
  find("charts").replaceChildren(...Object.values(charts).map((chart) => chart.element));
  let points = [];
  let last = null;
  let wasReady = null;
  watch((state) => {
    show("transformer", state.ready ? "ready" : state.reachable ? "waiting" : "down");
    show("predictor", predictorOf(state));
    find("reason").textContent = reasonOf(state);
    find("reason").hidden = state.ready;
    if (state.ready !== wasReady) {
      if (wasReady !== null) say(state.ready ? "The pair is ready again." : reasonOf(state));
      wasReady = state.ready;
      changed(state.ready);
    }
    if (state.scrape) {
      const point = last && between(last, state.scrape);
      if (point) points = [...points, point].slice(-KEPT);
      last = state.scrape;
      find("versions").textContent = versionsOf(last.versions);
    }
    draw(charts, points, state);
  });
}

function draw(charts, points, state) {
  const now = performance.now() / 1000;
  const early = points.length ? undefined : "Waiting for the first two readings.";
  charts.rate.update(points, now, early);
  charts.latency.update(points, now, early);
  charts.batch.update(points, now, aboutBatches(state.scrape) ?? early);
}

/** Why there are no batch sizes, if there are none. */
function aboutBatches(scrape) {
  if (scrape && scrape.merged === null) {
    return "The predictor counts batches. To see them here, start the transformer with --merge_predictor_metrics.";
  }
  if (scrape?.merged === false) return "The predictor's metrics cannot be had at the moment; the transformer's log says why.";
  return undefined;
}

/** The predictor as the transformer knows it: it answers, and its own metrics, where they come too, say it is ready. */
function predictorOf({ scrape }) {
  if (!scrape || scrape.channel === undefined) return "unknown";
  if (scrape.channel) return scrape.predictorReady === false ? "waiting" : "ready";
  return scrape.predictorReady === undefined ? "down" : "waiting";
}

function reasonOf(state) {
  if (!state.reachable) return `${state.reason} This page tries again every two seconds.`;
  return state.ready ? "" : `The transformer says: ${state.reason}.`;
}

function show(name, state) {
  const mark = find(`health-${name}`);
  if (mark.dataset.state === state) return;
  mark.dataset.state = state;
  mark.querySelector(".state").textContent = WORDS[state];
}

function versionsOf(versions) {
  return Object.entries(versions).map(([service, version]) => `${service} ${version}`).join(" · ");
}
