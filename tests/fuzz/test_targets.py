"""Each target for a moment, without a fuzzer: its seeds, what was found, and some changes of both."""

from __future__ import annotations

import random

import pytest
from google.protobuf.message import DecodeError
from tandem import tensors
from tandem.codec import wire

from fuzz import targets

CHANGED = 100  # inputs a target
INPUTS = [
    (name, kind, title)
    for name in targets.names()
    for kind in ("SEEDS", "FOUND")
    for title in getattr(targets.target(name), kind)
]


@pytest.mark.parametrize(("name", "kind", "title"), INPUTS)
def test_what_is_known_keeps_every_promise(name, kind, title):
    target = targets.target(name)
    taken = target.check(getattr(target, kind)[title])
    assert taken or kind == "FOUND", "a seed that is refused leads a fuzzer nowhere"


@pytest.mark.parametrize("name", targets.names())
def test_changed_inputs_keep_every_promise(name):
    target, chance = targets.target(name), random.Random(name)
    known = [*target.SEEDS.values(), *target.FOUND.values()]
    refused = [not target.check(changed(chance, chance.choice(known), target.WORDS)) for _ in range(CHANGED)]
    assert any(refused), "no input is wrong"


def test_a_target_notices_an_array_that_is_not_what_came(monkeypatch):
    monkeypatch.setattr(tensors, "encode_raw", lambda array: b"")
    target = targets.target("raw_tensors")
    with pytest.raises(AssertionError):
        target.check(target.SEEDS["floats"])


def test_a_target_notices_a_frame_that_protobuf_reads_otherwise(monkeypatch):
    monkeypatch.setattr(wire, "_REQUEST_FIELD", 3)
    target = targets.target("wire_frames")
    with pytest.raises(AssertionError):
        target.check(target.SEEDS["request"])


def test_a_target_notices_an_error_that_is_no_refusal(monkeypatch):
    def fail(*_):
        raise DecodeError

    monkeypatch.setattr(tensors, "dtype_of", fail)
    target = targets.target("grpc_request")
    with pytest.raises(DecodeError):
        target.check(target.SEEDS["raw"])


def changed(chance: random.Random, data: bytes, words) -> bytes:
    """`data` with a few bytes cut out, overwritten, doubled, or a word put in."""
    for _ in range(chance.randint(1, 3)):
        start = chance.randint(0, len(data))
        end = min(len(data), start + chance.randint(0, 8))
        put = (b"", chance.randbytes(end - start), data[start:end] * 2, chance.choice(words))
        data = data[:start] + chance.choice(put) + data[end:]
    return data
