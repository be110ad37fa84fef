"""Optuna samplers that forget: every draw is a function of the study's history, the seed and the
trial's number.

A sampler that carries random state from trial to trial cannot go on after a crash as if nothing had
happened. `Reseeded` builds a fresh sampler for each draw, seeded from (seed, trial number, path).
"""

import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from dalr.extensions import added
from dalr.sweeps.spec.parts import SamplerSpec
from dalr.sweeps.spec.space import Dimension, Space, ordered


def seed_for(*parts: object) -> int:
    """A 32-bit seed from anything that prints the same everywhere."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:4], "big")


class Reseeded(BaseSampler):
    """Delegates each draw to `make(seed)`, a sampler made for that draw alone."""

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self._make = make
        self._seed = seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As the sampler behind it, from the study's history."""
        return self._make(0).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draws the paths that are drawn together."""
        return self._make(seed_for(self._seed, trial.number)).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draws one path by itself, whichever paths were drawn before it."""
        sampler = self._make(seed_for(self._seed, trial.number, param_name))
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Lets the sampler behind it prepare the study."""
        self._make(seed_for(self._seed, trial.number)).before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Lets the sampler behind it note what it keeps in the study."""
        self._make(seed_for(self._seed, trial.number)).after_trial(study, trial, state, values)


class Sobol(BaseSampler):
    """Point n of one scrambled Sobol sequence for trial n. Optuna's own counts draws in the database,
    so that a crash in the middle of one would shift the rest."""

    def __init__(self, space: Space, seed: int) -> None:
        self._distributions = {path: distribution(space[path]) for path in ordered(space) if not space[path].when}
        self._seed = seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Every path without a condition."""
        return self._distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Maps the sequence's point, coordinate by coordinate, to the ranges."""
        from scipy.stats import qmc

        if not search_space:
            return {}
        engine = qmc.Sobol(len(search_space), scramble=True, rng=self._seed)
        if trial.number:
            engine.fast_forward(trial.number)
        with warnings.catch_warnings():
            # One point at a time is no balanced net; the sequence as a whole is.
            warnings.filterwarnings("ignore", message="The balance properties", category=UserWarning)
            point = engine.random(1)[0]
        return {path: _at(kind, float(u)) for (path, kind), u in zip(search_space.items(), point, strict=True)}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Conditional paths are drawn at random."""
        sampler = RandomSampler(seed=seed_for(self._seed, trial.number, param_name))
        return sampler.sample_independent(study, trial, param_name, param_distribution)


def _at(kind: BaseDistribution, share: float) -> Any:
    """The value that lies `share` (0 to 1) of the way through a distribution."""
    if isinstance(kind, CategoricalDistribution):
        return kind.choices[int(share * len(kind.choices))]
    if isinstance(kind, IntDistribution):
        return kind.low + int(share * (kind.high - kind.low + 1))
    assert isinstance(kind, FloatDistribution)
    value = kind.low * (kind.high / kind.low) ** share if kind.log else kind.low + share * (kind.high - kind.low)
    return min(max(value, kind.low), kind.high)


def distribution(dimension: Dimension) -> BaseDistribution:
    """Optuna's form of a dimension."""
    if dimension.choice is not None:
        return CategoricalDistribution(dimension.choice)
    if dimension.integer is not None:
        return IntDistribution(*dimension.integer)
    low, high = dimension.ends
    return FloatDistribution(low, high, log=dimension.log is not None)


def make_sampler(spec: SamplerSpec, space: Space) -> BaseSampler:
    """The sampler of a study. Fixed designs need one too: for the paths their points leave out."""
    if spec.name == "qmc":
        return Sobol(space, spec.seed)
    return Reseeded(lambda seed: _sampler(spec, seed), spec.seed)


def _sampler(spec: SamplerSpec, seed: int) -> BaseSampler:
    """Optuna's sampler for one draw."""
    match spec.name:
        case "tpe" | "multivariate_tpe":
            together = spec.name == "multivariate_tpe"
            return TPESampler(seed=seed, n_startup_trials=spec.startup, multivariate=together)
        case "gp":
            return GPSampler(seed=seed, n_startup_trials=spec.startup, warn_independent_sampling=False)
        case "cmaes":
            return CmaEsSampler(seed=seed, n_startup_trials=spec.startup, warn_independent_sampling=False)
        case "nsgaii":
            return NSGAIISampler(seed=seed, population_size=spec.population)
        case "nsgaiii":
            with experimental_allowed():
                return NSGAIIISampler(seed=seed, population_size=spec.population)
    own = added("sampler").get(spec.name)
    return RandomSampler(seed=seed) if own is None else own(seed)


@contextmanager
def experimental_allowed() -> Iterator[None]:
    """Lets Optuna's experimental parts be made without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
