"""The terms of the objective, each declared once: `TERMS`.

The config's keys and checks, the features that a run prepares, the objective's sum and the figures of a report are
all derived from it, also for terms that are added while the program runs. This module imports no torch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Group = Literal["cross_modal", "intra_modal"]
"""The sum that a term belongs to, by the config key of its weight: λ or μ."""

Need = Literal["images", "captions", "sentences", "tokens"]
"""What a term reads of a batch besides the student's vectors: the images' features, the image teacher's features of
the captions, the text teachers' sentence vectors, their token states."""

Corpus = Literal["captions", "text"]

Space = Literal["student", "projection", "images", "captions", "tokens"]
"""A vector space: of the student's vectors (D), of the heads' outputs (`model.projection_dim`), or of what is read."""


@dataclass(frozen=True)
class Head:
    """A trained head, a torch module made by `kind(width of source, width of target)`.

    `kind` is the module's class as `package.module:name`, or the class itself.
    """

    kind: str | Callable[[int, int], Any]
    source: Space
    target: Space


@dataclass(frozen=True)
class Number:
    """A number that one term alone reads, `low` and `high` included."""

    default: float
    low: float
    high: float
    description: str


@dataclass(frozen=True, eq=False)
class Term:
    """One summand of the objective.

    Args:
        group: the sum that it belongs to.
        description: what it asks for, in one sentence without a full stop.
        value: computes it, a function of `dalr.losses.inputs.TermInputs`, as `package.module:name` or itself. It
            returns a scalar; with `parts`, a scalar for each of them in their order.
        needs: what it reads of a batch.
        heads: its trained heads by name. Terms that declare the same head share it.
        reads: the objective's settings that it reads, besides `temperature` and `margin_text`.
        own: the keys below `objective.soft.TERM`. A text names the objective's setting, also one that the term
            reads, whose place the key takes for this term.
        by_rows: whether `value` computes the share of `inputs.rows` (see `dalr.losses.rows.Rows`), which over several
            workers are not all. Any other term is computed from the whole batch on every worker.
        parts: under which names it is logged and drawn, where it has several parts; each carries an equal share of
            the term's weight.
    """

    group: Group
    description: str
    value: str | Callable[[Any], Any]
    needs: frozenset[Need] = frozenset()
    heads: Mapping[str, Head] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    own: Mapping[str, str | Number] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    by_rows: bool = False

    def __post_init__(self) -> None:
        unread = {head.source for head in self.heads.values()} - self.needs - {"student", "projection"}
        if unread:
            raise ValueError(f"a head reads {', '.join(sorted(unread))}, which `needs` lacks")

    @property
    def corpora(self) -> frozenset[Corpus]:
        """The corpora whose batches may have it: only captions have images."""
        return frozenset({"captions"}) if self.needs & {"images", "captions"} else frozenset({"captions", "text"})

    @property
    def settings(self) -> frozenset[str]:
        """The objective's settings that it reads, whether or not it may have its own value of them."""
        return frozenset({*self.reads, *(shared for shared in self.own.values() if isinstance(shared, str))})


_GROUNDING_READS = ("temperature_vl", "margin_vl", "threshold")
_GROUNDING_OWN = {"softened_margin": "image_softened_margin"}
_SOFT = {
    "temperature": "alignment_temperature",
    "target_temperature": "target_temperature",
    "softening": "softening",
}
_GROUND_TEXT = Head("dalr.losses.heads:GroundingHead", "student", "projection")

TERMS: dict[str, Term] = {
    "grounding_image": Term(
        "cross_modal",
        "contrast of a sentence with its own image among the batch's images",
        "dalr.losses.contrastive:grounding_image",
        needs=frozenset({"images"}),
        heads={
            "ground_text": _GROUND_TEXT,
            "ground_image": Head("dalr.losses.heads:GroundingHead", "images", "projection"),
        },
        reads=_GROUNDING_READS,
        own=_GROUNDING_OWN,
        by_rows=True,
    ),
    "grounding_text": Term(
        "cross_modal",
        "contrast of a sentence with the image teacher's features of it among those of the batch's sentences",
        "dalr.losses.contrastive:grounding_text",
        needs=frozenset({"captions"}),
        heads={
            "ground_text": _GROUND_TEXT,
            "ground_caption": Head("dalr.losses.heads:GroundingHead", "captions", "projection"),
        },
        reads=_GROUNDING_READS,
        own=_GROUNDING_OWN,
        by_rows=True,
    ),
    "consistency": Term(
        "cross_modal",
        "the auxiliary task: does a sentence belong to an image",
        "dalr.losses.matching:consistency_of",
        needs=frozenset({"images"}),
        heads={
            "align_text": Head("dalr.losses.heads:Aligner", "student", "projection"),
            "align_image": Head("dalr.losses.heads:Aligner", "images", "projection"),
        },
        reads=("consistency_margin",),
    ),
    "cross_alignment": Term(
        "cross_modal",
        "similarities of sentences with images follow those of the images and those of the text teachers",
        "dalr.losses.alignment:cross_alignment",
        needs=frozenset({"images", "sentences"}),
        heads={"map_image": Head("dalr.losses.heads:LinearMap", "images", "student")},
        own={**_SOFT, "eta": "eta"},
        parts=("cross_alignment_image", "cross_alignment_text"),
        by_rows=True,
    ),
    "intra_alignment": Term(
        "intra_modal",
        "similarities of sentences follow those of the text teachers",
        "dalr.losses.alignment:intra_alignment",
        needs=frozenset({"sentences"}),
        own=_SOFT,
        by_rows=True,
    ),
    "rank": Term(
        "intra_modal",
        "the student ranks the batch's sentences as the text teachers do",
        "dalr.losses.ranking:rank",
        needs=frozenset({"sentences"}),
        reads=("temperature_rank", "rank_loss", "rank_reduction"),
        by_rows=True,
    ),
    "local_global": Term(
        "intra_modal",
        "contrast of a sentence with the teachers' states of its own tokens among those of other sentences",
        "dalr.losses.token_contrast:local_global_of",
        needs=frozenset({"tokens"}),
        heads={"map_tokens": Head("dalr.losses.heads:LinearMap", "tokens", "student")},
        reads=("token_norm", "token_teachers"),
        by_rows=True,
    ),
    "dropout_consistency": Term(
        "intra_modal",
        "both dropout passes of the student give the same similarities",
        "dalr.losses.divergence:dropout_consistency",
        by_rows=True,
    ),
}
"""Every term but `text`, which each batch has, by the name of its config key."""


def terms_where(test: Callable[[Term], Any]) -> tuple[str, ...]:
    """The names of the terms that pass a test, in the order of `TERMS`."""
    return tuple(name for name, term in TERMS.items() if test(term))
