"""The queries that panels are made of: sums of rates, quantiles, means and heatmaps, of what the variables choose."""

from __future__ import annotations

from monitoring.grafana import Panel, Query
from monitoring.rules import FRONT

PLACE = 'namespace=~"$namespace", pod=~"$pod"'
HERE = f'{PLACE}, model_name=~"$model_name"'
BEFORE = f"{HERE}, {FRONT}"  # the transformer's; both services count requests
OVER = "[$__rate_interval]"
OURS = 'container=~"transformer-container|kserve-container"'


def rate(metric: str, labels: str, by: str = "") -> str:
    """The sum of a counter's rates."""
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{{labels}}}{OVER}))"


def quantile(q: float, metric: str, labels: str) -> str:
    """One quantile of a histogram."""
    return f"histogram_quantile({q}, {rate(f'{metric}_bucket', labels, 'le')})"


def quantiles(metric: str, labels: str, *, exemplar: bool = False) -> tuple[Query, ...]:
    """A histogram's median and tail, a query each."""
    return tuple(Query(quantile(q, metric, labels), f"p{100 * q:g}", exemplar) for q in (0.5, 0.9, 0.99))


def mean(metric: str, labels: str, by: str = "") -> str:
    """What a histogram's observations are on average."""
    return f"{rate(f'{metric}_sum', labels, by)} / ({rate(f'{metric}_count', labels, by)} > 0)"


def heatmap(title: str, question: str, metric: str, labels: str, unit: str = "s", *, exemplar: bool = False) -> Panel:
    """How many observations fell into each bucket."""
    query = Query(f"sum by (le) (increase({metric}_bucket{{{labels}}}{OVER}))", "{{le}}", exemplar)
    return Panel(title, question, (query,), unit, "heatmap")
