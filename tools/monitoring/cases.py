"""promtool's unit tests of the alerts: for each, what makes it fire and what looks alike and must not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from monitoring.alerts import Alert
from monitoring.text import Value

TRANSFORMER = 'namespace="shop", pod="cats-1", container="transformer-container"'
PREDICTOR = 'namespace="shop", pod="cats-1", container="kserve-container"'
MODEL = {"namespace": "shop", "model_name": "cats"}
POD = {"namespace": "shop", "pod": "cats-1"}
STEADY = "0+0x120"


@dataclass(frozen=True, slots=True)
class Case:
    """Series, a sample `every` so often, and the alerts that stand at `at`, by name, with the labels of the series."""

    title: str
    series: Mapping[str, str]
    fires: Mapping[str, Mapping[str, str]]
    quiet: tuple[str, ...]
    at: str = "30m"  # with minutes to spare: promtool may evaluate an alert before the rule that it reads
    every: str = "1m"

    def test(self, alerts: Mapping[str, Alert]) -> Value:
        """As tests.yaml has it."""
        return {
            "name": self.title,
            "interval": self.every,
            "input_series": [{"series": name, "values": values} for name, values in self.series.items()],
            "alert_rule_test": [
                *(self._expected(alerts[name], labels) for name, labels in self.fires.items()),
                *({"eval_time": self.at, "alertname": alerts[name].name} for name in self.quiet),
            ],
        }

    def _expected(self, alert: Alert, labels: Mapping[str, str]) -> Value:
        told = {
            key: re.sub(r"{{ \$labels\.(\w+) }}", lambda found: labels[found[1]], text)
            for key, text in alert.annotations.items()
        }
        expected = {"exp_labels": {**labels, "severity": alert.severity}, "exp_annotations": told}
        return {"eval_time": self.at, "alertname": alert.name, "exp_alerts": [expected]}


def counted(**codes: str) -> dict[str, str]:
    """Requests by outcome, as the transformer counts them. The predictor's own count would be all failures."""
    name = "tandem_requests_total"
    shown = {f'{name}{{{TRANSFORMER}, model_name="cats", code="{code}"}}': values for code, values in codes.items()}
    return {**shown, f'{name}{{{PREDICTOR}, model_name="cats", code="INTERNAL"}}': "0+9999x120"}


def timed(fast: str, every: str, model: str = "cats") -> dict[str, str]:
    """Requests by time, of which `fast` are within the objective's 0.5 s."""
    labels = f'{TRANSFORMER}, model_name="{model}"'
    name = "tandem_request_seconds"
    return {f'{name}_bucket{{{labels}, le="0.5"}}': fast, f"{name}_count{{{labels}}}": every}


def refused(requests: str, refusals: str) -> dict[str, str]:
    """Requests and refusals of a transformer."""
    return {
        f'tandem_requests_total{{{TRANSFORMER}, model_name="cats", code="OK"}}': requests,
        f'tandem_rejected_total{{{TRANSFORMER}, reason="in_flight"}}': refusals,
    }


def hops(shm: str, socket: str, expected: str = ', shared_memory="expected"') -> dict[str, str]:
    """Calls by the way they went."""
    return {
        f'tandem_hop_total{{{TRANSFORMER}{expected}, transport="shm"}}': shm,
        f'tandem_hop_total{{{TRANSFORMER}{expected}, transport="socket"}}': socket,
    }


def _budgets(noun: str) -> tuple[str, str]:
    return f"Tandem{noun}BudgetFast", f"Tandem{noun}BudgetSlow"


def _error_cases() -> list[Case]:
    fast, slow = _budgets("Error")
    return [
        Case("errors, 2 %", counted(OK="0+980x120", INTERNAL="0+20x120"), {fast: MODEL, slow: MODEL}, ()),
        Case("errors, all of them", counted(UNAVAILABLE="0+5x120"), {fast: MODEL, slow: MODEL}, ()),
        Case(
            "errors, 0.8 %: too few for the short windows, enough for the long ones",
            counted(OK="0+992x120", DEADLINE_EXCEEDED="0+8x120"),
            {fast: MODEL, slow: MODEL},
            (),
        ),
        Case(
            "errors, 7 % for a quarter of an hour: enough for the short windows alone",
            counted(OK="0+1000x250", INTERNAL="0x224 75+75x15"),
            {fast: MODEL},
            (slow,),
            "4h",
        ),
        Case(
            "errors, 2 % for a quarter of an hour: too few for six hours",
            counted(OK="0+1000x190", INTERNAL="0x155 20+20x14 300x30"),
            {},
            (fast,),
            "3h",
        ),
        Case("errors, 0.2 %", counted(OK="0+998x120", UNAVAILABLE="0+2x120"), {slow: MODEL}, (fast,)),
    ]


def _no_error_cases() -> list[Case]:
    fast, slow = both = _budgets("Error")
    fault = "0+500x120"
    return [
        Case("errors, 0.05 %", counted(OK="0+1999x120", INTERNAL="0+1x120"), {}, both),
        Case("errors, for two minutes only", counted(OK="0+1000x120", INTERNAL="0x115 40 80x20"), {}, both, "2h"),
        Case(
            "errors, a bad half hour that is over",
            counted(OK="0+1000x120", INTERNAL="0x9 50+50x29 1500x120"),
            {},
            (fast,),
            "1h15m",
        ),
        Case(
            "callers' faults and refusals are no errors",
            counted(OK="0+10x120", INVALID_ARGUMENT=fault, RESOURCE_EXHAUSTED=fault, NOT_FOUND=fault, CANCELLED=fault),
            {},
            both,
        ),
        Case(
            "callers' faults do not hide errors",
            counted(OK="0+10x120", INTERNAL="0+10x120", INVALID_ARGUMENT="0+99999x120"),
            {fast: MODEL, slow: MODEL},
            (),
        ),
        Case("no traffic is no error", counted(OK=STEADY, INTERNAL=STEADY), {}, both),
    ]


def _latency_cases() -> list[Case]:
    fast, slow = both = _budgets("Latency")
    return [
        Case("slow, 20 %", timed("0+80x120", "0+100x120"), {fast: MODEL, slow: MODEL}, ()),
        Case("slow, 8 %", timed("0+92x120", "0+100x120"), {fast: MODEL, slow: MODEL}, ()),
        Case(
            "slow, all for thirteen minutes: enough for the short windows alone",
            timed("0+100x227 22700x13", "0+100x250"),
            {fast: MODEL},
            (slow,),
            "4h",
        ),
        Case(
            "slow, a bad half hour that is over",
            timed("0+100x9 900x29 1000+100x120", "0+100x160"),
            {},
            (fast,),
            "1h15m",
        ),
        Case("slow, all for four minutes", timed("0+100x116 11600x4", "0+100x120"), {}, both, "2h"),
        Case(
            "slow, all for five minutes: too few for six hours",
            timed("0+100x155 15500x4 15600+100x30", "0+100x190"),
            {},
            (fast,),
            "3h",
        ),
        Case("slow, 2 %", timed("0+98x120", "0+100x120"), {slow: MODEL}, (fast,)),
        Case("slow, 0.5 %", timed("0+995x120", "0+1000x120"), {}, both),
        Case("slow, but no model that there is", timed("0+1x120", "0+100x120", "unknown"), {}, both),
        Case("no traffic is not slow", timed(STEADY, STEADY), {}, both),
    ]


def _state_cases() -> list[Case]:
    down, unready, unseen = "TandemPredictorChannelDown", "TandemNotReady", "TandemPredictorScrapeDown"
    channel = f"tandem_predictor_channel_ready{{{TRANSFORMER}}}"
    ready, theirs = f"tandem_ready{{{TRANSFORMER}}}", f"tandem_ready{{{PREDICTOR}}}"
    merged, direct = f"tandem_predictor_scrape_up{{{TRANSFORMER}}}", f'up{{{PREDICTOR}, job="pods"}}'
    transformer, predictor = ({**POD, "container": name} for name in ("transformer-container", "kserve-container"))
    return [
        Case("channel down for two minutes", {channel: "1x10 0x2"}, {down: POD}, (), "12m"),
        Case("channel down for half a minute", {channel: "1x11 0x2"}, {}, (down,), "12m30s"),
        Case("channel up", {channel: "1x60"}, {}, (down,), "1h"),
        Case("transformer not ready", {ready: "1x10 0x20", theirs: "1x60"}, {unready: transformer}, (), "20m"),
        Case("predictor not ready", {ready: "1x60", theirs: "1x10 0x20"}, {unready: predictor}, (), "20m"),
        Case("not ready while it starts", {ready: "0x3 1x60", theirs: "0x2 1x60"}, {}, (unready,), "4m"),
        Case("ready", {ready: "1x60", theirs: "1x60"}, {}, (unready,), "1h"),
        Case("predictor missing in the merged scrape", {merged: "1x10 0x20"}, {unseen: POD}, (), "20m"),
        Case("predictor's own scrape down", {direct: "1x10 0x20", ready: "1x60"}, {unseen: POD}, (), "20m"),
        Case("scrapes up", {merged: "1x60", direct: "1x60", ready: "1x60"}, {}, (unseen,), "1h"),
        Case("another's kserve-container is not ours", {direct: "0x60"}, {}, (unseen,), "1h"),
        Case("one failed scrape", {merged: "1x10 0 1x20", ready: "1x60"}, {}, (unseen,), "12m"),
    ]


def _saturation_cases() -> list[Case]:
    filling, shedding, socket = "TandemQueueFilling", "TandemSheddingLoad", "TandemHopNotShared"
    queue = f'tandem_queue_rows{{{PREDICTOR}, model_name="cats"}}'
    container = {**POD, "container": "transformer-container"}
    return [
        Case("queue filling", {queue: "600x60"}, {filling: {**POD, "model_name": "cats"}}, (), "30m"),
        Case("queue full now and then", {queue: "600 0 600 0 600 0 900x3 0 800x4 10"}, {}, (filling,), "14m"),
        Case("queue in use", {queue: "400x60"}, {}, (filling,), "30m"),
        Case("shedding 5 %", refused("0+100x60", "0+5x60"), {shedding: container}, (), "30m"),
        Case("shedding 0.5 %", refused("0+1000x60", "0+5x60"), {}, (shedding,), "30m"),
        Case("shedding for a minute", refused("0+1000x60", "0x20 30x60"), {}, (shedding,), "23m"),
        Case("no traffic is not shed", refused("7x60", "0x60"), {}, (shedding,), "30m"),
        Case("hop by the socket", hops("0x90", "0+10x90"), {socket: {**POD, "shared_memory": "expected"}}, (), "1h"),
        Case("hop by shared memory", hops("0+10x90", "0+1x90"), {}, (socket,), "1h"),
        Case("hop by the socket where nobody expects more", hops("0x90", "0+10x90", ""), {}, (socket,), "1h"),
        Case("no calls are not by the socket", hops("5x90", "0x90"), {}, (socket,), "1h"),
    ]


def _window_cases() -> list[Case]:
    """The windows of days, each by itself: what began with a great many good requests is only seen by the shorter."""
    first, then = "0+50000000x2 100005000+5000x160", "100004800+4800x160"
    crowd_then_errors = counted(OK=first, INTERNAL="0x2 25+25x160")
    crowd_then_slow = timed(f"0+50000000x2 {then}", first)
    errors_first = counted(OK="0+1000x162", INTERNAL="0+500x2 1000x160")
    slow_first = timed("0x2 1000+1000x160", "0+1000x162")
    return [
        case
        for noun, over, crowd in (("Error", errors_first, crowd_then_errors), ("Latency", slow_first, crowd_then_slow))
        for alert in [_budgets(noun)[1]]
        for case in (
            Case(f"{noun}: a bad quarter of an hour, six hours ago", over, {}, (alert,), "6h40m", "10m"),
            Case(f"{noun}: enough for hours, too few for days", crowd, {}, (alert,), "6h40m", "10m"),
            Case(f"{noun}: enough for a day, too few for three", crowd, {alert: MODEL}, (), "25h", "10m"),
        )
    ]


def cases() -> list[Case]:
    """Every case."""
    told = (_error_cases, _no_error_cases, _latency_cases, _state_cases, _saturation_cases, _window_cases)
    return [case for some in told for case in some()]


def document(alerts: list[Alert], every: str, evaluated: str) -> Value:
    """The cases with a sample `every` so often. Raises ValueError for an alert that none fires, or none holds back."""
    fired = {name for case in cases() for name in case.fires}
    held = {name for case in cases() for name in case.quiet}
    if unproved := {alert.name for alert in alerts} - (fired & held):
        raise ValueError(f"no case fires, or no case holds back: {', '.join(sorted(unproved))}")
    known = {alert.name: alert for alert in alerts}
    return {
        "rule_files": ["rules.yaml", "alerts.yaml"],
        "evaluation_interval": evaluated,  # 5m at most: an alert may be evaluated just before its rule
        "tests": [case.test(known) for case in cases() if case.every == every],
    }
