"""Evaluation over Ray: encoding and scoring in many processes, to the result of one.

Two kinds of steps. A share is the sentences that a task adds to those of the tasks before it; some
worker encodes it whole, so that its vectors are those that one process makes. A task is scored as
soon as the shares are there that hold its sentences.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import ray

from dalr.cluster.pool import Call, Pool, Processes
from dalr.cluster.train import Workers
from dalr.errors import InputError, argument
from dalr.evaluation.cache import VectorCache
from dalr.evaluation.encoder import SentenceEncoder
from dalr.evaluation.plan import plan
from dalr.evaluation.readers import DataFolder
from dalr.evaluation.reuse import done_before
from dalr.evaluation.run import evaluate, score_task, shares
from dalr.evaluation.tasks import Task
from dalr.evaluation.vectors import EncodedSentences
from dalr.files import refuse_folder, writable_folder
from dalr.progress import bar
from dalr.results import Protocol, Provenance, Result, TaskDetails, write_details


@dataclass(frozen=True)
class Model:
    """An encoder as a worker finds it: `name` is a hub name or an absolute path that every node sees;
    `fingerprint` is the driver's, and the worker's must equal it."""

    name: str
    pooler: str | None
    fingerprint: str


@dataclass(frozen=True)
class Evaluation:
    """One model's evaluation, checked and ready to be spread. `shown` and `shown_pooler` are what the
    result calls the model and its pooler."""

    model: Model
    shown: str
    shown_pooler: str
    data: Path | None
    tasks: tuple[Task, ...]
    protocol: Protocol
    out: Path
    cache: Path | None = None
    custom: tuple[Task, ...] = ()
    provenance: Provenance | None = None

    @classmethod
    def prepare(
        cls,
        model: str,
        data: Path | None,
        tasks: str | Sequence[str],
        protocol: Protocol,
        *,
        out: Path,
        pooler: str | None = None,
        cache: Path | None = None,
        custom: Sequence[Task] = (),
        provenance: Provenance | None = None,
    ) -> Self:
        """Loads the model once, here, for its fingerprint; see `dalr.evaluation.run.evaluate`.

        Raises:
            InputError: an unknown task, no such model or data, or `out` cannot be written.
        """
        chosen = plan(tasks, protocol, custom)
        DataFolder.open(data)
        encoder = SentenceEncoder.load(model, pooler, device="cpu")
        refuse_folder(out, argument("out"))
        writable_folder(Path(out).parent, argument("out"))
        path = Path(model).expanduser()
        return cls(
            model=Model(str(path.absolute()) if path.exists() else model, pooler, encoder.fingerprint()),
            shown=model,
            shown_pooler=encoder.pooler,
            data=data.expanduser().absolute() if data is not None else None,
            tasks=tuple(chosen),
            protocol=protocol,
            out=Path(out),
            cache=Path(cache).absolute() if cache is not None else None,
            custom=tuple(custom),
            provenance=provenance,
        )


class WorkItem(NamedTuple):
    """Something that a worker can do for one evaluation: encode the share of this number, or score the
    task of this number."""

    kind: str
    evaluation: int
    number: int


class WorkQueue:
    """What can be done next, over all evaluations: first tasks whose shares are there, so that they are
    finished and stored early; else shares, those first that the biggest tasks need."""

    def __init__(self) -> None:
        self._tasks: list[tuple[WorkItem, frozenset[WorkItem]]] = []
        self._shares: list[WorkItem] = []
        self._encoded: set[WorkItem] = set()

    def add(self, evaluation: int, needs: Mapping[int, Sequence[int]]) -> None:
        """Adds tasks with the shares that each needs, the biggest task first."""
        for task, numbers in needs.items():
            steps = [WorkItem("encode", evaluation, number) for number in numbers]
            self._tasks.append((WorkItem("score", evaluation, task), frozenset(steps)))
            self._shares += [step for step in steps if step not in self._shares]

    def next(self) -> WorkItem | None:
        """Takes the next step off the agenda; None while nothing can be done."""
        for place, (task, needed) in enumerate(self._tasks):
            if needed <= self._encoded:
                del self._tasks[place]
                return task
        return self._shares.pop(0) if self._shares else None

    def encoded(self, share: WorkItem) -> None:
        """Notes that a share's vectors are there."""
        self._encoded.add(share)


def needs_of(
    tasks: Sequence[Task], missing: Sequence[Task], folder: DataFolder, protocol: Protocol
) -> tuple[list[list[str]], dict[int, list[int]]]:
    """All tasks' shares, and the numbers of those shares that each missing task needs, the task with
    the most sentences first. Shares do not depend on what is missing, nor do the vectors then."""
    parts = shares(tasks, folder, protocol)
    owner = {sentence: number for number, part in enumerate(parts) for sentence in part}
    sentences = {tasks.index(task): shares([task], folder, protocol)[0] for task in missing}
    order = sorted(sentences, key=lambda number: -len(sentences[number]))
    return parts, {number: sorted({owner[sentence] for sentence in sentences[number]}) for number in order}


def evaluate_on_ray(
    evaluations: Sequence[Evaluation], *, workers: Workers, quiet: bool = True, processes: Processes | None = None
) -> list[Result]:
    """Runs the evaluations on the connected Ray cluster and writes a result each; equal to what one
    process writes, except the seconds.

    Models, data and `cache` must be where every node sees them. Each task is stored beside `out` as
    soon as it is scored, and is not done again by the next call.

    Raises:
        InputError: damaged data, a model that a worker cannot load or that is another one there.
        ChildProcessError: a step whose workers are lost every time.
    """
    started = time.perf_counter()
    with bar(quiet=quiet) as display, Pool(workers, processes) as pool:
        spread = _Spread(evaluations, "cuda" if workers.gpus > 0 else "cpu", pool.keep)
        shown = display.add_task("evaluating", total=sum(len(evaluation.tasks) for evaluation in evaluations), note="")
        display.advance(shown, spread.done)
        steps: dict[Call, WorkItem] = {}
        while True:
            while pool.free and (step := spread.agenda.next()):
                call = spread.call(step)
                steps[call] = step
                pool.submit(call)
            if not pool.busy:
                break
            for call, returned in pool.finished():
                step = steps.pop(call)
                spread.take(step, returned)
                display.update(shown, advance=int(step.kind == "score"), note=call.name)
    return [_result(evaluation, time.perf_counter() - started) for evaluation in evaluations]


class _Spread:
    """The steps of all evaluations, and what came of them."""

    def __init__(self, evaluations: Sequence[Evaluation], device: str, keep: Callable[[Any], Any]) -> None:
        self.agenda = WorkQueue()
        self.done = 0
        self._evaluations = evaluations
        self._device = device
        self._keep = keep
        self._shares: dict[WorkItem, Any] = {}
        self._vectors: dict[WorkItem, Any] = {}
        self._needs: list[dict[int, list[int]]] = []
        for place, evaluation in enumerate(evaluations):
            folder = DataFolder.open(evaluation.data)
            fingerprint = evaluation.model.fingerprint
            missing = [
                t
                for t in evaluation.tasks
                if done_before(evaluation.out, t, folder, evaluation.protocol, fingerprint) is None
            ]
            parts, needs = needs_of(evaluation.tasks, missing, folder, evaluation.protocol) if missing else ([], {})
            self.done += len(evaluation.tasks) - len(missing)
            self._needs.append(needs)
            self.agenda.add(place, needs)
            for number in {number for numbers in needs.values() for number in numbers}:
                self._shares[WorkItem("encode", place, number)] = keep(parts[number])

    def call(self, step: WorkItem) -> Call:
        """What a worker is asked to do."""
        evaluation = self._evaluations[step.evaluation]
        task = evaluation.tasks[step.number]
        if step.kind == "encode":
            name = f"{evaluation.shown}: sentences of {task.name}"
            return Call(name, encode_share, (evaluation.model, self._shares[step], evaluation.cache, self._device))
        needed = [WorkItem("encode", step.evaluation, number) for number in self._needs[step.evaluation][step.number]]
        parts = [part for share in needed for part in (self._shares[share], self._vectors[share])]
        arguments = (task, evaluation.data, evaluation.protocol, evaluation.model.fingerprint, self._device, *parts)
        return Call(f"{evaluation.shown}: {task.name}", score, arguments)

    def take(self, step: WorkItem, returned: np.ndarray | TaskDetails) -> None:
        """Keeps vectors, by the driver, as a lost worker's would be lost with it; writes scores."""
        if isinstance(returned, TaskDetails):
            write_details(self._evaluations[step.evaluation].out, returned)
        else:
            self._vectors[step] = self._keep(returned)
            self.agenda.encoded(step)


def _result(evaluation: Evaluation, seconds: float) -> Result:
    """Merges the stored tasks as one process does that finds them all done."""
    result = evaluate(
        _not_encoded,
        evaluation.data,
        [task.name for task in evaluation.tasks if task not in evaluation.custom],
        evaluation.protocol,
        model=evaluation.shown,
        pooler=evaluation.shown_pooler,
        fingerprint=evaluation.model.fingerprint,
        out=evaluation.out,
        custom=evaluation.custom,
        provenance=evaluation.provenance,
    )
    result = result.model_copy(update={"seconds": seconds})
    result.write(evaluation.out)
    return result


def encode_share(model: Model, sentences: list[str], cache: Path | None, device: str) -> np.ndarray:
    """What a worker does with a share: float32 [n, D], in the order given."""
    encoder = _encoder(model, device)
    vectors = EncodedSentences(encoder.encode, VectorCache(cache, model.fingerprint) if cache is not None else None)
    return vectors.of(sentences)


@lru_cache(maxsize=1)
def _encoder(model: Model, device: str) -> SentenceEncoder:
    """The encoder in use, kept from one share to the next."""
    encoder = SentenceEncoder.load(model.name, model.pooler, device=device)
    if encoder.fingerprint() != model.fingerprint:
        raise InputError(
            f"{model.name}: a worker on node {ray.util.get_node_ip_address()} finds another model under this name than "
            "the driver; expected the same files on every node"
        )
    return encoder


def score(task: Task, data: Path | None, protocol: Protocol, fingerprint: str, device: str, *parts: Any) -> TaskDetails:
    """What a worker does with a task; `parts` are shares' sentences (a list) and vectors (float32
    [n, D]) in turns, each an argument of its own so that Ray fetches it from its store."""
    vectors = EncodedSentences(_not_encoded)
    for sentences, block in zip(parts[::2], parts[1::2], strict=True):
        vectors.keep(sentences, block)
    return score_task(task, DataFolder.open(data), vectors, protocol, fingerprint=fingerprint, device=device)


def _not_encoded(sentences: list[str]) -> np.ndarray:
    raise InputError(f"data: {sentences[0][:60]!r} was not there when the evaluation began; run it again")
