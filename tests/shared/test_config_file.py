"""config.pbtxt: what is read, what is refused by name, what is only told."""

from __future__ import annotations

import pytest
from tandem.codec.config_file import decode
from tandem.errors import InvalidInput
from tandem.metadata import TensorSpec
from tandem.model.config import Batching, InstanceGroup, VersionPolicy


def test_what_tandem_serves_is_read():
    declared, warnings = decode("""
        name: "net" platform: "onnxruntime_onnx" max_batch_size: 8 default_model_filename: "net.onnx"
        input [{ name: "x" data_type: TYPE_FP32 format: FORMAT_NONE dims: [ 64 ] reshape { shape: [ 8, 8 ] } }]
        output [{ name: "y" data_type: TYPE_STRING dims: [ 1 ] label_filename: "labels.txt" }]
        dynamic_batching { max_queue_delay_microseconds: 100 default_queue_policy { max_queue_size: 9 } }
        instance_group [{ count: 2 kind: KIND_CPU }]
        parameters { key: "a" value { string_value: "b" } }
    """)
    assert (declared.name, declared.max_batch_size, declared.filename) == ("net", 8, "net.onnx")
    assert declared.inputs == (TensorSpec("x", "FP32", (64,)),)
    assert declared.outputs == (TensorSpec("y", "BYTES", (1,)),)
    assert (declared.reshapes, declared.label_files) == ({"x": (8, 8)}, {"y": "labels.txt"})
    assert declared.batching == Batching(max_queue_delay_us=100, max_queue_size=9)
    assert declared.instances == (InstanceGroup("KIND_CPU", 2),)
    assert (declared.versions, declared.parameters) == (VersionPolicy(1), {"a": "b"})
    assert warnings == ["format is not known to Tandem and has no effect"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('ensemble_scheduling { step [{ model_name: "pre" }] }', "ensemble_scheduling is not served"),
        ('platform: "ensemble"', "platform 'ensemble' is not served"),
        ("sequence_batching { max_sequence_idle_microseconds: 5 }", "sequence_batching is not served"),
        ('backend: "tensorrt"', "backend 'tensorrt' is not served by Tandem, only onnxruntime, pytorch and python"),
        ("model_transaction_policy { decoupled: true }", "decoupled is not served"),
        ("max_batch_size: -1", "max_batch_size is -1"),
        ("max_batch_size: many", "Couldn't parse integer: many"),
        ('input [{ name: "x" dims: [ 1 ] }]', "'x' has no data_type"),
        ('input [{ name: "x" data_type: TYPE_FP32 }]', "'x' has no dims"),
        ("version_policy { specific { } }", "version_policy.specific"),
        ("name: ", "1:7"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(text: str, problem: str):
    with pytest.raises(InvalidInput) as raised:
        decode(text)
    assert problem in raised.value.message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("dynamic_batching { preferred_batch_size: [ 4 ] }", "preferred_batch_size"),
        ("dynamic_batching { default_queue_policy { default_timeout_microseconds: 9 } }", "default_timeout"),
        ("instance_group [{ kind: KIND_MODEL }]", "KIND_MODEL"),
        ("instance_group [{ kind: KIND_GPU gpus: [ 0, 1 ] }]", "gpus"),
        ('optimization { execution_accelerators { gpu_execution_accelerator: [{ name: "x" }] } }', "optimization"),
        ('model_warmup [{ name: "a" inputs { key: "x" value: { dims: [ 1, 2 ] zero_data: true } } }]', "model_warmup"),
        ('metric_tags { key: "}" value: "a" "b" }; name: "net" # }', "metric_tags"),
        ("response_cache < enable: true >, max_batch_size: 4", "response_cache"),
    ],
)
def test_what_has_no_effect_is_told(text: str, told: str):
    (warning,) = decode(text)[1]
    assert told in warning


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        ("", [10]),
        ("version_policy { latest { num_versions: 2 } }", [3, 10]),
        ("version_policy { all { } }", [1, 3, 10]),
        ("version_policy { specific { versions: [ 1, 10, 11 ] } }", [1, 10]),
    ],
)
def test_the_policy_chooses_the_versions_and_the_newest_is_the_default(policy: str, chosen: list[int]):
    assert decode(policy)[0].versions.choose([10, 1, 3]) == chosen


def test_an_error_keeps_its_line_behind_what_is_passed_over():
    with pytest.raises(InvalidInput, match=r"^4:"):
        decode("optimization {\n graph { level: 1 }\n}\nmax_batch_size: many")


@pytest.mark.parametrize("text", ["optimization {", "optimization [{", "}", "]:", 'a: "', "name", "a b c", "[x]: 1"])
def test_what_is_malformed_is_refused(text: str):
    with pytest.raises(InvalidInput):
        decode(f'name: "net"\n{text}')


def test_what_is_nested_too_deeply_is_refused_in_one_line():
    with pytest.raises(InvalidInput, match="nested too deeply"):
        decode("x " + "{ x " * 20_000)
