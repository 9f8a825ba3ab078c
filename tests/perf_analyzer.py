"""perf_analyzer below .cache/perf_analyzer, fetched on first use: the wheel, and what its program links to if this
system's own is too old for it: the libraries of Debian's next release, of the mirror that apt is set up with."""

from __future__ import annotations

import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from harness import ROOT
from parts import require

VERSION = "2.60.0"
PLATFORM = "manylinux_2_38_x86_64"
RELEASE = "trixie"
LIBRARIES = ("libc6", "libgcc-s1", "libssl3t64", "libstdc++6", "libzstd1", "zlib1g")
HOME = ROOT / ".cache" / "perf_analyzer" / VERSION
LAUNCHER = """#!/bin/sh
here=$(dirname "$0")
program=$here/wheel/perf_analyzer/bin/perf_analyzer
if [ -d "$here/system" ]; then
    set -- --library-path "$here/system/usr/lib/x86_64-linux-gnu" "$program" "$@"
    program=$here/system/usr/lib64/ld-linux-x86-64.so.2
fi
exec "$program" "$@"
"""


def perf_analyzer(*arguments: str) -> str:
    """What perf_analyzer prints; fails with its error text, also when it complains of something and goes on."""
    command = [program(), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), f"{shlex.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def program() -> str:
    """The path of perf_analyzer; where it cannot be had, the test is skipped, or failed if TANDEM_REQUIRE=all."""
    launcher = HOME / "perf_analyzer"
    if not launcher.exists():
        _fetch(HOME.parent)
    return require(str(launcher))


def _fetch(parent: Path) -> None:
    parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=parent) as made:
        folder = Path(made, VERSION)
        try:
            _wheel(folder / "wheel")
            launcher = folder / "perf_analyzer"
            launcher.write_text(LAUNCHER)
            launcher.chmod(0o755)
            if subprocess.run([launcher, "--version"], capture_output=True, check=False).returncode:
                _libraries(Path(made, "apt"), folder / "system")
                _run(launcher, "--version")
        except subprocess.CalledProcessError as error:
            print(f"{shlex.join(map(str, error.cmd))}\n{error.stderr}")
            return
        if not HOME.exists():
            folder.rename(HOME)


def _wheel(target: Path) -> None:
    """The package for its own platform, which pip would refuse on an older one."""
    where = ("--target", target, "--platform", PLATFORM, "--only-binary=:all:", "--no-deps")
    _run(sys.executable, "-m", "pip", "install", "-q", *where, f"perf-analyzer=={VERSION}")


def _libraries(state: Path, target: Path) -> None:
    """The packages of `RELEASE`, laid out below `target`; apt's own lists stay as they are."""
    (state / "lists" / "partial").mkdir(parents=True)
    (state / "sources.list").write_text(f"deb {_mirror(state)} {RELEASE} main\n")
    options = [f"-oDir::State::Lists={state / 'lists'}", f"-oDir::Cache={state}", "-oAPT::Sandbox::User="]
    options += [f"-oDir::Etc::SourceList={state / 'sources.list'}", "-oDir::Etc::SourceParts=/dev/null"]
    _run("apt-get", "-qq", *options, "-oAPT::Update::Error-Mode=any", "update", cwd=state)
    _run("apt-get", "-qq", *options, "download", *LIBRARIES, cwd=state)
    for package in sorted(state.glob("*.deb")):
        _run(require("dpkg-deb"), "-x", package, target)


def _mirror(state: Path) -> str:
    """Where apt gets this system's own release from."""
    told = _run(require("apt-get"), f"-oDir::State::Lists={state / 'lists'}", "update", "--print-uris")
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", RELEASE)
    found = re.search(rf"'(\S+)/dists/{codename}/InRelease'", told)
    return found[1] if found else require("a Debian mirror in apt's sources")


def _run(*command: str | Path, cwd: Path = ROOT) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=cwd).stdout
