// Readiness and metrics every two seconds, while somebody looks.

import { ask, Failure } from "./api.js";
import { snapshot } from "./metrics.js";

const EVERY = 2000; // milliseconds
const PATIENCE = 5000; // milliseconds for both answers

/** Call `tell({ reachable, ready, reason, scrape })` now and every two seconds; a hidden page asks nothing. */
export function watch(tell) {
  let timer = 0;
  let asking = false;
  const look = async () => {
    clearTimeout(timer);
    if (document.hidden || asking) return;
    asking = true;
    try {
      tell(await state());
    } finally {
      asking = false;
      timer = setTimeout(look, EVERY);
    }
  };
  document.addEventListener("visibilitychange", look);
  look();
}

async function state() {
  const signal = AbortSignal.timeout(PATIENCE);
  const [ready, metrics] = await Promise.allSettled([ask("v2/health/ready", { signal }), ask("metrics", { signal })]);
  const refusal = ready.reason;
  return {
    reachable: ready.status === "fulfilled" || (refusal instanceof Failure && refusal.status !== 0),
    ready: ready.status === "fulfilled",
    reason: refusal?.message ?? "",
    scrape: metrics.status === "fulfilled" ? snapshot(metrics.value.text, performance.now() / 1000) : null,
  };
}
