"""Configuration, statistics and index: the message and the JSON say the same."""

from __future__ import annotations

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from tandem.codec import config_file, management
from tandem.errors import InvalidInput
from tandem.metadata import TensorSpec
from tandem.model.config import ModelConfig, ModelIndex
from tandem.model.statistics import ModelStatistics, Statistics
from tandem.oip import model_config_pb2 as pb
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


FILE = """
name: "m" max_batch_size: 8 default_model_filename: "net.onnx"
input [{ name: "x" data_type: TYPE_FP32 dims: [ 3, 224 ] reshape { shape: [ 672 ] } }]
input [{ name: "t" data_type: TYPE_STRING dims: [ 1 ] reshape { shape: [ ] } }]
output [{ name: "y" data_type: TYPE_BF16 dims: [ 2 ] label_filename: "labels.txt" }]
dynamic_batching {
  preferred_batch_size: [ 4, 8 ] priority_levels: 3 default_priority_level: 2
  default_queue_policy { max_queue_size: 9 }
}
instance_group [{ count: 2 kind: KIND_CPU }, { count: 1 kind: KIND_GPU gpus: [ 0 ] }]
version_policy { specific { versions: [ 1, 3 ] } }
parameters { key: "threads" value { string_value: "2" } }
"""


@pytest.mark.parametrize("rows", [0, 4])
@pytest.mark.parametrize("file", ["", FILE], ids=["no file", "config.pbtxt"])
def test_the_configuration_is_the_same_as_message_and_as_json(rows, file):
    declared = config_file.decode(file)[0] if file else None
    shown = config(max_batch_size=rows, declared=declared)
    document = management.config_document(shown)
    assert ParseDict(document, pb.ModelConfig()) == management.config_message(shown)
    assert ("dynamic_batching" in document) == bool(rows)
    assert ("version_policy" in document) == bool(file)


def test_the_batch_dimension_is_left_out_where_the_model_batches():
    document = management.config_document(config())
    assert [tensor["dims"] for tensor in document["input"]] == [[3, 224], [1]]
    assert document["input"][1]["data_type"] == "TYPE_STRING"


@pytest.mark.parametrize("datatype", DTYPES)
def test_every_datatype_has_a_number_in_the_configuration(datatype):
    one = ModelConfig("m", "", "", 0, 0, [TensorSpec("x", datatype, (1,))], [])
    assert ParseDict(management.config_document(one), pb.ModelConfig()) == management.config_message(one)


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
