"""Shared memory between two mappings of one file: who gets it, who does not, and that nothing is left."""

from __future__ import annotations

import fcntl
import os
import secrets
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tandem.errors import FailedPrecondition, InvalidInput
from tandem.memory.region import NONCE, SHM, NoRegion, attach, create, free, sweep
from tandem.memory.regions import MOST, Regions

SIZE = 64 * 1024


def made(folder: Path, name: str, size: int = SIZE) -> Path:
    (folder / name).write_bytes(b"\0" * size)
    return folder / name


def test_what_one_side_writes_the_other_reads():
    own = create(SIZE)
    other = attach(own.key, 0, SIZE)
    own.view(1000, 3)[:] = b"abc"
    assert bytes(other.view(1000, 3)) == b"abc"
    assert bytes(other.view(0, NONCE)) == own.nonce
    own.close()


def test_the_name_goes_when_the_other_side_takes_it_and_the_memory_stays():
    own = create(SIZE)
    other = attach(own.key, 0, SIZE, take=True)
    assert not (SHM / own.key).exists()
    own.close()
    own.view(0, 3)[:] = b"abc"
    assert bytes(other.view(0, 3)) == b"abc"


def test_the_name_goes_when_its_maker_closes_it():
    own = create(SIZE)
    own.close()
    own.close()
    assert not (SHM / own.key).exists()


def test_an_array_keeps_the_memory_mapped():
    own = create(SIZE)
    array = np.frombuffer(own.view(0, SIZE), np.uint8)
    own.close()
    del own
    assert int(array[NONCE:].sum()) == 0


@pytest.mark.parametrize(("offset", "size"), [(SIZE, 1), (-1, 1), (0, -1), (0, SIZE + 1), (2**70, 1)])
def test_nothing_beyond_the_region_is_seen(offset, size):
    own = create(SIZE)
    with pytest.raises(IndexError):
        own.view(offset, size)
    own.close()


def test_more_than_there_is_cannot_be_had_and_leaves_nothing(monkeypatch):
    monkeypatch.setattr(secrets, "token_hex", lambda size: "more-than-there-is")
    with pytest.raises(NoRegion, match="has no room"):
        create(free() * 2)
    assert not [name for name in os.listdir(SHM) if name.endswith("more-than-there-is")]


def test_a_folder_that_is_not_there_is_no_memory(tmp_path):
    assert free(tmp_path / "none") == 0
    with pytest.raises(NoRegion, match="cannot be written"):
        create(SIZE, tmp_path / "none")


@pytest.mark.parametrize("key", ["", "/", ".", "..", "/..", "../x", "a/b", "a\0b", "é", "x y"])
def test_a_key_that_could_lead_elsewhere_is_refused(key, tmp_path):
    with pytest.raises(NoRegion, match="a key has"):
        attach(key, 0, SIZE, tmp_path)


def test_only_a_plain_file_of_the_size_is_mapped(tmp_path):
    made(tmp_path, "small", 10)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(made(tmp_path, "secret"))
    for key in ("small", "folder", "pipe", "link", "nobody"):
        with pytest.raises(NoRegion):
            attach(key, 0, SIZE, tmp_path)
    with pytest.raises(NoRegion):
        attach("secret", SIZE, 1, tmp_path)
    assert attach("/secret", 8, 8, tmp_path).size == 8


def test_a_sparse_file_is_filled_before_it_is_written(tmp_path):
    with made(tmp_path, "sparse", 0).open("r+b") as file:
        file.truncate(SIZE)
    attach("sparse", 0, SIZE, tmp_path)
    assert (tmp_path / "sparse").stat().st_blocks * 512 >= SIZE


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_another_users_region_is_not_to_be_had():
    own = create(SIZE)
    program = "import os, sys; from tandem.memory.region import attach; os.setuid(65534); attach(sys.argv[1], 0, 1)"
    done = subprocess.run([sys.executable, "-c", program, own.key], capture_output=True, text=True, check=False)
    assert "NoRegion: it cannot be opened: Permission denied" in done.stderr
    own.close()


def test_what_a_killed_maker_left_is_swept_and_nothing_else(tmp_path):
    orphan, other = made(tmp_path, "tandem-orphan"), made(tmp_path, "somebody-elses")
    alive = create(SIZE, tmp_path)
    sweep(tmp_path)
    assert not orphan.exists()
    assert other.exists()
    assert (tmp_path / alive.key).exists()
    alive.close(tmp_path)


def test_a_region_that_is_swept_while_it_is_made_is_none(tmp_path, monkeypatch):
    def taken(*_):
        raise BlockingIOError(11, "locked")

    monkeypatch.setattr(fcntl, "flock", taken)
    with pytest.raises(NoRegion):
        create(SIZE, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def key():
    own = create(SIZE)
    yield own.key
    own.close()


def test_a_registered_region_is_found_by_its_name(key):
    regions = Regions(public=True)
    regions.register("mine", key, 8, 100)
    assert len(regions.view("mine", 90, 10)) == 10
    assert [(known.name, known.region.offset, known.region.size) for known in regions.status("")] == [("mine", 8, 100)]
    with pytest.raises(InvalidInput, match="beyond"):
        regions.view("mine", 91, 10)
    regions.unregister("mine")
    with pytest.raises(FailedPrecondition, match="'mine' is not registered"):
        regions.view("mine", 0, 1)


def test_a_name_is_registered_once_and_all_can_be_forgotten(key):
    regions = Regions(public=True)
    regions.register("mine", key, 0, 100)
    with pytest.raises(InvalidInput, match="empty or taken"):
        regions.register("mine", key, 0, 100)
    with pytest.raises(InvalidInput, match="empty or taken"):
        regions.register("", key, 0, 100)
    with pytest.raises(InvalidInput, match="cannot be opened"):
        regions.register("other", "nobody", 0, 100)
    with pytest.raises(InvalidInput, match="'other' is not registered"):
        regions.status("other")
    regions.unregister("nobody")
    regions.unregister("")
    assert regions.status("") == []


def test_there_is_a_limit_to_the_regions(key):
    regions = Regions(public=True)
    for number in range(MOST):
        regions.register(str(number), key, 0, 100)
    with pytest.raises(InvalidInput, match="there are 1024"):
        regions.register("more", key, 0, 100)


def test_without_the_flag_nothing_is_registered_and_private_regions_are_not_shown(key):
    regions = Regions(public=False)
    for ask in (lambda: regions.register("a", key, 0, 1), lambda: regions.status(""), lambda: regions.unregister("")):
        with pytest.raises(FailedPrecondition, match="--enable_system_shared_memory"):
            ask()
    public = Regions(public=True)
    public.add_private("handoff-1", attach(key, 0, SIZE))
    assert public.status("") == []
    public.unregister("")
    assert len(public.view("handoff-1", 0, 1)) == 1
    public.remove_private("handoff-1")
    with pytest.raises(FailedPrecondition):
        public.view("handoff-1", 0, 1)
