"""What a specification says that no trial reads: a searched temperature of a term that is off in every point."""

import random
from collections.abc import Iterator

from dalr.config.loading import load_config
from dalr.config.overrides import with_overrides, written_keys
from dalr.config.schema import RunConfig
from dalr.errors import InputError
from dalr.sweeps.spec.checks import SAMPLES, RandomTrial
from dalr.sweeps.spec.schema import ARM, SweepSpec
from dalr.sweeps.spec.space import draw
from dalr.training.without_effect import report_unread


def report_unread_in_spec(spec: SweepSpec, *, strict: bool) -> None:
    """Warns of overrides, recipes' settings and searched paths that no recipe reads at any of a few random points.

    Raises:
        InputError: there are some, and `strict` is true.
    """
    recipes = [load_config(recipe, spec.overrides) for recipe in spec.recipe]
    written = {*spec.space, *written_keys(*spec.arms.values()), *(key for recipe in recipes for key in recipe.written)}
    report_unread([config for recipe in recipes for config in _points(spec, recipe.config)], written, strict=strict)


def _points(spec: SweepSpec, base: RunConfig) -> Iterator[RunConfig]:
    """The base at start points and random ones, as far as these are valid."""
    source = RandomTrial(random.Random(0))
    points = [
        *({ARM: name} for name in spec.arms),
        *spec.try_first,
        *(draw(spec.searched, source) for _ in range(SAMPLES)),
    ]
    for point in points:
        try:
            yield with_overrides(base, spec.settings(point))
        except InputError:
            continue  # a trial of it fails with this reason; the others decide what is read
