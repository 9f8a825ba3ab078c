"""An author's module: how it is imported, and where in it something went wrong."""

from __future__ import annotations

import importlib.util
import logging
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, TracebackType

log = logging.getLogger("tandem.user")

_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_OURS = frozenset({"tandem", "tandem_predictor", "tandem_transformer", "tandem_cli"})
_LONGEST = 300  # characters of an exception's text


def from_file(file: Path, name: str) -> ModuleType:
    """The module in `file`, imported anew as `name`. Raises FileNotFoundError, or whatever its code raises."""
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]  # half of a module is nobody's
        raise
    return module


def told(error: BaseException) -> str:
    """`error` in one line, with the innermost place in the author's code: `KeyError: 'x' (mine.py:3)`."""
    lines = str(error).split("\n")
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({error.filename}:{error.lineno})"
    text = f"{type(error).__name__}: {lines[0][:_LONGEST]}" if lines[0] else type(error).__name__
    places = [f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" for frame in _own(error)]
    return f"{text} ({places[-1]})" if places else text


def report(what: str, error: BaseException) -> None:
    """Log the traceback from the author's code on, if it was that code which raised."""
    if frames := _own(error):
        shown = "".join(traceback.format_exception(type(error), error, frames[0])).rstrip()
        log.error("%s\n%s", what, shown)


def _own(error: BaseException) -> list[TracebackType]:
    """The frames of `error` that are neither a library's nor Tandem's, the innermost last."""
    return [frame for frame in _frames(error.__traceback__) if _is_own(frame)]


def _is_own(frame: TracebackType) -> bool:
    names = frame.tb_frame.f_globals
    if str(names.get("__name__", "")).partition(".")[0] in _OURS:
        return False
    return not frame.tb_frame.f_code.co_filename.startswith(("<", *_LIBRARIES))


def _frames(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next
