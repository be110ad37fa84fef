"""`dalr.sweep`: a search from Python, and what it found."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dalr.config.schema import RunConfig
from dalr.errors import InputError
from dalr.extensions import load_installed
from dalr.extras import explained
from dalr.files import uri_of
from dalr.sweeps.spec.schema import SweepSpec

if TYPE_CHECKING:
    import optuna
    import polars as pl

    from dalr.sweeps.analysis.outcome import SweepOutcome
    from dalr.sweeps.search.records import TrialRecord


@dataclass(frozen=True)
class Sweep:
    """A sweep's folder and what it has come to: `outcome` holds the comparisons and importances, too.

    A sweep stands wherever its folder may: `dalr.report([sweep])`.
    """

    path: Path
    outcome: "SweepOutcome"

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> "Sweep":
        """The sweep in a folder, or under a URI, running or not; `path` is then the folder of a copy here.

        Raises:
            InputError: the folder holds no sweep.
        """
        from dalr.sweeps.analysis.outcome import outcome_of
        from dalr.sweeps.execution.place import question
        from dalr.sweeps.search.snapshot import final_runs, read_state

        with question(folder if uri_of(folder) else Path(folder).absolute()) as place:
            state = read_state(place.folder)
            place.fetch_runs(final_runs(state))
        return cls(place.folder, outcome_of(state))

    @property
    def best(self) -> "TrialRecord | None":
        """The best trial: its `number`, its `point` (the searched keys and their values), its `values` of the
        metrics. None where no trial is complete."""
        return self.outcome.best

    @property
    def best_config(self) -> RunConfig:
        """The complete config of the best trial, for `dalr.train`.

        Raises:
            InputError: no trial is complete.
        """
        from dalr.training.recipe import recipe

        if self.outcome.best_config is None:
            raise InputError(f"{self.path}: no trial is complete yet")
        return recipe(self.outcome.best_config)

    @property
    def trials(self) -> "pl.DataFrame":
        """trials.parquet: one row a trial and seed, a column for each searched key."""
        import polars as pl

        path = self.path / "trials.parquet"
        if not path.is_file():
            raise InputError(f"{self.path}: no trial has ended yet")
        return pl.read_parquet(path)

    @property
    def study(self) -> "optuna.Study":
        """The search in Optuna, as it is in the database.

        Raises:
            InputError: several recipes were searched; `studies` has a study for each.
        """
        studies = self.studies
        if len(studies) != 1:
            raise InputError(f"{self.path}: {len(studies)} recipes have a study each ({', '.join(studies)}): studies")
        return next(iter(studies.values()))

    @property
    def studies(self) -> "dict[str, optuna.Study]":
        """Each recipe's search in Optuna."""
        from dalr.sweeps.search.snapshot import studies_of

        return studies_of(self.outcome.state.spec, self.path)

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {state}" for state, count in self.outcome.state.counts.items())
        best = f"; best trial {self.best.number}, {self.best.values[0]:.2f}" if self.best is not None else ""
        return f"Sweep({str(self.path)!r}: {counts or 'no trials'}{best})"


@explained()
def sweep(
    spec: str | os.PathLike[str] | Mapping[str, Any],
    out: str | os.PathLike[str],
    *,
    overrides: Mapping[str, Any] | None = None,
    strict: bool = False,
    quiet: bool = False,
) -> Sweep:
    """Searches hyperparameters with Ray Tune and Optuna; the same call continues a sweep that was cut off.

    `spec` is a bundled sweep's name, a YAML file, or a mapping with the keys of such a file. `overrides` changes its
    keys (`budget.trials`) and those of the config (`train.steps`). `out` is the sweep's folder, or with `storage` in
    PostgreSQL a URI such as s3://bucket/sweeps/a. With `strict`, data
    and settings that no trial reads are an error.

    Raises:
        InputError: a specification that is not right, a missing file, a folder that holds another sweep, or a
            cluster that cannot run a single trial.
    """
    checked, _ = checked_spec(spec, overrides or {}, strict=strict)
    return search(checked, out, quiet=quiet)


def checked_spec(
    source: str | os.PathLike[str] | Mapping[str, Any], overrides: Mapping[str, Any], *, strict: bool
) -> tuple[SweepSpec, dict[str, RunConfig]]:
    """A specification and its base configs, every file that they name in its place. Imports no torch.

    Raises:
        InputError: as `sweep`.
    """
    from dalr.sweeps.spec.loading import base_configs, load_spec
    from dalr.sweeps.spec.without_effect import report_unread_in_spec
    from dalr.training.inputs import check_inputs

    load_installed()
    spec = load_spec(source if isinstance(source, Mapping) else os.fspath(source), overrides)
    report_unread_in_spec(spec, strict=strict)
    bases = base_configs(spec)
    for base in bases.values():
        check_inputs(base)
    return spec, bases


def search(spec: SweepSpec, out: str | os.PathLike[str], *, quiet: bool) -> Sweep:
    """Runs or continues the sweep of a checked specification."""
    # torch, Ray and Optuna come with these: what is wrong so far is refused without waiting for them.
    from dalr.sweeps.display import live
    from dalr.sweeps.execution.runner import run_sweep

    outcome = run_sweep(spec, out, quiet=quiet, display=partial(live, quiet=quiet))
    return Sweep(outcome.state.out, outcome)
