"""TensorBoard: event files in the run's folder, under `tensorboard/`."""

from collections.abc import Mapping

from dalr.config.overrides import to_yaml
from dalr.tracking.tracker import State, Tracker

FLUSH_SECONDS = 10


class TensorBoardTracker(Tracker):
    """One scalar a metric. `tensorboard --logdir RUNS` shows every run of a folder side by side."""

    name = "tensorboard"

    def open(self, step: int) -> int:
        """See `Tracker`. What earlier attempts wrote after `step` is struck out, as TensorBoard provides."""
        from torch.utils.tensorboard import SummaryWriter

        folder = self.folder.path / "tensorboard"
        written = _last_step(str(folder)) if folder.is_dir() else 0
        self._writer = SummaryWriter(str(folder), purge_step=step + 1 if written else None, flush_secs=FLUSH_SECONDS)
        if not written:
            text = "".join(f"    {line}\n" for line in to_yaml(self.config).splitlines())
            self._writer.add_text("config", text)
            if self.labels is not None:
                known = {"sweep": self.labels.group, "trial": self.labels.subgroup, **self.labels.values}
                self._writer.add_text("sweep", "".join(f"    {key}: {value}\n" for key, value in known.items()))
        return min(written, step)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """See `Tracker`."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def describe_end(self, state: str, reason: str) -> None:
        """See `Tracker`."""
        self._writer.add_text("state", f"{state}: {reason}" if reason else state, self._sent)

    def close(self, state: State) -> None:
        """See `Tracker`."""
        self._writer.close()


def _last_step(folder: str) -> int:
    """The last step in a folder's event files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(folder, size_guidance={"scalars": 0})
    events.Reload()
    return max((event.step for event in events.Scalars("loss")), default=0) if "loss" in events.Tags()["scalars"] else 0
