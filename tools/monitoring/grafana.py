"""A dashboard in Grafana's JSON. Panels are placed in rows of 24 columns, in the order given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from monitoring.text import Value

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS = 24


@dataclass(frozen=True, slots=True)
class Query:
    """A query in PromQL. Exemplars are asked for where the metric has them."""

    expr: str
    legend: str
    exemplar: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel, and the question that it answers."""

    title: str
    question: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and the panels below it."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice above the panels: the values of the label `name` among the series of `query`."""

    name: str
    query: str


def dashboard(uid: str, title: str, rows: Sequence[Row], variables: Sequence[Variable]) -> Value:
    """The whole dashboard."""
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}
    return {
        "uid": uid,
        "title": title,
        "tags": ["tandem", "kserve"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [source, *(_variable(variable) for variable in variables)]},
        "panels": list(_placed(rows)),
    }


def _variable(variable: Variable) -> Value:
    query = f"label_values({variable.query}, {variable.name})"
    return {
        "name": variable.name,
        "label": variable.name,
        "type": "query",
        "datasource": _SOURCE,
        "definition": query,
        "query": {"query": query, "refId": variable.name},
        "refresh": 2,  # when the time range changes: pods come and go
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",  # a series without the label too
        "current": {"text": "All", "value": "$__all"},
    }


def _placed(rows: Sequence[Row]) -> Iterator[Value]:
    number, y = 0, 0
    for row in rows:
        number += 1
        place = {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
        x, y, tallest = 0, y + 1, 0
        for panel in row.panels:
            number += 1
            if x + panel.width > _COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            height = 4 if panel.kind == "stat" else 8
            tallest = max(tallest, height)
            yield {"id": number, "gridPos": {"x": x, "y": y, "w": panel.width, "h": height}, **_panel(panel)}
            x += panel.width
        y += tallest


def _panel(panel: Panel) -> dict[str, Value]:
    form = "heatmap" if panel.kind == "heatmap" else "time_series"
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.question,
        "datasource": _SOURCE,
        "targets": [_target(query, chr(ord("A") + index), form) for index, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": {"unit": panel.unit, "custom": _drawing(panel)}, "overrides": []},
        "options": _options(panel),
    }


def _target(query: Query, ref: str, form: str) -> Value:
    return {
        "refId": ref,
        "datasource": _SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend,
        "format": form,
        "exemplar": query.exemplar,
        "range": True,
    }


def _drawing(panel: Panel) -> Value:
    if panel.kind != "timeseries":
        return {}
    return {
        "fillOpacity": 20 if panel.stacked else 5,
        "showPoints": "never",
        "stacking": {"mode": "normal" if panel.stacked else "none"},
    }


def _options(panel: Panel) -> Value:
    if panel.kind == "heatmap":
        axis = {"unit": panel.unit, "axisPlacement": "left"}
        return {"calculate": False, "yAxis": axis, "exemplars": {"color": "orange"}, "cellGap": 1}
    if panel.kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "value_and_name", "graphMode": "none"}
    return {"tooltip": {"mode": "multi", "sort": "desc"}, "legend": {"displayMode": "list", "placement": "bottom"}}
