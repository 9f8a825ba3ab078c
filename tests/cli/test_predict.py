"""What `tandem predict` sends, and how it shows what comes back."""

from __future__ import annotations

import argparse
import base64
import csv
import io
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from contract.client import ask
from google.protobuf import json_format
from harness import PHOTOS, ROOT, Pair, metric, running_pair, start_transformer
from rich.console import Console
from tandem.client import InferResult, ModelMetadata, TensorSpec
from tandem.errors import InvalidInput
from tandem.inference import InferResponse
from tandem.oip import inference_pb2 as pb
from tandem.tensors import objects
from tandem_cli.__main__ import parser
from tandem_cli.predict import reading
from tandem_cli.predict.demo import grpc_body, rest_body
from tandem_cli.predict.tables import table

CONTENT = bytes(range(256))
PHASES = {"encode": 1.0, "postprocess": 0.004, "preprocess": 0.0012, "hop": 0.0003, "queue": 0.0, "inference": 0.0108}
BEST = {"camera_tripod": "tripod", "cat_chelsea": "tiger cat", "coffee": "espresso", "palace_china": "palace"}
BEST |= {"rocket": "missile"}


@pytest.fixture(scope="module")
def sums() -> Iterator[Pair]:
    flags = (f"--model_dir={ROOT / 'examples' / 'row-sums'}", "--allow_python_models")
    with running_pair("sums", flags, ("--transformer=identity",)) as running:
        yield running


def tandem(*arguments: str | Path) -> int:
    """The command, in this process; its exit status."""
    try:
        known, rest = parser().parse_known_args([str(argument) for argument in arguments])
    except SystemExit as error:
        return int(error.code or 0)
    status: int = known.run(known, rest)
    return status


def answer(labels: tuple[str, ...] = ("tabby",), phases: dict[str, float] | None = None) -> InferResult:
    scores = [[0.5 / (index + 1) for index in range(len(labels))]]
    outputs = {"labels": objects([label.encode() for label in labels])[None], "output-0": np.array(scores)}
    return InferResult(InferResponse("m", "1", outputs), phases or {})


def shown(photo: str = "cat.jpg", labels: tuple[str, ...] = ("tabby",), phases: dict[str, float] | None = None) -> str:
    """The table as plain text."""
    out = io.StringIO()
    Console(file=out, width=100).print(table(photo, answer(labels, phases)))
    return out.getvalue()


def test_the_rest_body_is_json_with_the_photo_as_base64_text():
    (tensor,) = json.loads(json.dumps(rest_body(CONTENT)))["inputs"]
    assert (tensor["name"], tensor["shape"], tensor["datatype"]) == ("input-0", [1], "BYTES")
    assert [base64.b64decode(text) for text in tensor["data"]] == [CONTENT]


def test_the_grpc_body_is_the_json_of_a_message_with_the_photo_as_bytes():
    message = json_format.ParseDict(grpc_body(CONTENT, "m"), pb.ModelInferRequest())
    assert (message.model_name, len(message.inputs)) == ("m", 1)
    tensor = message.inputs[0]
    assert (tensor.name, list(tensor.shape), tensor.datatype) == ("input-0", [1], "BYTES")
    assert list(tensor.contents.bytes_contents) == [CONTENT]


def test_the_table_has_a_row_a_label_under_the_photos_name():
    text = shown(labels=("tabby", "Egyptian cat"))
    rows = [[cell.strip() for cell in line.strip("│ \n").split("│")] for line in text.splitlines() if "│" in line]
    assert rows == [["tabby", "0.500"], ["Egyptian cat", "0.250"]]
    assert text.splitlines()[0].strip() == "cat.jpg"


def test_the_times_stand_below_in_the_order_in_which_they_passed():
    below = " ".join(shown(phases=PHASES).partition("┘")[2].split())
    assert below == "preprocess 1.2 ms · hop 0.3 ms · queue 0.0 ms · inference 10.8 ms · postprocess 4.0 ms"


def test_without_times_there_is_no_line_below():
    assert "ms" not in shown()
    assert shown(phases={"theirs": 1.0}) == shown()


@pytest.mark.parametrize("name", ["[final].jpg", "cat [/b].jpg"])
def test_a_photo_may_have_brackets_in_its_name(name):
    assert shown(photo=name).splitlines()[0].strip() == name


@pytest.mark.parametrize("label", ["apple [red]", "[/] slash"])
def test_a_label_may_have_brackets(label):
    assert label in shown(labels=(label,))


def test_a_label_cannot_make_a_terminal_obey():
    assert "\x1b" not in shown(labels=("\x1b[2J",))


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_folder_is_a_line_a_photo_in_order_and_one_that_is_no_photo_does_not_stop_the_rest(
    pair: Pair, scheme: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deep = tmp_path / "deep"
    deep.mkdir()
    for photo in PHOTOS.glob("*.jpg"):
        shutil.copy(photo, deep)
    (tmp_path / "bad.JPG").write_bytes(b"no photo")
    (tmp_path / "notes.txt").write_text("not looked at")
    url = f"{scheme}://127.0.0.1:{getattr(pair.transformer, f'{scheme}_port')}"
    assert tandem("predict", tmp_path, "--url", url) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [Path(line.split()[0]).stem for line in lines] == ["bad", *sorted(BEST)]
    assert "error: input 'input-0', element 0: an element is no image" in lines[0]
    assert [line.partition("  0.")[2].partition("  ")[2] for line in lines[1:]] == [BEST[name] for name in sorted(BEST)]
    assert "6 requests in" in err
    assert "1 failed:" in err
    assert f"tandem: {tmp_path / 'bad.JPG'}: input 'input-0'" in err


def test_json_is_an_object_a_line(pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "answers"
    pattern = PHOTOS / "c*.jpg"
    arguments = ("--url", pair.transformer.url, "--format", "json", "--output", out, "--concurrency", "1")
    assert tandem("predict", pattern, *arguments) == 0
    documents = [json.loads(line) for line in out.read_text().splitlines()]
    assert [Path(one["source"]).stem for one in documents] == ["camera_tripod", "cat_chelsea", "coffee"]
    assert documents[1]["outputs"]["labels"][0][0] == "tiger cat"
    assert documents[1]["timings_ms"]["inference"] > 0
    assert capsys.readouterr().out == ""


def test_csv_is_a_line_a_label(pair: Pair, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bad = tmp_path / "bad, indeed.jpg"
    bad.write_bytes(b"no photo")
    assert tandem("predict", PHOTOS / "coffee.jpg", bad, "--url", pair.transformer.url, "--format", "csv") == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5", ""]
    assert (rows[0]["label"], rows[0]["class"], round(float(rows[0]["probability"]), 2)) == ("espresso", "967", 0.95)
    assert (rows[5]["source"], "no image" in rows[5]["error"]) == (str(bad), True)


def test_a_photo_may_come_from_standard_input(pair: Pair) -> None:
    command = [sys.executable, "-m", "tandem_cli", "predict", "-", "--url", pair.transformer.url, "--format", "csv"]
    photo = (PHOTOS / "coffee.jpg").read_bytes()
    done = subprocess.run(command, input=photo, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines()[1].startswith(b"-,0,1,espresso,")


def test_at_a_terminal_a_bar_shows_how_far_it_is_and_the_file_has_no_trace_of_it(pair: Pair, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tandem_cli", "predict", *[str(PHOTOS)] * 4, "--url", pair.transformer.url]
    out = tmp_path / "out.txt"
    with out.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=theirs, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 65536):
            said += part
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait(30) == 0
    assert b"/20" in said
    assert b"20 requests in" in said
    assert len(out.read_text().splitlines()) == 20
    assert "\x1b" not in out.read_text()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("nothing.jpg",), "nothing.jpg: no such file"),
        (("no-*.jpg",), "no such file matches"),
        ((), "nothing to predict"),
        (("--input", "x"), "expected NAME=VALUE"),
        (("--surprise",), "unknown argument --surprise"),
        (("--format", "xml"), "invalid choice"),
        (("--concurrency", "0"), "invalid"),
        (("--timeout", "-1"), "invalid"),
        (("--url", "ftp://localhost"), "is no address"),
        (("--token_file", "no-such"), "--token_file=no-such: No such file"),
    ],
)
def test_bad_use_is_told_in_a_line(
    pair: Pair, arguments: tuple[str, ...], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    where = () if "--url" in arguments else ("--url", pair.transformer.url)
    assert tandem("predict", *arguments, *where) == 2
    out, err = capsys.readouterr()
    assert (out, reason in err, "Traceback" in err) == ("", True, False)


def test_a_pair_that_is_not_there_and_a_model_that_is_not_are_told(pair: Pair, capsys: pytest.CaptureFixture) -> None:
    assert tandem("predict", PHOTOS, "--url", "http://127.0.0.1:1") == 1
    assert "127.0.0.1:1 cannot be reached" in capsys.readouterr().err
    assert tandem("predict", PHOTOS, "--url", pair.transformer.url, "--model_name", "other") == 1
    assert "'other' is not found" in capsys.readouterr().err


def test_other_models_take_numbers_in_every_form(
    sums: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = np.array([[1, 2, 3], [4, 5, 6]], float)  # which the model wants as FP32
    np.save(tmp_path / "a.npy", rows)
    np.savez(tmp_path / "b.npz", x=rows)
    (tmp_path / "c.json").write_text(json.dumps({"x": rows.tolist()}))
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 3], "data": rows.ravel().tolist()}
    (tmp_path / "d.json").write_text(json.dumps({"inputs": [tensor]}))
    model = ("--url", sums.transformer.url, "--model_name", "sums", "--format", "csv")
    more = ("--inputs", tmp_path / "c.json", "--input", "x=[[1, 2, 3], [4, 5, 6]]")
    assert tandem("predict", tmp_path, *more, *model) == 0
    told = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["output"], row["index"], float(row["value"])) for row in told] == 6 * [
        ("sums", "0", 6),
        ("sums", "1", 15),
    ]
    assert tandem("predict", "--input", f"x=@{tmp_path / 'a.npy'}", *model[:4]) == 0
    assert "[ 6. 15.]" in capsys.readouterr().out
    assert tandem("predict", "--input", "y=1", *model) == 1
    assert "unknown input 'y'; the model's inputs are: x" in capsys.readouterr().err


def test_values_become_what_the_model_declares() -> None:
    specs = (TensorSpec("t", "BYTES", (-1,)), TensorSpec("n", "INT64", (-1, 2)))
    model = ModelMetadata("m", ("1",), "", specs, ())
    found = reading.values(model, {"t": "a text", "n": "[1, 2]"})
    assert (found["t"].tolist(), found["n"].tolist()) == ([b"a text"], [[1, 2]])
    assert reading.values(model, {"t": '["a", "b"]'})["t"].tolist() == [b"a", b"b"]
    with pytest.raises(InvalidInput, match="'n': no INT64 array"):
        reading.values(model, {"n": '["a"]'})


def test_every_flag_may_be_written_with_hyphens() -> None:
    known: argparse.Namespace = parser().parse_known_args(["predict", "--model-name=m", "--token-file=f"])[0]
    assert (known.model_name, known.token_file) == ("m", "f")


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_what_a_full_pair_refuses_is_sent_again_until_all_is_answered(
    sums: Pair, scheme: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(40):
        (tmp_path / f"{number:02}.json").write_text(json.dumps({"x": [[number, 0, 0]]}))
    flags = ("--model_name=sums", "--transformer=identity", "--max_in_flight=1")
    small = start_transformer(sums.predictor.grpc_port, *flags)
    try:
        url = f"{scheme}://127.0.0.1:{getattr(small, f'{scheme}_port')}"
        assert tandem("predict", tmp_path, "--url", url, "--model_name", "sums", "--format", "json") == 0
        answers = [json.loads(line)["outputs"]["sums"] for line in capsys.readouterr().out.splitlines()]
        assert answers == [[number] for number in range(40)]
        assert metric(ask(f"{small.url}/metrics").body.decode(), "tandem_rejected_total") > 0
    finally:
        small.process.stop()
