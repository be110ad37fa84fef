"""What the points of one recipe train: configs, identities, and the runs that a trial gets."""

from collections.abc import Iterable
from dataclasses import replace

from dalr.config.schema import RunConfig
from dalr.errors import InputError
from dalr.identity import Contents, Identity
from dalr.sweeps.search.configs import run_config
from dalr.sweeps.search.records import RunRecord, TrialRecord
from dalr.sweeps.spec.schema import SweepSpec
from dalr.sweeps.spec.space import Point

ACCUMULATE = "train.accumulate"
"""The setting that is doubled where a trial ran out of memory; the objective stays the same."""


class PointRuns:
    """The runs at the points of a search, or of its final runs, whose config before a point is `base`. `contents`
    knows the data and models that they read."""

    def __init__(self, spec: SweepSpec, base: RunConfig, contents: Contents) -> None:
        self.base = base.dump()
        self._spec = spec
        self._contents = contents

    def config(self, point: Point, seed: int | None = None) -> RunConfig:
        """The config of a run at `point`; `seed` None keeps the recipe's or the point's.

        Raises:
            InputError: the values contradict each other.
        """
        return run_config(self.base, self._spec.settings(point), seed)

    def identity(self, point: Point, seed: int | None = None) -> Identity:
        """What a run at `point` is made from."""
        return self._contents.identity(self.config(point, seed))

    def run(self, point: Point, seed: int) -> RunRecord:
        """A run that has not begun."""
        return RunRecord(seed, self.identity(point, seed).fingerprint)

    def of_this_version(self, point: Point, runs: Iterable[RunRecord]) -> tuple[RunRecord, ...]:
        """Runs at `point`, those that go on with the fingerprint that this version gives them."""
        return tuple(
            replace(run, fingerprint=self.run(point, run.seed).fingerprint) if run.state == "running" else run
            for run in runs
        )

    def in_smaller_parts(self, trial: TrialRecord) -> TrialRecord | None:
        """A trial whose runs begin again, those that are not complete, with `train.accumulate` doubled; None where
        that was done before, or makes no valid config."""
        if ACCUMULATE in trial.point:
            return None
        try:
            point = {**trial.point, ACCUMULATE: 2 * self.config(trial.point).train.accumulate}
            runs = tuple(
                run
                if run.state == "complete"
                else replace(self.run(point, run.seed), seconds=run.seconds, seconds_before=run.seconds)
                for run in trial.runs
            )
        except InputError:
            return None
        return replace(trial, point=point, runs=runs)
