"""One target under atheris for some seconds; run.py starts it. What it learns is kept in its folder.

python -m fuzz.one json_request --seconds 60 --folder .cache/fuzz/json_request
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from pathlib import Path

import atheris

OURS = ["tandem", "tandem_transformer", "tandem_predictor", "fuzz"]  # whose branches guide the search
LONGEST = 20  # seconds for one input: far more than any needs, also on a busy machine
MOST_MEMORY = 1024  # MB
FINDINGS = "findings"


def main() -> None:
    """Never returns: libFuzzer ends the process, with a status other than 0 if there is a finding."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.one", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    chosen = parser.parse_args()
    with atheris.instrument_imports(include=OURS):
        from fuzz import targets  # noqa: PLC0415 - instrumented as it is imported

        target = targets.target(chosen.name)
    logging.disable()
    warnings.simplefilter("error")  # as in the tests: a warning is a thing that nobody thought of

    def run(data: bytes) -> None:
        target.check(data)

    atheris.Setup([sys.argv[0], *_arguments(target, chosen.folder, chosen.seconds)], run)
    atheris.Fuzz()


def _arguments(target, folder: Path, seconds: int) -> list[str]:
    """libFuzzer's. The first folder is where it keeps what reaches new branches; the others are read only."""
    corpus, seeds, findings = (folder / name for name in ("corpus", "seeds", FINDINGS))
    for each in (corpus, seeds, findings):
        each.mkdir(parents=True, exist_ok=True)
    for index, data in enumerate([*target.SEEDS.values(), *target.FOUND.values()]):
        (seeds / str(index)).write_bytes(data)
    words = folder / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.WORDS), encoding="ascii")
    limits = (f"-max_total_time={seconds}", f"-timeout={LONGEST}", f"-rss_limit_mb={MOST_MEMORY}", "-max_len=4096")
    reports = (f"-artifact_prefix={findings}/", "-print_final_stats=1")
    return [str(corpus), str(seeds), str(findings), f"-dict={words}", *limits, *reports]


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main()
