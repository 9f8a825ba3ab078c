"""The allocator keeps large blocks: a second one of the same size costs no page faults."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from tandem.memory import allocator
if sys.argv[1] == "kept":
    assert allocator.keep_freed_blocks()
def fill():
    np.full(8 * 2**20, 1, np.uint8)
fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator can be told")
def test_a_freed_block_of_an_images_size_is_used_again():
    assert faults("kept") < 100 < faults("given back")


def faults(way):
    command = [sys.executable, "-c", PROGRAM, way]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
