"""A run that is made longer: what its config then is, and which of its checkpoints it goes on from.

The learning rate of a schedule that falls is a function of the step and of the run's length. A longer run has other
rates from the first step on, so a run that was extended is not the run made at once: its config says so in
`train.stages`, by which the same run can be made again. A constant rate does not know the length: there the extended
run is the run made at once, and has its config.
"""

from typing import Any

from dalr.config.overrides import validated
from dalr.config.schema import RunConfig, Stage, TrainConfig
from dalr.errors import InputError, argument

LENGTH_KEYS = ("train.steps", "train.epochs")
_STAGES = "train.stages"


def is_length_key(key: str) -> bool:
    """Whether a dotted key is about a run's length."""
    return key in LENGTH_KEYS or key == _STAGES or key.startswith(f"{_STAGES}.")


def length_of(part: TrainConfig | Stage) -> tuple[str, int]:
    """The key that gives the length, and its value."""
    return ("train.steps", part.steps) if part.steps is not None else ("train.epochs", part.epochs or 0)


def check_longer(saved: TrainConfig, asked: TrainConfig, place: str) -> None:
    """Refuses a length that is less than that of the run in `place`. Steps and epochs are compared when the data are
    read.

    Raises:
        InputError: names both lengths.
    """
    (before, old), (after, new) = length_of(saved), length_of(asked)
    if before == after and new < old:
        raise InputError(
            f"{place}: {before} was {old}, is {new}: {argument('extend', True)} makes a run longer, never shorter"
        )


def extended(asked: RunConfig, saved: RunConfig, step: int, *, ended: bool) -> RunConfig:
    """The config of the run `saved`, which has done `step` steps, when it goes on to the length of `asked`. `ended`:
    whether it was evaluated after this step because it was its last.

    Raises:
        InputError: `asked` has stages that `saved` has not, or steps that are done already.
    """
    stages = saved.train.stages
    if asked.train.stages not in ((), stages):
        raise InputError(f"{_STAGES} is what {argument('extend', True)} writes; leave it out, or as the run has it")
    longer = length_of(saved.train) != length_of(asked.train)
    if longer and asked.train.steps is not None and asked.train.steps <= step:
        raise InputError(f"{step} steps are done; train.steps={asked.train.steps} asks for no more of them")
    if longer and step and (not has_constant_rate(saved) or ended):
        stages = (*stages, Stage(until=step, steps=saved.train.steps, epochs=saved.train.epochs))
    values = asked.dump()
    values["train"]["stages"] = [stage.model_dump() for stage in stages]
    return validated(values)


def has_constant_rate(config: RunConfig) -> bool:
    """Whether the learning rate of a step does not depend on the length of the run."""
    return config.optim.schedule == "constant"


def continues(before: RunConfig, after: RunConfig, step: int) -> bool:
    """Whether a run of `after` is, up to `step`, what a run of `before` was; the configs differ in length alone."""
    return has_constant_rate(after) or _lengths(before.train, step) == _lengths(after.train, step)


def _lengths(train: TrainConfig, step: int) -> list[tuple[int, tuple[str, int]]]:
    """The lengths that gave the learning rates of the first `step` steps: until which step, and which length."""
    parts: list[tuple[int, tuple[str, int]]] = []
    for until, length in [*((stage.until, length_of(stage)) for stage in train.stages), (step, length_of(train))]:
        if parts and parts[-1][0] >= step:
            break
        if parts and parts[-1][1] == length:
            parts.pop()
        parts.append((min(until, step), length))
    return parts


def note_of(saved: RunConfig, now: RunConfig, step: int, fingerprint: str | None) -> dict[str, Any]:
    """What the provenance says of an extension at `step`; `fingerprint` is that of the run until then."""
    if has_constant_rate(now):
        rate = "constant, as of a run made at once"
    else:
        rate = f"{now.optim.schedule}, from here on that of a run of the new length"
    (before, old), (after, new) = length_of(saved.train), length_of(now.train)
    return {
        "step": step,
        "from": {before: old},
        "to": {after: new},
        "schedule": rate,
        "config_fingerprint": fingerprint,
    }
