"""The objective: weighs the terms of a global batch into one number.

total = text + λ·(w_gi·grounding_image + w_gt·grounding_text + w_c·consistency + w_x·cross_alignment)
             + μ·(w_i·intra_alignment + w_r·rank + w_l·local_global + w_js·dropout_consistency)

In the code, `z` [B, D] is the first dropout pass after the student's head, `z2` the second, `h`
[B, 2, D] both passes before it, `v` [B, V] the images' features, `c` [B, C] the captions'.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dalr.config.schema import ObjectiveConfig, PairedTerm
from dalr.data.batches import PairedBatch, TeacherTargets, TextBatch, Views
from dalr.errors import InputError
from dalr.losses.alignment import soft_alignment
from dalr.losses.consistency import consistency
from dalr.losses.contrastive import grounding_contrast, info_nce
from dalr.losses.divergence import jensen_shannon
from dalr.losses.heads import Aligner, GroundingHead, LinearMap
from dalr.losses.local_global import local_global
from dalr.losses.precision import widen
from dalr.losses.ranking import listmle, listnet
from dalr.losses.similarity import angular_margin, cosine
from dalr.losses.targets import TeacherMix, normalise_tokens

NEEDS_TEACHER = ("cross_alignment", "intra_alignment", "rank")


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

    It sees the whole global batch and knows nothing of workers; every worker computes the same.

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
        image_width: int | None,
        caption_width: int | None,
        teacher_widths: Sequence[int],
        teacher_weights: Sequence[float],
        token_width: int | None,
    ) -> None:
        super().__init__()
        if len(teacher_widths) != len(teacher_weights):
            raise ValueError(f"{len(teacher_widths)} teacher widths, but {len(teacher_weights)} weights")
        self.config = config
        _check_threshold(config, image_width, caption_width)
        images, texts = config.active("grounding_image"), config.active("grounding_text")
        if images or texts:
            self.ground_text = GroundingHead(width, projection_dim)
        if images:
            self.ground_image = GroundingHead(_width(image_width, "grounding_image", "image features"), projection_dim)
        if texts:
            features = _width(caption_width, "grounding_text", "the image teacher's caption features")
            self.ground_caption = GroundingHead(features, projection_dim)
        if config.active("consistency"):
            self.align_text = Aligner(width, projection_dim)
            self.align_image = Aligner(_width(image_width, "consistency", "image features"), projection_dim)
        if config.active("cross_alignment"):
            self.map_image = LinearMap(_width(image_width, "cross_alignment", "image features"), width)
        if config.active("local_global"):
            self.map_tokens = LinearMap(_width(token_width, "local_global", "a teacher's token states"), width)
        for term in NEEDS_TEACHER:
            if config.active(term) and not sum(teacher_weights) > 0:  # type: ignore[arg-type]
                raise InputError(f"objective.weights.{term}: needs a text teacher of weight > 0; set teachers.text")
        self.teachers = TeacherMix(teacher_widths, teacher_weights) if sum(teacher_weights) > 0 else None

    def forward(self, views: Views, batch: TextBatch | PairedBatch) -> LossTerms:
        """The terms of one global batch: of a paired batch all active ones, of a text batch `text` and
        the active ones that `on_text` names. Always in float32, also inside autocast."""
        config = self.config
        with torch.autocast(views.projected.device.type, enabled=False):
            h, (z, z2) = widen(views.pooled), widen(views.projected).unbind(1)
            text = info_nce(z, z2, temperature=config.temperature, margin=config.margin_text)
            cross = self._cross_modal_terms(h, z, batch) if isinstance(batch, PairedBatch) else {}
            intra = self._intra_modal_terms(z, z2, batch)
            cross_modal = self._weigh(cross, text)
            intra_modal = self._weigh(intra, text)
            total = text + config.cross_modal * cross_modal + config.intra_modal * intra_modal
        return LossTerms(total, cross_modal, intra_modal, {"text": text, **cross, **intra})

    def _weigh(self, terms: Mapping[str, Tensor], like: Tensor) -> Tensor:
        """The weighted sum of one group's terms, 0 where it has none."""
        weights = self.config.weights.model_dump()
        halves = dict.fromkeys(("cross_alignment_image", "cross_alignment_text"), weights["cross_alignment"] / 2)
        return sum((value * (weights | halves)[name] for name, value in terms.items()), like.new_zeros(()))

    def _cross_modal_terms(self, h: Tensor, z: Tensor, batch: PairedBatch) -> dict[str, Tensor]:
        """The active paired terms, unweighted."""
        config, terms = self.config, dict[str, Tensor]()
        if config.active("grounding_image"):
            v = _present(batch.images, "images")
            terms["grounding_image"] = self._ground(h, v, self.ground_image(v), "grounding_image", batch)
        if config.active("grounding_text"):
            c = _present(batch.captions, "captions")
            terms["grounding_text"] = self._ground(h, c, self.ground_caption(c), "grounding_text", batch)
        agreement = None
        if config.active("consistency"):
            a, b = self.align_text(z), self.align_image(_present(batch.images, "images"))
            terms["consistency"] = consistency(a, b, margin=config.consistency_margin)
            agreement = cosine(a, b).detach()
        if config.active("cross_alignment"):
            terms |= self._cross_alignment(z, _present(batch.images, "images"), batch.teachers, agreement)
        return terms

    def _ground(self, h: Tensor, features: Tensor, targets: Tensor, term: PairedTerm, batch: PairedBatch) -> Tensor:
        """One grounding term, the mean over both dropout passes."""
        config = self.config
        own = getattr(config.soft, term).softened_margin
        softened = config.image_softened_margin if own is None else own
        similarity = cosine(features, features) if softened else None
        excluded = None
        if config.threshold is not None:
            v, c = _present(batch.images, "images"), _present(batch.captions, "captions")
            excluded = (c @ v.T if term == "grounding_image" else v @ c.T) > config.threshold
        passes = [
            grounding_contrast(
                self.ground_text(one_pass),
                targets,
                temperature=config.temperature_vl,
                margin=config.margin_vl,
                similarity=similarity,
                excluded=excluded,
            )
            for one_pass in h.unbind(1)
        ]
        return torch.stack(passes).mean()

    def _cross_alignment(
        self, z: Tensor, v: Tensor, teachers: TeacherTargets, agreement: Tensor | None
    ) -> dict[str, Tensor]:
        """Both halves. `agreement` is s(a, b) of the consistency task, a constant."""
        config, soft = self.config, self._softness("cross_alignment")
        own = config.soft.cross_alignment.eta
        eta = config.eta if own is None else own
        logits = angular_margin(cosine(z, self.map_image(v)), config.margin_text) / config.temperature
        image_target, text_target = cosine(v, v), self._mix().similarity(teachers.sentences)
        if eta > 0 and agreement is not None:
            image_target = (1 - eta) * image_target + eta * agreement.T
            text_target = (1 - eta) * text_target + eta * agreement
        return {
            "cross_alignment_image": soft_alignment(logits.T, image_target, **soft),
            "cross_alignment_text": soft_alignment(logits, text_target, **soft),
        }

    def _intra_modal_terms(self, z: Tensor, z2: Tensor, batch: TextBatch) -> dict[str, Tensor]:
        """The active teacher terms that this kind of batch has, unweighted."""
        config, teachers, terms = self.config, batch.teachers, dict[str, Tensor]()
        here = {
            term
            for term in ("intra_alignment", "rank", "local_global", "dropout_consistency")
            if config.active(term) and (isinstance(batch, PairedBatch) or term in config.on_text)
        }
        if not here:
            return {}
        cosines = cosine(z, z2)
        logits = angular_margin(cosines, config.margin_text) / config.temperature
        if "intra_alignment" in here:
            target = self._mix().similarity(teachers.sentences)
            terms["intra_alignment"] = soft_alignment(logits, target, **self._softness("intra_alignment"))
        if "rank" in here:
            target = self._mix().rank_similarity(teachers.sentences) / config.temperature_rank
            if config.rank_loss == "listmle":
                entries = len(logits) if config.rank_reduction == "mean" else 1
                terms["rank"] = listmle(logits, target) / entries
            else:
                terms["rank"] = listnet(logits, target)
        if "local_global" in here:
            mask = _present(teachers.token_mask, "token mask")
            tokens = normalise_tokens(_present(teachers.tokens, "token states"), mask, config.token_norm)
            # Mapping the sentence into the tokens' space gives the same products for 1/L of the work.
            sentences = self.map_tokens.transposed(z)
            terms["local_global"] = local_global(sentences, tokens, mask, temperature=config.temperature)
        if "dropout_consistency" in here:
            terms["dropout_consistency"] = jensen_shannon(cosines / config.temperature, cosines.T / config.temperature)
        return terms

    def _softness(self, term: str) -> dict[str, float]:
        """The keywords of `soft_alignment` for one term: its own values, else the objective's."""
        config, own = self.config, getattr(self.config.soft, term)
        shared = {
            "temperature": config.alignment_temperature,
            "target_temperature": config.target_temperature,
            "softening": config.softening,
        }
        return {name: value if getattr(own, name) is None else getattr(own, name) for name, value in shared.items()}

    def _mix(self) -> TeacherMix:
        assert self.teachers is not None, "checked at construction"
        return self.teachers


def _width(width: int | None, term: str, what: str) -> int:
    if width is None:
        raise InputError(f"objective.weights.{term}: needs {what}, and there are none; provide them or set it to 0")
    return width


def _check_threshold(config: ObjectiveConfig, image_width: int | None, caption_width: int | None) -> None:
    if config.threshold is None or not (config.active("grounding_image") or config.active("grounding_text")):
        return
    if image_width is None or caption_width is None or image_width != caption_width:
        raise InputError(
            f"objective.threshold: compares images with captions, which needs features of both in one space; "
            f"the images' width is {image_width}, the captions' {caption_width}; set it to null"
        )


def _present(tensor: Tensor | None, what: str) -> Tensor:
    if tensor is None:
        raise ValueError(f"an active term needs the batch's {what}, and there are none")
    return widen(tensor)
