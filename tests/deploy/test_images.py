"""What is in the images, and that they run as KServe's page starts them, as nobody and with nothing to write to."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from deploy.images import build_flags, make_images
from deploy.manifests import parsed
from deploy.podman import answered, comes, logs, pod, podman, printed, running
from harness import DIGITS, ROOT
from parts import shared
from tandem_predictor import __version__

pytestmark = [pytest.mark.system, pytest.mark.timeout(900), pytest.mark.usefixtures("built")]

SERVICES = ("predictor", "transformer")
LOCKED = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges")
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
OURS = {"tandem-shared", "tandem-predictor", "tandem-transformer"}


def image(service: str) -> str:
    return f"tandem/{service}:{__version__}"


def inside(service: str, *command: str) -> str:
    """What a command prints in a container of the image."""
    entry, *arguments = command
    return printed("run", "--rm", "--network=none", *LOCKED, f"--entrypoint={entry}", image(service), *arguments)


def test_make_images_ends_with_the_names_and_sizes(built: str) -> None:
    names = " and ".join(rf"{re.escape(image(service))} \(\d+ MB\)" for service in SERVICES)
    assert re.fullmatch(rf"images: {names} are built", built.splitlines()[-1])


def test_make_images_says_what_a_device_may_be() -> None:
    done = make_images("DEVICE=tpu")
    assert done.stdout.splitlines()[0] == "images: DEVICE must be cpu or cuda, not 'tpu'"
    assert done.returncode == 2


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_says_what_it_is(service: str) -> None:
    (found,) = json.loads(printed("image", "inspect", image(service)))
    wanted = {
        "title": f"tandem/{service}",
        "version": __version__,
        "licenses": "Apache-2.0",
        "revision": subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip(),
    }
    assert {key: found["Labels"][f"org.opencontainers.image.{key}"] for key in wanted} == wanted
    assert found["Config"]["Entrypoint"] == [f"tandem-{service}"]  # without a shell, so that args are appended to it
    assert "Cmd" not in found["Config"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_the_user_10001_and_may_change_nothing_of_its_own(service: str) -> None:
    (found,) = json.loads(printed("image", "inspect", image(service)))
    assert found["Config"]["User"] == "10001:10001"
    assert inside(service, "id") == "uid=10001(tandem) gid=10001(tandem) groups=10001(tandem)"
    assert inside(service, "find", "/opt/tandem", "-writable", "-not", "-type", "l") == ""


@pytest.mark.parametrize("service", SERVICES)
def test_no_compiler_and_no_installer_is_inside(service: str) -> None:
    look = "command -v gcc cc g++ c++ ld as make pip pip3; python3 -m pip; python3 -m ensurepip; find /root/.cache"
    shell = ("--user=0", "--entrypoint=sh")
    answer = podman("run", "--rm", *shell, image(service), "-c", look, check=False)
    assert answer.stdout == ""
    assert answer.stderr.count("No module named") == 2
    assert "/root/.cache" in answer.stderr  # is not there


@pytest.mark.parametrize("service", SERVICES)
def test_it_has_its_own_member_and_the_pinned_packages_that_it_needs(service: str) -> None:
    lines = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()), sep='\\n')"
    found = dict(line.split("==") for line in inside(service, "python3", "-c", lines).splitlines())
    assert found.keys() & OURS == {"tandem-shared", f"tandem-{service}"}
    assert {"onnxruntime", "opencv-python-headless"} & found.keys() == {
        {"predictor": "onnxruntime", "transformer": "opencv-python-headless"}[service]
    }
    pins = {name.lower().replace("_", "-"): version for name, version in PINS.items()}
    others = {name.lower().replace("_", "-"): version for name, version in found.items() if name not in OURS}
    assert others.items() <= pins.items()


def test_the_pages_arguments_start_both_and_answer_its_request() -> None:
    (page,) = parsed(shared("seed/inferenceservice.yaml").read_text())
    flags = [each["args"] for each in page["spec"]["predictor"]["containers"]]
    with (
        pod(8000) as (url, joined),
        running(joined, *LOCKED, image("predictor"), *flags[0]),
        running(joined, *LOCKED, image("transformer"), *flags[1]),
    ):
        answer = answered(f"{url}/v2/models/custom-model/infer", shared("seed/input.json").read_bytes())
    scores, labels, _ = answer.json["outputs"]
    assert labels["data"][0] == "Labrador retriever"
    assert scores["data"][0] == pytest.approx(0.298, abs=0.01)


def test_a_model_that_is_mounted_takes_the_place_of_the_images() -> None:
    mount = f"--volume={DIGITS}:/mnt/models:ro"
    with (
        pod(8080) as (url, joined),
        running(joined, *LOCKED, mount, image("predictor"), "--model_name=digits"),
    ):
        assert answered(f"{url}/v2/models/digits").json["inputs"][0]["shape"] == [-1, 8, 8]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_alone_is_its_first_process_and_ends_on_the_first_signal(service: str) -> None:
    with running("--network=none", *LOCKED, image(service), "--model_name=m", "--drain_idle=0") as container:
        comes(lambda: '"message":"listening"' in logs(container).replace('"ready"', '"listening"'), "its start")
        podman("stop", "--time=30", container)
        assert printed("inspect", "--format={{.State.ExitCode}}", container) == "0"


class TestYourTransformer:
    """The two Containerfiles of docs/deploy.md."""

    def test_made_of_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "brighter.py").write_text(BRIGHTER)
        (tmp_path / "Containerfile").write_text(containerfile(0))
        podman("build", "--pull=never", "--tag=mine-file", tmp_path)
        assert_it_serves("mine-file")

    def test_made_of_a_package_with_needs_of_its_own(self, tmp_path: Path) -> None:
        (tmp_path / "src").mkdir()
        (tmp_path / "src" / "brighter.py").write_text("import iniconfig\n" + BRIGHTER)
        (tmp_path / "pyproject.toml").write_text(PACKAGE)
        (tmp_path / "Containerfile").write_text(containerfile(1))
        podman("build", *build_flags(), "--tag=mine-package", tmp_path)
        where = "import iniconfig, numpy; print(iniconfig.__file__.split('/')[1], numpy.__file__.split('/')[1])"
        assert printed("run", "--rm", "--entrypoint=python3", "mine-package", "-c", where) == "app opt"
        assert_it_serves("mine-package")


BRIGHTER = """
from tandem import TensorSpec
from tandem_transformer import Transformer

class Brighter(Transformer):
    inputs = [TensorSpec("dark", "FP32", (-1, 8, 8))]

    def preprocess(self, inputs, context):
        return {"image": inputs["dark"] * 2}
"""
PACKAGE = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "brighter"
version = "1"
dependencies = ["iniconfig", "numpy"]
[tool.hatch.build.targets.wheel]
only-include = ["src/brighter.py"]
sources = ["src"]
"""


def containerfile(number: int) -> str:
    page = (ROOT / "docs" / "deploy.md").read_text()
    return re.findall(r"^```dockerfile\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[number]


def assert_it_serves(name: str) -> None:
    tensor = {"name": "dark", "shape": [1, 8, 8], "datatype": "FP32", "data": [1.0] * 64}
    mount = f"--volume={DIGITS}:/mnt/models:ro"
    with (
        pod(8000) as (url, joined),
        running(joined, *LOCKED, mount, image("predictor"), "--model_name=digits"),
        running(joined, *LOCKED, name, "--model_name=digits"),
    ):
        answer = answered(f"{url}/v2/models/digits/infer", json.dumps({"inputs": [tensor]}).encode())
    assert answer.json["outputs"]
