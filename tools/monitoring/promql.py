"""The queries that panels are made of: sums of rates, quantiles, means and heatmaps, of what the variables choose."""

from __future__ import annotations

from collections.abc import Sequence

from monitoring.grafana import Query
from monitoring.rules import FRONT

PLACE = 'namespace=~"$namespace", pod=~"$pod"'
HERE = f'{PLACE}, model_name=~"$model_name"'
BEFORE = f"{HERE}, {FRONT}"  # the transformer's; both services count requests
OVER = "[$__rate_interval]"
QUANTILES = (0.5, 0.9, 0.99)
OURS = 'container=~"transformer-container|kserve-container"'


def rate(metric: str, labels: str, by: str = "") -> str:
    """The sum of a counter's rates."""
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{{labels}}}{OVER}))"


def quantiles(
    metric: str, labels: str, *, exemplar: bool = False, of: Sequence[float] = QUANTILES
) -> tuple[Query, ...]:
    """A histogram's quantiles, a query each."""
    inner = rate(f"{metric}_bucket", labels, "le")
    return tuple(Query(f"histogram_quantile({q}, {inner})", f"p{100 * q:g}", exemplar) for q in of)


def mean(metric: str, labels: str) -> str:
    """What a histogram's observations are on average."""
    return f"{rate(f'{metric}_sum', labels)} / ({rate(f'{metric}_count', labels)} > 0)"


def heat(metric: str, labels: str, *, exemplar: bool = False) -> tuple[Query, ...]:
    """How many observations fell into each bucket."""
    return (Query(f"sum by (le) (increase({metric}_bucket{{{labels}}}{OVER}))", "{{le}}", exemplar),)
