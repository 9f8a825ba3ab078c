"""Configuration, statistics and index: the message and the JSON say the same."""

from __future__ import annotations

import pytest
from google.protobuf.json_format import MessageToDict
from tandem.codec import management
from tandem.errors import InvalidInput
from tandem.metadata import TensorSpec
from tandem.model.config import ModelConfig, ModelIndex
from tandem.model.statistics import ModelStatistics, Statistics
from tandem.tensors import DTYPES
from tandem.timings import Timings


def as_dict(message):
    """A message with every field, its 64-bit numbers as numbers."""
    return numbers(MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True))


def numbers(value):
    if isinstance(value, dict):
        return {key: numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [numbers(item) for item in value]
    return int(value) if isinstance(value, str) and value.lstrip("-").isdigit() else value


def config(**more):
    given = {"max_batch_size": 4, "max_queue_delay_us": 250, "backend": "onnxruntime"} | more
    inputs = [TensorSpec("x", "FP32", (-1, 3, 224)), TensorSpec("t", "BYTES", (-1,))]
    return ModelConfig(name="m", platform="onnx", inputs=inputs, outputs=[TensorSpec("y", "BF16", (-1, 2))], **given)


@pytest.mark.parametrize("rows", [0, 4])
def test_the_configuration_is_the_same_as_message_and_as_json(rows):
    document = management.config_document(config(max_batch_size=rows))
    assert as_dict(management.config_message(config(max_batch_size=rows))) == document
    assert ("dynamic_batching" in document) == bool(rows)


def test_the_batch_dimension_is_left_out_where_the_model_batches():
    document = management.config_document(config())
    assert [tensor["dims"] for tensor in document["input"]] == [[3, 224], [1]]
    assert document["input"][1]["data_type"] == "TYPE_STRING"


@pytest.mark.parametrize("datatype", DTYPES)
def test_every_datatype_has_a_number_in_the_configuration(datatype):
    one = ModelConfig("m", "", "", 0, 0, [TensorSpec("x", datatype, (1,))], [])
    assert as_dict(management.config_message(one)) == management.config_document(one)


def test_statistics_are_the_same_as_message_and_as_json():
    counts = Statistics()
    timings = Timings()
    timings.add("queue", 0.25)
    timings.add("inference", 0.5)
    counts.request(1.0, timings, rows=2, success=True)
    counts.request(1.0, timings, rows=2, success=False)
    counts.batch(2, 0.125, 0.5)
    counts.batch(1, 0.125, 0.5)
    document = numbers(ModelStatistics("m", "3", counts).document())
    assert as_dict(management.statistics_message([ModelStatistics("m", "3", counts)])) == {"model_stats": [document]}
    assert document["inference_stats"]["queue"] == {"count": 1, "ns": 250_000_000}


def test_the_index_is_the_same_as_message_and_as_json():
    models = [ModelIndex("a", "1", ready=True), ModelIndex("b", "2", ready=False, reason="unloaded")]
    document = numbers(management.index_document(models))
    assert as_dict(management.index_message(models))["models"] == [document[0] | {"reason": ""}, document[1]]


@pytest.mark.parametrize("name", ["config", "file:1/model.onnx"])
def test_a_load_that_brings_its_own_model_is_refused(name):
    with pytest.raises(InvalidInput, match=name):
        management.refuse_overrides([name])


def test_other_parameters_of_a_load_are_let_pass():
    management.refuse_overrides(["unload_dependents"])
