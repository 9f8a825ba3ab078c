"""Keeps freed blocks of image and tensor size, instead of giving them back to the kernel and fetching them anew.

By default glibc maps each block over 128 kB afresh, and the kernel clears its pages one fault at a time, at every
decoded photo (docs/performance.md). Other C libraries are left as they are.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # malloc.h
KEPT = 64 * 2**20  # free bytes at the top of an arena before they are given back
LARGEST = 32 * 2**20  # larger blocks are mapped and unmapped one by one; glibc allows no higher limit
ARENAS = 4  # of which each may keep that much; more would only spread the same few threads


def keep_freed_blocks() -> bool:
    """Tell the allocator; False where it cannot be told."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    wanted = ((_ARENA_MAX, ARENAS), (_MMAP_THRESHOLD, LARGEST), (_TRIM_THRESHOLD, KEPT))
    done = [mallopt(parameter, value) for parameter, value in wanted]  # each of them, whatever the others said
    return all(done)
