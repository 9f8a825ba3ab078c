"""A region of memory that two processes share: a file of /dev/shm, mapped.

Its bytes are reserved before anything is written: a write past what /dev/shm has left would end the process with
SIGBUS. The file has no name any more once both sides have mapped it, so that whatever kills them, nothing is left.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path

SHM = Path("/dev/shm")  # noqa: S108 - the memory itself, not a folder for files
PREFIX = "tandem-"
NONCE = 32  # bytes at the beginning of a region that `create` has made
_KEY = re.compile(r"/?([A-Za-z0-9_.-]+)")  # shm_open's names begin with a slash


class NoRegion(Exception):
    """A region that cannot be made or mapped; the text says why."""


class Region:
    """Mapped bytes. They stay mapped as long as an array over them lives."""

    def __init__(self, key: str, mapped: mmap.mmap, offset: int, size: int) -> None:
        self.key = key
        self.offset = offset
        self.size = size
        self._bytes = memoryview(mapped)[offset : offset + size]

    def view(self, offset: int, size: int) -> memoryview:
        """`size` bytes from `offset` on, to be written and read; raises IndexError beyond the region."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise IndexError(f"{size} bytes at {offset} are beyond the region's {self.size}")
        return self._bytes[offset : offset + size]


class OwnRegion(Region):
    """A region that this process has made. Until it is closed, its lock on the file tells that it is no orphan."""

    def __init__(self, key: str, mapped: mmap.mmap, file: int) -> None:
        super().__init__(key, mapped, 0, len(mapped))
        self._file = file
        self.nonce = secrets.token_bytes(NONCE)
        self.view(0, NONCE)[:] = self.nonce

    def close(self, folder: Path = SHM) -> None:
        """Let go of the file, and of its name if it still has one. The memory goes with the last array."""
        if self._file >= 0:
            if os.fstat(self._file).st_nlink:
                with suppress(OSError):
                    (folder / self.key).unlink()
            os.close(self._file)
            self._file = -1


def create(size: int, folder: Path = SHM) -> OwnRegion:
    """A new region of `size` bytes, all of them reserved; raises NoRegion. Blocking: the kernel clears the pages."""
    key = f"{PREFIX}{secrets.token_hex(12)}"
    try:
        file = os.open(folder / key, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise NoRegion(f"{folder} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.posix_fallocate(file, 0, size)
        return OwnRegion(key, mmap.mmap(file, size), file)
    except OSError as error:
        with suppress(OSError):
            (folder / key).unlink()
        os.close(file)
        raise NoRegion(f"{folder} has no room for {size} bytes: {error.strerror}") from error


def attach(key: str, offset: int, size: int, folder: Path = SHM, *, take: bool = False) -> Region:
    """Another process's region; raises NoRegion unless all of its bytes are there. `take` removes its name."""
    if not (name := _KEY.fullmatch(key)) or name[1] in (".", ".."):
        raise NoRegion("a key has letters, digits, '_', '.' and '-' only")
    if offset < 0 or size <= 0:
        raise NoRegion(f"{size} bytes at {offset} are no region")
    path = folder / name[1]
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise NoRegion(f"it cannot be opened: {error.strerror}") from error
    try:
        _check(os.fstat(file), offset + size)
        os.posix_fallocate(file, offset, size)  # whoever made it may not have, and our writes must not fail
        mapped = mmap.mmap(file, offset + size)
    except (OSError, ValueError) as error:
        raise NoRegion(f"it cannot be mapped: {error}") from error
    finally:
        os.close(file)
    if take:
        with suppress(OSError):
            path.unlink()
    return Region(name[1], mapped, offset, size)


def free(folder: Path = SHM) -> int:
    """The bytes that are left in shared memory; 0 where there is none."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def sweep(folder: Path = SHM) -> None:
    """Remove regions whose makers were killed before the other side had mapped them: nobody locks their files."""
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):
            file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(file)


def _check(found: os.stat_result, size: int) -> None:
    """Raise NoRegion if reading or writing `size` bytes of the file could fail."""
    if not stat.S_ISREG(found.st_mode):
        raise NoRegion("it is no shared memory object")
    if found.st_size < size:
        raise NoRegion(f"it has {found.st_size} bytes, {size} are asked for")
