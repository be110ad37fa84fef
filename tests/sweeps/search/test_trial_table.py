"""The table of trials against what one would compute from all of them."""

import math
import random
from collections import Counter
from dataclasses import replace
from statistics import fmean

import pytest

from dalr.sweeps.search.records import RunRecord, TrialRecord
from dalr.sweeps.search.stopping import StopRules
from dalr.sweeps.search.trial_table import TrialTable
from dalr.sweeps.spec.parts import StopSpec

STOP = StopSpec.model_validate({"target": 96.0, "plateau": {"trials": 12, "min_improvement": 1.0}, "failures": 3})


def changed(rng: random.Random, record: TrialRecord) -> TrialRecord:
    """The record after one of its runs has ended, or the trial has, or, rarely, it goes on after its end."""
    if record.state != "running":
        return replace(record, state="running") if rng.random() < 0.1 else record
    open_runs = [run for run in record.runs if run.state == "running"]
    if open_runs and rng.random() < 0.6:
        ended = replace(open_runs[0], state="complete", values=(rng.uniform(0, 97),), seconds=rng.uniform(1, 9))
        return replace(record, runs=tuple(ended if run is open_runs[0] else run for run in record.runs))
    state = rng.choice(["complete", "pruned", "failed"])
    kept = tuple(run for run in record.runs if run.state != "running") or record.runs[:1]
    return replace(record, state=state, runs=kept, reason="bad luck" if state == "failed" else None)


def is_ahead(records: dict[int, TrialRecord], number: int, *, maximize: bool) -> bool:
    """By its definition, over all trials."""
    values = {n: [run.values[0] for run in r.runs if run.state == "complete"] for n, r in records.items()}
    k = len(values[number])
    means = [fmean(other[:k]) for n, other in values.items() if n != number and len(other) >= k]
    better = sum((mean > fmean(values[number])) if maximize else (mean < fmean(values[number])) for mean in means)
    return better < max(1, math.ceil((len(means) + 1) / 3))


@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_it_says_what_a_walk_through_all_trials_says(seed: int, maximize: bool) -> None:
    rng = random.Random(seed)
    table, records = TrialTable(maximize=maximize, first_seed=1), {}
    for _ in range(300):
        if not records or rng.random() < 0.3:
            point_id = f"p{rng.randrange(12)}"
            seeds = table.history(point_id).fresh_seeds(3)
            used = {run.seed for r in records.values() if r.point_id == point_id for run in r.runs}
            assert seeds == [s for s in range(1, 1000) if s not in used][:3]
            number = len(records)
            runs = tuple(RunRecord(s, "f") for s in seeds)
            record = TrialRecord(number, "dalr", {}, point_id, "running", runs)
        else:
            number = rng.randrange(len(records))
            record = changed(rng, records[number])
        table[number] = records[number] = record
        assert table.by_number() == list(records.values())
        assert +table.counts == Counter(r.state for r in records.values())
        assert table.seconds == pytest.approx(sum(r.seconds for r in records.values()))
        settled = [r for r in records.values() if r.point_id == record.point_id and r.state in ("pruned", "failed")]
        first = table.history(record.point_id).settled
        assert first == ((settled[0].number, settled[0].state) if settled else None)
        if any(run.state == "complete" for run in record.runs):
            assert table.is_ahead(number) == is_ahead(records, number, maximize=maximize)
        assert table.stop_reason(STOP) == StopRules(STOP, maximize=maximize).reason(records)
