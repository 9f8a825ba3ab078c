"""`each`: one item at a time, for those who want to think of one."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from tandem import Context, InvalidInput
from tandem.tensors import objects
from tandem_transformer import Transformer, each

ROWS = {"x": np.float32([[1, 2], [3, 4], [5, 6]]), "t": objects([b"a", b"bc", b"d\0"]), "n": np.int64([7, 8, 9])}


class OneByOne(Transformer):
    @each
    def preprocess(self, item, context):
        with context.timer("row"):
            text = b"<" + item["t"] + b">"
            return {"sum": item["x"].sum(), "x": item["x"] * 2, "t": text, "n": item["n"] + 1}

    @each
    async def postprocess(self, item, context):
        await asyncio.sleep(0)
        return {"label": item["t"].decode(), "twice": item["n"] * 2}


def test_a_method_for_one_item_works_on_a_batch():
    outputs = OneByOne().preprocess(ROWS, Context())
    assert outputs["sum"].tolist() == [3, 7, 11]
    assert outputs["sum"].dtype == np.float32
    assert outputs["x"].tolist() == [[2, 4], [6, 8], [10, 12]]
    assert outputs["t"].tolist() == [b"<a>", b"<bc>", b"<d\0>"]
    assert outputs["n"].tolist() == [8, 9, 10]


async def test_an_async_one_works_on_all_items_at_once():
    meeting = asyncio.Barrier(3)  # passed only if all three are there together

    class Together(Transformer):
        @each
        async def preprocess(self, item, context):
            await asyncio.wait_for(meeting.wait(), 5)
            return {"n": item["n"]}

    assert (await Together().preprocess(ROWS, Context()))["n"].tolist() == [7, 8, 9]
    labels = await OneByOne().postprocess(ROWS, Context())
    assert labels["label"].tolist() == ["a", "bc", "d\0"]
    assert labels["twice"].tolist() == [14, 16, 18]


def test_timers_add_up_over_the_items():
    context = Context()
    OneByOne().preprocess(ROWS, context)
    assert context.timings.steps == {"row"}
    assert context.timings.get("row") > 0


class Failing(Transformer):
    @each
    def preprocess(self, item, context):
        self.fail(item)
        return {"n": item["n"]}

    @each
    async def postprocess(self, item, context):
        self.fail(item)
        return {"n": item["n"]}

    def fail(self, item):
        if item["n"] == 8:
            raise self.error


@pytest.mark.parametrize("name", ["preprocess", "postprocess"])
async def test_a_refusal_and_a_failure_say_which_row(name):
    transformer = Failing()

    async def run():
        result = getattr(transformer, name)(ROWS, Context())
        return await result if asyncio.iscoroutine(result) else result

    transformer.error = InvalidInput("too dark")
    with pytest.raises(InvalidInput, match=r"^row 1: too dark$"):
        await run()
    transformer.error = KeyError("y")
    with pytest.raises(KeyError) as caught:
        await run()
    assert caught.value is transformer.error
    assert caught.value.__notes__ == ["in row 1"]


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"x": np.zeros((0, 2))}, "no rows"),
        ({"x": np.float32(1).reshape(())}, "no rows"),
        ({}, "no rows"),
        ({"x": np.zeros(2), "y": np.zeros(3)}, "different numbers of rows"),
    ],
)
def test_tensors_without_common_rows_are_the_callers_fault(arrays, why):
    with pytest.raises(InvalidInput, match=why):
        OneByOne().preprocess(arrays, Context())


@pytest.mark.parametrize(
    ("results", "why"),
    [
        ([{"a": 1}, {"b": 1}, {"a": 1}], r"row 1 has the names \['b'\], row 0 \['a'\]"),
        ([{"a": np.zeros(2)}, {"a": np.zeros(3)}, {"a": np.zeros(2)}], "'a' differs in shape from row to row"),
        ([{"a": 1}, 5, {"a": 1}], r"Given.preprocess returned int, expected a dict for one row"),
    ],
)
def test_results_that_do_not_fit_together_are_told_apart(results, why):
    class Given(Transformer):
        @each
        def preprocess(self, item, context):
            return results[item["n"] - 7]

    with pytest.raises((TypeError, ValueError), match=why):
        Given().preprocess(ROWS, Context())
