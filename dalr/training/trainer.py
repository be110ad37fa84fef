"""One worker's run: its parts, and what is done with them at each step, evaluation and checkpoint."""

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from dalr.config.schema import RunConfig
from dalr.data.batches import PairedBatch, TextBatch
from dalr.data.features.prepare import Features, prepare_features
from dalr.data.mixing import MixedBatches
from dalr.distributed import broadcast, gather_constant, rank, run_on_rank0, shard, world_size
from dalr.errors import InputError
from dalr.evaluation import MetricScorer, SentenceEncoder, evaluate
from dalr.evaluation.metric import parse_metric
from dalr.evaluation.plan import own_tasks
from dalr.evaluation.tasks import STANDARD
from dalr.files import atomic_write
from dalr.identity import Identity, identity_of
from dalr.losses.objective import LossTerms, Objective
from dalr.model.student import Student, export, make_student
from dalr.training.callbacks import Callback, Diverged
from dalr.training.checkpoint import (
    Progress,
    Trainables,
    checkpoint_folder,
    load_checkpoint,
    load_weights,
    remove_old,
    save_checkpoint,
    steps_saved,
)
from dalr.training.grad_cache import compute_gradients, on_device, seed_step
from dalr.training.optim import learning_rate_at, make_optimizer, set_learning_rate
from dalr.training.run_folder import RunFolder
from dalr.training.validation import Validation


@dataclass
class Run:
    """The parts of a run in one process; `progress` is what changes."""

    identity: Identity
    folder: RunFolder
    device: torch.device
    student: Student
    tokenizer: PreTrainedTokenizerBase
    objective: Objective
    optimizer: torch.optim.Optimizer
    batches: MixedBatches
    features: Features
    validation: Validation | None
    progress: Progress

    @classmethod
    def start(
        cls, config: RunConfig, folder: RunFolder, device: torch.device, *, identity: Identity | None = None
    ) -> "Run":
        """Builds everything from the config. Every worker draws the same initial weights. `identity` is the
        config's, where the caller knows it."""
        torch.manual_seed(config.train.seed)
        student, tokenizer = make_student(config.model)
        features = prepare_features(config, quiet=True)
        batches = MixedBatches(config, features)
        objective = _objective(config, student, features)
        for module in (student, objective, features.token_states):
            if module is not None:
                module.to(device)
        if config.train.activation_checkpointing:
            student.checkpoint_activations()
        if config.train.compile:
            student.encoder.compile(dynamic=True)
        optimizer = make_optimizer([student, objective], config.optim)
        validation = _validation(config, student, tokenizer, device)
        return cls(
            identity=identity or identity_of(config),
            folder=folder,
            device=device,
            student=student,
            tokenizer=tokenizer,
            objective=objective,
            optimizer=optimizer,
            batches=batches,
            features=features,
            validation=validation,
            progress=Progress(),
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

    def resume(self) -> None:
        """Goes back to the newest checkpoint, if there is one; all workers to the same."""
        step = broadcast(self.folder.last_step())
        if step:
            self.progress = load_checkpoint(self.folder.checkpoints, step, self.trainables, self.identity)

    def step(self) -> dict[str, float]:
        """One optimizer step on the next global batch; returns its metrics."""
        began = time.perf_counter()
        config, step = self.config, self.progress.step
        self.student.train()
        self.objective.train()
        batch = self.prepared_batch(step)
        rate = learning_rate_at(step, self.total, config.optim)
        set_learning_rate(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        terms = compute_gradients(
            self.student,
            self.objective,
            batch,
            parts=config.train.accumulate,
            groups=config.train.length_groups,
            seed=lambda part: seed_step(config.train.seed, step, part),
            autocast=self.autocast,
        )
        loss = terms.total.item()
        if not math.isfinite(loss):
            self.diverged(batch, f"the loss is {loss}", terms)
        norm = self.clip()
        if not math.isfinite(norm):  # one more step would put it into the weights, and those into a checkpoint
            self.diverged(batch, f"the norm of the gradient is {norm}", terms)
        self.optimizer.step()
        self.progress = replace(self.progress, step=step + 1)
        seconds = time.perf_counter() - began
        return {
            "loss": loss,
            **{f"term/{name}": value.item() for name, value in terms.terms.items()},
            "paired": int(isinstance(batch, PairedBatch)),
            "learning_rate": rate,
            "grad_norm": norm,
            "seconds": seconds,
            "samples_per_second": len(batch) / seconds,
            **peak_memory(self.device),
        }

    def prepared_batch(self, step: int) -> TextBatch:
        """The global batch of a step on this worker's device, with teacher token states if needed."""
        batch = self.batches.batch(step)
        states = self.features.token_states
        corpus = "captions" if isinstance(batch, PairedBatch) else "text"
        if states is not None and corpus in states.corpora:
            with torch.no_grad(), self.autocast():
                tokens, mask = states(batch, shard(len(batch), rank(), world_size()))
            tokens, mask = gather_constant(tokens.float()), gather_constant(mask)
            batch = replace(batch, teachers=replace(batch.teachers, tokens=tokens, token_mask=mask))
        return on_device(batch, self.device)

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        if self.config.train.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def clip(self) -> float:
        """Bounds the gradient's norm over all parameters; returns the norm before."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        bound = self.config.optim.clip_norm
        return torch.nn.utils.clip_grad_norm_(parameters, math.inf if bound is None else bound).item()

    def diverged(self, batch: TextBatch, what: str, terms: LossTerms) -> NoReturn:
        """Saves the batch of the step in hand for inspection and raises."""
        step = self.progress.step + 1
        name = f"diverged-step-{step:06d}.safetensors"
        tensors = {name: value for name, value in vars(batch).items() if isinstance(value, Tensor)}

        def save() -> None:
            with atomic_write(self.folder.path / name) as aside:
                save_file({key: value.contiguous().cpu() for key, value in tensors.items()}, str(aside))

        run_on_rank0(save)
        bad = ", ".join(f"{term} = {value.item()}" for term, value in terms.terms.items() if not value.isfinite())
        where = f"{self.folder.name}/{name}"
        raise Diverged(step, f"{what} at step {step} ({bad or 'every term is finite'}); batch: {where}")

    def evaluate_if_due(self) -> float | None:
        """The score of `evaluation.metric` where this step is due, the same on every worker."""
        step = self.progress.step
        if self.validation is None or (step % self.config.train.eval_every and step != self.total):
            return None
        score = self.scored(self.validation)
        if self.progress.best_score is None or score > self.progress.best_score:
            self.progress = replace(self.progress, best_step=step, best_score=score)
        return score

    def scored(self, validation: Validation) -> float:
        """The student's score. The data was checked when the run began: what is wrong now is the student."""
        try:
            return validation.score()
        except InputError as error:
            step = self.progress.step
            raise Diverged(step, f"the student cannot be evaluated after step {step}: {error}") from error

    def checkpoint_if_due(self, callbacks: Sequence[Callback], *, stopping: bool) -> None:
        """Saves at every `checkpoint_every`, at a new best, at the end and when stopping."""
        train, step = self.config.train, self.progress.step
        due = step % (train.checkpoint_every or train.eval_every) == 0 or step == self.total
        if not due and not stopping and step != self.progress.best_step:
            return
        run_on_rank0(self.save)
        for callback in callbacks:
            callback.on_checkpoint(step)

    def save(self) -> None:
        """Writes a checkpoint, then removes those that it makes superfluous."""
        save_checkpoint(self.folder.checkpoints, self.trainables, self.progress, self.identity)
        remove_old(self.folder.checkpoints, keep=self.config.train.keep, best_step=self.progress.best_step)
        self.folder.note_step(self.progress.step)

    def finish(self) -> None:
        """Exports the best checkpoint (the last where none was evaluated) and scores it."""
        step = self.progress.best_step or max(steps_saved(self.folder.checkpoints))
        load_weights(checkpoint_folder(self.folder.checkpoints, step), self.student, self.objective)
        export(self.student, self.tokenizer, self.folder.model, self.objective.state_dict())
        tasks = self.config.evaluation.tasks
        own = own_tasks(self.config.evaluation.custom, tasks)
        if own or (tasks and self.config.evaluation.data is not None):
            encoder = SentenceEncoder.load(str(self.folder.model), device=self.device)
            evaluate(
                encoder.encode,
                self.config.evaluation.data,
                tasks if self.config.evaluation.data is not None else (),
                "test",
                model=self.folder.name,
                pooler=encoder.pooler,
                fingerprint=encoder.fingerprint(),
                out=self.folder.results / "test.json",
                custom=own,
                provenance=self.folder.model_provenance(step),
                device=self.device.type,
            )


def peak_memory(device: torch.device) -> dict[str, float]:
    """`gpu_memory_bytes`: the most that torch had allocated on this worker's GPU at once since the last
    call; empty for another device."""
    if device.type != "cuda":
        return {}
    peak = torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    return {"gpu_memory_bytes": peak}


def _validation(
    config: RunConfig, student: Student, tokenizer: PreTrainedTokenizerBase, device: torch.device
) -> Validation | None:
    """The scoring of the live student; None where there is no evaluation data."""
    own = own_tasks(config.evaluation.custom)
    if config.evaluation.data is None and parse_metric(config.evaluation.metric, own)[0] in STANDARD:
        return None
    encoder = SentenceEncoder(student.encoder, tokenizer, pooler=config.model.pooler, device=device)
    return Validation(MetricScorer(config.evaluation.data, config.evaluation.metric, own), encoder)


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
