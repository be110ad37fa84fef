"""`dalr.Run`: what one training left behind."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dalr.cluster.api.scoring import Result
from dalr.config.loading import read_config
from dalr.config.schema import RunConfig
from dalr.errors import InputError
from dalr.files import uri_of
from dalr.metrics_log import read_log
from dalr.results import read_result
from dalr.training.run_folder import RunFolder

if TYPE_CHECKING:
    import polars as pl

    from dalr.evaluation.encoder import SentenceEncoder
    from dalr.training.callbacks import Outcome


@dataclass(frozen=True)
class Run:
    """One training run, finished or stopped on its way.

    `path`: its folder, or the URI where it is kept. `steps`: optimizer steps done, over all attempts. `best_score`:
    the best value of `evaluation.metric` (0 to 100) and `best_step` where it was seen, None where nothing was
    evaluated. `finished`: whether the model was exported; `reason` says why not. `seconds`: wall seconds of the
    loop in the call that made this object, 0 where there was nothing left to do.

    A run stands wherever a run's folder may: `dalr.evaluate(run, ...)`, `dalr.report([run])`.
    """

    path: str
    steps: int
    best_step: int | None
    best_score: float | None
    finished: bool
    reason: str | None = None
    seconds: float = 0.0

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> "Run":
        """The run in a folder.

        Raises:
            InputError: the folder holds no run.
        """
        path = RunFolder(Path(folder).absolute())
        if not path.provenance.is_file():
            raise InputError(f"{folder}: no run lies here (it has no provenance.json)")
        config = read_config(path.path / "config.yaml")
        noted = path.finished(config)
        if noted is not None:
            return cls(str(path.path), **noted, finished=True)
        lines, metric = read_log(path.metrics).lines, config.evaluation.metric
        best = max((line for line in lines if metric in line), key=lambda line: line[metric], default={})
        steps = lines[-1]["step"] if lines else 0
        return cls(str(path.path), steps, best.get("step"), best.get(metric), finished=False, reason="not finished")

    @classmethod
    def of_outcome(cls, path: str, outcome: "Outcome") -> "Run":
        """The run at `path` that has just ended so."""
        values = asdict(outcome)
        del values["last_loss"]
        return cls(path, **values)

    def __fspath__(self) -> str:
        return self.path

    @property
    def model_path(self) -> str:
        """The exported model's folder: it loads with transformers and with sentence-transformers."""
        return f"{self.path}/model"

    @property
    def config(self) -> RunConfig:
        """The complete config that the run was trained with."""
        config = read_config(self._folder().path / "config.yaml")
        recipe = self._folder().notes().get("recipe")
        return config.of_recipe(recipe) if recipe else config

    @property
    def metrics(self) -> "pl.DataFrame":
        """metrics.jsonl as a frame: one row an optimizer step, a column a number, null where a step has none."""
        import polars as pl

        return pl.DataFrame(read_log(self._folder().metrics).lines, infer_schema_length=None)

    @property
    def result(self) -> Result | None:
        """The scores of `evaluation.tasks` at the run's end; None where none were asked for."""
        path = self._folder().results / "test.json"
        return Result.model_validate(read_result(path).model_dump()) if path.is_file() else None

    def encoder(self, **options: Any) -> "SentenceEncoder":
        """The exported model, ready to encode; `options` are those of `dalr.SentenceEncoder.load`."""
        from dalr.evaluation.encoder import SentenceEncoder

        return SentenceEncoder.load(self.path, **options)

    def _folder(self) -> RunFolder:
        if uri := uri_of(self.path):
            raise InputError(f"{uri}: not on this machine; copy the run here, then dalr.Run.open(DIR)")
        return RunFolder(Path(self.path).absolute())

    def __repr__(self) -> str:
        state = "finished" if self.finished else f"stopped ({self.reason})"
        best = "" if self.best_score is None else f", best score {self.best_score:.2f} at step {self.best_step}"
        return f"Run({self.path!r}: {state}, {self.steps} steps{best})"
