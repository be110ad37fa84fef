"""What docs/real-run.md claims of pairs of recipes follows from the runs in docs/example-report."""

import json
import re
from pathlib import Path

import pytest

from dalr.statistics.correction import holm
from dalr.statistics.significance import SeedTest, over_seeds
from tests import ROOT

DOCS = ROOT / "docs"
RUNS = DOCS / "example-report" / "runs"
PAIR = re.compile(r"^\| `(\w+)` − `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$")
SEEDS = (1, 2, 3)


def average(run: Path) -> float:
    return float(json.loads((run / "results" / "test.json").read_text(encoding="utf-8"))["sts_avg"])


def best_on_dev(run: Path) -> float:
    lines = (json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return max(line["STSBenchmark.dev"] for line in lines if "STSBenchmark.dev" in line)


SCORES = {"STS average (test)": average, "STS-B dev, by which checkpoints were chosen": best_on_dev}


def table_of(score: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """The rows of the page below the line that names a score: pair → difference, interval, p, corrected p."""
    lines = (DOCS / "real-run.md").read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| *{score}*")) + 1
    rows = {}
    for line in lines[start:]:
        match = PAIR.match(line)
        if match is None:
            break
        rows[match[1], match[2]] = tuple(text.strip().replace("−", "-") for text in match.groups()[2:])
    return rows


def seed_test(ours: str, theirs: str, score: str) -> SeedTest:
    ours_by_seed, theirs_by_seed = (
        {seed: SCORES[score](RUNS / f"{name}-pairs1-lr3e-4-seed{seed}") for seed in SEEDS} for name in (ours, theirs)
    )
    return over_seeds(ours_by_seed, theirs_by_seed)


def printed(p_value: float) -> str:
    return f"{p_value:.2g}" if p_value >= 0.001 else "< 0.001"


@pytest.mark.parametrize("score", SCORES)
def test_the_pairs_of_recipes_have_the_numbers_of_their_runs(score: str) -> None:
    rows = table_of(score)
    assert len(rows) == 5
    tests = {pair: seed_test(*pair, score) for pair in rows}
    adjusted = holm({pair: test.p_value or 1.0 for pair, test in tests.items()})
    for pair, test in tests.items():
        assert test.interval is not None
        span = f"{test.interval.low:+.2f} to {test.interval.high:+.2f}"
        p_values = (printed(test.p_value or 1.0), printed(adjusted[pair]))
        assert rows[pair] == (f"{test.difference:+.2f}", span, *p_values), pair
