"""MLflow: the server that MLFLOW_TRACKING_URI names, else a database in the run's folder."""

import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from dalr.tracking.tracker import State, Tracker

STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
AT_ONCE = 100
"""Parameters that MLflow takes in one call."""


class MlflowTracker(Tracker):
    """One MLflow run in the experiment MLFLOW_EXPERIMENT_NAME (default `dalr`), named as the run's
    folder, with the config as parameters. Sends in the background, so that no step waits for a server."""

    name = "mlflow"

    def open(self, step: int) -> int:
        """See `Tracker`."""
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or self._own_database())
        self._pending: Any = None
        known = self.known_id()
        if known is not None:
            self._run = known
            self._client.update_run(known, status="RUNNING")
            return max((metric.step for metric in self._client.get_metric_history(known, "loss")), default=0)
        self._run = self._create()
        self.remember_id(self._run)
        return 0

    def _own_database(self) -> str:
        """The URL of a database in the run's folder, whatever characters its path has; for the runs of a sweep, of
        one in the sweep's."""
        from sqlalchemy import URL

        place = self.folder.path if self.labels is None else self.labels.place
        path = str(place / "mlflow.db")
        return URL.create("sqlite", database=path).render_as_string(hide_password=False)

    def _create(self) -> str:
        from mlflow.entities import Param

        experiment = self._experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME") or "dalr")
        run = self._client.create_run(experiment, run_name=self.display_name, tags=self._tags()).info.run_id
        parameters = [Param(key, str(value)) for key, value in leaves(self.config.dump())]
        for start in range(0, len(parameters), AT_ONCE):
            self._client.log_batch(run, params=parameters[start : start + AT_ONCE])
        return run

    def _experiment(self, title: str) -> str:
        from mlflow.exceptions import MlflowException

        if (known := self._client.get_experiment_by_name(title)) is None:
            try:
                return self._client.create_experiment(title)
            except MlflowException:  # another run of the sweep was faster
                if (known := self._client.get_experiment_by_name(title)) is None:
                    raise
        return known.experiment_id

    def _tags(self) -> dict[str, str]:
        if self.labels is None:
            return {}
        known = {"sweep": self.labels.group, "trial": self.labels.subgroup, **self.labels.values}
        return {key: str(value) for key, value in known.items()}

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """See `Tracker`."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        values = [Metric(name, float(value), now, step) for name, value in metrics.items()]
        self._pending = self._client.log_batch(self._run, metrics=values, synchronous=False)

    def describe_end(self, state: str, reason: str) -> None:
        """See `Tracker`."""
        self._client.set_tag(self._run, "state", state)
        self._client.set_tag(self._run, "reason", reason)

    def close(self, state: State) -> None:
        """See `Tracker`."""
        if self._pending is not None:
            self._pending.wait()  # sent in order, so the last one sent means that all are
        self._client.set_terminated(self._run, STATUS[state])


def leaves(values: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of every leaf of nested dicts and lists."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(values, list) and values and isinstance(values[0], Mapping):
        for place, value in enumerate(values):
            yield from leaves(value, f"{path}.{place}")
    else:
        yield path, values
