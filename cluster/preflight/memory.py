"""What one worker's memory is expected to be, from the config alone, before anything is loaded.

The formulas bound from above what is held at the fullest moment of a step, between forward and
backward pass; activations follow Korthikanti et al. 2022, "Reducing Activation Recomputation in Large
Transformer Models" (eq. 1), with the feed-forward width and the element size left open, and what
torch keeps in float32 under autocast added.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from dalr.cluster.preflight.cards import GIB
from dalr.config.schema import RunConfig
from dalr.data.features.needs import needs_of

HOST_PROCESS = int(1.2 * GIB)
"""A worker's process with torch, transformers and ray loaded, without a model."""
CUDA_CONTEXT = int(0.6 * GIB)
PINNED = 1.75
"""Torch's allocator of pinned memory rounds each tensor up to a power of two: 1.70 times BERT-base's bytes."""
"""What CUDA and its libraries' workspaces take on a GPU."""
WIDTH_OF_OTHERS = 1024
"""Assumed width of image and teacher vectors, the largest of the published encoders."""
OBJECTIVE_MATRICES = 24
"""[B, B] float32 matrices alive at once with every term on: similarities, margins, soft targets,
their logarithms, and what autograd saves of them."""
TOKEN_MATRICES = 3
"""[B, B, L] float32 blocks of a term that reads token states: scores, exponentials, gradient."""


@dataclass(frozen=True)
class EncoderShape:
    """The numbers of an encoder's config.json that decide its size."""

    width: int
    layers: int
    inner: int
    heads: int
    vocabulary: int
    positions: int
    types: int

    @classmethod
    def of(cls, config: Mapping[str, Any], layers: int | None = None) -> "EncoderShape":
        """Reads the keys of BERT and its relatives; `layers` cuts the encoder.

        Raises:
            KeyError: width, layers or vocabulary cannot be found under any known name.
        """

        def first(*names: str) -> int:
            for name in names:
                if config.get(name) is not None:
                    return int(config[name])
            raise KeyError(f"none of {', '.join(names)}")

        width = first("hidden_size", "dim", "n_embd", "d_model")
        depth = first("num_hidden_layers", "n_layers", "n_layer", "num_layers")
        return cls(
            width=width,
            layers=min(depth, layers or depth),
            inner=int(config.get("intermediate_size") or config.get("hidden_dim") or 4 * width),
            heads=int(config.get("num_attention_heads") or config.get("n_heads") or max(1, width // 64)),
            vocabulary=first("vocab_size"),
            positions=int(config.get("max_position_embeddings") or 512),
            types=int(config.get("type_vocab_size") or 0),
        )

    def parameters(self) -> int:
        """Parameters of a BERT of this shape, with its pooler:
        (vocabulary + positions + types)·D + 2D for the embeddings, 4D² + 2DF + 9D + F a layer,
        D² + D for the pooler."""
        d, f = self.width, self.inner
        embeddings = (self.vocabulary + self.positions + self.types) * d + 2 * d
        return embeddings + self.layers * (4 * d * d + 2 * d * f + 9 * d + f) + d * d + d

    def activations(self, sequences: int, tokens: int, element: int, *, checkpointing: bool = False) -> int:
        """Bytes that autograd keeps of `sequences` × `tokens` inputs, `element` bytes a number.

        A layer keeps, for s tokens of b sequences, s·b·(e·(8D + 2F) + 8D) for its linear maps, norms and
        dropout masks and 12·b·a·s² for the attention of a heads: scores, probabilities and mask in
        float32 (fused attention on a GPU keeps none of them). Autocast leaves norms in float32, 8D more
        at 2 bytes a number. The embeddings keep s·b·D·(3e + 4).

        With `checkpointing` a layer keeps its input alone, 4·s·b·D, and one layer at a time is whole.
        """
        d, b, s = self.width, sequences, tokens
        in_float32 = 8 * d if element == 4 else 16 * d
        linear = s * b * (element * (8 * d + 2 * self.inner) + in_float32)
        attention = 12 * b * self.heads * s * s
        whole = linear + attention
        layers = whole + self.layers * 4 * s * b * d if checkpointing else self.layers * whole
        return layers + s * b * d * (3 * element + 4)


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of one worker, part by part. `on_gpu` says where all but the process lies."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    objective: int
    on_gpu: bool
    teachers: int = 0

    @property
    def training(self) -> int:
        """What lies where the model lies: on the GPU, or on the host without one."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.objective + self.teachers

    @property
    def host(self) -> int:
        """Main memory. With a GPU: the process, and the pinned copy of weights and optimizer that checkpoints are
        written from."""
        return HOST_PROCESS + (int(PINNED * (self.weights + self.optimizer)) if self.on_gpu else self.training)

    @property
    def device(self) -> int:
        """GPU memory; 0 without a GPU."""
        return CUDA_CONTEXT + self.training if self.on_gpu else 0

    def explain(self) -> str:
        """The parts in one line, in GiB."""
        parts = ["weights", "gradients", "optimizer", "activations", "objective", *(["teachers"] * bool(self.teachers))]
        sizes = ", ".join(f"{part} {getattr(self, part) / GIB:.2f}" for part in parts)
        return f"expected for each worker, in GiB: {sizes}"


def estimate_memory(
    config: RunConfig,
    student: Mapping[str, Any],
    *,
    teachers: Sequence[Mapping[str, Any]] = (),
    workers: int = 1,
    on_gpu: bool = False,
) -> MemoryEstimate:
    """What one of `workers` workers takes at its fullest moment.

    With P parameters (the student's and its heads'), B the global batch, L tokens, W workers:

    - weights 4P (+ 2P for the bfloat16 copies that autocast keeps),
    - gradients 4P: those of several workers lie in the buckets that are summed,
    - optimizer 8P (AdamW's two moments),
    - activations of 2·⌈⌈B/W⌉/accumulate⌉ sequences: two dropout passes, one part of the batch at a time;
      less with `activation_checkpointing`,
    - objective 24·B² numbers (+ 3·B²·L with a term that reads token states), a W-th of them on every worker,
    - teachers, with such a term: weights 4P each (+ 2P for autocast's copies), one layer's activations of
      ⌈B/W⌉ sequences, and 3·B·L·T numbers of token states of width T: a share, the gathered batch, its norm.
      Token states that were stored beforehand need the last part alone, so that this is an upper bound.

    Args:
        config: the run's config.
        student: the student's config.json.
        teachers: the config.json of each text teacher.
        workers: how many workers share a batch.
        on_gpu: whether a worker has a GPU.

    Raises:
        KeyError: `student` lacks a key without which no size can be told.
    """
    shape = EncoderShape.of(student, config.model.layers)
    parameters = shape.parameters() + head_parameters(shape.width, config.model.projection_dim)
    half = config.train.in_bfloat16(on_gpu=on_gpu)
    batch, tokens = config.train.batch_size, config.model.max_tokens
    part = ceil(ceil(batch / workers) / config.train.accumulate)
    blocks = OBJECTIVE_MATRICES + (TOKEN_MATRICES * tokens if needs_of(config.objective).token_states else 0)
    return MemoryEstimate(
        weights=parameters * (6 if half else 4),
        gradients=parameters * 4,
        optimizer=parameters * 8,
        activations=shape.activations(
            2 * part, tokens, element=2 if half else 4, checkpointing=config.train.activation_checkpointing
        ),
        objective=blocks * ceil(batch / workers) * batch * 4,
        on_gpu=on_gpu,
        teachers=_teachers(config, teachers, ceil(batch / workers), element=2 if half else 4),
    )


def _teachers(config: RunConfig, teachers: Sequence[Mapping[str, Any]], share: int, *, element: int) -> int:
    if not teachers or not needs_of(config.objective).token_states:
        return 0
    shapes = [EncoderShape.of(teacher) for teacher in teachers]
    tokens = config.model.max_tokens
    weights = sum(shape.parameters() * (6 if element == 2 else 4) for shape in shapes)
    layer = max(replace(shape, layers=1).activations(share, tokens, element) for shape in shapes)
    return weights + layer + 3 * config.train.batch_size * tokens * max(shape.width for shape in shapes) * 4


def encoder_config(name: str) -> dict[str, Any] | None:
    """An encoder's config.json; None for a teacher of a user's module, and, with a warning in the log, where it cannot
    be had from here: a hub name that only the workers' machines can download.

    Raises:
        InputError: a folder that is no model.
    """
    from transformers import AutoConfig

    from dalr.extensions import added
    from dalr.model.folder import model_path

    if name in added("text_teacher"):
        return None  # its size is its module's business
    try:
        return AutoConfig.from_pretrained(model_path(name)).to_dict()
    except (OSError, ImportError) as error:
        reason = " ".join(str(error).split())[:120]
        logging.getLogger(__name__).warning("no estimate of memory: cannot read the config of %s: %s", name, reason)
        return None


def head_parameters(width: int, projection: int) -> int:
    """Parameters of all heads together, were every term on: the MLP head, G and A for both sides, and
    the linear maps from image and teacher vectors, taken as 1024 wide."""
    sides = width + WIDTH_OF_OTHERS
    grounding = sides * projection + 2 * projection
    consistency = sides * projection + 2 * projection * projection + 12 * projection
    return width * width + width + grounding + consistency + 2 * WIDTH_OF_OTHERS * width
