"""What worker 0 does alone may take longer than a collective's timeout."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.dalr.training.patience_workers import SLOW, TIMEOUT, worker
from tests.processes import run_workers
from tests.small_run import small_config, write_corpora

pytestmark = pytest.mark.medium


def test_features_a_checkpoints_upload_and_the_final_evaluation_outlast_a_timeout(
    tmp_path: Path, tiny_bert: Path
) -> None:
    assert SLOW > 2 * TIMEOUT
    write_corpora(tmp_path, np.random.default_rng(0))
    changes = {"train__steps": 4, "train__eval_every": 4, "train__checkpoint_every": 1}
    config = small_config(tmp_path, tiny_bert, **changes)
    run_workers(worker, json.dumps(config.dump()), str(tmp_path), count=2)
    assert [(tmp_path / f"{number}.left").read_text() for number in range(2)] == ["True", "True"]
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()
