"""The trials of one recipe, with what the search asks of them kept up to date at each change: an event costs the same
after ten trials and after ten thousand."""

import math
from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from statistics import fmean

from dalr.sweeps.search.records import State, TrialRecord
from dalr.sweeps.search.stopping import StopRules
from dalr.sweeps.spec.parts import StopSpec

SETTLED: tuple[State, ...] = ("pruned", "stopped", "failed")
"""A point whose trial ended so is not run again."""


class TrialTable:
    """The records by their number in the study, from 0 on. `counts`: trials in each state; `seconds`: wall seconds of
    all. Another thread may read them while this one writes."""

    def __init__(self, *, maximize: bool, first_seed: int = 0) -> None:
        self.counts: Counter[State] = Counter()
        self.seconds = 0.0
        self._records: dict[int, TrialRecord] = {}
        self._points: defaultdict[str, PointHistory] = defaultdict(lambda: PointHistory(first_seed))
        self._race = SeedRace(maximize=maximize)
        self._maximize = maximize
        self._rules = StopRules(StopSpec(), maximize=maximize)

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, number: int) -> bool:
        return number in self._records

    def __getitem__(self, number: int) -> TrialRecord:
        return self._records[number]

    def get(self, number: int) -> TrialRecord | None:
        """A record; None where there is none."""
        return self._records.get(number)

    def __setitem__(self, number: int, record: TrialRecord) -> None:
        old = self._records.get(number)
        self._records[number] = record
        if old is not None:
            self.counts[old.state] -= 1
            self.seconds -= old.seconds
            self._points[old.point_id].remove(old)
        self.counts[record.state] += 1
        self.seconds += record.seconds
        self._points[record.point_id].add(record)
        self._race.update(old, record)
        if self._rules.looked_at(number):
            self._rules.forget()

    def by_number(self) -> list[TrialRecord]:
        """Every record."""
        records = list(self._records.values())  # at once: another thread may add one
        return sorted(records, key=lambda record: record.number)

    def history(self, point_id: str) -> "PointHistory":
        """What became of the trials at one point."""
        return self._points[point_id]

    def is_ahead(self, number: int) -> bool:
        """Whether a trial whose first k seeds are complete is among the best third by their mean."""
        return self._race.is_ahead(self._records[number])

    def stop_reason(self, stop: StopSpec) -> str | None:
        """Which rule of `stop` ends the search, in words; None where none does."""
        if stop != self._rules.stop:
            self._rules = StopRules(stop, maximize=self._maximize)
        return self._rules.reason(self._records)


class PointHistory:
    """The trials at one point: those that settle it, and the seeds that they have."""

    def __init__(self, first_seed: int) -> None:
        self.trials: set[int] = set()
        self._settled: list[tuple[int, State]] = []
        self._seeds: Counter[int] = Counter()
        self._first = self._free = first_seed

    def add(self, record: TrialRecord) -> None:
        """Takes a trial in; one that says nothing of its point is left out."""
        if not record.settles:
            return
        self.trials.add(record.number)
        self._seeds.update(run.seed for run in record.runs)
        if record.state in SETTLED:
            insort(self._settled, (record.number, record.state))

    def remove(self, record: TrialRecord) -> None:
        """Takes out what `add` took in."""
        if not record.settles:
            return
        self.trials.remove(record.number)
        for run in record.runs:
            self._seeds[run.seed] -= 1
            if not self._seeds[run.seed]:
                del self._seeds[run.seed]
                self._free = max(self._first, min(self._free, run.seed))
        if record.state in SETTLED:
            del self._settled[bisect_left(self._settled, (record.number, record.state))]

    @property
    def settled(self) -> tuple[int, State] | None:
        """Number and state of the first trial that settled the point; None: it may be run."""
        return self._settled[0] if self._settled else None

    def fresh_seeds(self, count: int) -> list[int]:
        """The first `count` seeds, from the recipe's own on, that no trial has."""
        while self._free in self._seeds:
            self._free += 1
        seeds: list[int] = []
        seed = self._free
        while len(seeds) < count:
            if seed not in self._seeds:
                seeds.append(seed)
            seed += 1
        return seeds


class SeedRace:
    """For each k, the means over first k seeds of all trials that have so many, in order."""

    def __init__(self, *, maximize: bool) -> None:
        self._sign = 1.0 if maximize else -1.0
        self._means: list[list[float]] = []

    def update(self, old: TrialRecord | None, record: TrialRecord) -> None:
        """Exchanges a trial's values."""
        before, after = _first_values(old) if old else [], _first_values(record)
        if before == after:
            return
        for values, change in ((before, self._take_out), (after, self._put_in)):
            for k in range(len(values)):
                change(k, self._sign * fmean(values[: k + 1]))

    def _put_in(self, k: int, mean: float) -> None:
        while len(self._means) <= k:
            self._means.append([])
        insort(self._means[k], mean)

    def _take_out(self, k: int, mean: float) -> None:
        del self._means[k][bisect_left(self._means[k], mean)]

    def is_ahead(self, record: TrialRecord) -> bool:
        """Whether fewer than a third of the trials with as many seeds are better."""
        values = _first_values(record)
        means = self._means[len(values) - 1]
        better = len(means) - bisect_right(means, self._sign * fmean(values))
        return better < max(1, math.ceil(len(means) / 3))


def _first_values(record: TrialRecord) -> list[float]:
    """The first metric of each complete run, in the order of the seeds."""
    return [run.values[0] for run in record.runs if run.state == "complete" and run.values]
