"""`each`: a method for one item becomes a method for a batch.

arrays [N, ...] -> N items -> your method -> N results -> arrays [N, ...]
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar, overload

import numpy as np
from tandem.context import Context
from tandem.errors import InvalidInput
from tandem.inference import Arrays
from tandem.tensors import objects

Item = dict[str, Any]  # by name: an array without the first dimension; a scalar or `bytes` where that was the only one
Result = Mapping[str, Any]  # by name: an array, number, text or `bytes`
T = TypeVar("T")


@overload
def each(
    method: Callable[[T, Item, Context], Awaitable[Result]],
) -> Callable[[T, Arrays, Context], Awaitable[Arrays]]: ...
@overload
def each(method: Callable[[T, Item, Context], Result]) -> Callable[[T, Arrays, Context], Arrays]: ...
def each(method: Callable[[T, Item, Context], Any]) -> Callable[[T, Arrays, Context], Any]:
    """Make a `preprocess` or `postprocess` of a method that is written for one item.

    It is called once for each row of the tensors, with what is in that row, and its results are stacked: all must
    have the same names, and shapes. A `def` runs row after row, an `async def` for all rows at once. InvalidInput is
    told with the row's number; a request without rows, or of tensors with different numbers of them, is a 400.
    """
    if inspect.iscoroutinefunction(method):

        @wraps(method)
        async def together(self: T, arrays: Arrays, context: Context) -> Arrays:
            rows = _rows(arrays)
            try:
                async with asyncio.TaskGroup() as group:
                    running = [group.create_task(_awaited(method, self, row, index, context)) for index, row in rows]
            except BaseExceptionGroup as failed:
                raise failed.exceptions[0] from None
            return _stacked([task.result() for task in running])

        return together

    @wraps(method)
    def one_by_one(self: T, arrays: Arrays, context: Context) -> Arrays:
        return _stacked([_called(method, self, row, index, context) for index, row in _rows(arrays)])

    return one_by_one


def _rows(arrays: Arrays) -> list[tuple[int, Item]]:
    counts = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        raise InvalidInput(f"the tensors have different numbers of rows: {counts}")
    if not any(counts.values()):
        raise InvalidInput("the request has no rows")
    return [(index, {name: array[index] for name, array in arrays.items()}) for index in range(max(counts.values()))]


def _called(method: Callable[[T, Item, Context], Any], self: T, row: Item, index: int, context: Context) -> Result:
    try:
        result: Result = method(self, row, context)
        return _checked(method, result)
    except InvalidInput as error:
        raise InvalidInput(f"row {index}: {error.message}") from error
    except Exception as error:
        error.add_note(f"in row {index}")
        raise


async def _awaited(
    method: Callable[[T, Item, Context], Any], self: T, row: Item, index: int, context: Context
) -> Result:
    try:
        return _checked(method, await method(self, row, context))
    except InvalidInput as error:
        raise InvalidInput(f"row {index}: {error.message}") from error
    except Exception as error:
        error.add_note(f"in row {index}")
        raise


def _checked(method: Callable[..., Any], result: object) -> Result:
    if not isinstance(result, Mapping):
        raise TypeError(f"{method.__qualname__} returned {type(result).__name__}, expected a dict for one row")
    return result


def _stacked(results: Sequence[Result]) -> Arrays:
    """The results of all rows as arrays [N, ...]."""
    names = set(results[0])
    for index, result in enumerate(results):
        if set(result) != names:
            raise ValueError(f"row {index} has the names {sorted(result)}, row 0 {sorted(names)}")
    return {name: _column(name, [result[name] for result in results]) for name in results[0]}


def _column(name: str, values: Sequence[Any]) -> np.ndarray[Any, np.dtype[Any]]:
    if isinstance(values[0], (bytes, str)):  # NumPy would cut trailing zero bytes off
        return objects(values)
    try:
        return np.stack(values)
    except ValueError as error:
        raise ValueError(f"'{name}' differs in shape from row to row: {error}") from None
