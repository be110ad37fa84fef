"""The batches that the objective sees."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class TeacherTargets:
    """What the frozen text teachers say of a batch: constants, the same for both dropout passes.

    `sentences`: one float32 [B, T_k] for each text teacher, in the order of the config. `tokens`:
    the teachers' token states without [CLS], mixed with the teachers' weights, float32 [B, M, T], not
    yet normalised; `token_mask`: bool [B, M], true where `tokens` holds a token of the sentence.
    Both are None where no term needs them.
    """

    sentences: tuple[Tensor, ...] = ()
    tokens: Tensor | None = None
    token_mask: Tensor | None = None


@dataclass(frozen=True)
class TextBatch:
    """B sentences of the global batch.

    `rows`: int64 [B], the sentences' rows in their corpus. `input_ids` and `attention_mask`: int64
    [B, L], padded to the longest sentence.
    """

    rows: Tensor
    input_ids: Tensor
    attention_mask: Tensor
    teachers: TeacherTargets = TeacherTargets()

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class PairedBatch(TextBatch):
    """B captions with their images' features.

    `images`: float32 [B, V], None where no term needs them. `captions`: the image teacher's features
    of the captions, float32 [B, C], likewise.
    """

    images: Tensor | None = None
    captions: Tensor | None = None


@dataclass(frozen=True)
class Views:
    """The student's two dropout passes over the global batch.

    `pooled` [B, 2, D]: h and h', before the student's head. `projected` [B, 2, D]: z and z', after it.
    """

    pooled: Tensor
    projected: Tensor
