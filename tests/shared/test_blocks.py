"""Blocks of a region: nobody's overlap, and what is given back can be taken whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from shared.strategies import QUICK
from tandem.memory.blocks import PAGE, Blocks

SIZE = 64 * PAGE


@QUICK
@given(st.lists(st.one_of(st.integers(1, 20 * PAGE), st.none()), max_size=60), st.randoms())
def test_blocks_never_overlap_and_come_back_whole(steps, random):
    blocks, held = Blocks(0, SIZE), []
    for size in steps:
        if size is None and held:
            blocks.give(*held.pop(random.randrange(len(held))))
        elif size and (start := blocks.take(size)) is not None:
            assert 0 <= start <= start + size <= SIZE
            assert all(start + size <= other or other + taken <= start for other, taken in held)
            held.append((start, size))
    for start, size in held:
        blocks.give(start, size)
    assert blocks.take(SIZE) == 0


def test_the_lowest_place_is_taken_first():
    blocks = Blocks(0, SIZE)
    first, second = blocks.take(PAGE), blocks.take(PAGE)
    blocks.give(first, PAGE)
    assert blocks.take(1) == first == 0
    assert second == PAGE


def test_nothing_is_taken_where_there_is_no_room():
    blocks = Blocks(0, SIZE)
    assert blocks.take(SIZE + 1) is None
    assert blocks.take(SIZE) == 0
    assert blocks.take(1) is None
    assert Blocks(100, 100).take(1) is None


def test_the_beginning_is_kept_free():
    assert Blocks(32, SIZE).take(1) == PAGE


def test_it_is_worn_when_a_quarter_is_lost():
    blocks = Blocks(0, SIZE)
    blocks.lose(SIZE // 4)
    assert not blocks.worn
    blocks.lose(1)
    assert blocks.worn
