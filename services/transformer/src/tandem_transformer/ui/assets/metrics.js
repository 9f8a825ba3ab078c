// /metrics in Prometheus' text format -> what the charts and the health marks show.

const LINE = /^(tandem_[a-z_]+)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const THEIRS = "kserve-container"; // the predictor's samples, where --merge_predictor_metrics shows them too

/** One scrape, read at `time` (seconds). Sums over whatever labels do not matter here. */
export function snapshot(text, time) {
  const found = { time, requests: 0, failures: 0, buckets: new Map(), rows: 0, batches: 0, merged: null, versions: {} };
  const readers = {
    tandem_requests_total: (labels, value) => {
      found.requests += value;
      if (labels.code !== "OK") found.failures += value;
    },
    tandem_request_seconds_bucket: (labels, value) => {
      const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
      found.buckets.set(bound, (found.buckets.get(bound) ?? 0) + value);
    },
    tandem_predictor_channel_ready: (_, value) => (found.channel = value === 1),
    tandem_predictor_scrape_up: (_, value) => (found.merged = value === 1),
    tandem_build_info: (labels) => (found.versions[labels.service] = labels.version),
  };
  const theirs = {
    tandem_batch_rows_sum: (_, value) => (found.rows += value),
    tandem_batch_rows_count: (_, value) => (found.batches += value),
    tandem_ready: (_, value) => (found.predictorReady = value === 1),
    tandem_build_info: readers.tandem_build_info,
  };
  for (const line of text.split("\n")) {
    const match = LINE.exec(line);
    if (!match) continue;
    const labels = labelsOf(match[2] ?? "");
    (labels.container === THEIRS ? theirs : readers)[match[1]]?.(labels, Number(match[3]));
  }
  return found;
}

/** What happened between two scrapes: rates a second, latencies in seconds, rows a batch; null after a restart. */
export function between(before, after) {
  const seconds = after.time - before.time;
  const requests = after.requests - before.requests;
  if (seconds <= 0 || requests < 0) return null;
  const counts = [...after.buckets].sort(([a], [b]) => a - b).map(([bound, count]) => [bound, count - (before.buckets.get(bound) ?? 0)]);
  const batches = after.batches - before.batches;
  return {
    time: after.time,
    rate: requests / seconds,
    failures: (after.failures - before.failures) / seconds,
    p50: quantile(0.5, counts),
    p99: quantile(0.99, counts),
    batch: before.merged && after.merged && batches > 0 ? (after.rows - before.rows) / batches : null,
  };
}

/** As Prometheus' histogram_quantile: linear within the bucket. `counts`: cumulative, by ascending bound. */
export function quantile(share, counts) {
  const total = counts.at(-1)?.[1] ?? 0;
  if (total <= 0) return null;
  const rank = share * total;
  const index = counts.findIndex(([, count]) => count >= rank);
  const [bound, count] = counts[index];
  const [low, below] = index > 0 ? counts[index - 1] : [0, 0];
  if (bound === Infinity) return low;
  return count === below ? bound : low + ((bound - low) * (rank - below)) / (count - below);
}

function labelsOf(text) {
  return Object.fromEntries([...text.matchAll(LABEL)].map(([, name, value]) => [name, value]));
}
