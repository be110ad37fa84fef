"""Small specifications for tests, and coordinators on them."""

from pathlib import Path
from typing import Any

from optuna.storages import RDBStorage

from dalr.config.overrides import to_yaml
from dalr.config.schema import DataConfig, EvaluationConfig, ModelConfig, OptimConfig, RunConfig, TrainConfig
from dalr.sweeps.analysis.outcome import write_progress
from dalr.sweeps.search.coordinator import Coordinator
from dalr.sweeps.search.database import database_url, open_storage, quiet_optuna
from dalr.sweeps.search.snapshot import state_of
from dalr.sweeps.spec.loading import base_configs, parse_spec
from dalr.sweeps.spec.schema import SweepSpec
from dalr.training.inputs import check_inputs
from tests.dalr.evaluation.small_data import write_small_data

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


def coordinator(
    specification: SweepSpec, out: Path, *, touch: bool = True, storage: RDBStorage | None = None, **options: Any
) -> Coordinator:
    """As `run_sweep` makes one: files are rewritten after every trial. `touch` stands in for the written
    specification, which workers look for."""
    out.mkdir(parents=True, exist_ok=True)
    if touch:
        (out / "sweep.yaml").touch()
    quiet_optuna()
    storage = storage or open_storage(database_url(specification, out))
    for base in base_configs(specification).values():
        check_inputs(base)  # makes the embedded data
    made = Coordinator(specification, base_configs(specification), storage, str(out), **options)
    made.changed = lambda: write_progress(state_of(made), base_configs(specification))
    return made


def small_recipe(folder: Path, student: Path, *, steps: int = 20, eval_every: int = 20) -> Path:
    """SimCSE of a tiny BERT on a few sentences, scored on a small STS-B dev: the recipe's file."""
    data = write_small_data(folder / "senteval")
    (folder / "sentences.txt").write_text("\n".join(f"a man plays with {i} red balls" for i in range(200)) + "\n")
    config = RunConfig(
        model=ModelConfig(student=str(student), max_tokens=16, projection_dim=16),
        data=DataConfig(text=str(folder / "sentences.txt"), pair_every=None),
        evaluation=EvaluationConfig(data=str(data), metric="STSBenchmark.dev"),
        optim=OptimConfig(learning_rate=1e-4),
        train=TrainConfig(steps=steps, batch_size=16, eval_every=eval_every),
    )
    (folder / "recipe.yaml").write_text(to_yaml(config))
    return folder / "recipe.yaml"
