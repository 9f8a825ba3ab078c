"""What the manifests of deploy/ promise, against the services' settings, KServe's schemas and Knative's rules."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from deploy.manifests import KNATIVE, OVERLAYS, PAIRS, STANDARD, Half, Manifest, objects, one, pair, parsed, rendered
from foreign import environment
from harness import ROOT
from parts import shared
from tandem_predictor import __version__
from tandem_transformer.settings import metrics_url, target

ROUTES = json.loads((ROOT / "shared" / "src" / "tandem" / "doors" / "rest" / "openapi.json").read_text())["paths"]
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
MEMORY, SCRATCH = "/dev/shm", "/tmp"  # noqa: S108 - in a container that has them to itself
QUEUE_PROXY = {8012, 8013, 8112, 9088, 9090, 9091}  # its HTTP, h2c and TLS ports, and those of metrics


def test_kserve_would_take_every_inferenceservice_and_the_runtime(tmp_path: Path) -> None:
    names = ["base", "runtime", "kserve/runtime/example.yaml", *OVERLAYS]
    files = [tmp_path / f"{number}.yaml" for number in range(len(names))]
    for name, file in zip(names, files, strict=True):
        file.write_text(rendered(name))
    done = _run("python", shared("crd/check.py"), *files)  # in one go: it reads two megabytes of schemas first
    assert (done.returncode, done.stdout) == (0, f"{len(names)} KServe objects held, 0 errors\n")


@pytest.mark.parametrize("name", [*OVERLAYS, "pod.yaml"])
def test_kubernetes_would_take_the_objects_of_its_own(name: str, tmp_path: Path) -> None:
    own = [item for item in objects(name) if item["kind"] not in {"InferenceService", "PodMonitor"}]
    kinds = {"Pod"} if name == "pod.yaml" else {"PodDisruptionBudget", "NetworkPolicy"}
    assert {item["kind"] for item in own} == kinds
    file = tmp_path / "own.yaml"
    file.write_text("---\n".join(json.dumps(item) + "\n" for item in own))
    done = _run("kubernetes-validate", "--strict", file)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", STANDARD)
def test_the_pod_that_standard_mode_makes_would_be_taken_by_kubernetes(name: str, tmp_path: Path) -> None:
    kserves = {"minReplicas", "maxReplicas", "autoScaling", "deploymentStrategy"}
    spec = {key: value for key, value in pair(name).pod.items() if key not in kserves}
    file = tmp_path / "pod.yaml"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "made"}, "spec": spec}))
    done = _run("kubernetes-validate", "--strict", file)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["base", *OVERLAYS])
def test_the_arguments_are_those_of_kserves_page(name: str) -> None:
    (page,) = parsed(shared("seed/inferenceservice.yaml").read_text())
    ours = one(name, "InferenceService")
    assert ours["metadata"]["name"] == page["metadata"]["name"]
    wanted = [(each["name"], each["args"]) for each in page["spec"]["predictor"]["containers"]]
    assert [(each["name"], each["args"]) for each in ours["spec"]["predictor"]["containers"]] == wanted


@pytest.mark.parametrize("name", ["base", "runtime", *OVERLAYS])
def test_the_containers_have_the_names_and_the_order_that_kserve_looks_for(name: str) -> None:
    assert [each["name"] for each in pair(name).pod["containers"]] == ["kserve-container", "transformer-container"]


@pytest.mark.parametrize("name", PAIRS)
def test_every_flag_and_variable_is_known_and_has_a_good_value(name: str) -> None:
    for half in (pair(name).predictor, pair(name).transformer):
        assert half.problems == []


@pytest.mark.parametrize("name", PAIRS)
def test_the_images_are_this_version_without_a_registry(name: str) -> None:
    tag = f"{__version__}-gpu" if name == "gpu" else __version__
    images = [each["image"] for each in pair(name).pod["containers"]]
    assert images == [f"tandem/predictor:{tag}", f"tandem/transformer:{__version__}"]


@pytest.mark.parametrize("name", PAIRS)
def test_the_halves_find_each_other(name: str) -> None:
    predictor, transformer = pair(name).predictor.settings, pair(name).transformer.settings
    assert target(transformer.predictor_host) == f"localhost:{predictor.grpc_port}"
    assert metrics_url(transformer, tls=False) == f"http://localhost:{predictor.http_port}/metrics"
    assert transformer.model_name == predictor.model_name
    assert transformer.hop_protocol == "grpc-v2"
    ports = [predictor.http_port, predictor.grpc_port, transformer.http_port, transformer.grpc_port]
    assert len(set(ports)) == 4


@pytest.mark.parametrize("name", ["base", "runtime", *OVERLAYS])
def test_kserve_is_told_that_the_transformer_speaks_v2(name: str) -> None:
    assert {"name": "PROTOCOL", "value": "v2"} in pair(name).transformer.container["env"]


@pytest.mark.parametrize("name", PAIRS)
def test_every_probe_asks_a_route_of_the_door_that_is_there(name: str) -> None:
    for half in (pair(name).predictor, pair(name).transformer):
        for probe, (path, port) in _asked(half).items():
            if path is None:
                assert port == half.settings.grpc_port
            else:
                wanted = "/v2/health/live" if probe == "livenessProbe" else "/v2/health/ready"
                assert (path, port) == (wanted, half.settings.http_port)
                assert path in ROUTES


@pytest.mark.parametrize("name", PAIRS)
def test_each_container_has_the_probes_that_its_mode_allows(name: str) -> None:
    predictor, transformer = set(_asked(pair(name).predictor)), set(_asked(pair(name).transformer))
    assert predictor == (set(PROBES) if name in {*STANDARD, "pod.yaml"} else set())
    missing = {"knative-grpc": {"livenessProbe"}, "runtime": {"startupProbe"}}.get(name, set())
    assert transformer == set(PROBES) - missing


@pytest.mark.parametrize("name", PAIRS)
def test_the_predictor_outlives_the_transformer_and_the_pod_both(name: str) -> None:
    pod, predictor, transformer = pair(name).pod, pair(name).predictor, pair(name).transformer
    held = predictor.container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    last = transformer.settings.drain_delay + transformer.settings.grace
    end = held + predictor.settings.grace
    assert transformer.settings.drain_delay == 5
    assert end >= last
    if name not in KNATIVE:  # whose queue-proxy holds both signals back until nothing comes any more
        assert held + predictor.settings.drain_idle > transformer.settings.drain_delay
    grace = pod.get("timeout") or pod.get("terminationGracePeriodSeconds", 30)
    assert grace >= max(end, held + last if held else end)


@pytest.mark.parametrize("name", PAIRS)
def test_both_run_as_one_user_under_the_restricted_profile(name: str) -> None:
    contexts = [each["securityContext"] for each in pair(name).pod["containers"]]
    assert contexts[0] == contexts[1]
    assert contexts[0] == {
        "runAsNonRoot": True,
        "runAsUser": contexts[0]["runAsUser"],
        "runAsGroup": contexts[0]["runAsGroup"],
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert contexts[0]["runAsUser"] > 0
    if name in STANDARD:
        wanted = {
            "runAsNonRoot": True,
            "fsGroup": contexts[0]["runAsGroup"],
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert pair(name).pod["securityContext"] == wanted


@pytest.mark.parametrize("name", PAIRS)
def test_each_container_has_bounds_and_a_place_to_write(name: str) -> None:
    volumes = {each["name"]: each for each in pair(name).pod["volumes"]}
    for container in pair(name).pod["containers"]:
        assert {"cpu", "memory"} <= set(container["resources"]["limits"])
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        mounts = {each["mountPath"]: volumes[each["name"]] for each in container["volumeMounts"]}
        assert "emptyDir" in mounts[SCRATCH]
        if MEMORY in mounts:
            assert mounts[MEMORY]["emptyDir"]["medium"] == "Memory"
    mount = {"name": "shm", "mountPath": MEMORY}
    shared_memory = [mount in each["volumeMounts"] for each in pair(name).pod["containers"]]
    assert shared_memory == [name == "gpu"] * 2


@pytest.mark.parametrize("name", [*KNATIVE, "runtime"])
def test_knative_finds_nothing_to_refuse(name: str) -> None:
    assert list(_refused(pair(name).pod)) == []


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("standard", "terminationGracePeriodSeconds"),
        ("standard", "securityContext"),
        ("standard", "kserve-container.lifecycle"),
        ("standard", "kserve-container.ports"),
        ("standard", "kserve-container.readinessProbe"),
        ("standard", "3 ports"),
        ("gpu", "nodeSelector"),
        ("gpu", "tolerations"),
    ],
)
def test_what_knative_refuses_is_noticed_where_it_is_allowed(name: str, field: str) -> None:
    assert field in list(_refused(pair(name).pod))


@pytest.mark.parametrize(("name", "port"), [("knative", 8000), ("canary", 8000), ("knative-grpc", 8081)])
def test_knative_routes_to_the_transformers_door(name: str, port: int) -> None:
    (only,) = pair(name).transformer.container["ports"]
    assert only["containerPort"] == port
    assert only.get("name") == ("h2c" if name == "knative-grpc" else None)


@pytest.mark.parametrize("name", STANDARD)
def test_the_service_leads_to_both_doors_of_the_transformer(name: str) -> None:
    half = pair(name).transformer
    ports = [(each["name"], each["containerPort"]) for each in half.container["ports"]]
    assert ports == [("http", half.settings.http_port), ("grpc", half.settings.grpc_port)]


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_network_policy_lets_in_callers_and_prometheus_but_nobody_to_the_hop(name: str) -> None:
    let_in = {port["port"] for rule in one(name, "NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]}
    transformer, predictor = pair(name).transformer.settings, pair(name).predictor.settings
    standard = {transformer.http_port, transformer.grpc_port, predictor.http_port}
    assert let_in == (QUEUE_PROXY if name in KNATIVE else standard)
    open_to_all = {
        port["port"]
        for rule in one(name, "NetworkPolicy")["spec"]["ingress"]
        if "from" not in rule
        for port in rule["ports"]
    }
    assert not open_to_all & {predictor.http_port, predictor.grpc_port}


@pytest.mark.parametrize("name", OVERLAYS)
def test_what_selects_pods_selects_those_of_the_inferenceservice(name: str) -> None:
    service = one(name, "InferenceService")["metadata"]["name"]
    wanted = {"serving.kserve.io/inferenceservice": service, "component": "predictor"}
    selectors = [
        item["spec"].get("selector") or item["spec"]["podSelector"]
        for item in objects(name)
        if item["kind"] != "InferenceService"
    ]
    assert len(selectors) == (3 if name in STANDARD else 2)
    assert all(selector == {"matchLabels": wanted} for selector in selectors)


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_mode_is_said_and_the_scaler_fits_it(name: str) -> None:
    notes, spec = one(name, "InferenceService")["metadata"]["annotations"], pair(name).pod
    assert notes["serving.kserve.io/deploymentMode"] == ("Knative" if name in KNATIVE else "Standard")
    if name in KNATIVE:
        assert spec["scaleMetric"] in {"concurrency", "rps"}
    else:
        assert notes["serving.kserve.io/autoscalerClass"] == ("keda" if name == "keda" else "hpa")
        assert "scaleMetric" not in spec  # KServe refuses it beside KEDA
        kinds = {metric["type"] for metric in spec["autoScaling"]["metrics"]}
        assert kinds == {"External" if name == "keda" else "Resource"}
    assert 1 <= spec["minReplicas"] < spec["maxReplicas"]


def test_a_canary_differs_from_what_it_tries() -> None:
    stable, canary = pair("knative"), pair("canary")
    assert 0 < canary.pod["canaryTrafficPercent"] < 100
    assert canary.predictor.settings != stable.predictor.settings


def test_the_gpu_is_used_and_given_to_the_predictor_only() -> None:
    assert pair("gpu").predictor.settings.device == "cuda"
    limits = [each["resources"]["limits"].get("nvidia.com/gpu") for each in pair("gpu").pod["containers"]]
    assert limits == ["1", None]


def test_the_runtime_names_both_halves_after_the_inferenceservice() -> None:
    for container in pair("runtime").pod["containers"]:
        assert container["args"][0] == "--model_name={{.Name}}"
    (example,) = objects("kserve/runtime/example.yaml")
    model = example["spec"]["predictor"]["model"]
    runtime = one("runtime", "ClusterServingRuntime")
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["modelFormat"]["name"] in {each["name"] for each in runtime["spec"]["supportedModelFormats"]}


def test_the_pod_publishes_the_transformer_to_this_machine_only() -> None:
    assert "ports" not in pair("pod.yaml").predictor.container
    ports = pair("pod.yaml").transformer.container["ports"]
    assert [(each["hostIP"], each["hostPort"], each["containerPort"]) for each in ports] == [
        ("127.0.0.1", 8000, 8000),
        ("127.0.0.1", 8081, 8081),
    ]


def test_every_path_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"(?<!tests/)\bdeploy/[\w./-]*\w", (ROOT / "docs" / "deploy.md").read_text()))
    assert {f"deploy/kserve/overlays/{name}" for name in OVERLAYS} <= named
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def _asked(half: Half) -> dict[str, tuple[str | None, int]]:
    """Path and port of each probe; a probe over gRPC has no path."""
    asked = {}
    for name in PROBES:
        if probe := half.container.get(name):
            if "exec" in probe:
                program, url = probe["exec"]["command"]
                found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/.*)", url)
                assert program == "tandem-probe"
                assert found
                asked[name] = (found[2], int(found[1]))
            elif "grpc" in probe:
                asked[name] = (None, probe["grpc"]["port"])
            else:
                asked[name] = (probe["httpGet"]["path"], probe["httpGet"]["port"])
    return asked


# What Knative takes without a feature gate, of the pod and of a container; the rest of the first are KServe's own.
POD = {"containers", "volumes", "serviceAccountName", "imagePullSecrets", "enableServiceLinks"}
KSERVES = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "timeout", "canaryTrafficPercent"}
RUNTIMES = {"supportedModelFormats", "protocolVersions", "annotations"}
CONTAINER = {"name", "image", "args", "command", "env", "envFrom", "resources", "securityContext", "volumeMounts"}
SERVING = CONTAINER | {"ports", *PROBES}


def _refused(pod: Manifest) -> Iterator[str]:
    """What Knative would refuse, or KServe does not hand on to it."""
    yield from pod.keys() - POD - KSERVES - RUNTIMES
    for container in pod["containers"]:
        allowed = SERVING if container["name"] == "transformer-container" else CONTAINER
        yield from (f"{container['name']}.{field}" for field in container.keys() - allowed)
    if (count := sum(len(each.get("ports", [])) for each in pod["containers"])) != 1:
        yield f"{count} ports"


def _run(command: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = environment("manifests") / command
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
