"""The error matrix where it needs a model that misbehaves, small limits, or a predictor that is not there."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from contract.asks import FORMS, HTTP, JSON_SIZE, Ask, Tensor
from contract.client import ask as request_of
from contract.doors import Refusal, doors, refused
from gates import Gates
from harness import Pair, Service, metric, running_pair, start_predictor, start_transformer

ECHO = Path(__file__).parent / "echo" / "model.py"
WAIT, REFUSE, FAIL, GROW = -1.0, -2.0, -3.0, -4.0
LIMITS = ("--max_message_bytes=20000", "--max_tensors=4", "--max_elements=4500", "--max_name_length=32")


def echo(*values: float, **more: object) -> Ask:
    return Ask([Tensor("x", shape=(len(values),), values=values)], model="echo", **more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("echo")
    shutil.copy(ECHO, made)
    return made


@pytest.fixture(scope="module")
def gates(folder: Path) -> Gates:
    return Gates(folder)


@pytest.fixture(scope="module", params=["auto", "off"])
def pair(folder: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    """With and without the local socket: the statuses are the same."""
    flags = (f"--model_dir={folder}", "--allow_python_models", "--model_control=explicit", "--max_queue_size=1")
    more = ("--transformer=identity", f"--local_socket={request.param}")
    with running_pair("echo", (*flags, *LIMITS), (*more, *LIMITS)) as running:
        if request.param == "auto":
            running.transformer.process.entry("small calls go over a local socket")
        yield running


@pytest.fixture(params=["transformer", "predictor"])
def service(request: pytest.FixtureRequest, pair: Pair) -> Service:
    return getattr(pair, request.param)


@pytest.fixture
def full(pair: Pair, gates: Gates) -> Iterator[None]:
    """One request runs and one is queued, which is all that there is room for."""
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(inferred, pair.predictor, echo(WAIT))]
        gates.wait_until_started(1)
        calls.append(pool.submit(inferred, pair.predictor, echo(1.0)))
        try:
            queued = (
                metric(request_of(f"{pair.predictor.url}/metrics").body.decode(), "tandem_queue_rows")
                for _ in range(1000)
            )
            assert any(rows == 1 for rows in queued)
            yield
        finally:
            gates.let_through()
            assert [call.result() for call in calls] == [200, 200]


def inferred(service: Service, ask: Ask) -> int:
    body, headers = ask.http("json")
    return request_of(f"{service.url}{ask.path}", "POST", body, headers).status


@pytest.mark.parametrize("form", FORMS)
def test_a_full_queue_is_told_with_when_to_come_back(full: None, service: Service, form: str) -> None:
    told = refused(service, echo(2.0), form, 429)
    assert told.headers["retry-after"] == "1"
    assert "--max_queue_size" in told.text


@pytest.mark.parametrize("form", FORMS)
def test_a_timeout_of_the_request_is_kept(service: Service, gates: Gates, form: str) -> None:
    told = refused(service, echo(WAIT, parameters={"timeout": 200_000}), form, 504)
    assert "deadline passed" in told.text
    gates.wait_until_started(1)
    gates.let_through()


@pytest.mark.parametrize("form", ["raw", "typed"])
def test_a_grpc_deadline_is_kept(service: Service, gates: Gates, form: str) -> None:
    with doors(service) as (_, over_grpc):
        over_grpc.refused(echo(WAIT).grpc(form), "DEADLINE_EXCEEDED", timeout=0.3)
    gates.wait_until_started(1)
    gates.let_through()


@pytest.mark.parametrize("form", FORMS)
def test_what_the_model_refuses_is_the_callers_mistake_in_the_models_words(service: Service, form: str) -> None:
    assert refused(service, echo(REFUSE), form, 400).text == "input 'x': -2 is refused, expected 0 or more"


@pytest.mark.parametrize("form", FORMS)
def test_what_the_model_fails_on_is_told_without_its_inside(service: Service, form: str) -> None:
    assert "the predictor" in refused(service, echo(FAIL), form, 500).text


def test_nan_and_infinities_in_outputs_are_null_in_json(service: Service) -> None:
    values = [0.5, float("nan"), float("inf"), float("-inf")]
    with doors(service) as (http, over_grpc):
        reply = http.infer(echo(*values), "binary")
        raw = over_grpc.infer(echo(*values).grpc("raw")).raw_output_contents[0]
    assert reply.status == 200
    assert reply.json["outputs"][0]["data"] == [0.5, None, None, None]
    assert np.array_equal(np.frombuffer(raw, "<f4"), np.array(values, "<f4"), equal_nan=True)


@pytest.mark.parametrize("form", FORMS)
def test_a_request_over_the_limit_is_refused_as_too_large(service: Service, form: str) -> None:
    assert "20000" in refused(service, echo(*[0.5] * 6000), form, 413).text


@pytest.mark.parametrize("form", FORMS)
def test_a_response_over_the_limit_is_refused_as_too_large(service: Service, form: str) -> None:
    assert "larger than" in refused(service, echo(GROW, *[0.5] * 99), form, 413).text


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("form", HTTP)
def test_a_decompression_bomb_is_refused_in_bounded_memory(service: Service, form: str, coding: str) -> None:
    packer = zlib.compressobj(9, wbits=31 if coding == "gzip" else 15)
    bomb = packer.compress(bytes(2**27)) + packer.flush()  # 128 MiB in 128 kB, in chunks: its length is not announced
    process = Path(f"/proc/{service.process.process.pid}")
    (process / "clear_refs").write_text("5")  # the peak begins anew
    before = peak(process)
    headers = {"Content-Encoding": coding} | ({JSON_SIZE: "2"} if form == "binary" else {})
    with doors(service) as (http, _):
        http.refusal(http.ask("POST", echo().path, iter([bomb]), headers), 413)
    assert peak(process) - before < 32 * 2**20


def peak(process: Path) -> int:
    line = next(line for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize(
    ("ask", "word"),
    [
        (Ask([Tensor(f"t{index}", shape=(1,), values=(0.0,)) for index in range(5)], model="echo"), "--max_tensors"),
        (Ask([Tensor("x", shape=(4501,), values=(0.0,))], model="echo"), "--max_elements"),
        (echo(0.5, id="i" * 33), "--max_name_length"),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_a_limit_is_kept_and_its_flag_named(service: Service, form: str, ask: Ask, word: str) -> None:
    assert word in refused(service, ask, form, 400).text


@pytest.fixture
def unloaded(pair: Pair) -> Iterator[None]:
    model = f"{pair.predictor.url}/v2/repository/models/echo"
    assert request_of(f"{model}/unload", "POST", b"{}").status == 200
    yield
    assert request_of(f"{model}/load", "POST", b"{}").status == 200


@pytest.mark.parametrize("form", FORMS)
def test_a_predictor_that_is_not_ready_is_unavailable(unloaded: None, service: Service, form: str) -> None:
    assert "not ready" in refused(service, echo(0.5), form, 503).text


@pytest.fixture(scope="module")
def lonely(folder: Path) -> Iterator[dict[str, Service]]:
    """Two transformers without a predictor: one has lost it, one has never met it."""
    predictor = start_predictor(f"--model_dir={folder}", "--allow_python_models", "--model_name=echo")
    lost = start_transformer(predictor.grpc_port, "--model_name=echo", "--transformer=identity")
    predictor.process.kill()
    never = start_transformer(predictor.grpc_port, "--model_name=echo", "--transformer=identity", wait=False)
    yield {"lost": lost, "never met": never}
    lost.process.stop()
    never.process.stop()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("which", ["lost", "never met"])
def test_a_predictor_that_is_down_is_unavailable(lonely: dict[str, Service], which: str, form: str) -> None:
    told: Refusal = refused(lonely[which], echo(0.5), form, 503)
    assert told.headers["retry-after"] == "1"
    with doors(lonely[which]) as (http, _):
        assert "not ready" in http.refusal(http.ask("GET", "/v2/models/echo/ready"), 503).text
