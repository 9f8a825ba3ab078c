"""Triton's classification extension: the best classes of an output, as text."""

import numpy as np
import pytest
from tandem.errors import InvalidInput
from tandem.inference import RequestedOutput
from tandem.model.classification import classify

SCORES = np.array([[0.1, 0.7, 0.2], [3, 2, 3]], "f4")


def best(scores, count):
    return classify({"y": scores}, [RequestedOutput("y", {"classification": count})])["y"]


def test_the_best_classes_come_first_and_the_lower_index_of_equals():
    expected = [[b"0.700000:1", b"0.200000:2"], [b"3.000000:0", b"3.000000:2"]]
    assert best(SCORES, 2).tolist() == expected


def test_more_classes_than_there_are_is_all_of_them():
    assert best(SCORES, 9).shape == (2, 3)


def test_the_leading_dimensions_are_kept():
    assert best(SCORES.reshape(2, 1, 3), 1).tolist() == [[[b"0.700000:1"]], [[b"3.000000:0"]]]
    assert best(SCORES[0], 1).tolist() == [b"0.700000:1"]


def test_unsigned_and_smallest_integers_are_ordered_by_value():
    assert best(np.array([0, 255, 7], "u1"), 2).tolist() == [b"255.000000:1", b"7.000000:2"]
    assert best(np.array([-128, 127], "i1"), 1).tolist() == [b"127.000000:1"]


def test_an_output_that_nobody_wants_classified_is_left_as_it_is():
    outputs = {"y": SCORES, "z": SCORES}
    got = classify(outputs, [RequestedOutput("z"), RequestedOutput("y", {"classification": 1})])
    assert got["z"] is SCORES
    assert got["y"].shape == (2, 1)


@pytest.mark.parametrize("count", [0, -1, True, 1.0, "2"])
def test_a_count_that_is_no_positive_whole_number_is_refused(count):
    with pytest.raises(InvalidInput, match=r"output 'y': classification is .*, expected a number of classes"):
        best(SCORES, count)


@pytest.mark.parametrize("scores", [np.float32(1).reshape(()), np.array([b"a"], object), np.array([True])])
def test_what_are_no_scores_cannot_be_classified(scores):
    with pytest.raises(InvalidInput, match="output 'y' cannot be classified"):
        best(scores, 1)
