"""What `tandem predict` sends, and how it shows what comes back."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pytest
from google.protobuf import json_format
from rich.console import Console
from tandem.oip import inference_pb2 as pb
from tandem_cli.predict import Answer, grpc_body, rest_body, table

CONTENT = bytes(range(256))
PHASES = {"encode": 1.0, "postprocess": 0.004, "preprocess": 0.0012, "hop": 0.0003, "queue": 0.0, "inference": 0.0108}


@pytest.fixture
def photo(tmp_path) -> Path:
    file = tmp_path / "photo.jpg"
    file.write_bytes(CONTENT)
    return file


def shown(photo: str = "cat.jpg", labels: tuple[str, ...] = ("tabby",), phases: dict[str, float] | None = None) -> str:
    """The table as plain text."""
    out = io.StringIO()
    scores = [0.5 / (index + 1) for index in range(len(labels))]
    Console(file=out, width=100).print(table(Path(photo), Answer(list(labels), scores, phases or {})))
    return out.getvalue()


def test_the_rest_body_is_json_with_the_photo_as_base64_text(photo):
    (tensor,) = json.loads(json.dumps(rest_body(photo)))["inputs"]
    assert (tensor["name"], tensor["shape"], tensor["datatype"]) == ("input-0", [1], "BYTES")
    assert [base64.b64decode(text) for text in tensor["data"]] == [CONTENT]


def test_the_grpc_body_is_the_json_of_a_message_with_the_photo_as_bytes(photo):
    message = json_format.ParseDict(grpc_body(photo, "m"), pb.ModelInferRequest())
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


def test_labels_without_probabilities_are_not_shown_as_if_they_had_them():
    with pytest.raises(ValueError, match="zip"):
        table(Path("cat.jpg"), Answer(["tabby", "tiger"], [0.5], {}))


@pytest.mark.parametrize("name", ["[final].jpg", "cat [/b].jpg"])
def test_a_photo_may_have_brackets_in_its_name(name):
    assert shown(photo=name).splitlines()[0].strip() == name


@pytest.mark.parametrize("label", ["apple [red]", "[/] slash"])
def test_a_label_may_have_brackets(label):
    assert label in shown(labels=(label,))
