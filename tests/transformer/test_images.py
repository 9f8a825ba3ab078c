"""The built-in image classification: arrays in the model's layout, the best labels out."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tandem.context import Context
from tandem.errors import Internal, InvalidInput
from tandem.metadata import TensorSpec
from tandem.tensors import DTYPES, objects
from tandem_transformer.transformers import pixels
from tandem_transformer.transformers.images import ImageClassification, as_probabilities, largest, wanted
from transformer.fakes import PHOTOS, SEED, encoded, model

CONTEXT = Context(id="q")
NHWC = TensorSpec("images", "UINT8", (-1, 6, 4, 3))
SCORES = TensorSpec("scores", "FP32", (-1, 1000))
PHOTO = PHOTOS[0].read_bytes()


def fitted(spec: TensorSpec = NHWC, outputs: tuple[TensorSpec, ...] = (SCORES,), **options: str) -> ImageClassification:
    transformer = ImageClassification()
    transformer.setup(model(spec, outputs=outputs), options)
    return transformer


def images(transformer: ImageClassification, *elements: bytes) -> np.ndarray:
    (array,) = transformer.preprocess({"input-0": objects(elements)}, CONTEXT).values()
    return array


def best(scores: object, **options: str) -> dict[str, np.ndarray]:
    return fitted(**options).rank({"scores": np.asarray(scores, np.float32)})


def slowly(raw: np.ndarray, spec: TensorSpec, mean: list[float], std: list[float]) -> np.ndarray:
    """UINT8 NHWC pixels in the datatype and layout of `spec`, one by one."""
    count, height, width, _ = raw.shape
    first = spec.shape[1] == 3
    array = np.empty((count, 3, height, width) if first else raw.shape, DTYPES[spec.datatype])
    for n in range(count):
        for y in range(height):
            for x in range(width):
                for c in range(3):
                    value = int(raw[n, y, x, c])
                    if spec.datatype != "UINT8":
                        value = (value - mean[c]) / std[c]
                    array[(n, c, y, x) if first else (n, y, x, c)] = value
    return array


@pytest.mark.parametrize("datatype", ["UINT8", "FP16", "FP32"])
@pytest.mark.parametrize("shape", [(-1, 6, 4, 3), (-1, 3, 6, 4), (2, 3, 6, 4)])
@pytest.mark.parametrize(
    ("options", "mean", "std"),
    [
        ({}, [127] * 3, [128] * 3),
        ({"mean": "0", "std": "255"}, [0] * 3, [255] * 3),
        ({"mean": "123.5:116.25:103", "std": "58:57:56"}, [123.5, 116.25, 103], [58, 57, 56]),
    ],
)
def test_every_layout_and_datatype_holds_the_same_pixels_as_a_slow_reference_says(datatype, shape, options, mean, std):
    spec = TensorSpec("x", datatype, shape)
    elements = (PHOTO, PHOTOS[1].read_bytes())
    got, reference = images(fitted(spec, **options), *elements), slowly(images(fitted(), *elements), spec, mean, std)
    assert (got.dtype, got.shape) == (reference.dtype, reference.shape)
    assert got.flags.c_contiguous
    np.testing.assert_allclose(got, reference, rtol=2e-3 if datatype == "FP16" else 1e-6, atol=1e-6)


def test_several_images_in_one_request_give_what_each_gives_alone():
    photos = [photo.read_bytes() for photo in PHOTOS]
    mixed = [data if index % 2 else base64.b64encode(data) for index, data in enumerate(photos)]
    together = images(fitted(), *mixed)
    assert len(PHOTOS) >= 3
    assert np.array_equal(together, np.concatenate([images(fitted(), data) for data in photos]))


def test_no_images_make_an_empty_batch_and_no_scores_an_empty_answer():
    assert images(fitted()).shape == (0, 6, 4, 3)
    assert [array.shape for array in best(np.empty((0, 9))).values()] == [(0, 5)] * 3


@pytest.mark.parametrize(
    ("element", "message"),
    [
        (b"no picture", "input 'input-0', element 2: an element is no image: expected a JPEG, PNG, WebP file or .*"),
        (PHOTO[:5000], "input 'input-0', element 2: an image cannot be decoded: it is truncated, damaged .*"),
        (base64.b64encode(PHOTO[:5000]), "input 'input-0', element 2: an image cannot be decoded: .*"),
    ],
)
def test_a_bad_image_is_named_by_its_place(element, message):
    with pytest.raises(InvalidInput, match=f"^{message}$"):
        images(fitted(), PHOTO, PHOTO, element, PHOTO)


def test_very_many_empty_elements_are_refused_before_anything_is_made_of_them():
    request = {"input-0": np.broadcast_to(objects([b""]), (2**24,))}  # 64 MiB of raw BYTES, the largest message
    transformer = fitted(TensorSpec("x", "UINT8", (-1, 8192, 8192, 3)))  # beyond any address space, whatever the host
    with pytest.raises(InvalidInput, match="16777216 images, at most 256"):
        transformer.preprocess(request, CONTEXT)


def test_the_seed_request_is_read_as_one_upright_photograph():
    if not SEED.exists():
        pytest.skip("../shared/seed/input.json does not lie beside this checkout")
    text = json.loads(SEED.read_text())["inputs"][0]["data"][0].encode()
    assert pixels.decode(pixels.image_bytes(text)).shape == (577, 700, 3)
    assert images(fitted(TensorSpec("x", "UINT8", (-1, 224, 224, 3))), text).shape == (1, 224, 224, 3)


@pytest.mark.parametrize(
    ("shape", "options", "size", "channels_first"),
    [
        ((-1, 224, 224, 3), {}, (224, 224), False),
        ((-1, 3, 224, 320), {}, (224, 320), True),
        ((1, 160, 96, 3), {}, (160, 96), False),
        ((-1, -1, -1, 3), {}, (224, 224), False),
        ((-1, 3, -1, -1), {"size": "64"}, (64, 64), True),
        ((-1, -1, 50, 3), {"size": "64"}, (64, 50), False),
    ],
)
def test_the_models_tensor_says_size_and_layout(shape, options, size, channels_first):
    got = wanted(TensorSpec("x", "FP32", shape), options)
    assert (got.name, got.datatype, got.size, got.channels_first) == ("x", "FP32", size, channels_first)


@pytest.mark.parametrize(
    ("datatype", "shape"),
    [("FP64", (-1, 3, 8, 8)), ("BYTES", (-1,)), ("FP32", (-1, 1, 8, 8)), ("UINT8", (3, 8, 8)), ("FP32", ())],
)
def test_a_model_that_takes_no_images_is_refused_with_what_was_expected(datatype, shape):
    with pytest.raises(ValueError, match=r"^'x' takes .*, expected UINT8, FP16 or FP32 \[N,height,width,3\] or "):
        fitted(TensorSpec("x", datatype, shape))


def test_of_several_inputs_one_must_be_chosen():
    described = model(NHWC, TensorSpec("mask", "FP32", (-1, 3, 8, 8)), outputs=(SCORES,))
    with pytest.raises(ValueError, match=r"inputs are images, mask; choose one with --transformer_options=input=NAME"):
        ImageClassification().setup(described, {})
    transformer = ImageClassification()
    transformer.setup(described, {"input": "mask"})
    assert set(transformer.preprocess({"input-0": objects([PHOTO])}, CONTEXT)) == {"mask"}


def test_a_predictor_that_describes_nothing_is_taken_for_the_usual_model():
    transformer = ImageClassification()
    transformer.setup(model(), {})
    assert transformer.preprocess({"input-0": objects([PHOTO])}, CONTEXT)["input-0"].shape == (1, 3, 224, 224)
    assert transformer.rank({"any": np.ones((1, 3), np.float32)})["classes"].shape == (1, 3)


def test_what_goes_in_and_comes_out_is_declared():
    assert list(fitted().inputs) == [TensorSpec("input-0", "BYTES", (-1,))]
    assert [(spec.name, spec.datatype, spec.shape) for spec in fitted(top_k="3").outputs] == [
        ("output-0", "FP32", (-1, 3)),
        ("labels", "BYTES", (-1, 3)),
        ("classes", "INT64", (-1, 3)),
    ]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(-9, -1), min_size=7, max_size=7), min_size=1, max_size=4), st.integers(1, 9))
def test_the_best_classes_come_first_and_of_equals_the_lower(scores, count):
    answer = best(scores, top_k=str(count))
    for row, values in enumerate(scores):
        order = sorted(range(7), key=lambda index: (-values[index], index))[:count]
        assert answer["classes"][row].tolist() == order
        powers = [float(np.exp(value)) for value in values]
        assert answer["output-0"][row] == pytest.approx([powers[index] / sum(powers) for index in order], abs=1e-6)
        assert answer["labels"][row].tolist() == [b"%d" % index for index in order]


def test_the_answer_has_the_declared_datatypes_even_for_half_floats():
    answer = fitted().rank({"scores": np.zeros((2, 9), np.float16)})
    assert [array.dtype for array in answer.values()] == [np.float32, object, np.int64]
    assert {array.shape for array in answer.values()} == {(2, 5)}


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([[0.25, 0.75]], [[0.25, 0.75]]),
        ([[0.0, 0.9995]], [[0.0, 0.9995]]),  # a distribution up to rounding
        ([[0.0, 0.0]], [[0.5, 0.5]]),
        ([[-0.5, 1.5]], [[1 / (1 + np.e**2), 1 / (1 + np.e**-2)]]),  # sums to one, but is none
        ([[1000.0, 1000.0], [-1000.0, 0.0]], [[0.5, 0.5], [0.0, 1.0]]),  # no overflow
    ],
)
def test_softmax_is_added_only_to_what_is_no_distribution(scores, expected):
    got = as_probabilities(np.array(scores, np.float32))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_an_images_scores_do_not_depend_on_the_images_beside_it():
    assert best([[0.3, 0.7]])["output-0"][0, 0] == pytest.approx(best([[0.3, 0.7], [5, 1]])["output-0"][0, 0])


def test_a_thousand_classes_get_imagenets_labels():
    scores = np.zeros((1, 1000), np.float32)
    scores[0, 208] = 9
    assert best(scores)["labels"][0, 0] == b"Labrador retriever"


RANKED = (TensorSpec("scores", "FP32", (-1, 3)), TensorSpec("classes", "INT64", (-1, 3)))


def ranked(classes: list[int], **options: str) -> dict[str, np.ndarray]:
    outputs = {"scores": np.array([[0.5, 0.25, 0.125]], np.float32), "classes": np.array([classes])}
    return fitted(outputs=RANKED, **options).rank(outputs)


def test_what_the_predictor_has_chosen_is_taken_as_it_is():
    answer = ranked([7, 2, 900], top_k="2")
    assert answer["output-0"].tolist() == [[0.5, 0.25]]
    assert answer["classes"].tolist() == [[7, 2]]
    assert answer["labels"].tolist() == [[b"7", b"2"]]
    assert {name: array.dtype for name, array in answer.items()} == {
        "output-0": np.float32,
        "labels": np.object_,
        "classes": np.int64,
    }


def test_what_the_predictor_has_chosen_is_labelled_where_that_is_asked_for(tmp_path):
    assert ranked([281, 2, 900], labels="imagenet")["labels"][0, 0] == b"tabby"
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    assert ranked([2, 0, 1], labels=str(tmp_path / "labels.txt"))["labels"].tolist() == [[b"c", b"a", b"b"]]
    assert ranked([2, 0, 3], labels=str(tmp_path / "labels.txt"))["labels"].tolist() == [[b"2", b"0", b"3"]]


def test_classes_of_another_shape_are_another_output():
    outputs = (SCORES, TensorSpec("classes", "INT64", (-1,)))
    answer = fitted(outputs=outputs).rank({"scores": np.eye(1, 1000, dtype=np.float32), "classes": np.array([5])})
    assert answer["classes"][0, 0] == 0


def test_classes_that_are_not_as_declared_are_the_predictors_fault():
    outputs = {"scores": np.zeros((1, 3), np.float32), "classes": np.zeros((1, 2), np.int64)}
    with pytest.raises(Internal, match=r"classes are \[1, 2\], its scores \[1, 3\]"):
        fitted(outputs=RANKED).rank(outputs)


def test_labels_come_from_a_file_if_it_has_one_a_class(tmp_path):
    file = tmp_path / "labels.txt"
    file.write_text("Apfel\n Birne \nKürbis\n\n", encoding="utf-8")
    assert best([[1, 3, 2]], labels=str(file))["labels"][0].tolist() == [b"Birne", "Kürbis".encode(), b"Apfel"]
    assert best([[1, 3]], labels=str(file))["labels"][0].tolist() == [b"1", b"0"]


@pytest.mark.parametrize("scores", [np.zeros(9, np.float32), np.zeros((1, 9, 1), np.float32), np.zeros((1, 9), int)])
def test_scores_of_another_form_are_the_models_fault_and_are_described(scores):
    with pytest.raises(Internal, match=r"^the model's scores are .*, expected floats \[N, classes\]$"):
        fitted().rank({"scores": scores})


def test_the_scores_are_the_output_that_the_options_name():
    outputs = (TensorSpec("features", "FP32", (-1, 2)), SCORES)
    answer = {"features": np.float32([[1, 0]]), "scores": np.float32([[0, 0, 1]])}
    assert fitted(outputs=outputs).rank(answer)["classes"][0, 0] == 0
    assert fitted(outputs=outputs, output="scores").rank(answer)["classes"][0, 0] == 2


@pytest.mark.parametrize("count", ["0", "-1"])
def test_a_top_k_below_one_ends_setup(count):
    with pytest.raises(ValueError, match="top_k"):
        fitted(top_k=count)


@pytest.mark.parametrize("name", ["top_k", "mean", "std", "size"])
def test_an_option_that_is_no_number_ends_setup(name):
    with pytest.raises(ValueError, match="many"):
        fitted(TensorSpec("x", "FP32", (-1, -1, -1, 3)), **{name: "many"})


def test_a_non_square_model_gets_the_centre_of_the_picture():
    picture = np.zeros((64, 256, 3), np.uint8)
    picture[:, 96:160] = 255
    got = images(fitted(TensorSpec("x", "UINT8", (-1, 56, 112, 3))), encoded(".png", picture))
    assert np.flatnonzero(got[0, 28, :, 0] > 127).tolist() == list(range(24, 88))


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, -1.0, float("nan")]), min_size=1, max_size=12), st.integers(1, 12))
def test_the_best_are_those_of_a_whole_stable_sort(values, count):
    row = np.array(values, np.float32)
    count = min(count, len(row))
    assert np.array_equal(largest(row, count), np.argsort(-row, kind="stable")[:count])
