"""Both images, built by `make images` into the tests' own store of podman's.

No registry is asked: the base is a Debian made by mmdebstrap, under the name that the Containerfiles give.
"""

from __future__ import annotations

import ast
import os
import re
import ssl
import subprocess
import sys
from pathlib import Path

from deploy.podman import CONFIGURATION, STORE, VARIABLES, podman
from harness import ROOT
from parts import missing, require

BASE = STORE / "base.tar"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"  # where Debian looks for them
INDEXES = {"index-url", "extra-index-url", "trusted-host", "proxy", "timeout"}


def built() -> str:
    """What `make images` prints when all it needs is there; what was built before comes from podman's cache."""
    for program in ("podman", "runc", "mmdebstrap"):
        require(program)
    if os.geteuid() != 0:
        missing("only root can run mmdebstrap and a pod with a network of its own")
    STORE.mkdir(parents=True, exist_ok=True)
    for name, text in CONFIGURATION.items():
        (STORE / name).write_text(text)
    if podman("image", "exists", base_name(), check=False).returncode:
        make_base()
        podman("import", "--quiet", "--change", "ENV PATH=/usr/local/bin:/usr/bin:/bin", BASE, base_name())
    done = make_images()
    assert done.returncode == 0, done.stdout
    podman("image", "prune", "--force", "--filter=until=24h")  # what earlier builds have left
    return done.stdout


def make_images(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`make images` with podman."""
    flags = {"ENGINE": "podman", "IMAGE_BUILD_FLAGS": " ".join(build_flags())}
    command = ["make", "--no-print-directory", "images", *arguments]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=VARIABLES | flags,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def base_name() -> str:
    """The base that both Containerfiles name."""
    files = sorted((ROOT / "deploy").glob("*.Containerfile"))
    (name,) = {found for file in files for found in re.findall(r"^ARG BASE=(\S+)$", file.read_text(), re.MULTILINE)}
    return name


def make_base() -> None:
    """A Debian 12 with its Python 3.11 and pip: what the image of that name is, without a registry."""
    if BASE.exists():
        return
    paths = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
    options = ["--dpkgopt=force-unsafe-io", *(f"--dpkgopt=path-exclude={path}" for path in paths)]
    part = BASE.with_name("base-part.tar")  # so that an interrupted one is not taken for a base
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=python3,python3-pip,ca-certificates"]
    subprocess.run([*command, *options, "bookworm", part], check=True)
    part.rename(BASE)


def build_flags() -> list[str]:
    """For pip in a RUN: this machine's network, its certificates, and the indexes of its pip's configuration."""
    settings = pip_settings()
    kept = "".join(f"{key} = {value}\n" for key, value in settings.items() if key in INDEXES and value)
    (STORE / "pip.conf").write_text(f"[global]\ncert = {CERTIFICATES}\n{kept}")
    certificates = settings.get("cert") or ssl.get_default_verify_paths().cafile or CERTIFICATES
    mounts = {STORE / "pip.conf": "/etc/pip.conf", Path(certificates).resolve(): CERTIFICATES}
    return ["--pull=never", "--network=host", *(f"--volume={here}:{there}:ro" for here, there in mounts.items())]


def pip_settings() -> dict[str, str]:
    """Each setting by its bare name, without folders of this machine; the environment's win over those of files."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    settings = {}
    for line in sorted(listed.splitlines(), reverse=True):  # :env: comes last
        key, _, value = line.partition("=")
        words = [word for word in ast.literal_eval(value).split() if not word.startswith("file:")]
        settings[key.rpartition(".")[2].removeprefix("default-")] = " ".join(words)
    return settings
