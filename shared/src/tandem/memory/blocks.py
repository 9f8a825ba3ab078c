"""Blocks of a region, taken and given back. The lowest free one is taken first: it is the likeliest to be in cache."""

from __future__ import annotations

import bisect
from collections import deque

PAGE = 4096


class Blocks:
    """Who has which bytes of [start, size). `take` belongs to one thread; `give` may be called from any."""

    def __init__(self, start: int, size: int) -> None:
        first = -(-start // PAGE) * PAGE
        self._free = [(first, size)] if size > first else []  # disjoint, sorted, never adjacent
        self._given: deque[tuple[int, int]] = deque()
        self._lost = 0
        self._size = size

    def take(self, size: int) -> int | None:
        """Where `size` bytes begin that nobody else has; None if there is no such place."""
        while self._given:
            self._merge(*self._given.popleft())
        size = _rounded(size)
        for index, (start, end) in enumerate(self._free):
            if end - start >= size:
                if end - start == size:
                    del self._free[index]
                else:
                    self._free[index] = (start + size, end)
                return start
        return None

    def give(self, start: int, size: int) -> None:
        """Nobody uses these bytes any more."""
        self._given.append((start, start + _rounded(size)))

    def lose(self, size: int) -> None:
        """A block of `size` bytes will never be given back."""
        self._lost += _rounded(size)

    @property
    def worn(self) -> bool:
        """Whether a quarter is lost."""
        return self._lost * 4 > self._size

    def _merge(self, start: int, end: int) -> None:
        index = bisect.bisect_left(self._free, (start, end))
        if index < len(self._free) and self._free[index][0] == end:
            end = self._free.pop(index)[1]
        if index and self._free[index - 1][1] == start:
            start = self._free.pop(index - 1)[0]
            index -= 1
        self._free.insert(index, (start, end))


def _rounded(size: int) -> int:
    return -(-max(size, 1) // PAGE) * PAGE
