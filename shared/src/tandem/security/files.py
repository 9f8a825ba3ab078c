"""Files that are replaced while a service runs, as Kubernetes does with secrets."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from tandem.lifecycle import Fatal

log = logging.getLogger("tandem.security")

T = TypeVar("T")
_Stamp = tuple[tuple[int, int, int], ...]


class Followed(Generic[T]):
    """What `read` makes of `paths`: the newest that could be read. Raises Fatal if that fails at the start.

    `read` raises OSError or ValueError. A file that was half replaced is read again at the next look.
    """

    def __init__(self, paths: Sequence[str], read: Callable[[], T], flags: str) -> None:
        self._paths = [path for path in paths if path]
        self._read = read
        self._flags = flags  # which name the files, for messages
        try:
            self._stamp = self._look()
            self._value = read()
        except (OSError, ValueError) as error:
            raise Fatal(f"{flags}: {_reason(error)}") from error
        self._refused: _Stamp | None = None  # what could not be read, and was told in the log

    def current(self) -> T:
        """The value, made anew if a file has changed."""
        try:
            stamp = self._look()
            if stamp != self._stamp:
                self._value = self._read()
                self._stamp = stamp
                log.info("read again", extra={"files": self._flags})
        except (OSError, ValueError) as error:
            self._tell(error)
        return self._value

    def _look(self) -> _Stamp:
        found = [os.stat(path) for path in self._paths]
        return tuple((item.st_mtime_ns, item.st_ino, item.st_size) for item in found)

    def _tell(self, error: Exception) -> None:
        try:
            stamp = self._look()
        except OSError:
            stamp = ()
        if stamp != self._refused:
            self._refused = stamp
            log.error("the old files stay in use", extra={"files": self._flags, "reason": _reason(error)})


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)
