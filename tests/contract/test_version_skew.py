"""A transformer of this revision with a predictor of the last release, and the reverse.

A canary replaces both at once, but a rollout may not. Until there is a release, a revision before it stands in.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from contract.client import ask
from harness import ROOT, Pair, start_predictor, start_transformer
from tandem.oip import inference_pb2 as pb
from tandem.oip import inference_pb2_grpc as pb_grpc

STAND_IN = "977033be495a"
ECHO = ("--model_name=echo", f"--model_dir={Path(__file__).with_name('echo')}", "--allow_python_models")
LARGE = np.arange(500_000, dtype=np.float32)


def git(*arguments: str) -> str:
    return subprocess.check_output(["git", *arguments], cwd=ROOT, text=True, timeout=60).strip()


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which Python finds the services of the other revision."""
    revision = next(iter(git("tag", "--list", "v*", "--sort=-v:refname").splitlines()), STAND_IN)
    if subprocess.run(["git", "cat-file", "-e", f"{revision}^{{commit}}"], cwd=ROOT, check=False).returncode:
        pytest.skip(f"this clone has no revision {revision}: it is shallow")
    folder = tmp_path_factory.mktemp("other")
    archive = subprocess.run(
        ["git", "archive", revision, "shared", "services"], cwd=ROOT, capture_output=True, check=True
    )
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    sources = (folder / part / "src" for part in ("shared", "services/predictor", "services/transformer"))
    return {"PYTHONPATH": ":".join(map(str, sources))}


@contextmanager
def mixed(predictor_env: dict[str, str] | None, transformer_env: dict[str, str] | None) -> Iterator[Pair]:
    predictor = start_predictor(*ECHO, env=predictor_env)
    try:
        flags = ("--model_name=echo", "--transformer=identity")
        transformer = start_transformer(predictor.grpc_port, *flags, env=transformer_env)
        try:
            yield Pair(transformer, predictor, "echo")
        finally:
            transformer.process.stop()
    finally:
        predictor.process.stop()


@pytest.mark.parametrize("older", ["predictor", "transformer"])
def test_a_pair_of_two_releases_answers_over_every_way_of_the_hop(other: dict[str, str], older: str) -> None:
    with mixed(other if older == "predictor" else None, other if older == "transformer" else None) as pair:
        for line in ("small calls go over a local socket", "large tensors go through shared memory"):
            pair.transformer.process.entry(line)
        tensor = {"name": "x", "shape": [2], "datatype": "FP32", "data": [3, 4]}
        reply = ask(pair.infer_url, "POST", {"inputs": [tensor]})
        assert reply.status == 200, reply.body
        assert reply.json["outputs"][0]["data"] == [3, 4]
        request = pb.ModelInferRequest(model_name="echo", raw_input_contents=[LARGE.tobytes()])
        request.inputs.add(name="x", datatype="FP32", shape=LARGE.shape)
        with grpc.insecure_channel(pair.transformer.target) as channel:
            stub = pb_grpc.GRPCInferenceServiceStub(channel)
            assert stub.ModelInfer(request, timeout=30).raw_output_contents[0] == LARGE.tobytes()
            with pytest.raises(grpc.RpcError) as refused:
                stub.ModelInfer(pb.ModelInferRequest(model_name="echo"), timeout=30)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
