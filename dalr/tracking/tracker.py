"""What all trackers share: each step is sent once, however often the run is killed and resumed."""

import json
import logging
from collections.abc import Mapping
from typing import ClassVar, Literal

from dalr.config.schema import RunConfig
from dalr.errors import InputError, argument
from dalr.files import write_json
from dalr.metrics_log import read_log
from dalr.tracking.labels import Labels, ending
from dalr.training.callbacks import Callback, Outcome
from dalr.training.run_folder import RunFolder

State = Literal["finished", "stopped", "failed"]


class Tracker(Callback):
    """Sends every line of metrics.jsonl to a service, in order, each once.

    A resumed run goes on in the service's own run, whose id is kept in the run's folder. What the
    service lacks of the lines before that is sent first; what it already has of the steps that are
    done again is not sent again. A service that cannot be reached when a run begins is bad input;
    later it ends the sending, with a warning, and never the run: the next resume sends the rest.
    """

    name: ClassVar[str]

    def __init__(self, folder: RunFolder, config: RunConfig, labels: Labels | None = None) -> None:
        self.folder = folder
        self.config = config
        self.labels = labels
        self.lines_before = last_logged(folder)
        """The last step of metrics.jsonl before this attempt: what an earlier one may have sent."""
        self._sent = 0
        self._open = False

    def open(self, step: int) -> int:
        """Opens the service's run, to go on after `step`. Returns the last step that it has and keeps."""
        raise NotImplementedError

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Sends one line."""
        raise NotImplementedError

    def close(self, state: State) -> None:
        """Sends what is left and says how the run ended."""
        raise NotImplementedError

    def describe_end(self, state: str, reason: str) -> None:
        """Says of a run with labels what became of it, before it is closed: `complete`, `pruned`, … and why."""
        raise NotImplementedError

    def on_start(self, step: int, total: int) -> None:
        """See `Callback`."""
        try:
            self._sent = self.open(step)
            self._open = True
        except Exception as error:
            if step == 0:
                reason = " ".join(str(error).split()) or type(error).__name__
                raise InputError(
                    f"{argument('report_to')} {self.name}: cannot open a run there: {reason[:300]}"
                ) from error
            self._give_up(error)
        for line in read_log(self.folder.metrics).lines:
            if line["step"] <= step:
                self._send(int(line["step"]), {key: value for key, value in line.items() if key != "step"})

    def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """See `Callback`."""
        self._send(step, metrics)

    def on_end(self, outcome: Outcome) -> None:
        """See `Callback`."""
        self._end("finished" if outcome.finished else "stopped", outcome.reason)

    def on_failure(self, error: BaseException) -> None:
        """See `Callback`."""
        self._end("failed", f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])

    def _send(self, step: int, metrics: Mapping[str, float]) -> None:
        if not self._open or step <= self._sent:
            return
        try:
            self.log(step, metrics)
            self._sent = step
        except Exception as error:
            self._give_up(error)

    def _end(self, state: State, reason: str | None) -> None:
        if not self._open:
            return
        try:
            if self.labels is not None:
                self.describe_end(*ending(self.folder.path, state, reason))
            self.close(state)
        except Exception as error:
            self._give_up(error)
        self._open = False

    def _give_up(self, error: Exception) -> None:
        self._open = False
        logging.getLogger(__name__).warning(
            "%s: %s: %s; the run goes on and is no longer reported there, metrics.jsonl has everything",
            self.name,
            type(error).__name__,
            " ".join(str(error).split())[:300],
        )

    @property
    def display_name(self) -> str:
        """What the run is called in the service."""
        return self.folder.path.name if self.labels is None else self.labels.name

    def known_id(self) -> str | None:
        """The id of the run's counterpart in the service; None before the first attempt."""
        return self._ids().get(self.name)

    def remember_id(self, value: str) -> None:
        """Notes the id in the run's folder."""
        write_json(self.folder.path / "tracking.json", {**self._ids(), self.name: value})

    def _ids(self) -> dict[str, str]:
        path = self.folder.path / "tracking.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def last_logged(folder: RunFolder) -> int:
    """The last step of metrics.jsonl, 0 where it has none."""
    return max((line["step"] for line in read_log(folder.metrics).lines), default=0)
