"""The session that docs/sweeps.md shows, as it is kept in docs/sweep-session.sh: each event once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dalr.sweeps.search.snapshot import read_state
from tests import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def test_the_session_in_the_docs(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    words = ["bash", str(ROOT / "docs" / "sweep-session.sh"), str(tmp_path)]
    told = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=1800)
    assert told.returncode == 0, told.stderr
    state = read_state(tmp_path / "sweep")
    assert [trial.number for trial in state.trials] == list(range(len(state.trials)))
    assert [trial.number for trial in state.trials if trial.added] == [1]
    assert state.counts["stopped"] == 1
    assert state.counts["failed"] == state.counts["running"] == 0
    assert "were not better than trial" in dict(state.stopped_by)["quickstart"]
    assert state.spec.budget.trials == 20
    events = [(request.action, request.state) for request in state.requests]
    assert events == [(action, "obeyed") for action in ("add", "stop", "set", "extend")]
