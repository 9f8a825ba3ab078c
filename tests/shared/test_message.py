"""The gRPC messages and the values that they stand for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared.strategies import QUICK, maps, names, parameters, same, same_maps, words
from tandem.codec import wire
from tandem.codec.message import (
    FIELDS,
    decode_metadata,
    decode_request,
    decode_response,
    encode_metadata,
    encode_request,
    encode_response,
)
from tandem.errors import Internal, InvalidInput
from tandem.inference import InferRequest, InferResponse, RequestedOutput
from tandem.metadata import ModelMetadata, TensorSpec
from tandem.oip import inference_pb2 as pb
from tandem.tensors import DTYPES

outputs_asked = st.lists(
    st.builds(RequestedOutput, names, parameters), max_size=3, unique_by=lambda output: output.name
)
dimensions = st.lists(st.integers(-1, 2**40), max_size=4).map(tuple)
specs = st.lists(st.builds(TensorSpec, words, st.sampled_from(list(DTYPES)), dimensions), max_size=3).map(tuple)


def over_the_wire(message):
    return type(message).FromString(message.SerializeToString())


def decode(message):
    return decode_request(wire.decode_request(message.SerializeToString()))


@QUICK
@given(st.builds(InferRequest, words, words, maps(), words, outputs_asked.map(tuple), parameters))
def test_a_request_arrives_as_it_was_sent(sent):
    arrived = decode_request(wire.decode_request(wire.encode_request(encode_request(sent))))
    assert same_maps(arrived.inputs, sent.inputs)
    assert (arrived.model_name, arrived.model_version, arrived.id) == (sent.model_name, sent.model_version, sent.id)
    assert (arrived.parameters, arrived.outputs) == (sent.parameters, sent.outputs)
    assert arrived.raw
    assert arrived.output_names == tuple(output.name for output in sent.outputs)


@QUICK
@given(st.builds(InferResponse, words, words, maps(), words, parameters), st.booleans())
def test_a_response_arrives_as_it_was_sent_raw_or_typed(response, raw):
    frame = wire.decode_response(wire.encode_response(encode_response(response, raw=raw)))
    assert bool(frame.raw) <= bool(response.outputs)
    arrived = decode_response(frame)
    assert same_maps(arrived.outputs, response.outputs)
    assert (arrived.id, arrived.parameters) == (response.id, response.parameters)
    assert (arrived.model_name, arrived.model_version) == (response.model_name, response.model_version)


@QUICK
@given(st.builds(ModelMetadata, words, st.lists(words).map(tuple), words, specs, specs, st.dictionaries(words, words)))
def test_metadata_arrives_as_it_was_sent(metadata):
    assert decode_metadata(over_the_wire(encode_metadata(metadata))) == metadata


@pytest.mark.parametrize("datatype", FIELDS)
def test_an_answer_that_was_asked_for_in_typed_fields_is_in_its_own_field(datatype):
    array = np.array([b"a"], object) if datatype == "BYTES" else np.ones(1, DTYPES[datatype])
    message = wire.whole_response(encode_response(InferResponse("m", "1", {"y": array}), raw=False))
    assert not message.raw_output_contents
    assert [field.name for field, _ in message.outputs[0].contents.ListFields()] == [FIELDS[datatype]]


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_one_tensor_without_a_typed_field_makes_the_whole_answer_raw(datatype):
    outputs = {"labels": np.array([b"cat"], object), "scores": np.ones(2, DTYPES[datatype])}
    message = wire.whole_response(encode_response(InferResponse("m", "1", outputs), raw=False))
    assert list(message.raw_output_contents) == [b"\x03\0\0\0cat", outputs["scores"].tobytes()]
    assert not any(output.HasField("contents") for output in message.outputs)


def test_only_the_two_half_floats_have_no_typed_field():
    assert set(DTYPES) - set(FIELDS) == {"FP16", "BF16"}


def test_typed_contents_are_told_from_raw_ones():
    message = pb.ModelInferRequest(model_name="m", inputs=[tensor("FP32", [2], fp32_contents=[1, 2])])
    request = decode(message)
    assert not request.raw
    assert same(request.inputs["pixels"], np.array([1, 2], "f4"))


def test_a_raw_tensor_without_an_element_is_still_raw():
    assert decode(pb.ModelInferRequest(inputs=[tensor("FP32", [0])], raw_input_contents=[b""])).raw


def test_a_parameter_without_a_value_is_left_out():
    message = pb.ModelInferRequest(
        inputs=[tensor("FP32", [0])], parameters={"a": pb.InferParameter(), "b": pb.InferParameter(bool_param=False)}
    )
    assert decode(message).parameters == {"b": False}


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (True, "bool_param"),
        (-1, "int64_param"),
        (2**63 - 1, "int64_param"),
        (2**63, "uint64_param"),
        (0.5, "double_param"),
        ("", "string_param"),
    ],
)
def test_a_parameter_goes_in_the_field_of_its_type(value, field):
    message = encode_request(InferRequest("m", "", {"x": np.zeros(1, "f4")}, parameters={"key": value})).message
    assert message.parameters["key"].WhichOneof("parameter_choice") == field


def tensor(datatype, shape, name="pixels", **contents):
    made = pb.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape)
    if contents:
        made.contents.CopyFrom(pb.InferTensorContents(**contents))
    return made


REFUSED = [
    ([], [], "the request has no inputs"),
    ([tensor("FP32", [1]), tensor("FP32", [1])], [], "input 'pixels' is given twice"),
    ([tensor("FP32", [1])], [b"\0" * 4] * 2, "raw_input_contents has 2 entries, expected 1"),
    ([tensor("FP32", [1]), tensor("FP32", [1], "b")], [b"\0" * 4], "raw_input_contents has 1 entries, expected 2"),
    (
        [tensor("FP32", [1], fp32_contents=[1])],
        [b"\0" * 4],
        "tensor 'pixels': both contents and raw_input_contents are given",
    ),
    ([tensor("FP32", [2])], [b"\0" * 4], "tensor 'pixels': 4 bytes of data, expected 8 for FP32 [2]"),
    (
        [tensor("FP32", [1], fp64_contents=[1])],
        [],
        "tensor 'pixels': FP32 is given in fp64_contents, expected fp32_contents",
    ),
    (
        [tensor("INT64", [1], int64_contents=[1], int_contents=[1])],
        [],
        "tensor 'pixels': INT64 is given in int_contents, expected int64_contents",
    ),
    ([tensor("FP32", [2], fp32_contents=[1])], [], "tensor 'pixels': 1 elements, expected 2 for shape [2]"),
    ([tensor("FP32", [1])], [], "tensor 'pixels': 0 elements, expected 1 for shape [1]"),
    ([tensor("INT8", [1], int_contents=[300])], [], "tensor 'pixels': 300 is out of range for INT8"),
    ([tensor("UINT16", [1], uint_contents=[65536])], [], "tensor 'pixels': 65536 is out of range for UINT16"),
    ([tensor("BF16", [1], fp32_contents=[1])], [], "tensor 'pixels': BF16 travels only as raw_input_contents"),
    ([tensor("fp32", [1], fp32_contents=[1])], [], "tensor 'pixels': unknown datatype 'fp32', expected one of BOOL"),
    ([tensor("FP32", [-1], fp32_contents=[1])], [], "tensor 'pixels': shape [-1] has a negative dimension"),
]


@pytest.mark.parametrize(("inputs", "raw", "why"), REFUSED, ids=[row[2] for row in REFUSED])
def test_a_request_against_the_protocol_is_refused(inputs, raw, why):
    with pytest.raises(InvalidInput) as refused:
        decode(pb.ModelInferRequest(inputs=inputs, raw_input_contents=raw))
    assert refused.value.message.startswith(why)


def test_an_output_that_is_asked_for_twice_is_refused():
    asked = [pb.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in ("a", "labels", "labels")]
    with pytest.raises(InvalidInput, match="output 'labels' is given twice"):
        decode(pb.ModelInferRequest(inputs=[tensor("FP32", [0])], outputs=asked))


def test_a_predictor_that_breaks_the_protocol_is_an_internal_error_naming_the_tensor():
    outputs = [pb.ModelInferResponse.InferOutputTensor(name="scores", datatype="FP32", shape=[2])]
    answer = pb.ModelInferResponse(outputs=outputs, raw_output_contents=[b"\0" * 4])
    with pytest.raises(Internal, match="breaks the protocol: tensor 'scores': 4 bytes of data, expected 8"):
        decode_response(wire.decode_response(answer.SerializeToString()))


def test_typed_inputs_are_read_only_as_raw_ones_are():
    message = pb.ModelInferRequest(inputs=[tensor("FP32", [1], fp32_contents=[1])])
    assert not decode(message).inputs["pixels"].flags.writeable
