"""What a term is computed from."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from dalr.config.objective import ObjectiveConfig
from dalr.data.batches import PairedBatch, TextBatch, Views
from dalr.losses.precision import widen
from dalr.losses.rows import Rows
from dalr.losses.similarity import angular_margin, cosine
from dalr.losses.targets import TeacherMix


class TermInputs:
    """One global batch as the terms see it, all float32 at least; what several terms read is computed once.

    Attributes:
        config: the objective's settings.
        h: [B, 2, D], both dropout passes before the student's head.
        z: [B, D], the first pass after the head.
        z2: [B, D], the second.
        batch: its teachers' targets are read through the properties below.
        rows: the b rows of the batch to compute, all but for a term that can compute a share.
    """

    def __init__(
        self,
        config: ObjectiveConfig,
        views: Views,
        batch: TextBatch,
        heads: Mapping[str, nn.Module],
        teachers: TeacherMix | None,
        rows: slice | None = None,
    ) -> None:
        self.config = config
        self.h, (self.z, self.z2) = widen(views.pooled), widen(views.projected).unbind(1)
        self.batch = batch
        total = len(self.z)
        start, stop, _ = (rows or slice(None)).indices(total)
        self.rows = Rows(start, max(0, stop - start), total, self.z.device)
        self._made_of = (config, views, batch, heads, teachers)
        self._heads = heads
        self._teachers = teachers

    def head(self, name: str) -> Any:
        """One of the term's trained heads, a module of the class that it declares."""
        return self._heads[name]

    @property
    def images(self) -> Tensor:
        """v [B, V], the images' features."""
        return _present(self.batch.images if isinstance(self.batch, PairedBatch) else None, "images")

    @property
    def captions(self) -> Tensor:
        """c [B, C], the image teacher's features of the captions."""
        return _present(self.batch.captions if isinstance(self.batch, PairedBatch) else None, "captions")

    @property
    def tokens(self) -> tuple[Tensor, Tensor]:
        """The teachers' token states [B, M, T], not normalised, and their mask, bool [B, M]."""
        teachers = self.batch.teachers
        return _present(teachers.tokens, "token states"), _present(teachers.token_mask, "token mask")

    @cached_property
    def teacher_similarity(self) -> Tensor:
        """s(t, t) [b, B] of the mixed teachers, see `TeacherMix.similarity`."""
        return self._mix.similarity(self.batch.teachers.sentences, self.rows)

    @cached_property
    def teacher_ranking(self) -> Tensor:
        """Σ_k α_k s(t^k, t^k) [b, B], see `TeacherMix.rank_similarity`."""
        return self._mix.rank_similarity(self.batch.teachers.sentences, self.rows)

    @cached_property
    def cosines(self) -> Tensor:
        """s(z, z') [b, B]."""
        return cosine(self.rows.of(self.z), self.z2)

    @cached_property
    def logits(self) -> Tensor:
        """s_m(z, z')/τ [b, B], with the margin of text with text."""
        return angular_margin(self.cosines, self.config.margin_text, rows=self.rows) / self.config.temperature

    @cached_property
    def aligned(self) -> tuple[Tensor, Tensor]:
        """a = A_t(z) and b = A_v(v), [B, P] each, of the consistency task. Their batch norms see a batch once."""
        if not self.rows.are_all:
            return self.whole.aligned
        return self.head("align_text")(self.z), self.head("align_image")(self.images)

    @cached_property
    def whole(self) -> "TermInputs":
        """The same batch with all of its rows."""
        return self if self.rows.are_all else TermInputs(*self._made_of)

    @property
    def _mix(self) -> TeacherMix:
        assert self._teachers is not None, "checked at construction"
        return self._teachers


def _present(tensor: Tensor | None, what: str) -> Tensor:
    if tensor is None:
        raise ValueError(f"an active term needs the batch's {what}, and there are none")
    return widen(tensor)
