"""`dalr.evaluate` and the result that it returns."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dalr.errors import InputError, argument
from dalr.extensions import load_installed
from dalr.extras import explained
from dalr.results import Protocol
from dalr.results import Result as Record

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


Encode = Callable[[list[str]], "np.ndarray"]
Place = str | os.PathLike[str]


class Result(Record):
    """The scores of one model under one protocol: a `dalr.results.Result` that makes tables."""

    def to_frame(self) -> "pl.DataFrame":
        """One row a task: `task`, `split`, `score` (0 to 100), its 95 % interval `low` and `high` (null where there
        is none), and `n`, what was scored."""
        import polars as pl

        rows = [
            {
                "task": name,
                "split": task.split,
                "score": task.score,
                "low": task.interval and task.interval.low,
                "high": task.interval and task.interval.high,
                "n": task.n,
            }
            for name, task in self.tasks.items()
        ]
        number, text = pl.Float64, pl.String
        schema = {"task": text, "split": text, "score": number, "low": number, "high": number, "n": pl.Int64}
        return pl.DataFrame(rows, schema=schema)


@explained()
def evaluate(
    model: Place | Encode,
    data: Place | None = None,
    tasks: str | Sequence[str] | None = None,
    *,
    protocol: Protocol = "test",
    pooler: str | None = None,
    custom: Place | None = None,
    mteb: Sequence[str] = (),
    out: Place | None = None,
    cache: Place | None = None,
    captions: Place | None = None,
    image_features: Place | None = None,
    image_ids: Place | None = None,
    split: str | None = None,
    folds: int = 1,
    ray: bool = False,
    workers: int | None = None,
    gpus: float | None = None,
    address: str | None = None,
    name: str = "",
    fingerprint: str | None = None,
    quiet: bool = False,
) -> Result:
    """Scores a model on the STS and transfer tasks as SentEval does, on tasks of your own, and on MTEB's.

    `model` is a run or its folder, a model folder, a hub name, or any function from a list of n sentences to an
    array [n, D], or an object with such an `encode`; it is called `name` in the result. `data` is a SentEval folder
    (it holds `downstream/`). `tasks` is a task's name, a group (`sts`, `transfer`, `all`), or a list of these; by
    default all, none without `data`. `retrieval` ranks images by captions and captions by images through a run's
    grounding heads, over `captions`, `image_features`, `image_ids`, `split` and `folds` (by default the run's own).
    `custom` is a YAML file that declares tasks of your own, `mteb` names tasks of MTEB.

    `out` is the result's JSON file: with it a task that is done already (same model, data and protocol) is not done
    again; a function needs a `fingerprint` for that, which says what it computes. Without `out` a run's scores are
    written to its `results/PROTOCOL.json`, where `dalr.report` finds them; those of other models, nowhere.
    `ray` spreads the work over `workers` Ray workers of `gpus` GPUs each; model, data and `out` must then be where
    every node sees them.

    Raises:
        InputError: an unknown task, missing or damaged data, a model that cannot be read or returns no vectors.
    """
    files = {"captions": captions, "image_features": image_features, "image_ids": image_ids}
    retrieval = {f"data.{key}": Path(path) for key, path in files.items() if path is not None}
    data, out, cache, custom = (None if path is None else Path(path) for path in (data, out, cache, custom))
    place = os.fspath(model) if isinstance(model, str | os.PathLike) else None
    if place is not None and (name or fingerprint):
        raise InputError("name and fingerprint are for a function; a model's folder or name has its own")
    if tasks == "retrieval":
        alone = not (custom or mteb or pooler or cache)
        run = None if ray or place is None else Path(place)
        return _ours(_retrieval(run, out, retrieval, alone=alone, split=split, folds=folds, quiet=quiet))
    if retrieval or split is not None or folds != 1:
        those = _all("captions", "image_features", "image_ids", "split", "folds")
        raise InputError(f"{those} go with {argument('tasks')} retrieval")
    if not ray and (workers, gpus, address) != (None, None, None):
        those = _all("workers", "gpus", "address")
        raise InputError(f"{those} are for evaluating on Ray; add {argument('ray', True)}")

    from dalr.evaluation.plan import asked_tasks

    load_installed()
    names, own = asked_tasks(tasks, data, custom, protocol, others=bool(mteb))
    if out is None and place is not None and (Path(place) / "provenance.json").is_file():
        out = Path(place) / "results" / f"{protocol}.json"  # place is a run's folder
    options: dict[str, Any] = {"out": out, "cache": cache, "custom": own}
    if ray:
        if mteb or place is None:
            what = "a function is" if place is None else f"{argument('mteb')}: MTEB's tasks are"
            raise InputError(f"{what} scored in one process; leave {argument('ray')} out")
        if out is None:
            raise InputError(f"{argument('ray')}: workers write into {argument('out')}; say where")
        options["pooler"] = pooler
        return _ours(_on_ray(place, data, names, protocol, options, workers, gpus, address, quiet=quiet))
    options |= {"mteb": mteb, "quiet": quiet}
    if place is not None:
        from dalr.evaluation.model_scores import score_model

        return _ours(score_model(place, data, names, protocol, pooler=pooler, **options))
    if pooler is not None:
        raise InputError("pooler: a function pools by itself; leave it out")
    from dalr.evaluation.run import evaluate as score

    called = name or getattr(model, "__qualname__", type(model).__name__)
    return _ours(score(_function(model), data, names, protocol, model=called, fingerprint=fingerprint, **options))


def _all(*names: str) -> str:
    """Several arguments, listed for a message."""
    *first, last = map(argument, names)
    return f"{', '.join(first)} and {last}"


def _function(model: Any) -> Encode:
    """A function as it is; of an encoder, ours or sentence-transformers', its `encode`."""
    encode = getattr(model, "encode", model)
    if not callable(encode):
        raise InputError(f"model: expected a folder, a name or a function, not {type(model).__name__}")
    return encode


def _retrieval(
    run: Path | None,
    out: Path | None,
    data: Mapping[str, Path],
    *,
    alone: bool,
    split: str | None,
    folds: int,
    quiet: bool,
) -> Record:
    """A run's ranks; `alone`: nothing was asked for beside them."""
    what = f"{argument('tasks')} retrieval"
    if run is None:
        raise InputError(f"{what} needs a run's folder and is scored in this process; leave {argument('ray')} out")
    if not alone:
        raise InputError(f"{what} is scored by itself; leave {_all('custom', 'mteb', 'pooler', 'cache')} out")
    from dalr.evaluation.model_scores import score_retrieval

    return score_retrieval(run, out, data, split=split, folds=folds, quiet=quiet)


def _ours(record: Record) -> Result:
    return Result.model_validate(record.model_dump())


def _on_ray(
    model: str,
    data: Path | None,
    tasks: Sequence[str],
    protocol: Protocol,
    options: Mapping[str, Any],
    workers: int | None,
    gpus: float | None,
    address: str | None,
    *,
    quiet: bool,
) -> Record:
    from dalr.cluster.evaluate import Evaluation, evaluate_on_ray
    from dalr.cluster.preflight.resources import check, default_gpus
    from dalr.cluster.session import ray_session
    from dalr.cluster.train import Workers
    from dalr.evaluation.model_scores import provenance_of

    about = provenance_of(Path(model))
    asked = Evaluation.prepare(model, data, tasks, protocol, provenance=about, **options)
    with ray_session(address, dashboard=False, quiet=quiet):
        count = workers or _most_workers()
        crew = Workers(count, gpus=default_gpus(count) if gpus is None else gpus)
        check(crew.resources, crew.count)
        (result,) = evaluate_on_ray([asked], workers=crew, quiet=quiet)
    return result


def _most_workers() -> int:
    """One worker for each GPU of the connected cluster, or for each CPU where it has none."""
    import ray

    there = ray.cluster_resources()
    return max(1, int(there.get("GPU", 0) or there.get("CPU", 1)))
