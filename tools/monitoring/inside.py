"""The panels for what requests are made of: batches, queues, limits, the hop, and the containers' resources."""

from __future__ import annotations

from monitoring.grafana import Panel, Query, Row
from monitoring.promql import HERE, OURS, PLACE, heatmap, mean, quantiles, rate
from monitoring.rules import SHARED, SHED


def batches() -> Row:
    """How batching goes, and what waits for it."""
    return Row(
        "Batches and queue",
        (
            heatmap(
                "Rows in a batch",
                "Does batching happen? All in the lowest bucket: requests come alone, or are not alike.",
                "tandem_batch_rows",
                HERE,
                "short",
            ),
            Panel(
                "Batches and rows a second",
                "How much does the engine do? Rows over batches is the mean size.",
                (
                    Query(rate("tandem_batch_rows_sum", HERE), "rows"),
                    Query(rate("tandem_batch_rows_count", HERE), "batches"),
                ),
                "ops",
            ),
            Panel(
                "Rows that wait",
                "Is the queue filling? It refuses at --max_queue_size.",
                (Query(f"sum by (pod, model_name) (tandem_queue_rows{{{HERE}}})", "{{pod}} {{model_name}}"),),
            ),
        ),
    )


def device() -> Row:
    """What a GPU does, where there is one."""
    return Row(
        "GPU",
        (
            Panel(
                "Mean time of a batch on its device",
                "Of a model on a GPU or in PyTorch: does the time go into copies or into computing?",
                (Query(mean("tandem_device_seconds", HERE, "phase"), "{{phase}}"),),
                "s",
                stacked=True,
            ),
            Panel(
                "Memory of the GPU",
                "Is it full? Of a predictor with a GPU.",
                (
                    Query(f"tandem_gpu_memory_used_bytes{{{PLACE}}}", "{{pod}} used"),
                    Query(f"tandem_gpu_memory_total_bytes{{{PLACE}}}", "{{pod}} total"),
                ),
                "bytes",
            ),
        ),
    )


def saturation() -> Row:
    """What is full."""
    return Row(
        "Saturation",
        (
            Panel(
                "In flight",
                "How many requests are worked on? More are refused at --max_in_flight.",
                (Query(f"sum by (container) (tandem_in_flight_requests{{{PLACE}}})", "{{container}}"),),
            ),
            Panel(
                "Refused by reason",
                "What is too small: the requests or bytes in flight, the queue, or the callers' patience (too_late)?",
                (Query(rate("tandem_rejected_total", PLACE, "container, reason"), "{{container}} {{reason}}"),),
                "reqps",
                stacked=True,
            ),
            Panel(
                "Share refused",
                "Is load shed, and by which pod? (Recording rule.)",
                (Query(f"{SHED}{{{PLACE}}}", "{{pod}} {{container}}"),),
                "percentunit",
            ),
        ),
    )


def hop() -> Row:
    """What lies between the two services."""
    return Row(
        "Between the two",
        (
            Panel(
                "Predictor channel",
                "Does the predictor answer its transformer, and its scrape (--merge_predictor_metrics)? 1 if so.",
                (
                    Query(f"min by (pod) (tandem_predictor_channel_ready{{{PLACE}}})", "{{pod}}"),
                    Query(f"min by (pod) (tandem_predictor_scrape_up{{{PLACE}}})", "{{pod}} scrape"),
                ),
                width=6,
            ),
            Panel(
                "Hop latency",
                "What does it cost to have two processes?",
                quantiles("tandem_hop_seconds", PLACE),
                "s",
                width=6,
            ),
            Panel(
                "Calls by transport",
                "Which way do tensors go? shm is for those of 16 kB and more.",
                (Query(rate("tandem_hop_total", PLACE, "transport"), "{{transport}}"),),
                "reqps",
                width=6,
                stacked=True,
            ),
            Panel(
                "Share through shared memory",
                "Has a pod fallen back to the socket? (Recording rule.)",
                (Query(f"{SHARED}{{{PLACE}}}", "{{pod}}"),),
                "percentunit",
                width=6,
            ),
        ),
    )


def resources() -> Row:
    """What the containers use, as the kubelet counts it."""
    labels = f"{PLACE}, {OURS}"
    return Row(
        "Resources (the kubelet's metrics)",
        (
            Panel(
                "CPU by container",
                "Who uses the CPUs, and is it near the limit?",
                (Query(rate("container_cpu_usage_seconds_total", labels, "container"), "{{container}}"),),
            ),
            Panel(
                "CPU throttled by container",
                "Does the CPU limit make it slow? Share of the periods in which it was held back.",
                (Query(f"{_periods('throttled_', labels)} / {_periods('', labels)}", "{{container}}"),),
                "percentunit",
            ),
            Panel(
                "Memory by container",
                "Does memory grow, or come near the limit that ends the container? /dev/shm is part of it.",
                (Query(f"sum by (container) (container_memory_working_set_bytes{{{labels}}})", "{{container}}"),),
                "bytes",
            ),
        ),
    )


def _periods(kind: str, labels: str) -> str:
    return rate(f"container_cpu_cfs_{kind}periods_total", labels, "container")
