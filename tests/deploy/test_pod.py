"""deploy/pod.yaml as podman plays it: it answers, its probes hold, it comes back, and it ends without losing a call."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from contract.client import Pair, Reply, ask, over_grpc, photos, raw_request, rest_request
from deploy.manifests import pair
from deploy.podman import answered, comes, free_port, logs, podman, printed
from harness import FLOATS_MODEL, ROOT, Service, metric
from parts import shared

pytestmark = [pytest.mark.system, pytest.mark.timeout(900), pytest.mark.usefixtures("built")]

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@pytest.fixture
def played(tmp_path: Path) -> Iterator[Pair]:
    with playing(tmp_path) as pair_:
        yield pair_


@contextmanager
def playing(tmp_path: Path) -> Iterator[Pair]:
    """The pod on ports that are free here, once it is ready."""
    ports = {port: free_port() for port in (8000, 8081)}
    text = (ROOT / "deploy" / "pod.yaml").read_text()
    for port, free in ports.items():
        text = text.replace(f"hostPort: {port}", f"hostPort: {free}")
    file = tmp_path / "pod.yaml"
    file.write_text(text)
    podman("kube", "play", file)
    try:
        transformer = Service(None, ports[8000], ports[8081])  # type: ignore[arg-type] - no process of ours
        answered(f"{transformer.url}/v2/health/ready")
        yield Pair(transformer, transformer, "custom-model")
    finally:
        podman("kube", "down", file)
        podman("volume", "rm", "tandem-models")


def test_it_answers_the_request_of_kserves_page_with_an_empty_volume(played: Pair) -> None:
    answer = ask(played.infer_url, "POST", shared("seed/input.json").read_bytes())
    assert answer.status == 200, answer.body
    assert answer.json["outputs"][1]["data"][0] == "Labrador retriever"
    assert printed("volume", "ls", "--quiet").split() == ["tandem-models", "tandem-tmp"]


def test_both_doors_answer_and_tensors_go_through_shared_memory(played: Pair) -> None:
    assert over_grpc(played, raw_request([photos()["cat_chelsea"]])).labels[0][0] == "tiger cat"
    assert ask(played.infer_url, "POST", rest_request(list(photos().values()))).status == 200
    exposition = ask(f"{played.transformer.url}/metrics").body.decode()
    assert metric(exposition, "tandem_hop_total", transport="shm") >= 1
    assert metric(exposition, "tandem_ready", container="kserve-container") == 1


def test_a_model_in_the_volume_takes_the_place_of_the_images(tmp_path: Path) -> None:
    podman("volume", "create", "tandem-models")
    folder = printed("volume", "inspect", "--format={{.Mountpoint}}", "tandem-models")
    shutil.copy(FLOATS_MODEL / "1" / "model.onnx", folder)
    with playing(tmp_path) as played:
        answer = ask(played.infer_url, "POST", shared("seed/input.json").read_bytes())
        url = "http://127.0.0.1:8080/v2/models/custom-model"
        read = f"import urllib.request; print(urllib.request.urlopen('{url}').read().decode())"
        model = json.loads(printed("exec", "tandem-predictor", "python3", "-c", read))
    assert model["inputs"][0]["datatype"] == "FP32"  # the image's takes bytes
    assert answer.json["outputs"][1]["data"][0] == "Labrador retriever"


@pytest.mark.parametrize("service", ["predictor", "transformer"])
def test_every_probe_holds(played: Pair, service: str) -> None:
    container = getattr(pair("pod.yaml"), service).container
    for probe in PROBES:
        podman("exec", f"tandem-{service}", *container[probe]["exec"]["command"])
    podman("healthcheck", "run", f"tandem-{service}")  # as podman itself asks, where it has systemd
    program, url = container["livenessProbe"]["exec"]["command"]
    failed = podman("exec", f"tandem-{service}", program, url.replace("/live", "/dead"), check=False)
    assert (failed.returncode, "404" in failed.stderr) == (1, True)


def test_a_predictor_that_is_killed_is_started_again_and_the_pair_recovers(played: Pair) -> None:
    process = int(printed("inspect", "--format={{.State.Pid}}", "tandem-predictor"))
    os.kill(process, signal.SIGKILL)
    comes(lambda: logs("tandem-predictor").count('"message":"ready"') == 2, "a second start of the predictor")
    answer = answered(played.infer_url, shared("seed/input.json").read_bytes())
    assert answer.json["outputs"][1]["data"][0] == "Labrador retriever"


def test_it_ends_within_its_grace_and_every_call_is_answered(played: Pair) -> None:
    body = json.dumps(rest_request([photos()["coffee"]])).encode()
    stopped, replies = threading.Event(), list[Reply]()

    def call() -> None:
        while not stopped.is_set():
            replies.append(ask(played.infer_url, "POST", body))

    with ThreadPoolExecutor(5) as pool:
        calls = [pool.submit(call) for _ in range(4)]
        comes(lambda: len(replies) > 20, "load")
        ending = pool.submit(end_as_the_page_says)
        comes(lambda: ask(f"{played.transformer.url}/v2/health/ready").status == 503, "the drain")
        late = len(replies)  # a router that looks every second or two sends on for a while
        comes(lambda: len(replies) > late + 20, "calls during the drain")
        stopped.set()
        for each in calls:
            each.result()  # raises if a call found nobody or was cut off
        ending.result()
    assert {reply.status for reply in replies} == {200}
    assert printed("inspect", "--format={{.State.ExitCode}}", "tandem-transformer") == "0"


def end_as_the_page_says() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text()
    (command,) = re.findall(r"^podman (stop .*)\npodman kube down", page, re.MULTILINE)
    assert f"--time={pair('pod.yaml').pod['terminationGracePeriodSeconds']}" in command
    podman(*command.split())
