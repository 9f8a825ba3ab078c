"""python -m bench.compare: prepare, measure, write the results and the table."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench.clients import bodies, load
from bench.compare import environments, image, noop, overload, report
from bench.compare.places import MODELS, ROOT, WORK
from bench.compare.plan import FULL, QUICK, Plan
from bench.compare.results import Results

_SYSTEMS = (*image.ORDER, "proxy")
_ABOUT = """
workloads:
  a  the seed's request over HTTP JSON, fp32 and int8, at rising concurrency
  b  a no-op model: three sizes of tensors over gRPC and HTTP; the hop alone, with and without shared memory
  c  arrivals at 50, 80, 110 and 150 % of what the pair can do
  d  start to ready, memory, CPU a request (what a measures at c=32; without a only that)
"""


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.compare",
        description="Tandem beside KServe, Triton, mosec and no serving at all: same cores, same load, in turn.",
        epilog=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="one short round: about five minutes")
    parser.add_argument("--only", default="a,b,c,d", metavar="a,b,c,d", help="these workloads")
    parser.add_argument("--systems", default="", metavar="NAMES", help=f"these systems; all: {','.join(_SYSTEMS)}")
    parser.add_argument("--rounds", type=int, help="rounds, whose medians count (3; quick 1)")
    parser.add_argument("--seconds", type=float, help="seconds of one measurement (8; quick 3)")
    parser.add_argument(
        "--wait",
        type=float,
        help="where others work too: wait up to so many seconds for a quiet machine, and measure up to three times (0)",
    )
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md and plots beside it")
    parser.add_argument("--report", type=Path, metavar="FILE", help="measure nothing: the table of a results.json")
    return parser.parse_args()


def plan(chosen: argparse.Namespace) -> Plan:
    """What to do; ends the process with status 2 on a name that nobody has."""
    base = QUICK if chosen.quick else FULL
    only, systems = (frozenset(filter(None, text.split(","))) for text in (chosen.only, chosen.systems))
    if unknown := (only - set("abcd")) | (systems - set(_SYSTEMS)):
        print(f"bench: unknown: {', '.join(sorted(unknown))}; workloads are a,b,c,d", file=sys.stderr)
        sys.exit(2)
    given = {"rounds": chosen.rounds, "seconds": chosen.seconds, "patience": chosen.wait}
    return dataclasses.replace(base, only=only, systems=systems, **{k: v for k, v in given.items() if v})


def prepare(chosen: Plan) -> None:
    """Everything that must be there before the first measurement."""
    load.require_wrk()
    if missing := [str(file.relative_to(ROOT)) for file in MODELS.values() if not file.exists()]:
        print(f"bench: missing: {', '.join(missing)}; `make bench` makes them", file=sys.stderr)
        sys.exit(2)
    bodies.photos()


def measure(chosen: Plan, results: Results) -> None:
    """The peers' environments, then the workloads, one after the other."""
    for name in (*_peers(chosen), "plots"):
        with results.surviving(f"environment of {name}"):
            environments.prepare(name)
    if chosen.only & {"a", "d"}:
        image.measure(chosen, results)
    if "b" in chosen.only:
        noop.measure(chosen, results)
    if "c" in chosen.only:
        overload.measure(chosen, results)


def _peers(chosen: Plan) -> list[str]:
    needed = {"kserve": "abd", "triton": "ad", "mosec": "ad"}
    return [name for name, workloads in needed.items() if chosen.wants(name) and chosen.only & set(workloads)]


def main() -> int:
    """Status 1 when a system failed; what was measured until then is kept."""
    chosen = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped on the way out
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
    if chosen.report:
        report.show(Results.load(chosen.report), chosen.report.parent, write=chosen.write)
        return 0
    wanted = plan(chosen)
    words = " ".join(["python -m bench.compare", *sys.argv[1:]])
    prepare(wanted)
    results = Results(environments.about(_peers(wanted), words))
    folder = WORK / datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S")
    folder.mkdir(parents=True)
    try:
        measure(wanted, results)
    except KeyboardInterrupt:
        results.failures.append("interrupted")
    finally:
        results.save(folder / "results.json")
    report.show(results, folder, write=chosen.write)
    return min(1, len(results.failures))


if __name__ == "__main__":
    sys.exit(main())
