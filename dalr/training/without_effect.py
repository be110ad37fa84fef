"""Which keys of a config nothing reads: a picture folder without a term that looks at pictures is a mistake."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping

from dalr.config.schema import ObjectiveConfig, PairedTerm, RunConfig, TeacherTerm
from dalr.data.features.needs import needs_of
from dalr.errors import InputError

logger = logging.getLogger(__name__)

PAIRED: tuple[PairedTerm, ...] = PairedTerm.__args__  # type: ignore[attr-defined]
TEACHER: tuple[TeacherTerm, ...] = TeacherTerm.__args__  # type: ignore[attr-defined]


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
    logger.warning("%s (an error with --strict)", message)


def unread_keys(configs: Iterable[RunConfig], written: Collection[str]) -> dict[str, str]:
    """The keys in `written` that none of the configs reads, with the reason in the first of them."""
    listed = sorted({key for key in map(_listed, written) if key is not None})
    unread: dict[str, str] | None = None
    for config in configs:
        here = {key: reason for key in listed if (reason := READERS[key](config)) is not None}
        unread = here if unread is None else {key: reason for key, reason in unread.items() if key in here}
    return unread or {}


def _listed(key: str) -> str | None:
    """The longest beginning of a key that `READERS` has; None where there is none."""
    steps = key.split(".")
    beginnings = (".".join(steps[:length]) for length in range(len(steps), 0, -1))
    return next((beginning for beginning in beginnings if beginning in READERS), None)


def _needs_term(terms: Iterable[str]) -> Callable[[RunConfig], str | None]:
    """Read where one of the terms is active."""
    names = tuple(terms)

    def reason(config: RunConfig) -> str | None:
        if any(config.objective.active(term) for term in names):  # type: ignore[arg-type]
            return None
        return f"no active term reads it ({_terms_off(config.objective, names)})"

    return reason


def _terms_off(objective: ObjectiveConfig, terms: tuple[str, ...]) -> str:
    """What keeps the terms off, and what would set them on."""
    groups = {"objective.cross_modal": PAIRED, "objective.intra_modal": TEACHER}
    for group, members in groups.items():
        weighted = [term for term in terms if term in members and getattr(objective.weights, term) > 0]
        if weighted and getattr(objective, group.split(".")[1]) == 0:
            return f"{group} is 0, the weight of the group of {', '.join(weighted)}"
    active = [term for term in (*PAIRED, *TEACHER) if objective.active(term)]
    here = "the objective is plain SimCSE: set recipe, or weights" if not active else f"active: {', '.join(active)}"
    return f"{' and '.join(terms)} {'is' if len(terms) == 1 else 'are'} off; {here}"


def _images(config: RunConfig) -> str | None:
    if config.data.pair_every is None:
        return "data.pair_every is null: there are no pairs"
    return None if needs_of(config.objective).images else _needs_term(_IMAGE_TERMS)(config)


def _pictures(config: RunConfig) -> str | None:
    if config.data.image_features is not None:
        return "data.image_features are read instead"
    return _images(config)


def _image_ids(config: RunConfig) -> str | None:
    return "data.image_features is not set" if config.data.image_features is None else _images(config)


def _caption_features(config: RunConfig) -> str | None:
    if needs_of(config.objective).caption_features:
        return None
    return _needs_term(("grounding_text",))(config) or "no active term reads it"


def _image_teacher(config: RunConfig) -> str | None:
    needs, data = needs_of(config.objective), config.data
    makes_images = needs.images and data.image_features is None
    makes_captions = needs.caption_features and data.caption_features is None
    if makes_images or makes_captions:
        return None
    given = [key for key in ("image_features", "caption_features") if getattr(data, key) is not None]
    if given and (needs.images or needs.caption_features):
        return f"data.{' and data.'.join(given)} are read instead"
    return _needs_term((*_IMAGE_TERMS, "grounding_text"))(config)


def _softness(name: str) -> Callable[[RunConfig], str | None]:
    """One of the objective's own values for the alignment terms, each of which may have one of its own."""
    terms = ("cross_alignment",) if name == "eta" else ("cross_alignment", "intra_alignment")

    def reason(config: RunConfig) -> str | None:
        active = [term for term in terms if config.objective.active(term)]  # type: ignore[arg-type]
        own = "temperature" if name == "alignment_temperature" else name
        if active and all(getattr(getattr(config.objective.soft, term), own) is not None for term in active):
            return f"{' and '.join(f'objective.soft.{term}.{own}' for term in active)} stand above it"
        return _needs_term(terms)(config)

    return reason


def _group_weight(name: str, terms: tuple[str, ...]) -> Callable[[RunConfig], str | None]:
    """The weight of a group: read where a term in it has a weight."""

    def reason(config: RunConfig) -> str | None:
        if any(getattr(config.objective.weights, term) > 0 for term in terms):
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


_IMAGE_TERMS = ("grounding_image", "consistency", "cross_alignment")
_GROUNDING = ("grounding_image", "grounding_text")
_WITH_TEACHER = ("cross_alignment", "intra_alignment", "rank", "local_global")
READERS: Mapping[str, Callable[[RunConfig], str | None]] = {
    "model.projection_dim": _needs_term(("grounding_image", "grounding_text", "consistency")),
    "data.text": lambda config: "data.pair_every is 1: captions only" if config.data.pair_every == 1 else None,
    "data.captions": lambda config: "data.pair_every is null: no pairs" if config.data.pair_every is None else None,
    "data.pairs": lambda config: "data.pair_every is null: no pairs" if config.data.pair_every is None else None,
    "data.images": _pictures,
    "data.image_features": _images,
    "data.image_ids": _image_ids,
    "data.caption_features": _caption_features,
    "evaluation.metric": _evaluated,
    "evaluation.tasks": _evaluated,
    "teachers.text": _needs_term(_WITH_TEACHER),
    "teachers.image": _image_teacher,
    "objective.temperature_vl": _needs_term(_GROUNDING),
    "objective.temperature_rank": _needs_term(("rank",)),
    "objective.alignment_temperature": _softness("alignment_temperature"),
    "objective.target_temperature": _softness("target_temperature"),
    "objective.softening": _softness("softening"),
    "objective.eta": _softness("eta"),
    "objective.margin_vl": _needs_term(_GROUNDING),
    "objective.consistency_margin": _needs_term(("consistency",)),
    "objective.cross_modal": _group_weight("cross_modal", PAIRED),
    "objective.intra_modal": _group_weight("intra_modal", TEACHER),
    "objective.rank_loss": _needs_term(("rank",)),
    "objective.rank_reduction": _needs_term(("rank",)),
    "objective.image_softened_margin": _needs_term(_GROUNDING),
    "objective.threshold": _needs_term(_GROUNDING),
    "objective.token_norm": _needs_term(("local_global",)),
    "objective.token_teachers": _needs_term(("local_global",)),
    "objective.on_text": _on_text,
    **{f"objective.weights.{term}": _needs_term((term,)) for term in (*PAIRED, *TEACHER)},
    **{f"objective.soft.{term}": _needs_term((term,)) for term in (*_GROUNDING, "cross_alignment", "intra_alignment")},
}
"""For each key that only some configs read, why this one does not. Keys that are not listed are always read."""
