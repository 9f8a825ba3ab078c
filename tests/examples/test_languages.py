"""examples/languages: texts of any lengths in one request are answered as each would be alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from examples.running import INSTALLING, Refused, ask, running
from harness import Pair

pytestmark = [pytest.mark.system, pytest.mark.timeout(INSTALLING)]

TEXTS = [
    "Where is the station?",
    "Der Zug nach Hamburg fährt heute leider erst in einer halben Stunde von einem anderen Gleis ab. " * 5,
    "Je voudrais un café, s'il vous plaît.",
    "Questo è il mio libro preferito.",
    "Я не говорю по-русски, но учусь.",
    "すみません、駅はどこですか。",
]
LANGUAGES = ["English", "German", "French", "Italian", "Russian", "Japanese"]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with running("languages") as pair:
        yield pair


def test_padding_changes_no_answer(pair: Pair) -> None:
    together = ask(pair, "languages", "text", "BYTES", [len(TEXTS)], TEXTS)
    alone = [ask(pair, "languages", "text", "BYTES", [1], [text]) for text in TEXTS]
    assert together["language"] == [answer["language"][0] for answer in alone] == LANGUAGES
    single = [answer["probability"][0] for answer in alone]
    assert np.abs(np.array(together["probability"]) - single).max() <= 1e-5


@pytest.mark.parametrize("text", ["", "  \n "])
def test_a_text_of_nothing_is_the_callers_mistake(pair: Pair, text: str) -> None:
    with pytest.raises(Refused, match="element 1: it is empty") as refused:
        ask(pair, "languages", "text", "BYTES", [2], ["Guten Tag!", text])
    assert refused.value.args[0] == 400
