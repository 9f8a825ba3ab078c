"""The rules and alerts of deploy/monitoring, as promtool sees them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from deploy.prometheus import MONITORING
from parts import require

pytestmark = pytest.mark.system

# Each makes one alert deaf or shrill; the unit tests must notice.
SPOILT = {
    "model:tandem_errors:ratio_rate1h > 0.0144": "model:tandem_errors:ratio_rate1h > 0.99",
    "tandem_ready) == 0": "tandem_ready) == 2",
    r"{shared_memory=\"expected\"} < 0.5": " < 0.5",
}


def promtool(*arguments: str | Path, folder: Path = MONITORING) -> tuple[int, str]:
    done = subprocess.run(
        [require("promtool"), *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=100
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("file", ["rules.yaml", "alerts.yaml"])
def test_the_rules_are_clean(file: str) -> None:
    status, told = promtool("check", "rules", "--lint=all", "--lint-fatal", file)
    assert status == 0, told
    assert "SUCCESS" in told


def test_each_alert_fires_where_it_should_and_nowhere_else() -> None:
    status, told = promtool("test", "rules", "tests.yaml")
    assert status == 0, told


def test_the_unit_tests_notice_a_spoilt_alert(tmp_path: Path) -> None:
    for file in MONITORING.glob("*.yaml"):
        shutil.copy(file, tmp_path)
    alerts = (tmp_path / "alerts.yaml").read_text()
    for sound, spoilt in SPOILT.items():
        assert sound in alerts
        alerts = alerts.replace(sound, spoilt)
    (tmp_path / "alerts.yaml").write_text(alerts)
    status, told = promtool("test", "rules", "tests.yaml", folder=tmp_path)
    assert status == 1
    for name in ("TandemErrorBudgetFast", "TandemNotReady", "TandemHopNotShared"):
        assert f"alertname:{name}" in told.replace(" ", "")
