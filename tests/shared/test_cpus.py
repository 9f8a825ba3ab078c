"""The CPUs of a container, from its cgroup's files and its affinity."""

import os
import subprocess
import sys

import pytest
from tandem import cpus


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 64 CPUs; returns what counts those of a process beside the given cgroup files."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)

    def available(files, membership="0::/\n"):
        for name, text in files.items():
            (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "cgroup" / name).write_text(text)
        (tmp_path / "membership").write_text(membership)
        return cpus.available(tmp_path / "cgroup", tmp_path / "membership")

    return available


@pytest.mark.parametrize(
    ("quota", "count"),
    [
        ("max 100000\n", 64),
        ("200000 100000\n", 2),
        ("250000 100000\n", 3),
        ("50000 100000\n", 1),
        ("1000 100000\n", 1),
        ("100000000 100000\n", 64),
        ("50000 10000\n", 5),
        ("", 64),
        ("nonsense\n", 64),
        ("200000\n", 64),
    ],
)
def test_a_version_2_quota_is_rounded_up_to_whole_cpus(machine, quota, count):
    assert machine({"cpu.max": quota}) == count


@pytest.mark.parametrize(("quota", "count"), [("-1\n", 64), ("150000\n", 2), ("10000\n", 1)])
def test_a_version_1_quota_is_read_too(machine, quota, count):
    files = {"cpu/cpu.cfs_quota_us": quota, "cpu/cpu.cfs_period_us": "100000\n"}
    assert machine(files, membership="4:cpu,cpuacct:/\n1:name=systemd:/\n") == count


@pytest.mark.parametrize(
    ("pod", "container", "count"), [("300000", "max", 3), ("300000", "200000", 2), ("200000", "800000", 2)]
)
def test_the_smallest_quota_around_a_process_binds_it(machine, pod, container, count):
    files = {"pod/cpu.max": f"{pod} 100000", "pod/container/cpu.max": f"{container} 100000", "pod/other/cpu.max": "1 1"}
    assert machine(files, membership="1:name=systemd:/x\n0::/pod/container\n") == count


def test_without_cgroups_the_affinity_counts(machine):
    assert machine({}, membership="") == 64


def test_the_affinity_binds_below_the_quota(machine, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5, 9}, raising=False)
    assert machine({"cpu.max": "800000 100000"}) == 2


@pytest.mark.parametrize(("count", "expected"), [(6, 6), (None, 1)])
def test_where_there_is_no_affinity_the_cpus_count(machine, monkeypatch, count, expected):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert machine({}) == expected


def test_this_machine_has_at_least_one_and_no_more_than_it_is_given():
    assert 1 <= cpus.available() <= (os.cpu_count() or 1)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no niceness of its own")
@pytest.mark.parametrize("nice", [0, 3])
def test_a_thread_that_stands_back_is_five_nicer_than_its_process(nice):
    program = """
import os, threading
from tandem import cpus
def seen():
    cpus.stand_back()
    other = threading.Thread(target=lambda: (cpus.stand_back(), print(os.getpriority(os.PRIO_PROCESS, 0))))
    other.start(); other.join()
    print(os.getpriority(os.PRIO_PROCESS, 0))
thread = threading.Thread(target=seen)
thread.start(); thread.join()
print(os.getpriority(os.PRIO_PROCESS, 0))
"""
    found = subprocess.run(["nice", "-n", str(nice), sys.executable, "-c", program], capture_output=True, check=True)
    assert [int(line) - os.getpriority(os.PRIO_PROCESS, 0) for line in found.stdout.split()] == [
        nice + 5,
        nice + 5,
        nice,
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such policy")
def test_a_process_that_lets_others_finish_has_all_its_later_threads_do_so():
    code = """
import os, threading
from tandem import cpus
cpus.let_others_finish()
other = threading.Thread(target=lambda: print(os.sched_getscheduler(0) == os.SCHED_BATCH))
other.start(), other.join()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such policy")
def test_a_policy_that_somebody_chose_stays():
    code = """
import os
from tandem import cpus
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
cpus.let_others_finish()
print(os.sched_getscheduler(0) == os.SCHED_IDLE)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such policy")
def test_where_the_policy_is_not_to_be_had_nothing_happens(monkeypatch):
    def refused(*_):
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refused)
    cpus.let_others_finish()
