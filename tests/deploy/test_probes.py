"""The probes of the manifests, asked of the services themselves with the manifests' own arguments and variables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from contract.client import ask
from deploy.manifests import Half, pair
from harness import DIGITS, Pair, start_predictor, start_transformer

ANY_PORT = ("--http_port=0", "--grpc_port=0")  # the last of a flag wins


@pytest.fixture(scope="module")
def described() -> Iterator[Pair]:
    """The pair as `standard` starts it, with another model and on free ports."""
    predictor = start_predictor(
        *pair("standard").predictor.container["args"],
        f"--model_dir={DIGITS}",
        *ANY_PORT,
        env=_variables(pair("standard").predictor),
    )
    try:
        transformer = start_transformer(
            predictor.grpc_port,
            *pair("standard").transformer.container["args"],
            *("--transformer=identity", "--drain_delay=0", f"--predictor_host=127.0.0.1:{predictor.grpc_port}"),
            *ANY_PORT,
            env=_variables(pair("standard").transformer),
        )
        try:
            yield Pair(transformer, predictor, "custom-model")
        finally:
            transformer.process.stop()
    finally:
        predictor.process.stop()


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
@pytest.mark.parametrize("service", ["predictor", "transformer"])
def test_a_service_that_is_ready_passes_each_of_its_probes(described: Pair, service: str, probe: str) -> None:
    half: Half = getattr(pair("standard"), service)
    assert ask(f"{getattr(described, service).url}{half.container[probe]['httpGet']['path']}").status == 200


def test_the_service_answers_under_the_name_of_kserves_page(described: Pair) -> None:
    assert ask(f"{described.transformer.url}/v2/models/custom-model/ready").status == 200


def _variables(half: Half) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in half.container["env"]}
