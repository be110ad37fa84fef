"""What the sweep uses of Ray Tune beyond what Tune promises."""

import inspect

import ray
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.experiment.trial import _TemporaryTrialState

from dalr.sweeps.execution import tune_internals


def test_an_upgrade_of_ray_reads_them_again() -> None:
    assert ray.__version__ == tune_internals.TESTED, "read sweeps/execution/tune_internals.py again beside this release"


def test_tune_has_the_names() -> None:
    assert hasattr(_TemporaryTrialState(), "ray_actor")
    assert {"should_recover", "error_file"} <= set(dir(Trial))
    assert "max_failures" in inspect.signature(Trial.__init__).parameters
    assert "get_live_trials" in dir(TuneController)
