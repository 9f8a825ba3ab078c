"""What Prometheus' operator makes of a PodMonitor, with the pods of a test in the place of those that it discovers.

Source: prometheus-operator, pkg/prometheus/testdata, the golden files of PodMonitors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deploy.manifests import DEPLOY, Manifest, one, parsed

META = "__meta_kubernetes_"


@dataclass(frozen=True)
class Pod:
    """A pod of the InferenceService: its ports on this machine by container and name, and labels of its own."""

    name: str
    namespace: str
    ports: dict[tuple[str, str], int]
    labels: dict[str, str]

    def discovered(self) -> Iterator[dict[str, Any]]:
        """Its targets, as Kubernetes' service discovery with the role `pod` gives them: one a port."""
        given = {"serving.kserve.io/inferenceservice": "custom-transformer-collocation", "component": "predictor"}
        labels = {f"{META}pod_label_{safe(name)}": value for name, value in (given | self.labels).items()}
        present = {f"{META}pod_labelpresent_{safe(name)}": "true" for name in given | self.labels}
        own = {f"{META}pod_name": self.name, f"{META}namespace": self.namespace, f"{META}pod_phase": "Running"}
        for (container, port), number in self.ports.items():
            place = {f"{META}pod_container_name": container, f"{META}pod_container_port_name": port}
            yield {"targets": [f"127.0.0.1:{number}"], "labels": own | labels | present | place}


def standard() -> Manifest:
    """The PodMonitor of the overlay for Standard mode."""
    return one("standard", "PodMonitor")


def knative() -> Manifest:
    """That of the component for Knative mode."""
    (monitor,) = parsed((DEPLOY / "kserve" / "components" / "podmonitor" / "podmonitor.yaml").read_text())
    return monitor


def jobs(monitor: Manifest, *pods: Pod) -> Iterator[dict[str, Any]]:
    """The scrape configurations of a PodMonitor, one an endpoint."""
    spec, name = monitor["spec"], monitor["metadata"]["name"]
    for number, endpoint in enumerate(spec["podMetricsEndpoints"]):
        assert endpoint.keys() <= {"port", "path", "honorLabels"}, "the operator makes more of it than this does"
        yield {
            "job_name": f"podMonitor/{pods[0].namespace}/{name}/{number}",
            "honor_labels": endpoint.get("honorLabels", False),
            "metrics_path": endpoint["path"],
            "static_configs": [target for pod in pods for target in pod.discovered()],
            "relabel_configs": [
                {"action": "drop", "source_labels": [f"{META}pod_phase"], "regex": "(Failed|Succeeded)"},
                *(_selected(label, value) for label, value in spec["selector"]["matchLabels"].items()),
                {"action": "keep", "source_labels": [f"{META}pod_container_port_name"], "regex": endpoint["port"]},
                {"source_labels": [f"{META}namespace"], "target_label": "namespace"},
                {"source_labels": [f"{META}pod_container_name"], "target_label": "container"},
                {"source_labels": [f"{META}pod_name"], "target_label": "pod"},
                *(_copied(label) for label in spec["podTargetLabels"]),
                {"target_label": "job", "replacement": f"{pods[0].namespace}/{name}"},
                {"target_label": "endpoint", "replacement": endpoint["port"]},
            ],
        }


def safe(label: str) -> str:
    """A label of Kubernetes as one of Prometheus."""
    return re.sub(r"\W", "_", label)


def _selected(label: str, value: str) -> dict[str, Any]:
    sources = [f"{META}pod_label_{safe(label)}", f"{META}pod_labelpresent_{safe(label)}"]
    return {"action": "keep", "source_labels": sources, "regex": f"({value});true"}


def _copied(label: str) -> dict[str, Any]:
    return {"source_labels": [f"{META}pod_label_{safe(label)}"], "target_label": safe(label), "regex": "(.+)"}
