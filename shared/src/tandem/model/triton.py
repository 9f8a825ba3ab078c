"""A model's statistics under Triton's metric names, for dashboards that were made for it (--enable_triton_metrics).

Source: Triton, "Metrics", inference request metrics. The names break Prometheus' rules (no `_total`, microseconds), so
they are written here and not by prometheus_client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tandem.model.statistics import ModelStatistics, Statistics, Tally

_Value = Callable[[Statistics], float]


def _tally(name: str) -> Callable[[Statistics], Tally]:
    return lambda counts: dict(counts.tallies())[name]


def _count(name: str) -> _Value:
    return lambda counts: _tally(name)(counts).count


def _us(*names: str) -> _Value:
    return lambda counts: sum(_tally(name)(counts).ns for name in names) // 1000


_METRICS: tuple[tuple[str, str, _Value], ...] = (
    ("request_success", "Number of successful inference requests", _count("success")),
    ("request_failure", "Number of failed inference requests", _count("fail")),
    ("count", "Number of inferences performed, a row each", lambda counts: counts.inference_count),
    ("exec_count", "Number of model executions, a batch each", lambda counts: counts.execution_count),
    ("request_duration_us", "Cumulative time of successful and failed requests, microseconds", _us("success", "fail")),
    ("queue_duration_us", "Cumulative time in the queue, microseconds", _us("queue")),
    ("compute_input_duration_us", "Cumulative time of gathering inputs, microseconds", _us("compute_input")),
    ("compute_infer_duration_us", "Cumulative time in the engine, microseconds", _us("compute_infer")),
    ("compute_output_duration_us", "Cumulative time of splitting outputs, microseconds", _us("compute_output")),
)


def exposition(models: Sequence[ModelStatistics]) -> bytes:
    """The counters of every model version, in text format 0.0.4."""
    return "".join(f"{line}\n" for line in _lines(models)).encode()


def _lines(models: Sequence[ModelStatistics]) -> Iterator[str]:
    for name, text, value in _METRICS:
        yield f"# HELP nv_inference_{name} {text}."
        yield f"# TYPE nv_inference_{name} counter"
        for model in models:
            labels = f'model="{_escaped(model.name)}",version="{_escaped(model.version)}"'
            yield f"nv_inference_{name}{{{labels}}} {value(model.statistics)}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
