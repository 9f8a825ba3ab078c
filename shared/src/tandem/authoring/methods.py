"""Whether a class can be used as Tandem will use it: made without arguments, its methods called with what they get."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence

Methods = Mapping[str, Sequence[str]]  # names of methods, and of what each is called with


def problems(cls: type, methods: Methods) -> Iterator[str]:
    """A line for each thing that keeps `cls` from being used. A method that it does not have is no problem."""
    if inspect.isabstract(cls):
        lacking = sorted(name for name in dir(cls) if getattr(getattr(cls, name), "__isabstractmethod__", False))
        yield f"{cls.__name__} is abstract: it lacks {', '.join(lacking)}"
    elif not _takes(cls, ()):
        yield f"{cls.__name__}({_shown(cls)}) cannot be made: Tandem makes it without arguments"
    for name, parameters in methods.items():
        if hasattr(cls, name):
            yield from _problem(cls, name, parameters)


def suggestion(name: str, known: Iterable[str]) -> str:
    """` (did you mean X?)`, or nothing if no known name is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def misspelt(cls: type, known: Iterable[str]) -> Iterator[str]:
    """A line for each public method of `cls` that is nearly, but not, one of the `known`, which it does not define."""
    missing = [name for name in known if name not in vars(cls)]
    for name, value in vars(cls).items():
        if callable(value) and (near := difflib.get_close_matches(name, missing, n=1, cutoff=0.9)):
            yield f"{cls.__name__}.{name} is never called; did you mean {near[0]}?"


def _problem(cls: type, name: str, parameters: Sequence[str]) -> Iterator[str]:
    method = getattr(cls, name)
    expected = f"{name}({', '.join(('self', *parameters))})"
    if not callable(method):
        yield f"{cls.__name__}.{name} is {type(method).__name__}, expected a method {expected}"
    elif inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method):
        yield f"{cls.__name__}.{name} is a generator: it must return its result, not yield it"
    else:
        bound = isinstance(inspect.getattr_static(cls, name), (staticmethod, classmethod))
        if not _takes(method, parameters if bound else ("self", *parameters)):
            yield f"{cls.__name__}.{name} is {name}({_shown(method)}), expected {expected}"


def _takes(called: object, arguments: Sequence[str]) -> bool:
    """Whether `called` can be called with so many arguments; what has no signature is believed."""
    try:
        signature = inspect.signature(called)  # type: ignore[arg-type]  # what is no callable is a TypeError
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def _shown(called: type | object) -> str:
    bare = [
        parameter.replace(annotation=parameter.empty)
        for parameter in inspect.signature(called).parameters.values()  # type: ignore[arg-type]  # as above
    ]
    return str(inspect.Signature(bare))[1:-1]
