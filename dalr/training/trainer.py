"""One worker's run: its parts, and what is done with them at each step, evaluation and checkpoint."""

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from dalr.config.schema import RunConfig
from dalr.data.batches import PairedBatch, TextBatch, on_device, shape_step
from dalr.data.features.prepare import Features, prepare_features
from dalr.data.mixing import MixedBatches
from dalr.distributed import broadcast, gather_constant, run_on_rank0, shard_sizes, world_size
from dalr.errors import InputError
from dalr.files import atomic_write
from dalr.identity import Identity, identity_of
from dalr.losses.objective import Objective
from dalr.model.compiled import compiled_graphs
from dalr.model.student import Groups, Student, export, make_student
from dalr.training.callbacks import Diverged
from dalr.training.checkpoint import Progress, Trainables, load_checkpoint, load_weights
from dalr.training.checkpoint_files import steps_saved, weights_folder
from dalr.training.extension import length_of
from dalr.training.grad_cache import compute_gradients, seed_step
from dalr.training.gradients import Gradients
from dalr.training.loader import BatchLoader
from dalr.training.optim import learning_rate_at, make_optimizer, set_learning_rate, step_unless
from dalr.training.run_folder import RunFolder
from dalr.training.unread import Line, Unread
from dalr.training.validation import Validation, score_exported, validation_of

COMPARED_STEPS = 2
"""First steps of a process, in which a compiled encoder's two passes over a batch are compared: pairs, sentences."""


@dataclass
class Run:
    """The parts of a run in one process; `progress` is what changes.

    `broken`: bool [], on the device; whether a step's loss or gradient was not finite. `unread`: the numbers of
    the steps since the last `read`.
    """

    identity: Identity
    folder: RunFolder
    device: torch.device
    student: Student
    tokenizer: PreTrainedTokenizerBase
    objective: Objective
    optimizer: torch.optim.AdamW
    gradients: Gradients
    batches: MixedBatches
    loader: BatchLoader
    features: Features
    validation: Validation | None
    progress: Progress
    broken: Tensor
    unread: Unread = field(default_factory=Unread)
    began_at: int = 0
    """The steps that were done before this process took over."""
    before_update: Callable[[], None] = lambda: None
    """Called when the gradient is there and the weights are about to change."""

    @classmethod
    def start(
        cls,
        config: RunConfig,
        folder: RunFolder,
        device: torch.device,
        *,
        identity: Identity | None = None,
        features: Features | None = None,
    ) -> "Run":
        """Builds everything from the config. Every worker draws the same initial weights. `identity` and `features`
        are the config's, where the caller has them."""
        features = features or prepare_features(config, quiet=True)  # before the seed: loading a teacher may draw
        torch.manual_seed(config.train.seed)
        student, tokenizer = make_student(config.model)
        if config.train.length_groups == "packed":
            student.pack_tokens()
        batches = MixedBatches(config, features, shape_step=shape_step(device))
        objective = _objective(config, student, features)
        for module in (student, objective, features.token_states):
            if module is not None:
                module.to(device)
        if config.train.in_bfloat16(on_gpu=device.type == "cuda") and features.token_states is not None:
            features.token_states.narrow()
        if config.train.activation_checkpointing:
            student.checkpoint_activations()
        if config.train.compile:
            student.compile_layers()
        optimizer = make_optimizer([student, objective], config.optim)
        validation = validation_of(config, student, tokenizer, device)
        return cls(
            identity=identity or identity_of(config),
            folder=folder,
            device=device,
            student=student,
            tokenizer=tokenizer,
            objective=objective,
            optimizer=optimizer,
            gradients=Gradients([*student.parameters(), *objective.parameters()]),
            batches=batches,
            loader=BatchLoader(batches, features.token_states, device),
            features=features,
            validation=validation,
            progress=Progress(),
            broken=torch.zeros((), dtype=torch.bool, device=device),
        )

    @property
    def config(self) -> RunConfig:
        return self.identity.config

    @property
    def trainables(self) -> Trainables:
        return Trainables(self.student, self.objective, self.optimizer)

    @property
    def total(self) -> int:
        return self.batches.total_steps

    def close(self) -> None:
        """Ends what works beside the steps."""
        self.loader.close()

    def check_length(self) -> None:
        """Refuses a run that is shorter than what its folder has done of it already.

        Raises:
            InputError: names both numbers of steps.
        """
        if (step := self.folder.last_step()) > self.total:
            key, value = length_of(self.config.train)
            raise InputError(f"{self.folder.name}: {step} steps are done; {key}={value} is {self.total}")

    def resume(self) -> None:
        """Goes back to the newest checkpoint, if there is one; all workers to the same."""
        step = broadcast(self.folder.last_step())
        if step:
            self.progress = load_checkpoint(self.folder.checkpoints, step, self.trainables, self.identity)
            self.began_at = step

    def step(self) -> None:
        """One optimizer step on the next global batch. Its numbers stay on the device until they are `read`:
        no operation of a step waits for the device."""
        began = time.perf_counter()
        config, step = self.config, self.progress.step
        self.student.train()
        self.objective.train()
        batch = self.prepared_batch(step)
        rate = learning_rate_at(step, self.batches.schedule.total_at(step, config.train), config.optim)
        set_learning_rate(self.optimizer, rate)
        terms = compute_gradients(
            self.student,
            self.objective,
            batch,
            self.gradients,
            parts=config.train.accumulate,
            groups=length_groups(config.train.length_groups, self.device),
            seed=lambda part: seed_step(config.train.seed, step, part),
            autocast=self.autocast,
            compare_passes=self._compare_passes() if config.train.compile else None,
        )
        norm = self.clip()
        # What is not finite, and all that comes after it until it is read, never reaches the weights.
        self.broken = self.broken | ~(terms.total.isfinite() & norm.isfinite())
        self.before_update()
        step_unless(self.optimizer, self.broken)
        self.progress = replace(self.progress, step=step + 1)
        paired = int(isinstance(batch, PairedBatch))
        known = {"paired": paired, "learning_rate": rate, **peak_memory(self.device)}
        seconds = time.perf_counter() - began
        self.unread.add(step + 1, terms, norm, known=known, samples=len(batch), seconds=seconds)

    def _compare_passes(self) -> Callable[[], bool]:
        """Whether a compiled encoder's two passes are to be compared: in the first steps, and in every step that
        has compiled for a shape that is new."""
        first = self.progress.step < self.began_at + COMPARED_STEPS
        before = compiled_graphs()
        return lambda: first or compiled_graphs() > before

    def reading_is_due(self) -> bool:
        """Whether the numbers are to be read now: every `log_every` steps, and before anything that is meant to
        last, so that no checkpoint and no score comes of a loss that was not finite. On the CPU, always."""
        train, step = self.config.train, self.progress.step
        due = (train.log_every, train.eval_every, train.checkpoint_every or train.eval_every)
        return reading_is_free(self.device) or self._ends(step) or any(step % every == 0 for every in due)

    def read(self) -> tuple[list[Line], Diverged | None]:
        """The lines of the steps since the last read; and, where one of them was not finite, the lines before it
        and the error to raise, its batch saved. The same on every worker."""
        lines = self.unread.read()
        for place, line in enumerate(lines):
            loss, norm = line.metrics["loss"], line.metrics["grad_norm"]
            if not math.isfinite(loss):
                return lines[:place], self.diverged(line, f"the loss is {loss}")
            if not math.isfinite(norm):
                return lines[:place], self.diverged(line, f"the norm of the gradient is {norm}")
        return lines, None

    def prepared_batch(self, step: int) -> TextBatch:
        """The global batch of a step on this worker's device, with teacher token states if needed."""
        loaded = self.loader.get(step)
        batch, states = loaded.batch, self.features.token_states
        if states is not None and loaded.tokens is not None:
            with torch.no_grad(), self.autocast():
                tokens, mask = states.states(loaded.tokens, self.device)
            sizes = shard_sizes(len(batch), world_size())
            tokens, mask = gather_constant(tokens, sizes), gather_constant(mask, sizes)
            batch = replace(batch, teachers=replace(batch.teachers, tokens=tokens, token_mask=mask))
        return on_device(batch, self.device)

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        if self.config.train.in_bfloat16(on_gpu=self.device.type == "cuda"):
            return torch.autocast(self.device.type, torch.bfloat16)
        return contextlib.nullcontext()

    def clip(self) -> Tensor:
        """Bounds the gradient's norm over all parameters; returns the norm before, on the device."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        bound = self.config.optim.clip_norm
        return torch.nn.utils.clip_grad_norm_(parameters, math.inf if bound is None else bound)

    def diverged(self, line: Line, what: str) -> Diverged:
        """Saves the batch of a step for inspection; the error that says so."""
        name = f"diverged-step-{line.step:06d}.safetensors"
        batch = self.batches.batch(line.step - 1)
        tensors = {name: value.contiguous() for name, value in vars(batch).items() if isinstance(value, Tensor)}

        def save() -> None:
            with atomic_write(self.folder.path / name) as aside:
                save_file(tensors, str(aside))

        run_on_rank0(save)
        terms = {key.removeprefix("term/"): value for key, value in line.metrics.items() if key.startswith("term/")}
        bad = ", ".join(f"{term} = {value}" for term, value in terms.items() if not math.isfinite(value))
        where = f"{self.folder.name}/{name}"
        message = f"{what} at step {line.step} ({bad or 'every term is finite'}); batch: {where}"
        return Diverged(line.step, message)

    def evaluate_if_due(self) -> float | None:
        """The score of `evaluation.metric` where this step is due, the same on every worker."""
        step = self.progress.step
        if self.validation is None or (step % self.config.train.eval_every and not self._ends(step)):
            return None
        score = self.scored(self.validation)
        if self.progress.best_score is None or score > self.progress.best_score:
            self.progress = replace(self.progress, best_step=step, best_score=score)
        return score

    def _ends(self, step: int) -> bool:
        """Whether the run ends after `step`, or did before it was extended."""
        return step == self.total or step in self.batches.schedule.earlier_ends(self.config.train)

    def scored(self, validation: Validation) -> float:
        """The student's score. The data was checked when the run began: what is wrong now is the student."""
        try:
            return validation.score()
        except InputError as error:
            step = self.progress.step
            raise Diverged(step, f"the student cannot be evaluated after step {step}: {error}") from error

    def finish(self) -> None:
        """Exports the best checkpoint (the last where none was evaluated) and scores it."""
        step = self.progress.best_step or max(steps_saved(self.folder.checkpoints))
        load_weights(weights_folder(self.folder.checkpoints, step), self.student, self.objective)
        export(self.student, self.tokenizer, self.folder.model, self.objective.state_dict())
        score_exported(self.folder, self.config, step, self.device)


def reading_is_free(device: torch.device) -> bool:
    """Whether the host has a number on the device as soon as it asks: on the CPU, where nothing runs ahead."""
    return device.type == "cpu"


def length_groups(setting: Groups | Literal["auto"], device: torch.device) -> Groups:
    """`train.length_groups` on a device, where it is auto. A GPU is waiting for its next kernel more often than it is
    busy: there one group is faster, although it computes for padding."""
    if setting != "auto":
        return setting
    return 1 if device.type == "cuda" else 4


def peak_memory(device: torch.device) -> dict[str, float]:
    """`gpu_memory_bytes`: the most that torch had allocated on this worker's GPU at once since the last
    call; empty for another device."""
    if device.type != "cuda":
        return {}
    peak = torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    return {"gpu_memory_bytes": peak}


def _objective(config: RunConfig, student: Student, features: Features) -> Objective:
    """The objective for what the features offer."""
    vectors = features.sentence_vectors.get("captions") or features.sentence_vectors.get("text") or ()
    return Objective(
        config.objective,
        width=student.width,
        projection_dim=config.model.projection_dim,
        image_width=None if features.images is None else features.images.shape[1],
        caption_width=None if features.caption_features is None else features.caption_features.shape[1],
        teacher_widths=[array.shape[1] for array in vectors],
        # Without a term that reads their vectors, teachers have none.
        teacher_weights=[teacher.weight for teacher in config.teachers.text] if vectors else [],
        token_width=None if features.token_states is None else features.token_states.width,
    )
