"""tandem.client against both services, over both protocols."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from contract.echo_types import DATATYPES
from harness import ROOT, Pair, running_pair, start_predictor
from hypothesis import given, settings
from hypothesis import strategies as st
from security import Authority
from tandem.client import AsyncClient, Client, ModelIndex, TensorSpec, Tls
from tandem.errors import InvalidInput, NotFound, PayloadTooLarge, Unauthenticated, Unavailable
from tandem.tensors import DTYPES, objects

HERE = Path(__file__).parent
ODD = """
from tandem import TensorSpec

class Model:
    inputs = [TensorSpec("texts", "BYTES", [-1]), TensorSpec("scores", "FP32", [-1, 3])]
    outputs = inputs

    def predict(self, inputs):
        return dict(inputs)
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("types")
    for number in ("1", "2"):
        (folder / "types" / number).mkdir(parents=True)
    shutil.copy(HERE / "echo_types.py", folder / "types" / "1" / "model.py")
    (folder / "types" / "2" / "model.py").write_text(ODD)
    flags = (f"--model_dir={folder}", "--allow_python_models", "--model_control=explicit")
    with running_pair("types", flags, ("--transformer=identity",)) as running:
        yield running


@pytest.fixture(params=["http", "grpc"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["transformer", "predictor"])
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(pair: Pair, service: str, scheme: str) -> str:
    return address(pair, service, scheme)


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as opened:
        yield opened


def address(pair: Pair, service: str, scheme: str) -> str:
    return f"{scheme}://127.0.0.1:{getattr(getattr(pair, service), f'{scheme}_port')}"


def every_datatype(rows: int, seed: int) -> dict[str, np.ndarray]:
    """Random bytes as values of each numeric datatype, NaN and infinities among them, and bytes of many lengths."""
    random = np.random.default_rng(seed)
    given: dict[str, np.ndarray] = {}
    for name in DATATYPES:
        if name == "BYTES":
            elements = [random.bytes(int(size)) for size in random.integers(0, 40, rows * 3)]
            given[f"in_{name}"] = objects(elements).reshape(rows, 3)
        elif name == "BOOL":
            given[f"in_{name}"] = random.integers(0, 2, (rows, 3)).astype(bool)
        else:
            raw = random.bytes(rows * 3 * DTYPES[name].itemsize)
            given[f"in_{name}"] = np.frombuffer(raw, DTYPES[name]).reshape(rows, 3)
    return given


def same(one: np.ndarray, other: np.ndarray) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return one.tolist() == other.tolist() if one.dtype.hasobject else one.tobytes() == other.tobytes()


@settings(max_examples=8, deadline=None, derandomize=True)
@given(rows=st.integers(0, 4), seed=st.integers(0, 1000))
def test_every_datatype_comes_back_to_the_last_bit(pair: Pair, rows: int, seed: int) -> None:
    given = every_datatype(rows, seed)
    for service in ("transformer", "predictor"):
        for scheme in ("http", "grpc"):
            with Client(address(pair, service, scheme)) as client:
                answer = client.infer("types", given, version="1")
                assert set(answer) == {f"out_{name}" for name in DATATYPES}
                assert all(same(answer[f"out_{name}"], given[f"in_{name}"]) for name in DATATYPES)


def test_a_result_says_who_answered_and_where_its_time_went(client: Client, service: str) -> None:
    answer = client.infer("types", every_datatype(1, 1), version="1", id="mine")
    assert (answer.id, answer.model_name, answer.model_version) == ("mine", "types", "1")
    assert answer.timings["inference"] > 0
    assert ("hop" in answer.timings) == (service == "transformer")


def test_what_python_has_is_taken_as_numpy_would_take_it_and_zeros_at_the_end_of_bytes_stay(client: Client) -> None:
    swapped = np.array([[1, 2, 3]], ">f4")
    answer = client.infer("types", {"texts": ["größer", b"\0end\0"], "scores": swapped})
    assert answer["texts"].tolist() == ["größer".encode(), b"\0end\0"]
    assert answer["scores"].tolist() == [[1, 2, 3]]
    assert client.infer("types", {"texts": b"one", "scores": swapped})["texts"].tolist() == [b"one"]


def test_outputs_and_their_best_classes_can_be_asked_for(client: Client) -> None:
    given = {"texts": ["a"], "scores": np.array([[0.5, 2.0, 1.0]], np.float32)}
    answer = client.infer("types", given, outputs=["scores"], classification=2)
    assert list(answer) == ["scores"]
    assert [text.partition(b":")[2] for text in answer["scores"].ravel()] == [b"1", b"2"]
    with pytest.raises(InvalidInput, match="name them in outputs"):
        client.infer("types", given, classification=2)


def test_refusals_are_errors_of_their_kind_with_the_servers_words(client: Client) -> None:
    with pytest.raises(NotFound, match="model 'other' is not found"):
        client.infer("other", {"x": np.zeros(1)})
    with pytest.raises(InvalidInput, match="'scores': datatype is FP64, expected FP32"):
        client.infer("types", {"texts": ["a"], "scores": np.zeros((1, 3))})
    with pytest.raises(InvalidInput, match=r"input 'x': an array of dtype datetime64"):
        client.infer("types", {"x": np.zeros(1, "M8[s]")})
    with pytest.raises(InvalidInput, match="input 'x': an element of a BYTES tensor is int"):
        client.infer("types", {"x": objects([1])})
    with pytest.raises(InvalidInput, match="'timeout' is -1"):
        client.infer("types", {"texts": ["a"], "scores": np.zeros((1, 3), np.float32)}, parameters={"timeout": -1})


def test_an_answer_over_the_limit_is_refused_here(url: str) -> None:
    with Client(url, max_message_bytes=1000) as client, pytest.raises(PayloadTooLarge):
        client.infer("types", {"texts": [b"x" * 2000], "scores": np.zeros((1, 3), np.float32)})


def test_all_that_can_be_asked_is_answered_alike_over_both(pair: Pair, service: str) -> None:
    with Client(address(pair, service, "http")) as http, Client(address(pair, service, "grpc")) as grpc:
        for client in (http, grpc):
            assert client.live()
            assert client.ready()
            assert client.model_ready("types", "2")
            assert client.server().name == f"tandem-{service}"
            assert client.metadata("types").inputs[1] == TensorSpec("scores", "FP32", (-1, 3))
            assert client.models(ready=True)[-1] == ModelIndex("types", "2", ready=True)
        assert http.metadata("types") == grpc.metadata("types")
        assert http.models() == grpc.models()
        assert http.server() == grpc.server()
        assert http.config("types") == grpc.config("types")
        assert http.statistics("types") == grpc.statistics("types")
        assert http.statistics()[-1]["version"] == "2"


def test_models_are_unloaded_and_loaded_by_the_predictor(pair: Pair, scheme: str) -> None:
    with Client(address(pair, "predictor", scheme)) as client:
        client.unload("types")
        try:
            assert not client.model_ready("types")
            assert {model.reason for model in client.models()} == {"unloaded"}
            assert client.models(ready=True) == []
        finally:
            client.load("types")
        assert client.model_ready("types")
    transformer = address(pair, "transformer", scheme)
    with Client(transformer, retries=0) as client, pytest.raises(Unavailable, match="predictor"):
        client.load("types")


def test_many_threads_share_a_client(client: Client) -> None:
    answers: dict[int, list[float]] = {}

    def ask(number: int) -> None:
        for _ in range(5):
            given = {"texts": ["a"], "scores": np.full((1, 3), number, np.float32)}
            answers[number] = client.infer("types", given)["scores"].ravel().tolist()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: [number] * 3 for number in range(8)}


async def test_the_async_client_has_many_calls_under_way(url: str) -> None:
    async with AsyncClient(url) as client:

        async def ask(number: int) -> list[float]:
            given = {"texts": ["a"], "scores": np.full((1, 3), number, np.float32)}
            return (await client.infer("types", given))["scores"].ravel().tolist()

        assert await asyncio.gather(*(ask(number) for number in range(30))) == [[n] * 3 for n in range(30)]


def test_certificates_and_a_token_let_it_in(tmp_path: Path) -> None:
    authority, token = Authority(tmp_path), tmp_path / "tokens"
    token.write_text("secret")
    mine = authority.issue("client", "client.test")
    rows = {"x": np.ones((1, 3), np.float32)}
    predictor = start_predictor(
        *("--model_name=sums", f"--model_dir={ROOT / 'examples' / 'row-sums'}", "--allow_python_models"),
        *authority.issue("predictor", "predictor.test").flags(),
        *(f"--ssl_ca_certs={authority.file}", f"--auth_token_file={token}"),
    )
    try:
        tls = Tls(authority.file, mine.certificate, mine.key, "predictor.test")
        for url in (f"https://127.0.0.1:{predictor.http_port}", f"grpcs://127.0.0.1:{predictor.grpc_port}"):
            with Client(url, tls=tls, token=token.read_text()) as client:
                assert client.infer("sums", rows)["sums"].tolist() == [3]
            with Client(url, tls=tls) as client, pytest.raises(Unauthenticated, match="bearer token is needed"):
                client.infer("sums", rows)
            stranger = Tls(authority.file, server_name="predictor.test")
            with Client(url, tls=stranger, retries=0) as client, pytest.raises(Unavailable):
                client.infer("sums", rows, timeout=5)
            with Client(url, retries=0) as client, pytest.raises(Unavailable):
                client.infer("sums", rows, timeout=5)
    finally:
        predictor.process.stop()
