"""Raw bytes and typed values as arrays."""

import math

import numpy as np
import pytest
from hypothesis import given
from shared.strategies import QUICK, same, tensors
from tandem.errors import Internal, InvalidInput
from tandem.tensors import (
    DTYPES,
    as_bytes,
    count_of,
    datatype_of,
    decode_raw,
    decode_values,
    dtype_of,
    encode_raw,
    narrow,
    objects,
)

INTEGERS = [name for name, dtype in DTYPES.items() if dtype.kind in "iu"]
NUMBERS = [name for name in DTYPES if name not in {"BOOL", "BYTES"}]
WIRE = [  # the protocol's own words: little-endian, no padding, BYTES with a uint32 length before each element
    ("BOOL", [True, False], b"\x01\x00"),
    ("UINT8", [1, 255], b"\x01\xff"),
    ("UINT16", [258], b"\x02\x01"),
    ("UINT32", [258], b"\x02\x01\x00\x00"),
    ("UINT64", [2**64 - 1], b"\xff" * 8),
    ("INT8", [-2], b"\xfe"),
    ("INT16", [-2], b"\xfe\xff"),
    ("INT32", [-2], b"\xfe\xff\xff\xff"),
    ("INT64", [-(2**63)], b"\x00" * 7 + b"\x80"),
    ("FP16", [1.0], b"\x00\x3c"),
    ("BF16", [1.0], b"\x80\x3f"),
    ("FP32", [1.0], b"\x00\x00\x80\x3f"),
    ("FP64", [1.0], b"\x00" * 6 + b"\xf0\x3f"),
    ("BYTES", [b"ab", b""], b"\x02\x00\x00\x00ab\x00\x00\x00\x00"),
]


def limits(datatype):
    info = np.iinfo(DTYPES[datatype])
    return int(info.min), int(info.max)


@QUICK
@given(tensors())
def test_raw_bytes_come_back_as_the_same_tensor(tensor):
    datatype, array = tensor
    assert same(decode_raw("x", datatype, array.shape, encode_raw(array)), array)


@pytest.mark.parametrize(("datatype", "values", "raw"), WIRE, ids=[row[0] for row in WIRE])
def test_raw_bytes_are_those_of_the_protocol(datatype, values, raw):
    array = np.array(values, DTYPES[datatype])
    assert encode_raw(array) == raw
    assert same(decode_raw("x", datatype, [len(values)], raw), array)


def test_the_table_of_wire_bytes_has_every_datatype():
    assert {row[0] for row in WIRE} == set(DTYPES)


@pytest.mark.parametrize("datatype", list(DTYPES))
def test_a_transposed_array_is_written_row_by_row(datatype):
    rows = np.array([[b"a", b"b"], [b"c", b"d"]], object) if datatype == "BYTES" else np.array([[0, 1], [1, 0]])
    array = rows.astype(DTYPES[datatype])
    assert encode_raw(array.T) == encode_raw(array.T.copy())


@pytest.mark.parametrize("datatype", NUMBERS)
def test_a_decoded_tensor_is_a_read_only_view_of_what_came_in(datatype):
    raw = bytes(range(DTYPES[datatype].itemsize * 3))
    array = decode_raw("x", datatype, [3], raw)
    assert np.shares_memory(array, np.frombuffer(raw, np.uint8))
    assert not array.flags.writeable


@pytest.mark.parametrize("datatype", list(DTYPES))
def test_a_tensor_may_start_at_any_byte_of_a_body(datatype):
    array = objects([b"a", b"bc"]) if datatype == "BYTES" else np.array([1, 0], DTYPES[datatype])
    body = memoryview(b"{" + encode_raw(array))
    assert same(decode_raw("x", datatype, [2], body[1:]), array)


@pytest.mark.parametrize("datatype", list(DTYPES))
def test_each_datatype_has_a_dtype_and_back(datatype):
    assert datatype_of(dtype_of("x", datatype)) == datatype


@pytest.mark.parametrize("dtype", ["longlong", "ulonglong", "intc", "double"])
def test_another_name_of_the_same_dtype_has_its_datatype(dtype):
    assert np.dtype(dtype) == DTYPES[datatype_of(np.dtype(dtype))]


@pytest.mark.parametrize("dtype", ["U3", "S3", "complex64", "M8[s]", ">f4", "longdouble"])
def test_an_array_that_the_protocol_cannot_say_is_an_internal_error_naming_its_dtype(dtype):
    with pytest.raises(Internal, match="has no datatype in the protocol") as failed:
        datatype_of(np.dtype(dtype))
    assert str(np.dtype(dtype)) in failed.value.message


@pytest.mark.parametrize("datatype", ["fp32", "FP8", "STRING", "", "x" * 500])
def test_an_unknown_datatype_is_refused_with_the_known_ones(datatype):
    with pytest.raises(InvalidInput) as refused:
        dtype_of("pixels", datatype)
    assert "tensor 'pixels'" in refused.value.message
    assert f"'{datatype[:20]}', expected one of BOOL" in refused.value.message
    assert all(name in refused.value.message for name in DTYPES)
    assert len(refused.value.message) < 300


@pytest.mark.parametrize(("shape", "count"), [([], 1), ([0], 0), ([3, 0, 2], 0), ([3, 4], 12), ([1] * 32, 1)])
def test_a_shape_has_the_product_of_its_dimensions(shape, count):
    assert count_of("x", shape) == count


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        ([-1], "shape [-1] has a negative dimension"),
        ([2, -3, 4], "shape [2, -3, 4] has a negative dimension"),
        ([2**41], f"shape [{2**41}] is too large"),
        ([2**32, 2**32], f"shape [{2**32}, {2**32}] is too large"),
        ([1] * 33, "the shape has 33 dimensions, at most 32"),
    ],
)
def test_a_shape_that_no_message_can_fill_is_refused(shape, why):
    with pytest.raises(InvalidInput) as refused:
        count_of("pixels", shape)
    assert refused.value.message.startswith("tensor 'pixels': ")
    assert why in refused.value.message


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "why"),
    [
        ("FP32", [2, 3], b"\0" * 20, "20 bytes of data, expected 24 for FP32 [2, 3]"),
        ("FP32", [2, 3], b"\0" * 28, "28 bytes of data, expected 24 for FP32 [2, 3]"),
        ("INT64", [], b"", "0 bytes of data, expected 8 for INT64 []"),
        ("FP16", [0], b"\0", "1 bytes of data, expected 0 for FP16 [0]"),
        ("BYTES", [2], b"\0" * 4, "4 bytes of data, too few for 2 BYTES elements"),
        ("BYTES", [1], b"\x05\0\0\0abcd", "BYTES element 0 of 1 reaches past the end of the data"),
        ("BYTES", [2], b"\x04\0\0\0aaaa", "BYTES element 1 of 2 reaches past the end of the data"),
        ("BYTES", [1], b"\xff\xff\xff\xffa", "BYTES element 0 of 1 reaches past the end of the data"),
        ("BYTES", [1], b"\x01\0\0\0abc", "2 bytes left after 1 BYTES elements"),
        ("BYTES", [0], b"\0\0\0\0", "4 bytes left after 0 BYTES elements"),
        ("BYTES", [2**40], b"", f"0 bytes of data, too few for {2**40} BYTES elements"),
    ],
)
def test_raw_bytes_of_another_size_are_refused_with_both_sizes(datatype, shape, raw, why):
    with pytest.raises(InvalidInput) as refused:
        decode_raw("pixels", datatype, shape, raw)
    assert refused.value.message == f"tensor 'pixels': {why}"


@pytest.mark.parametrize("datatype", INTEGERS)
def test_typed_integers_keep_both_ends_of_their_range(datatype):
    least, most = limits(datatype)
    assert decode_values("x", datatype, [2], [least, most]).tolist() == [least, most]


@pytest.mark.parametrize("datatype", [name for name in INTEGERS if "64" not in name])
def test_an_integer_out_of_range_is_refused_by_its_value(datatype):
    least, most = limits(datatype)
    for wrong in {most + 1, least - 1} - {-1}:  # the wire's unsigned fields hold no negative number
        with pytest.raises(InvalidInput) as refused:
            decode_values("pixels", datatype, [2], [0, wrong])
        assert refused.value.message == f"tensor 'pixels': {wrong} is out of range for {datatype}"


@pytest.mark.parametrize("datatype", ["BOOL", "INT8", "FP32", "BYTES"])
def test_another_count_of_typed_values_is_refused_with_both_counts(datatype):
    with pytest.raises(InvalidInput) as refused:
        decode_values("pixels", datatype, [2, 2], [0, 0, 0])
    assert refused.value.message == "tensor 'pixels': 3 elements, expected 4 for shape [2, 2]"


def test_one_typed_value_makes_a_scalar():
    assert same(decode_values("x", "FP32", [], [1.5]), np.array(1.5, "f4"))


def test_floats_are_rounded_to_nearest_and_to_infinity_without_a_warning():
    assert narrow("x", "FP16", np.array([1 + 2**-11 + 2**-40, 1e9])).tolist() == [1 + 2**-10, math.inf]


def test_text_among_bytes_becomes_utf8():
    assert encode_raw(np.array(["é", b"a"], object)) == b"\x02\0\0\0\xc3\xa9\x01\0\0\0a"


@pytest.mark.parametrize("element", [None, 5, bytearray(b"a"), ["a"]])
def test_an_element_that_is_no_bytes_is_an_internal_error_naming_its_type(element):
    with pytest.raises(Internal, match=f"is {type(element).__name__}, expected bytes"):
        as_bytes(element)
