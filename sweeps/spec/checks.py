"""Checks of a specification that its fields alone cannot make: paths and ranges against the config's keys, metrics
against the tasks, points against the recipes."""

import random
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from sqlalchemy import make_url

from dalr.config.keys import as_field_value, field_at, unknown_key
from dalr.config.overrides import with_overrides
from dalr.config.schema import RunConfig
from dalr.errors import InputError, argument
from dalr.evaluation.plan import own_tasks
from dalr.evaluation.tasks import STANDARD, Task, parse_metric
from dalr.files import uri_of
from dalr.sweeps.spec.database_url import refuse_password
from dalr.sweeps.spec.schema import SweepSpec
from dalr.sweeps.spec.space import Dimension, draw

SAMPLES = 32
"""Random points tried before a space counts as one without a single valid config."""


def check_spec(spec: SweepSpec, bases: Mapping[str, RunConfig]) -> None:
    """What pydantic cannot know: paths, ranges and metrics against the config and the recipes, whose complete
    configs are `bases`.

    Raises:
        InputError: in one line.
    """
    refuse_password(spec.storage)
    for path, dimension in spec.space.items():
        check_dimension(path, dimension)
    check_judges(spec, [own_tasks(base.evaluation.custom) for base in bases.values()])
    for recipe, base in bases.items():
        if base.evaluation.data is None and spec.metric[0].rpartition(".")[0] in STANDARD:
            raise InputError(f"recipe {recipe}: evaluation.data is not set, so no trial would have a score")
        if spec.scheduler.by_steps and base.train.eval_every > spec.scheduler.grace_steps:
            raise InputError(
                f"recipe {recipe}: train.eval_every is {base.train.eval_every}, but the scheduler wants a score after "
                f"{spec.scheduler.grace_steps} steps; lower train.eval_every or raise scheduler.grace_steps"
            )
        check_arms(spec, base)
        check_points(spec, base)


def check_place(spec: SweepSpec, out: str) -> None:
    """Refuses a URI as a sweep's folder where the study, or what several workers share, needs a disk.

    Raises:
        InputError: in one line, with what would do.
    """
    uri = uri_of(out)
    if uri is None:
        return
    disk = "a folder that every node sees, such as /nfs/sweeps/core"
    if spec.storage is None or make_url(spec.storage).get_backend_name() == "sqlite":
        raise InputError(
            f"{argument('out')} {uri}: a sweep's database needs a file system with locks; give "
            f"storage=postgresql://USER@HOST/DATABASE besides (pip install 'dalr[postgres]'), or {disk}"
        )
    if (workers := spec.resources.workers) > 1:
        raise InputError(
            f"{argument('out')} {uri}: its trials have one worker; resources.workers={workers} needs {disk}"
        )


def check_judges(spec: SweepSpec, own: Sequence[Sequence[Task]]) -> None:
    """What trials are judged by is the specification's metric and constraints, for all trials alike. `own` are
    the tasks of the user's own that each recipe's config declares."""
    for name, tasks in product(spec.metric, own):
        check_metric(name, tasks, allow_test=spec.allow_test)
    if spec.metric[0] == "seconds":
        raise InputError(
            "metric: the first must be a score, which also chooses a run's best checkpoint; seconds may follow"
        )
    for name, tasks in product(spec.constraints, own):
        check_metric(name, tasks, allow_test=spec.allow_test, what="constraints")
    judge = spec.overrides.get("evaluation.metric", spec.metric[0])
    if judge != spec.metric[0]:
        raise InputError(f"overrides: evaluation.metric: a sweep's trials are judged by its metric, {spec.metric[0]}")


def check_dimension(path: str, dimension: Dimension) -> None:
    """A searched path must be a config key whose own bounds hold the whole range."""
    if field_at(path) is None:
        raise InputError(f"space: {unknown_key(path)}")
    if path.startswith("evaluation."):
        raise InputError(f"space: {path}: what trials are judged by must be the same for all of them")
    for value in dimension.probes():
        try:
            as_field_value(path, value)
        except ValueError as error:
            raise InputError(f"space: {path}: {error}") from error


def allowed(path: str, value: Any) -> bool:
    """Whether a config field takes this value."""
    try:
        as_field_value(path, value)
    except ValueError:
        return False
    return True


def check_metric(name: str, own: Sequence[Task], *, allow_test: bool, what: str = "metric") -> None:
    """TASK.SPLIT that training can score; the test split only where it is asked for. `seconds` is a metric too."""
    if name == "seconds":
        return
    if "." not in name:
        raise InputError(f"{what}: {name!r}: expected TASK.SPLIT, for example STSBenchmark.dev, or seconds")
    task, split = parse_metric(name, own, what=f"{what}:")
    if split == "test" and not allow_test:
        raise InputError(
            f"{what}: {name} is a test split: a search on it would choose by the numbers that it is later judged by; "
            f"use {task}.dev, or write allow_test: true"
        )


def check_arms(spec: SweepSpec, base: RunConfig) -> None:
    """Every arm must be a valid config, judged as the others are."""
    configs: dict[str, RunConfig] = {}
    for name, arm in spec.arms.items():
        for path in arm:
            if path == "evaluation" or path.startswith("evaluation."):
                raise InputError(f"arms: {name}: {path}: what arms are judged by must be the same for all of them")
            if path in spec.space:
                raise InputError(f"arms: {name}: {path} is searched in space, too; give it one place")
        try:
            config = with_overrides(base, arm)
        except InputError as error:
            raise InputError(f"arms: {name}: {error}") from error
        twin = next((other for other, known in configs.items() if known == config), None)
        if twin is not None:
            raise InputError(f"arms: {name} and {twin} are the same config")
        configs[name] = config


def check_points(spec: SweepSpec, base: RunConfig) -> None:
    """Start points must make valid configs, and so must at least one of a few random ones."""
    for place, point in enumerate(spec.try_first):
        full = set(point) == set(spec.searched)
        try:
            with_overrides(base, spec.settings(point))
        except InputError as error:
            if full:
                raise InputError(f"try_first[{place}]: {error}") from error
    rng = random.Random(0)
    problems: list[str] = []
    for _ in range(SAMPLES):
        try:
            with_overrides(base, spec.settings(draw(spec.searched, RandomTrial(rng))))
            return
        except InputError as error:
            problems.append(str(error))
    raise InputError(f"space: no point of it makes a valid config: {problems[0]}")


class RandomTrial:
    """Draws uniformly; enough to see whether a space makes sense."""

    def __init__(self, rng: Any) -> None:
        self._rng = rng

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return self._rng.uniform(low, high)

    def suggest_int(self, name: str, low: int, high: int) -> int:
        return self._rng.randint(low, high)

    def suggest_categorical(self, name: str, choices: tuple[Any, ...]) -> Any:
        return self._rng.choice(choices)
