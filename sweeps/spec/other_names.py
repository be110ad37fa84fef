"""What other tools call the keys of a specification, and the sentence for a key that it does not have."""

from dalr.config.keys import known_keys, meant, unknown_key
from dalr.errors import did_you_mean
from dalr.sweeps.spec.schema import SweepSpec

OTHER_NAMES = {
    "parameters": "space",
    "params": "space",
    "param_space": "space",
    "search_space": "space",
    "hyperparameters": "space",
    "method": "sampler",
    "search_alg": "sampler",
    "algorithm": "sampler",
    "pruner": "scheduler",
    "early_terminate": "scheduler",
    "n_trials": "budget.trials",
    "num_samples": "budget.trials",
    "run_cap": "budget.trials",
    "max_trials": "budget.trials",
    "timeout": "budget.hours",
    "time_budget_s": "budget.hours",
    "max_concurrent_trials": "resources.concurrent",
    "n_jobs": "resources.concurrent",
    "mode": "direction",
    "goal": "direction",
    "directions": "direction",
    "points_to_evaluate": "try_first",
    "enqueue": "try_first",
    "config": "overrides",
    "fixed": "overrides",
    "base": "recipe",
}
"""What Optuna, Ray Tune and Weights & Biases call the keys of a specification."""
OTHER_FORMS = {
    "loguniform": "log: [low, high]",
    "log_uniform": "log: [low, high]",
    "log_uniform_values": "log: [low, high]",
    "distribution": "log, uniform, int or choice",
    "type": "log, uniform, int or choice",
    "min": "uniform: [min, max], or log: [min, max]",
    "max": "uniform: [min, max], or log: [min, max]",
    "low": "uniform: [low, high], or log: [low, high]",
    "high": "uniform: [low, high], or log: [low, high]",
    "float": "uniform: [low, high]",
    "range": "uniform: [low, high]",
    "quniform": "uniform: [low, high]",
    "randint": "int: [low, high]",
    "integer": "int: [low, high]",
    "int_uniform": "int: [low, high]",
    "values": "choice: [a, b]",
    "value": "overrides, for a key that is not searched",
    "choices": "choice: [a, b]",
    "categorical": "choice: [a, b]",
    "grid": "choice: [a, b]",
    "grid_search": "choice: [a, b]",
}
"""How others write a dimension, and how it is written here."""


def unknown_spec_key(key: str) -> str:
    """The sentence for a key that a specification does not have."""
    first, _, rest = key.partition(".")
    if first == "space" and (ours := OTHER_FORMS.get(key.rpartition(".")[2])):
        return f"unknown key {key}; write {ours}"
    if first in SweepSpec.model_fields and rest:
        return f"unknown key {key}{did_you_mean(key, spec_keys())}"
    if first in OTHER_NAMES:
        return f"unknown key {key}; did you mean {OTHER_NAMES[first]}?"
    if meant(key):
        return f"{unknown_key(key)} (under overrides, or key=value on the command line)"
    return unknown_key(key, [*spec_keys(), *known_keys()])


def spec_keys() -> list[str]:
    """The keys of a specification, those of its parts with a dot."""
    keys = []
    for name, field in SweepSpec.model_fields.items():
        keys += [name, *(f"{name}.{inner}" for inner in getattr(type(field.default), "model_fields", ()))]
    return keys
