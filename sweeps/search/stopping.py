"""Rules that end a recipe's search before its budget does: each looks at the trials so far, by number."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dalr.sweeps.search.records import TrialRecord
from dalr.sweeps.spec.parts import StopSpec


@dataclass(frozen=True)
class Tally:
    """What the rules know of the trials up to one number.

    `reached`: the first trial at the target. `best`: number and value (negated where lower is better) of the trial
    that the later ones have not improved on; `since`: how many complete ones those are. `failed`: how many trials
    have failed in a row, the last for `reason`.
    """

    reached: int | None = None
    best: tuple[int, float] | None = None
    since: int = 0
    failed: int = 0
    reason: str | None = None


class StopRules:
    """The rules of a specification over one recipe's trials, which end in any order. Those before the first that
    runs are never looked at again. Only the first metric counts, and only complete, feasible trials have a value."""

    def __init__(self, stop: StopSpec, *, maximize: bool) -> None:
        self.stop = stop
        self._sign = 1.0 if maximize else -1.0
        self._tally = Tally()
        self._count = 0

    def forget(self) -> None:
        """Begins again: a trial that had ended has changed."""
        self._tally, self._count = Tally(), 0

    def looked_at(self, number: int) -> bool:
        """Whether trial `number` is among those that are never looked at again."""
        return number < self._count

    def reason(self, trials: Mapping[int, TrialRecord]) -> str | None:
        """The first rule that says stop, in words; None: the search goes on. `trials` have the numbers from 0 on."""
        if self.stop == StopSpec():
            return None
        while self._count in trials and trials[self._count].state != "running":
            self._tally = self._after(self._tally, trials[self._count])
            self._count += 1
        tally = self._tally
        for number in range(self._count, len(trials)):
            tally = self._after(tally, trials[number])
        return self._said(tally)

    def _after(self, tally: Tally, trial: TrialRecord) -> Tally:
        if trial.state == "running":
            return tally
        if trial.runs and trial.state != "stopped":  # by hand
            failed = trial.state == "failed"
            tally = replace(tally, failed=tally.failed + 1 if failed else 0, reason=trial.reason if failed else None)
        if trial.state != "complete" or not trial.values or trial.violation:
            return tally
        value = self._sign * trial.values[0]
        if tally.reached is None and self.stop.target is not None and value >= self._sign * self.stop.target:
            tally = replace(tally, reached=trial.number)
        least = self.stop.plateau.min_improvement if self.stop.plateau else 0.0
        if tally.best is None or value > tally.best[1] + least:
            return replace(tally, best=(trial.number, value), since=0)
        return replace(tally, since=tally.since + 1)

    def _said(self, tally: Tally) -> str | None:
        stop = self.stop
        if stop.target is not None and tally.reached is not None:
            return f"trial {tally.reached} reached the target of {stop.target:g}"
        if stop.plateau is not None and tally.best is not None and tally.since >= stop.plateau.trials:
            least = f" by {stop.plateau.min_improvement:g}" if stop.plateau.min_improvement else ""
            return f"{stop.plateau.trials} complete trials in a row were not better than trial {tally.best[0]}{least}"
        if stop.failures is not None and tally.failed >= stop.failures:
            return f"{stop.failures} trials in a row failed, the last with: {tally.reason or 'no reason given'}"
        return None
