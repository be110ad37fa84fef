"""Arms Ray's training workers: Python imports this of itself where this folder is on PYTHONPATH.

The environment variable DALR_TEST_FAULT names a file with a pickled `tests.faults.inject.Fault`, which
each test writes anew. A worker meets it when it comes to train; a driver, and Ray's own processes, never.
"""

import importlib.abc
import os
import pickle
import sys
from pathlib import Path


class _WhenItTrains(importlib.abc.MetaPathFinder):
    """Finds no module; arms the process before `dalr.training.loop` is imported."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name != "dalr.training.loop" or Path(sys.argv[0]).name != "default_worker.py":
            return
        sys.meta_path.remove(self)
        import dalr.cluster.signals

        dalr.cluster.signals.ASK_NODES_EVERY = 0.0  # the runs are short: at every step
        if self.file.exists():
            from tests.faults.inject import arm

            arm(pickle.loads(self.file.read_bytes()))


if "DALR_TEST_FAULT" in os.environ:
    sys.meta_path.insert(0, _WhenItTrains(Path(os.environ["DALR_TEST_FAULT"])))
