"""The way of a request through preprocess, predictor and postprocess."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from tandem.errors import Internal, InvalidInput, NotFound, Overloaded, TandemError, Unavailable
from tandem.inference import Arrays, InferRequest, RequestedOutput
from tandem.metadata import TensorSpec
from tandem.metrics import TransformerMetrics
from tandem.tensors import objects
from tandem_transformer import Transformer
from tandem_transformer.pipeline import Pipeline
from transformer.fakes import FakePredictor, call, model

X = np.float32([1, 2, 3])
SPEC = TensorSpec("x", "FP32", (-1,))
MODEL = model(SPEC, outputs=(TensorSpec("y", "FP32", (-1,)),), versions=("1", "2"))


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


class Doubling(Transformer):
    """Declares its tensors, doubles what goes in and adds a sum to what comes out."""

    inputs = (SPEC,)
    outputs = (TensorSpec("x", "FP32", (-1,)), TensorSpec("sum", "FP32", ()))

    def __init__(self) -> None:
        self.contexts: list[object] = []
        self.closed = 0

    def preprocess(self, inputs, context):
        self.contexts.append(context)
        return {"x": inputs["x"] * 2}

    async def postprocess(self, outputs, context):
        self.contexts.append(context)
        return {**outputs, "sum": np.array(outputs["x"].sum())}

    def close(self) -> None:
        self.closed += 1


class Undeclared(Doubling):
    inputs = ()


class Bench:
    """A pipeline, what is behind it and what it counts."""

    def __init__(
        self, executor: ThreadPoolExecutor, transformer: Transformer | None, predictor: FakePredictor | None = None
    ) -> None:
        self.predictor = predictor or FakePredictor()
        self.registry = CollectorRegistry()
        self.pipeline = Pipeline("m", self.predictor, executor, TransformerMetrics(self.registry, "0"))
        self.call = call()
        if transformer:
            self.pipeline.fit(transformer, MODEL)

    async def infer(self, inputs: Arrays | None = None, outputs: tuple[str, ...] = (), name: str = "m", **more):
        requested = tuple(RequestedOutput(output, {"binary_data": True}) for output in outputs)
        request = InferRequest(name, "", {"x": X} if inputs is None else inputs, outputs=requested, **more)
        try:
            return await self.pipeline.infer(request, self.call)
        finally:
            await asyncio.sleep(0)  # what was done is counted after the answer

    def count(self, name: str, labels: Mapping[str, str] | None = None) -> float:
        return self.registry.get_sample_value(name, labels or {"model_name": "m"}) or 0.0


async def test_a_request_passes_preprocess_predictor_and_postprocess(executor):
    bench = Bench(executor, Doubling())
    answer = await bench.infer(parameters={"p": 1.5})
    (asked,) = bench.predictor.asked
    assert (asked.model_name, asked.id, dict(asked.parameters)) == ("m", "id-1", {"p": 1.5})
    assert asked.inputs["x"].tolist() == [2, 4, 6]
    assert {name: array.tolist() for name, array in answer.outputs.items()} == {"x": [2, 4, 6], "sum": 12}
    assert (answer.model_name, answer.model_version, answer.id) == ("m", "7", "id-1")
    assert answer.parameters == {"from": "predictor"}


async def test_the_author_sees_the_request_around_the_tensors(executor):
    transformer = Doubling()
    bench = Bench(executor, transformer)
    bench.call = call("my id", seconds=60, headers={"accept-language": "de"})
    await bench.infer(parameters={"p": "v"})
    for context in transformer.contexts:
        assert (context.id, context.model_name, context.headers) == ("my id", "m", {"accept-language": "de"})
        assert (context.parameters, context.deadline) == ({"p": "v"}, bench.call.deadline)
    assert len(transformer.contexts) == 2


@pytest.mark.parametrize("name", ["", "M", "other", "m" * 1000, "käse"])
async def test_an_unknown_model_is_not_found_and_never_reaches_the_predictor(executor, name):
    bench = Bench(executor, Doubling())
    with pytest.raises(NotFound, match=r"is not found; this server holds: m$") as caught:
        await bench.infer(name=name)
    assert len(caught.value.message) < 200
    with pytest.raises(NotFound):
        bench.pipeline.model_ready(name, "")
    with pytest.raises(NotFound):
        await bench.pipeline.metadata(name, "")
    assert not bench.predictor.asked


@pytest.mark.parametrize(("version", "known"), [("", True), ("1", True), ("2", True), ("3", False), ("03", False)])
async def test_a_version_is_one_of_the_predictors(executor, version, known):
    pipeline = Bench(executor, Doubling()).pipeline
    if known:
        assert pipeline.model_ready("m", version)
        assert (await pipeline.metadata("m", version)).versions == ("1", "2")
    else:
        with pytest.raises(NotFound, match=f"^version '{version}' of model 'm' is not found$"):
            await pipeline.metadata("m", version)


async def test_before_the_predictor_was_met_nothing_is_ready(executor):
    bench = Bench(executor, None)
    assert not bench.pipeline.model_ready("m", "")
    assert list(bench.pipeline.models()) == ["m"]
    for attempt in (bench.infer(), bench.pipeline.metadata("m", "")):
        with pytest.raises(Unavailable, match=r"^not ready") as caught:
            await attempt
        assert (caught.value.http_status, caught.value.retry_after) == (503, 1)


async def test_a_single_input_may_have_any_name_and_a_scalar_is_a_vector_of_one(executor):
    bench = Bench(executor, Doubling())
    assert (await bench.infer({"image": np.array(4, np.float32)})).outputs["x"].tolist() == [8]
    assert list(bench.predictor.asked[0].inputs) == ["x"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": X, "z": X}, "unknown input 'z'; the model's inputs are: x"),
        ({}, "input 'x' is missing; the model's inputs are: x"),
        ({"x": X.astype(np.float64)}, "input 'x': datatype is FP64, expected FP32"),
        ({"q": objects([b"a"])}, "input 'x': datatype is BYTES, expected FP32"),
        ({"x": X.reshape(1, 3)}, "input 'x': shape is [1, 3], expected [-1]"),
    ],
)
async def test_inputs_that_do_not_fit_the_declared_ones_are_refused_before_any_work(executor, inputs, message):
    transformer = Doubling()
    bench = Bench(executor, transformer)
    with pytest.raises(InvalidInput) as caught:
        await bench.infer(inputs)
    assert caught.value.message == message
    assert not transformer.contexts
    assert not bench.predictor.asked


async def test_a_single_input_of_another_name_reaches_preprocess_by_the_predictors_name(executor):
    assert (await Bench(executor, Undeclared()).infer({"image": X})).outputs["x"].tolist() == [2, 4, 6]


@pytest.mark.parametrize("inputs", [{"y": X, "z": X}, {"x": X.astype(np.float64)}, {"x": X.reshape(1, 3)}])
async def test_inputs_that_do_not_fit_the_predictors_are_refused_before_preprocess(executor, inputs):
    with pytest.raises(InvalidInput, match="input"):
        await Bench(executor, Undeclared()).infer(inputs)


@pytest.mark.parametrize("names", [("sum",), ("sum", "x"), ("x",)])
async def test_requested_outputs_come_alone_and_in_the_order_asked_for(executor, names):
    bench = Bench(executor, Doubling())
    assert tuple((await bench.infer(outputs=names)).outputs) == names
    assert bench.predictor.asked[0].outputs == ()  # postprocess may need what the caller does not want


async def test_an_unknown_requested_output_is_refused_naming_those_there_are(executor):
    with pytest.raises(InvalidInput, match=r"^unknown output 'z'; the model's outputs are: x, sum$"):
        await Bench(executor, Doubling()).infer(outputs=("x", "z"))


async def test_without_postprocess_the_wish_for_outputs_is_passed_on_to_the_predictor(executor):
    bench = Bench(executor, Transformer())
    await bench.infer(outputs=("x",))
    assert bench.predictor.asked[0].outputs == (RequestedOutput("x", {"binary_data": True}),)


async def test_inherited_methods_cost_nothing_not_even_a_phase(executor):
    bench = Bench(executor, Transformer())
    executor.shutdown()  # nobody may need it
    array = np.float32([5])
    assert (await bench.infer({"any": array})).outputs["any"] is array
    assert dict(bench.call.timings.items()) == {"hop": 0.25}
    assert bench.count("request_preprocess_seconds_count") == bench.count("request_postprocess_seconds_count") == 0


async def test_phases_and_metrics_show_one_request(executor):
    bench = Bench(executor, Doubling())
    await bench.infer()
    phases = dict(bench.call.timings.items())
    assert list(phases) == ["preprocess", "hop", "postprocess"]
    assert min(phases.values()) > 0
    for step in ("preprocess", "predict", "postprocess"):
        assert bench.count(f"request_{step}_seconds_count") == 1
        assert bench.count(f"request_{step}_seconds_sum") > 0
    assert bench.count("tandem_hop_total", {"transport": "socket"}) == 1
    assert bench.registry.get_sample_value("tandem_hop_seconds_sum") == 0.25


@pytest.mark.parametrize("error", [Overloaded("full"), InvalidInput("wrong"), Unavailable("gone"), NotFound("none")])
async def test_the_predictors_error_is_the_callers_error_and_is_timed(executor, error):
    bench = Bench(executor, Doubling(), FakePredictor(error=error))
    with pytest.raises(TandemError) as caught:
        await bench.infer()
    assert caught.value is error
    assert bench.count("request_predict_seconds_count") == bench.count("tandem_hop_total", {"transport": "socket"}) == 1
    assert bench.count("request_postprocess_seconds_count") == 0


async def test_a_failed_call_says_nothing_of_the_time_that_the_hop_takes(executor):
    bench = Bench(executor, Doubling(), FakePredictor(error=Unavailable("gone")))
    with pytest.raises(Unavailable):
        await bench.infer()
    assert bench.registry.get_sample_value("tandem_hop_seconds_count") == 0


async def test_metadata_is_the_transformers_where_it_declares_it_and_else_the_predictors(executor):
    declared = await Bench(executor, Doubling()).pipeline.metadata("m", "")
    assert (declared.inputs, declared.outputs) == ((SPEC,), Doubling.outputs)
    inherited = await Bench(executor, Transformer()).pipeline.metadata("m", "")
    assert (inherited.inputs, inherited.outputs, inherited.platform) == (MODEL.inputs, MODEL.outputs, "onnx")


async def test_a_new_transformer_takes_over_and_both_are_closed_at_the_end(executor):
    first, second = Doubling(), Doubling()
    bench = Bench(executor, first)
    bench.pipeline.fit(second, MODEL)
    await bench.infer()
    assert (len(first.contexts), len(second.contexts), first.closed) == (0, 2, 0)
    await bench.pipeline.close()
    assert (first.closed, second.closed) == (1, 1)


async def test_a_transformer_that_fails_to_close_does_not_keep_the_others_open(executor):
    class Stuck(Doubling):
        def close(self) -> None:
            raise OSError("busy")

    last = Doubling()
    bench = Bench(executor, Stuck())
    bench.pipeline.fit(last, MODEL)
    with suppress(OSError):  # whether it is told or only logged
        await bench.pipeline.close()
    assert last.closed == 1


class Returning(Transformer):
    """Returns what it is given, from the one method or the other."""

    def __init__(self, before=None, after=None):
        self.outputs = (TensorSpec("y", "FP32", (-1,)),) if after is not None else ()
        self.before, self.after = before, after

    def preprocess(self, inputs, context):
        return inputs if self.before is None else self.before

    def postprocess(self, outputs, context):
        return outputs if self.after is None else self.after


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        ({"z": X}, "returned no 'y', which Returning.outputs has; it returned: z"),
        ({}, "returned no 'y', which Returning.outputs has; it returned: nothing"),
        ({"y": X, "z": X}, "returned 'z', which is not among what Returning.outputs has: y"),
        (
            {"y": X.astype(float)},
            "returned 'y' as FP64 [3], expected FP32 [-1]; .astype(np.float32) makes it FP32",
        ),
        ({"y": X.reshape(3, 1)}, "returned 'y' as FP32 [3, 1], expected FP32 [-1]"),
        ({"y": X.astype(complex)}, "returned 'y': an array of dtype complex128 has no datatype in the protocol"),
    ],
)
async def test_a_postprocess_that_breaks_its_own_word_is_told_so(executor, caplog, returned, text):
    with pytest.raises(Internal) as caught:
        await Bench(executor, Returning(after=returned)).infer()
    assert caught.value.message == f"Returning.postprocess {text}"
    assert caught.value.message in caplog.text


async def test_a_preprocess_whose_result_the_predictor_refuses_is_to_blame_if_it_is_not_what_the_model_takes(
    executor, caplog
):
    predictor = FakePredictor(error=InvalidInput("input 'x': datatype is FP64, expected FP32"))
    with pytest.raises(Internal) as caught:
        await Bench(executor, Returning(before={"x": X.astype(float)}), predictor).infer()
    told = "Returning.preprocess returned 'x' as FP64 [3], expected FP32 [-1]; .astype(np.float32) makes it FP32"
    assert caught.value.message == told
    assert told in caplog.text


@pytest.mark.parametrize("before", [{"x": X}, {"any name": X}])
async def test_a_refusal_of_what_the_model_does_take_stays_the_callers(executor, before):
    predictor = FakePredictor(error=InvalidInput("too dark"))
    with pytest.raises(InvalidInput, match="too dark"):
        await Bench(executor, Returning(before=before), predictor).infer()


async def test_an_older_version_may_take_something_else(executor):
    predictor = FakePredictor(error=InvalidInput("too dark"))
    bench = Bench(executor, Returning(before={"x": X.astype(float)}), predictor)
    with pytest.raises(InvalidInput, match="too dark"):
        await bench.pipeline.infer(InferRequest("m", "1", {"x": X}), bench.call)


async def test_an_authors_timers_are_counted_once_a_request(executor):
    class Timed(Transformer):
        def preprocess(self, inputs, context):
            for _ in range(3):
                with context.timer("lookup"):
                    pass
            return inputs

    bench = Bench(executor, Timed())
    await bench.infer()
    assert bench.count("tandem_step_seconds_count", {"model_name": "m", "step": "lookup"}) == 1


async def test_an_async_close_is_awaited(executor):
    closed = asyncio.Event()

    class Polite(Transformer):
        async def close(self):
            closed.set()

    await Bench(executor, Polite()).pipeline.close()
    assert closed.is_set()
