"""The pair's shared memory: used where it is shared, silently not where it is not, and nothing of it is ever left."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from contract.client import ask
from harness import ROOT, Service, metric, start_predictor, start_transformer
from tandem.memory.region import SHM
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc

MODEL = ("--model_name=echo", f"--model_dir={ROOT / 'tests' / 'contract' / 'echo'}", "--allow_python_models")
LARGE, SMALL = 150_000, 10  # elements
USED, UNUSED = "large tensors go through shared memory", "tensors go over the socket"
OWN_SHM = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=64m shm /dev/shm && exec "$@"', "sh")
FILLED_SHM = 'mount -t tmpfs -o size=64m shm /dev/shm; head -c {}m /dev/zero > /dev/shm/full; exec "$@"'
needs_root = pytest.mark.skipif(
    sys.platform != "linux" or os.getuid() != 0, reason="only root can give a process a /dev/shm of its own"
)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = regions()
    yield
    assert regions() <= before


def regions() -> set[str]:
    return {name for name in os.listdir(SHM) if name.startswith("tandem-")}


@contextmanager
def pair(
    predictor_flags: tuple[str, ...] = (), flags: tuple[str, ...] = (), **within: tuple[str, ...]
) -> Iterator[tuple[Service, Service]]:
    predictor = start_predictor(*MODEL, *predictor_flags, within=within.get("predictor", ()))
    try:
        transformer = start(predictor.grpc_port, *flags, within=within.get("transformer", ()))
        try:
            yield transformer, predictor
        finally:
            transformer.process.stop()
    finally:
        predictor.process.stop()


def start(port: int, *flags: str, within: tuple[str, ...] = ()) -> Service:
    return start_transformer(port, "--model_name=echo", "--transformer=identity", *flags, within=within)


def echoed(service: Service, size: int, value: float = 1.5) -> bool:
    """Whether a tensor of `size` elements comes back as it was sent."""
    sent = np.full(size, value, np.float32).tobytes()
    request = pb.ModelInferRequest(model_name="echo", raw_input_contents=[sent])
    request.inputs.add(name="x", datatype="FP32", shape=[size])
    with grpc.insecure_channel(service.target, [("grpc.max_receive_message_length", -1)]) as channel:
        answer = pb_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=20)
    return list(answer.raw_output_contents) == [sent] and not answer.outputs[0].parameters


def hops(service: Service) -> dict[str, float]:
    exposition = ask(f"{service.url}/metrics").body.decode()
    return {way: metric(exposition, "tandem_hop_total", transport=way) for way in ("shm", "socket")}


def test_large_tensors_go_by_shared_memory_and_small_ones_over_the_socket() -> None:
    with pair() as (transformer, _):
        transformer.process.entry(USED)
        assert regions() == set()  # both have mapped it, so its name is gone
        for number in range(20):
            assert echoed(transformer, LARGE, number)
        assert hops(transformer) == {"shm": 20, "socket": 0}
        for number in range(5):
            assert echoed(transformer, SMALL, number)
        assert hops(transformer)["socket"] == 4  # room was made for one answer as large as those before


@pytest.mark.parametrize("off", ["predictor", "transformer"])
def test_either_side_can_do_without(off: str) -> None:
    flag = ("--shared_memory=off",)
    with pair(flag if off == "predictor" else (), flag if off == "transformer" else ()) as (transformer, _):
        if off == "predictor":
            transformer.process.wait_for(lambda line: UNUSED in line)
        assert echoed(transformer, LARGE)
        assert hops(transformer) == {"shm": 0, "socket": 1}


@needs_root
@pytest.mark.parametrize(("filled", "way"), [(64, "socket"), (63, "socket"), (50, "shm")])
def test_what_a_dev_shm_of_64_megabytes_has_left_is_used(filled: int, way: str) -> None:
    within = ("unshare", "-m", "sh", "-c", FILLED_SHM.format(filled), "sh")
    predictor = start_predictor(*MODEL, within=within)
    same = ("nsenter", f"--mount=/proc/{predictor.process.process.pid}/ns/mnt", f"--wd={ROOT}")
    try:
        transformer = start(predictor.grpc_port, within=same)
        try:
            transformer.process.wait_for(lambda line: USED in line or UNUSED in line)
            assert echoed(transformer, LARGE)
            assert hops(transformer)[way] == 1
        finally:
            transformer.process.stop()
    finally:
        predictor.process.stop()


@needs_root
@pytest.mark.parametrize("within", [{"predictor": OWN_SHM}, {"transformer": OWN_SHM}])
def test_memory_that_is_not_shared_is_not_used(within: dict[str, tuple[str, ...]]) -> None:
    with pair((), ("--shared_memory=on",), **within) as (transformer, _):
        warned = transformer.process.wait_for(lambda line: UNUSED in line and line)
        assert '"WARNING"' in warned
        assert echoed(transformer, LARGE)
        assert hops(transformer) == {"shm": 0, "socket": 1}


def test_a_region_grows_until_the_tensors_have_room() -> None:
    with pair() as (transformer, _):
        transformer.process.entry(USED)
        size = 4 * 2**20  # elements: 16 MiB in a region of 8
        assert echoed(transformer, size)
        transformer.process.wait_for(lambda line: USED in line and '"bytes":8388608' not in line)
        assert echoed(transformer, size)
        assert hops(transformer)["shm"] == 1


def test_a_predictor_that_was_killed_and_comes_back_is_given_another_region(tmp_path: Path) -> None:
    with pair() as (transformer, predictor):
        assert echoed_by_shm(transformer)
        predictor.process.kill()
        again = start_predictor(*MODEL, grpc_port=predictor.grpc_port)
        try:
            transformer.process.wait_for(nth(2, USED))
            assert echoed_by_shm(transformer)
        finally:
            again.process.stop()


def test_a_transformer_that_is_killed_leaves_nothing_and_another_is_served() -> None:
    with pair() as (transformer, predictor):
        assert echoed_by_shm(transformer)
        transformer.process.kill()
        assert regions() == set()
        another = start(predictor.grpc_port)
        try:
            another.process.entry(USED)
            assert echoed_by_shm(another)
        finally:
            another.process.stop()


def test_a_predictor_that_stops_does_not_wait_for_the_region() -> None:
    with pair(("--grace=20",)) as (transformer, predictor):
        assert echoed_by_shm(transformer)
        transformer.process.stop()
        predictor.process.send()
        assert predictor.process.end(patience=10) == 0


def echoed_by_shm(service: Service) -> bool:
    before = hops(service)["shm"]
    return echoed(service, LARGE) and hops(service)["shm"] == before + 1


def nth(count: int, words: str) -> Callable[[str], bool]:
    """Whether `words` have been seen that often, for Process.wait_for."""
    seen = 0

    def found(line: str) -> bool:
        nonlocal seen
        seen += words in line
        return seen >= count

    return found
