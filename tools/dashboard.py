#!/usr/bin/env python3
"""Write deploy/monitoring from objectives.toml: Grafana's dashboard, Prometheus' rules, alerts and their unit tests.

`--check` changes nothing and fails when what is committed is stale.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from monitoring import alerts, cases, panels, rules
from monitoring.text import Value, yaml

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "deploy" / "monitoring"
COMMENT = "Written by tools/dashboard.py from objectives.toml; change those."


def files(objectives: rules.Objectives) -> dict[str, str]:
    """The text of every file, by its name."""
    recording, alerting = rules.groups(objectives), alerts.groups(objectives)
    wrapped: Value = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "tandem", "labels": {"app.kubernetes.io/name": "tandem"}},
        "spec": {"groups": [*recording, *alerting]},
    }
    return {
        "tandem.json": json.dumps(panels.tandem(objectives), indent=2) + "\n",
        "rules.yaml": yaml({"groups": recording}, COMMENT),
        "alerts.yaml": yaml({"groups": alerting}, COMMENT),
        "tests.yaml": yaml(cases.document(alerts.all_alerts(objectives), "1m", "1m"), COMMENT),
        "tests-days.yaml": yaml(cases.document(alerts.all_alerts(objectives), "10m", "5m"), COMMENT),
        "prometheusrule.yaml": yaml(wrapped, COMMENT),
    }


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if a committed file is stale")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where objectives.toml is and the files go")
    arguments = parser.parse_args()
    folder = arguments.folder
    wanted = files(rules.Objectives.read(folder / "objectives.toml"))
    if arguments.check:
        stale = [name for name, text in wanted.items() if not _is(folder / name, text)]
        for name in stale:
            print(f"{folder / name}: stale; run `make monitoring`", file=sys.stderr)
        return 1 if stale else 0
    for name, text in wanted.items():
        (folder / name).write_text(text)
    return 0


def _is(file: Path, text: str) -> bool:
    return file.is_file() and file.read_text() == text


if __name__ == "__main__":
    sys.exit(main())
