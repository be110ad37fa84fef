"""MTEB's tasks, scored by the package `mteb` itself (extra `dalr[mteb]`), into records beside SentEval's.

A task's record is named `MTEB.` and its name: MTEB's STSBenchmark is other text than SentEval's. Its score
is MTEB's main score times 100, the mean over the task's test splits and subsets.
"""

import logging
import math
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from dalr.errors import InputError, argument
from dalr.evaluation.vectors import Encode, checked
from dalr.results import MTEB, Protocol, TaskDetails, TaskRecord, TaskScore

if TYPE_CHECKING:
    from mteb import AbsTask
    from mteb.results import TaskResult


def mteb_tasks(named: Sequence["str | AbsTask"]) -> list["AbsTask"]:
    """MTEB's tasks by their names; tasks that are objects already are taken as they are.

    Raises:
        InputError: the package is not installed, or it knows no such task.
    """
    try:
        import mteb
    except ImportError as error:
        raise InputError(
            f"{argument('mteb')}: the package mteb is not installed ({error}); pip install 'dalr[mteb]'"
        ) from error
    tasks: list[AbsTask] = []
    for task in named:
        if not isinstance(task, str):
            tasks.append(task)
            continue
        try:
            with warnings.catch_warnings(action="ignore"):  # that there is a newer version: this one is asked for
                tasks.append(mteb.get_task(task))
        except (KeyError, ValueError) as error:
            raise InputError(f"{argument('mteb')} {task}: {' '.join(str(error.args[0]).split())[:200]}") from error
    return tasks


def data_of(task: "AbsTask") -> dict[str, str]:
    """What stands in a record for the checksums of its data: the task's data set and its revision."""
    dataset = task.metadata.dataset
    return {record_name(task): f"{dataset.get('path')}@{dataset.get('revision')}"}


def record_name(task: "AbsTask") -> str:
    """What the task is called in a result."""
    return f"{MTEB}{task.metadata.name}"


def score_mteb(task: "AbsTask", encode: Encode, protocol: Protocol, *, fingerprint: str | None = None) -> TaskDetails:
    """Loads, encodes and scores one task by MTEB's own code. `n` counts the texts that it had encoded.

    Raises:
        InputError: data that cannot be loaded, an encoder that returns no vectors, or a score that is not a number.
    """
    import mteb

    started = time.perf_counter()
    model = _model(encode)
    where = f"MTEB task {task.metadata.name}"
    with _quiet():
        try:
            (result,) = mteb.evaluate(
                model, task, cache=None, co2_tracker=False, show_progress_bar=False, encode_kwargs={"batch_size": 128}
            ).task_results
        except (InputError, MemoryError):
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise InputError(f"{where}: {reason}") from error
    main = float(result.get_score())
    if not math.isfinite(main):
        raise InputError(f"{where}: its score is {main}")
    score = TaskScore(
        score=100 * main,
        n=model.encoded,
        split=",".join(sorted(result.scores)),
        seconds=round(time.perf_counter() - started, 3),
        **_correlations(result),
    )
    record = TaskRecord(
        task=record_name(task),
        protocol=protocol,
        fingerprint=fingerprint,
        score=score,
        data=data_of(task),
        official_data=False,
    )
    return TaskDetails(record)


def _correlations(result: "TaskResult") -> dict[str, float]:
    """Spearman and Pearson of the cosine, where the task has them and one split of one subset."""
    scores = [values for of_split in result.scores.values() for values in of_split]
    if len(scores) != 1 or "cosine_spearman" not in scores[0]:
        return {}
    return {"spearman": float(scores[0]["cosine_spearman"]), "pearson": float(scores[0]["cosine_pearson"])}


def _model(encode: Encode) -> Any:
    """An encoder as MTEB's protocol wants it. The class is made here: its base needs the package."""
    from mteb.models.abs_encoder import AbsEncoder
    from mteb.models.model_meta import ModelMeta, ScoringFunction

    class Model(AbsEncoder):
        """Any function from sentences to vectors, compared by cosine. MTEB's prompts are left out: the
        models of this field take none."""

        mteb_model_meta = ModelMeta.create_empty({"similarity_fn_name": ScoringFunction.COSINE})

        def __init__(self) -> None:
            self.encoded = 0

        def encode(self, inputs: Any, **about: Any) -> np.ndarray:
            """float32 [n, D] of the texts of all batches, in their order."""
            texts = [text for batch in inputs for text in batch["text"]]
            self.encoded += len(texts)
            return checked(encode(texts), texts, None)

    return Model()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences mteb's log, which goes to the root logger's handlers, and the bars of datasets."""
    from datasets.utils import logging as bars

    logger = logging.getLogger("mteb")
    level, enabled = logger.level, bars.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    bars.disable_progress_bar()
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)
        if enabled:
            bars.enable_progress_bar()
