"""The objective: weighs the terms of a global batch into one number.

total = text + λ·Σ w_k·(terms of the group `cross_modal`) + μ·Σ w_k·(terms of the group `intra_modal`)

`dalr.losses.terms` says which terms there are, and `dalr.losses.inputs` what they are computed from.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from torch import Tensor, nn

from dalr.config.objective import ObjectiveConfig
from dalr.data.batches import PairedBatch, TextBatch, Views
from dalr.errors import InputError
from dalr.losses.contrastive import contrast
from dalr.losses.inputs import TermInputs
from dalr.losses.precision import exact
from dalr.losses.targets import TeacherMix
from dalr.losses.terms import TERMS, Need, Space, terms_where


@dataclass(frozen=True)
class LossTerms:
    """The objective of one batch, float32 scalars.

    `total` is differentiable. `cross_modal` and `intra_modal` are the groups' weighted sums before λ
    and μ. `terms` holds each computed term before any weight, by name; `cross_alignment` is there as
    its halves, `cross_alignment_image` (Q^v) and `cross_alignment_text` (Q^t).
    """

    total: Tensor
    cross_modal: Tensor
    intra_modal: Tensor
    terms: dict[str, Tensor]


class Objective(nn.Module):
    """The heads that the active terms need, and the weighted sum of those terms.

    It sees the whole global batch and knows nothing of workers: each may compute the same, or its share of the rows.

    Args:
        config: weights, temperatures, margins, softening.
        width: D, of the student's vectors.
        projection_dim: P, the output width of G and A.
        image_width: V, None where there are no image features.
        caption_width: C, of the image teacher's caption features, None where there are none.
        teacher_widths: T_k of each text teacher, in the order of the config.
        teacher_weights: α_k, before normalisation.
        token_width: of the teachers' token states, None where there are none.

    Raises:
        InputError: an active term lacks what it is computed from, or `threshold` compares images and
            captions of different widths.
    """

    def __init__(
        self,
        config: ObjectiveConfig,
        *,
        width: int,
        projection_dim: int,
        image_width: int | None = None,
        caption_width: int | None = None,
        teacher_widths: Sequence[int] = (),
        teacher_weights: Sequence[float] = (),
        token_width: int | None = None,
    ) -> None:
        super().__init__()
        if len(teacher_widths) != len(teacher_weights):
            raise ValueError(f"{len(teacher_widths)} teacher widths, but {len(teacher_weights)} weights")
        self.config = config
        _check_threshold(config, image_width, caption_width)
        self.teachers = TeacherMix(teacher_widths, teacher_weights) if sum(teacher_weights) > 0 else None
        there: dict[Need, bool] = {
            "images": image_width is not None,
            "captions": caption_width is not None,
            "sentences": self.teachers is not None,
            "tokens": token_width is not None,
        }
        widths: dict[Space, int | None] = {
            "student": width,
            "projection": projection_dim,
            "images": image_width,
            "captions": caption_width,
            "tokens": token_width,
        }
        self.active_terms = {name: term for name, term in TERMS.items() if config.active(name)}
        self._values: dict[str, Callable[[TermInputs], Any]] = {}
        for name, term in self.active_terms.items():
            for need in sorted(term.needs):
                if not there[need]:
                    raise InputError(f"objective.weights.{name}: needs {_MISSING[need]}")
            for head, spec in term.heads.items():
                if head not in dict(self.named_children()):
                    self.add_module(head, _resolved(spec.kind)(widths[spec.source], widths[spec.target]))
            self._values[name] = _resolved(term.value)

    def forward(self, views: Views, batch: TextBatch | PairedBatch, rows: slice | None = None) -> LossTerms:
        """The terms of one global batch: of a paired batch all active ones, of a text batch `text` and
        the active ones that `on_text` names. Always in float32, also inside autocast.

        With `rows`, the share of these rows in each of them: the shares of slices that cover the batch add up to its
        terms, and their gradients to its gradient. Of the [B, B] matrices only these rows are computed.
        """
        config = self.config
        with exact(views.projected.device):
            inputs = TermInputs(config, views, batch, dict(self.named_children()), self.teachers, rows)
            text = contrast(inputs.logits, inputs.rows)
            terms = {"text": text}
            sums = dict.fromkeys(("cross_modal", "intra_modal"), text.new_zeros(()))
            for name, term in self.active_terms.items():
                if not isinstance(batch, PairedBatch) and name not in config.on_text:
                    continue
                value = self._values[name](inputs if term.by_rows else inputs.whole)
                parts = dict(zip(term.parts, value, strict=True)) if term.parts else {name: value}
                if not term.by_rows and not inputs.rows.are_all:
                    parts = {part: inputs.rows.share * value for part, value in parts.items()}
                weight = config.weight(name) / len(parts)
                sums[term.group] = sum((weight * part for part in parts.values()), sums[term.group])
                terms |= parts
            total = text + config.cross_modal * sums["cross_modal"] + config.intra_modal * sums["intra_modal"]
        return LossTerms(total, sums["cross_modal"], sums["intra_modal"], terms)


_MISSING: Mapping[Need, str] = {
    "images": "image features, and there are none; provide them or set it to 0",
    "captions": "the image teacher's caption features, and there are none; provide them or set it to 0",
    "sentences": "a text teacher of weight > 0; set teachers.text",
    "tokens": "a teacher's token states, and there are none; provide them or set it to 0",
}


def _resolved(named: str | Callable[..., Any]) -> Callable[..., Any]:
    return resolve_name(named) if isinstance(named, str) else named


def _check_threshold(config: ObjectiveConfig, image_width: int | None, caption_width: int | None) -> None:
    filtered = terms_where(lambda term: "threshold" in term.settings)
    if config.threshold is None or not any(map(config.active, filtered)):
        return
    if image_width is None or caption_width is None or image_width != caption_width:
        raise InputError(
            f"objective.threshold: compares images with captions, which needs features of both in one space; "
            f"the images' width is {image_width}, the captions' {caption_width}; set it to null"
        )
