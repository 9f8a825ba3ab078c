"""Shapes and names made to hurt: they are refused like any other mistake, soon and in few words."""

import pytest
from tandem.errors import InvalidInput
from tandem.tensors import count_of, decode_raw, decode_values

GRPC_TRAILER_LIMIT = 8192  # bytes of metadata, the status text among them, that a gRPC client takes by default


class CountedInteger(int):
    """An integer that counts how often it was multiplied."""

    products = 0

    def __rmul__(self, other):
        CountedInteger.products += 1
        return int(self) * other


def test_an_empty_tensor_may_have_a_large_other_dimension():
    assert decode_raw("x", "FP32", [0, 2**40], b"").shape == (0, 2**40)


@pytest.mark.parametrize("shape", [[0, 2**62], [2**62, 0, 2**62], [0, 2**63 - 1]])
@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
def test_an_overflow_beside_a_zero_is_refused_naming_the_tensor(datatype, shape):
    with pytest.raises(InvalidInput, match="tensor 'pixels'"):
        decode_raw("pixels", datatype, shape, b"")
    with pytest.raises(InvalidInput, match="tensor 'pixels'"):
        decode_values("pixels", datatype, shape, [])


def test_a_shape_of_too_many_dimensions_is_refused_before_their_product_is_made():
    CountedInteger.products = 0
    with pytest.raises(InvalidInput, match="tensor 'pixels'"):
        count_of("pixels", [CountedInteger(2**62)] * 2000)
    assert CountedInteger.products < 100  # 40,000 dimensions of 2**62, 400 kB on the wire, take 5 seconds


@pytest.mark.parametrize(("name", "shape"), [("x", [-1] * 20_000), ("x" * 20_000, [-1])])
def test_a_refusal_is_short_enough_for_a_grpc_trailer(name, shape):
    with pytest.raises(InvalidInput) as refused:
        count_of(name, shape)
    assert len(refused.value.message) < GRPC_TRAILER_LIMIT
