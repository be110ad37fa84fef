"""What Ray Train says when it gives a run up, in one line."""

from collections.abc import Mapping

import ray.train

GO_ON = "the same command continues from the newest checkpoint"


def lost(
    error: ray.train.TrainingFailedError,
    workers: int,
    resources: Mapping[str, float],
    *,
    starts: int,
    max_failures: int,
) -> str:
    """Why Ray gave up a run of `workers` workers that want these `resources` each, and how to go on."""
    if isinstance(error, ray.train.ControllerError):
        wanted = ", ".join(f"{amount:g} {name}" for name, amount in resources.items())
        reason = one_line(error.controller_failure).partition(". ")[0].rstrip(".")
        return f"{workers} workers of {wanted} could not be started, {starts} times in a row: {reason}; {GO_ON}"
    failures = sorted(getattr(error, "worker_failures", {}).items())
    first = next((f"worker {rank}: {one_line(failure)}" for rank, failure in failures), one_line(error))
    times = "once" if max_failures == 0 else f"{max_failures + 1} times, the last time"
    return f"failed {times} at {first}; {GO_ON} (--max-failures allows more failures)"


def one_line(error: BaseException) -> str:
    """The line of an error's text that says most: of a traceback the last, of other messages the first."""
    # Ray Train wraps what it found when it looked at a worker.
    error = getattr(error, "health_check_failure", error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return (lines[-1] if lines[0].startswith("Traceback") else lines[0]).rstrip(".")
