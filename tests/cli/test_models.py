"""`tandem models` against a real pair."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from cli.test_predict import tandem
from harness import ROOT, Pair, running_pair


@pytest.fixture(scope="module")
def sums() -> Iterator[Pair]:
    model = (f"--model_dir={ROOT / 'examples' / 'row-sums'}", "--allow_python_models", "--model_control=explicit")
    with running_pair("sums", model, ("--transformer=identity",)) as running:
        yield running


@pytest.fixture(params=["http", "grpc"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def url(sums: Pair, service: str, scheme: str) -> str:
    return f"{scheme}://127.0.0.1:{getattr(getattr(sums, service), f'{scheme}_port')}"


@pytest.mark.parametrize("service", ["transformer", "predictor"])
def test_the_list_has_versions_states_and_tensors(
    sums: Pair, service: str, scheme: str, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--url", url(sums, service, scheme))
    assert tandem("models", *where) == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("sums", "1 READY", "python", "x FP32 [-1, 3]", "sums FP32 [-1]"))
    assert tandem("models", "list", "--json", *where) == 0
    (model,) = json.loads(capsys.readouterr().out)["models"]
    assert (model["name"], model["versions"]) == ("sums", [{"version": "1", "state": "READY"}])
    assert model["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]


def test_one_model_is_shown_with_what_it_has_done(sums: Pair, scheme: str, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--url", url(sums, "predictor", scheme))
    assert tandem("models", "show", "sums", *where) == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("max_batch_size", "statistics", "requests"))
    assert tandem("models", "show", "sums", "--json", *where) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["config"]["max_batch_size"] == 4
    assert document["statistics"][0]["version"] == "1"


def test_a_model_is_unloaded_and_loaded(sums: Pair, scheme: str, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--url", url(sums, "predictor", scheme))
    assert tandem("models", "unload", "sums", *where) == 0
    try:
        assert tandem("models", *where) == 0
        assert "1 UNAVAILABLE (unloaded)" in " ".join(capsys.readouterr().out.replace("│", "").split())
    finally:
        assert tandem("models", "load", "sums", *where) == 0
    assert capsys.readouterr().out == "loaded sums\n"


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (("show",), 2, "which model?"),
        (("list", "sums"), 2, "has no NAME"),
        (("drop", "sums"), 2, "'drop' is unknown"),
        (("show", "other"), 1, "'other' is not found"),
        (("load", "sums"), 1, "predictor"),  # of the transformer
    ],
)
def test_what_cannot_be_is_told_in_a_line(
    sums: Pair, arguments: tuple[str, ...], status: int, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tandem("models", *arguments, "--url", sums.transformer.url) == status
    out, err = capsys.readouterr()
    assert (out, reason in err, "Traceback" in err) == ("", True, False)
