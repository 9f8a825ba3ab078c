"""The metrics by name, label and type, as Prometheus reads them."""

import asyncio
import socket

import pytest
import tandem
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from tandem.lifecycle import Readiness
from tandem.metrics import MOST_STEPS, ROWS, SECONDS, PredictorMetrics, StepSeconds, TransformerMetrics, afterwards
from tandem.timings import Timings

BOTH = {  # name, type, labels: interfaces.md
    ("tandem_requests", "counter", ("code", "model_name", "protocol")),
    ("tandem_request_seconds", "histogram", ("model_name", "protocol")),
    ("tandem_in_flight_requests", "gauge", ()),
    ("tandem_rejected", "counter", ("reason",)),
    ("tandem_ready", "gauge", ()),
    ("tandem_build_info", "gauge", ("python_version", "service", "version")),
    ("request_predict_seconds", "histogram", ("model_name",)),
}
TRANSFORMER = BOTH | {
    ("request_preprocess_seconds", "histogram", ("model_name",)),
    ("request_postprocess_seconds", "histogram", ("model_name",)),
    ("tandem_hop_seconds", "histogram", ()),
    ("tandem_step_seconds", "histogram", ("model_name", "step")),
    ("tandem_hop", "counter", ("transport",)),
    ("tandem_predictor_channel_ready", "gauge", ()),
}
PREDICTOR = BOTH | {
    ("tandem_queue_seconds", "histogram", ("model_name",)),
    ("tandem_queue_rows", "gauge", ("model_name",)),
    ("tandem_batch_rows", "histogram", ("model_name",)),
    ("tandem_inference_seconds", "histogram", ("model_name",)),
    ("tandem_device_seconds", "histogram", ("model_name", "phase")),
}


@pytest.fixture
def predictor():
    return PredictorMetrics(CollectorRegistry(), tandem.__version__)


@pytest.fixture
def transformer():
    return TransformerMetrics(CollectorRegistry(), tandem.__version__)


def families(metrics):
    return {family.name: family for family in text_string_to_metric_families(metrics.exposition().decode())}


def value(metrics, sample, **labels):
    return metrics.registry.get_sample_value(sample, labels)


def use_everything(metrics):
    """Give every metric that has labels a child, so that it is exported."""
    for metric in vars(metrics).values():
        if names := getattr(metric, "_labelnames", ()):
            metric.labels(*names)


@pytest.mark.parametrize(("kind", "expected"), [("predictor", PREDICTOR), ("transformer", TRANSFORMER)])
def test_each_service_exports_what_the_design_names_and_nothing_else(kind, expected, request):
    metrics = request.getfixturevalue(kind)
    use_everything(metrics)
    exported = {
        (name, family.type, tuple(sorted({key for sample in family.samples for key in sample.labels} - {"le"})))
        for name, family in families(metrics).items()
    }
    assert exported == expected


@pytest.mark.parametrize("kind", ["predictor", "transformer"])
def test_the_build_says_what_runs(kind, request):
    samples = families(request.getfixturevalue(kind))["tandem_build_info"].samples
    assert [(s.value, s.labels["service"], s.labels["version"]) for s in samples] == [(1.0, kind, tandem.__version__)]


def test_every_metric_has_a_help_text(predictor, transformer):
    use_everything(predictor)
    use_everything(transformer)
    assert all(family.documentation for family in (families(predictor) | families(transformer)).values())


def test_there_are_no_created_series(predictor):
    use_everything(predictor)
    assert b"_created" not in predictor.exposition()


def test_two_services_in_one_process_do_not_share_a_count(predictor, transformer):
    predictor.requests.labels("m", "grpc", "OK").inc()
    labels = {"model_name": "m", "protocol": "grpc", "code": "OK"}
    assert value(predictor, "tandem_requests_total", **labels) == 1
    assert value(transformer, "tandem_requests_total", **labels) is None


def test_the_gauge_of_readiness_follows_it(predictor):
    readiness = Readiness()
    readiness.watch(predictor.ready.set)
    assert value(predictor, "tandem_ready") == 1
    part = readiness.part("models", "they are loading")
    assert value(predictor, "tandem_ready") == 0
    part.set(None)
    assert value(predictor, "tandem_ready") == 1
    readiness.stop()
    assert value(predictor, "tandem_ready") == 0


@pytest.mark.parametrize("reason", ["in_flight", "queue_full"])
def test_rejections_are_zero_and_not_absent_from_the_start(predictor, reason):
    assert value(predictor, "tandem_rejected_total", reason=reason) == 0


def test_a_models_children_are_those_of_the_predictors_metrics(predictor):
    model = predictor.for_model("digits")
    model.queue_seconds.observe(0.2)
    model.batch_rows.observe(4)
    model.inference_seconds.observe(0.1)
    model.queue_rows.set(3)
    model.queue_full.inc()
    assert value(predictor, "tandem_queue_seconds_sum", model_name="digits") == 0.2
    assert value(predictor, "tandem_batch_rows_bucket", model_name="digits", le="4.0") == 1
    assert value(predictor, "tandem_batch_rows_bucket", model_name="digits", le="3.0") == 0
    assert value(predictor, "tandem_inference_seconds_count", model_name="digits") == 1
    assert value(predictor, "tandem_queue_rows", model_name="digits") == 3
    assert value(predictor, "tandem_rejected_total", reason="queue_full") == 1


@pytest.mark.parametrize("buckets", [SECONDS, ROWS])
def test_buckets_rise(buckets):
    assert list(buckets) == sorted(set(buckets))


def test_the_buckets_of_seconds_contain_kserves_own():
    kserve = {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0}
    assert kserve <= set(SECONDS)


async def test_an_answer_goes_out_before_it_is_counted_and_is_counted_before_anybody_can_look():
    happened = []
    writer, reader = socket.socketpair()
    with writer, reader:
        reader.setblocking(False)
        looking = asyncio.ensure_future(asyncio.get_running_loop().sock_recv(reader, 1))
        await asyncio.sleep(0)
        afterwards(happened.append, "counted")
        writer.send(b"x")
        happened.append("answered")
        await looking
        happened.append("seen")
    assert happened == ["answered", "counted", "seen"]


def test_the_timers_of_an_author_are_counted_by_name_up_to_a_limit(transformer, caplog):
    counted = StepSeconds(transformer.step_seconds, "m")
    for index in range(MOST_STEPS + 3):
        timings = Timings()
        timings.steps.add(f"s{index}")
        timings.add(f"s{index}", 0.5)
        counted.count(timings)
        counted.count(timings)
    names = {
        sample.labels["step"]
        for sample in families(transformer)["tandem_step_seconds"].samples
        if sample.name == "tandem_step_seconds_count"
    }
    assert names == {f"s{index}" for index in range(MOST_STEPS)} | {"other"}
    assert value(transformer, "tandem_step_seconds_sum", model_name="m", step="s0") == 1.0
    assert value(transformer, "tandem_step_seconds_count", model_name="m", step="other") == 6
    assert len(caplog.records) == 1
