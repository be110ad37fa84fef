"""Which keys of a config nothing reads: a picture folder without a term that looks at pictures is a mistake."""

import logging
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import get_args

from dalr.config.objective import ObjectiveConfig
from dalr.config.schema import RunConfig
from dalr.data.features.needs import needs_of
from dalr.errors import InputError, argument
from dalr.losses.terms import TERMS, Group, Need, terms_where

logger = logging.getLogger(__name__)

Reader = Callable[[RunConfig], str | None]
"""Why a config does not read a key; None where it does."""


def report_unread(configs: Iterable[RunConfig], written: Collection[str], *, strict: bool, where: str = "") -> None:
    """Warns of the keys in `written` that none of the configs reads.

    Raises:
        InputError: there are some, and `strict` is true.
    """
    unread = unread_keys(configs, written)
    if not unread:
        return
    message = where + "; ".join(f"{key} has no effect: {reason}" for key, reason in unread.items())
    if strict:
        raise InputError(message)
    logger.warning("%s (an error with %s)", message, argument("strict", True))


def unread_keys(configs: Iterable[RunConfig], written: Collection[str]) -> dict[str, str]:
    """The keys in `written` that none of the configs reads, with the reason in the first of them."""
    known = readers()
    listed = sorted({key for key in (_listed(key, known) for key in written) if key is not None})
    unread: dict[str, str] | None = None
    for config in configs:
        here = {key: reason for key in listed if (reason := known[key](config)) is not None}
        unread = here if unread is None else {key: reason for key, reason in unread.items() if key in here}
    return unread or {}


def _listed(key: str, known: Collection[str]) -> str | None:
    """The longest beginning of a key that is known; None where there is none."""
    steps = key.split(".")
    beginnings = (".".join(steps[:length]) for length in range(len(steps), 0, -1))
    return next((beginning for beginning in beginnings if beginning in known), None)


def _unread_without(config: RunConfig, terms: tuple[str, ...]) -> str | None:
    """The reason why what these terms alone read is not read; None where one of them is active."""
    if any(config.objective.active(term) for term in terms):
        return None
    return f"no active term reads it ({_terms_off(config.objective, terms)})"


def _terms_off(objective: ObjectiveConfig, terms: tuple[str, ...]) -> str:
    """What keeps the terms off, and what would set them on."""
    for group in get_args(Group):
        weighted = [term for term in terms if TERMS[term].group == group and objective.weight(term) > 0]
        if weighted and getattr(objective, group) == 0:
            return f"objective.{group} is 0, the weight of the group of {', '.join(weighted)}"
    active = [term for term in TERMS if objective.active(term)]
    here = "the objective is plain SimCSE: set recipe, or weights" if not active else f"active: {', '.join(active)}"
    return f"{' and '.join(terms)} {'is' if len(terms) == 1 else 'are'} off; {here}"


def _terms_that_need(*needs: Need) -> tuple[str, ...]:
    return terms_where(lambda term: not term.needs.isdisjoint(needs))


def _images(config: RunConfig) -> str | None:
    if config.data.pair_every is None:
        return "data.pair_every is null: there are no pairs"
    return None if needs_of(config.objective).images else _unread_without(config, _terms_that_need("images"))


def _pictures(config: RunConfig) -> str | None:
    if config.data.image_features is not None:
        return "data.image_features are read instead"
    return _images(config)


def _image_ids(config: RunConfig) -> str | None:
    return "data.image_features is not set" if config.data.image_features is None else _images(config)


def _caption_features(config: RunConfig) -> str | None:
    if needs_of(config.objective).caption_features:
        return None
    return _unread_without(config, _terms_that_need("captions"))


def _image_teacher(config: RunConfig) -> str | None:
    needs, data = needs_of(config.objective), config.data
    makes_images = needs.images and data.image_features is None
    makes_captions = needs.caption_features and data.caption_features is None
    if makes_images or makes_captions:
        return None
    given = [key for key in ("image_features", "caption_features") if getattr(data, key) is not None]
    if given and (needs.images or needs.caption_features):
        return f"data.{' and data.'.join(given)} are read instead"
    return _unread_without(config, _terms_that_need("images", "captions"))


def _setting(name: str) -> Reader:
    """One of the objective's settings that terms read, each of which may have its own value of it."""
    terms = terms_where(lambda term: name in term.settings)

    def reason(config: RunConfig) -> str | None:
        active = [term for term in terms if config.objective.active(term)]
        own = [f"objective.soft.{term}.{key}" for term in active for key in _own_values(config.objective, term, name)]
        if active and len(own) == len(active):
            return f"{' and '.join(own)} stand above it"
        return _unread_without(config, terms)

    return reason


def _own_values(objective: ObjectiveConfig, term: str, name: str) -> list[str]:
    """The key, if it is set, by which a term has its own value of one of the objective's settings."""
    part = getattr(objective.soft, term, None)
    return [key for key, shared in TERMS[term].own.items() if shared == name and getattr(part, key) is not None]


def _group_weight(group: Group) -> Reader:
    """The weight of a group: read where a term in it has a weight."""
    terms = terms_where(lambda term: term.group == group)

    def reason(config: RunConfig) -> str | None:
        if any(config.objective.weight(term) > 0 for term in terms):
            return None
        return f"all terms of its group have weight 0 ({', '.join(f'objective.weights.{term}' for term in terms)})"

    return reason


def _on_text(config: RunConfig) -> str | None:
    if config.data.pair_every == 1:
        return "data.pair_every is 1: there are no text steps"
    off = [term for term in config.objective.on_text if not config.objective.active(term)]
    return f"{', '.join(off)} is off" if off and len(off) == len(config.objective.on_text) else None


def _evaluated(config: RunConfig) -> str | None:
    evaluation = config.evaluation
    if evaluation.data is None and evaluation.custom is None:
        return "neither evaluation.data nor evaluation.custom is set, so nothing is evaluated"
    return None


def readers() -> dict[str, Reader]:
    """For each key that only some configs read, why this one does not. Keys that are not listed are always read."""
    projected = terms_where(lambda term: any(head.target == "projection" for head in term.heads.values()))
    taught = _terms_that_need("sentences", "tokens")
    settings = {name for term in TERMS.values() for name in term.settings}
    return {
        "model.projection_dim": lambda config: _unread_without(config, projected),
        "data.text": lambda config: "data.pair_every is 1: captions only" if config.data.pair_every == 1 else None,
        "data.captions": lambda config: "data.pair_every is null: no pairs" if config.data.pair_every is None else None,
        "data.pairs": lambda config: "data.pair_every is null: no pairs" if config.data.pair_every is None else None,
        "data.images": _pictures,
        "data.image_features": _images,
        "data.image_ids": _image_ids,
        "data.caption_features": _caption_features,
        "evaluation.metric": _evaluated,
        "evaluation.tasks": _evaluated,
        "teachers.text": lambda config: _unread_without(config, taught),
        "teachers.image": _image_teacher,
        "objective.on_text": _on_text,
        **{f"objective.{group}": _group_weight(group) for group in get_args(Group)},
        **{f"objective.{name}": _setting(name) for name in settings},
        **{f"objective.weights.{term}": partial(_unread_without, terms=(term,)) for term in TERMS},
        **{f"objective.soft.{term}": partial(_unread_without, terms=(term,)) for term in TERMS if TERMS[term].own},
    }
