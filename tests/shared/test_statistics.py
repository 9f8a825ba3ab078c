"""The counts of a model, and how they are told."""

from tandem.model.statistics import ModelStatistics, Statistics
from tandem.timings import Timings


def timings(**phases):
    made = Timings()
    for name, seconds in phases.items():
        made.add(name, seconds)
    return made


def told(counts):
    return {name: (tally.count, tally.ns) for name, tally in counts.tallies()}


def test_nothing_is_counted_before_the_first_request():
    counts = Statistics()
    assert set(told(counts).values()) == {(0, 0)}
    assert (counts.inference_count, counts.execution_count, counts.last_inference) == (0, 0, 0)


def test_a_request_that_succeeds_counts_its_rows_and_its_phases():
    counts = Statistics()
    phases = timings(decode=0.001, preprocess=0.002, queue=0.25, batch=0.004, inference=0.5, postprocess=0.125)
    counts.request(1.0, phases, rows=3, success=True)
    assert told(counts) == {
        "success": (1, 1_000_000_000),
        "fail": (0, 0),
        "queue": (1, 250_000_000),
        "compute_input": (1, 6_000_000),
        "compute_infer": (1, 500_000_000),
        "compute_output": (1, 125_000_000),
    }
    assert counts.inference_count == 3
    assert counts.last_inference > 0


def test_a_request_that_fails_counts_as_a_failure_only():
    counts = Statistics()
    counts.request(0.5, timings(queue=0.25), rows=3, success=False)
    assert {name: tally for name, tally in told(counts).items() if tally != (0, 0)} == {"fail": (1, 500_000_000)}
    assert counts.inference_count == 0


def test_batches_are_counted_by_their_rows_in_order():
    counts = Statistics()
    for rows in (4, 1, 4):
        counts.batch(rows, 0.001, 0.002)
    document = ModelStatistics("m", "1", counts).document()
    assert (document["name"], document["version"], document["execution_count"]) == ("m", "1", 3)
    assert document["batch_stats"][1] == {
        "batch_size": 4,
        "compute_input": {"count": 2, "ns": 2_000_000},
        "compute_infer": {"count": 2, "ns": 4_000_000},
        "compute_output": {"count": 2, "ns": 0},
    }
    assert [entry["batch_size"] for entry in document["batch_stats"]] == [1, 4]
