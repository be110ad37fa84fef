"""Small specifications for tests, and coordinators on them."""

from pathlib import Path
from typing import Any

from sweeps.coordinator import Coordinator
from sweeps.database import open_storage, quiet_optuna
from sweeps.loading import base_configs, parse_spec
from sweeps.outcome import write_progress
from sweeps.spec import SweepSpec
from sweeps.state import state_of

STEPS = {"train.steps": 9, "train.eval_every": 3}


def spec(**changes: Any) -> SweepSpec:
    """Six trials over two paths of the quickstart recipe, nothing stopped early."""
    values: dict[str, Any] = {
        "recipe": "quickstart",
        "overrides": STEPS,
        "space": {
            "optim.learning_rate": {"log": [1e-5, 1e-2]},
            "objective.intra_modal": {"uniform": [0.05, 1.0]},
        },
        "sampler": {"name": "tpe", "startup": 3},
        "budget": {"trials": 6},
    }
    return parse_spec({**values, **changes})


def coordinator(specification: SweepSpec, out: Path, *, touch: bool = True, **options: Any) -> Coordinator:
    """As `run_sweep` makes one: files are rewritten after every trial. `touch` stands in for the written
    specification, which workers look for."""
    out.mkdir(parents=True, exist_ok=True)
    if touch:
        (out / "sweep.yaml").touch()
    quiet_optuna()
    storage = open_storage(f"sqlite:///{out}/study.db")
    made = Coordinator(specification, base_configs(specification), storage, str(out), **options)
    made.changed = lambda: write_progress(state_of(made), base_configs(specification))
    return made
