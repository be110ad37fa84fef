"""A training step against the trainer of sentence-transformers: SimCSE on both, in turns, in one run.

The same student (the packaged small encoder, cut to some layers), captions, 32 tokens, batch 64, fused AdamW, gradients
clipped at 1, dropout, and threads. Ours trains SimCSE's head as well, theirs has none. A step is counted from end to
end, the making of its batch included. On two cores that nothing else uses:

    python -m pytest -m benchmark -s tests/benchmarks/test_against_sentence_transformers.py
"""

import logging
import statistics
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from dalr.config.loading import load_recipe
from dalr.config.overrides import with_absolute_paths, with_overrides
from dalr.model.loading import load_encoder
from dalr.training.run_folder import RunFolder
from dalr.training.trainer import Run
from tests.benchmarks.test_cached_teachers import MINILM

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600), pytest.mark.filterwarnings("ignore")]

BATCH, TOKENS, SENTENCES = 64, 32, 1280
ROUNDS, STEPS = 3, 6
"""Turns of each side, and the steps in one; the first step of a turn is not counted."""


def student(folder: Path, layers: int) -> str:
    encoder, tokenizer = load_encoder(MINILM, layers=layers)
    encoder.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def ours(model: str, sentences: list[str], folder: Path) -> Run:
    (folder / "sentences.txt").write_text("".join(f"{sentence}\n" for sentence in sentences), encoding="utf-8")
    values = {
        "model.student": model,
        "model.pooler": "avg",
        "model.max_tokens": TOKENS,
        "data.text": str(folder / "sentences.txt"),
        "data.store": str(folder / "features"),
        "data.captions": None,
        "data.pair_every": None,
        "evaluation.data": None,
        "train.epochs": None,
        "train.steps": 10**4,
        "train.eval_every": 10**4,
        "train.batch_size": BATCH,
    }
    config = with_absolute_paths(with_overrides(load_recipe("simcse"), values))
    return Run.start(config, RunFolder(folder / "run"), torch.device("cpu"))


def theirs(model: str, sentences: list[str], folder: Path, seconds: list[float]) -> Any:
    """Their trainer, which notes the time from the end of one step to the end of the next."""
    datasets = pytest.importorskip("datasets")
    pytest.importorskip("accelerate")
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def on_train_begin(self, *words: Any, **options: Any) -> None:
            self.ended: float | None = None

        def on_step_end(self, *words: Any, **options: Any) -> None:
            now = time.perf_counter()
            if self.ended is not None:
                seconds.append(now - self.ended)
            self.ended = now

    encoder = Transformer(model, max_seq_length=TOKENS)
    network = SentenceTransformer(modules=[encoder, Pooling(encoder.get_embedding_dimension(), "mean")], device="cpu")
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder / "theirs"),
        per_device_train_batch_size=BATCH,
        max_steps=STEPS,
        learning_rate=3e-5,
        optim="adamw_torch_fused",
        max_grad_norm=1.0,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    return SentenceTransformerTrainer(
        model=network,
        args=arguments,
        train_dataset=datasets.Dataset.from_dict({"anchor": sentences, "positive": sentences}),
        loss=MultipleNegativesRankingLoss(network, scale=20.0),
        callbacks=[Clock()],
    )


def share_of_products(run: Run) -> float:
    """How much of a step's time on the CPU goes into products of matrices."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        run.step()
    own = {event.key: event.self_cpu_time_total for event in profiler.key_averages()}
    products = sum(value for name, value in own.items() if name in ("aten::addmm", "aten::mm", "aten::bmm"))
    return products / sum(own.values())


@pytest.mark.parametrize(("layers", "threads", "least"), [(2, 1, 1.2), (6, 1, 1.0), (6, 2, 1.1)])
def test_samples_a_second(layers: int, threads: int, least: float, real_data: Path, tmp_path: Path) -> None:
    """The aim is 1.2 in each row; the last line tells where the products of matrices leave no room for it."""
    logging.disable(logging.WARNING)
    torch.set_num_threads(threads)
    try:
        lines = (real_data / "flickr8k" / "captions.csv").read_text(encoding="utf-8").splitlines()[1 : 1 + SENTENCES]
        sentences = [line.partition(",")[2].strip('"') for line in lines]
        model = student(tmp_path / "student", layers)
        seconds: dict[str, list[float]] = {"dalr": [], "sentence-transformers": []}
        run = ours(model, sentences, tmp_path)
        trainer = theirs(model, sentences, tmp_path, seconds["sentence-transformers"])
        for _ in range(ROUNDS):  # in turn, so that the machine's moods hit both
            run.step()
            for _ in range(STEPS - 1):
                began = time.perf_counter()
                run.step()
                run.read()
                seconds["dalr"].append(time.perf_counter() - began)
            trainer.train()
        products = share_of_products(run)
        run.close()
    finally:
        torch.set_num_threads(1)
        logging.disable(logging.NOTSET)
    assert all(len(values) == ROUNDS * (STEPS - 1) for values in seconds.values())
    rates = {name: BATCH / statistics.median(values) for name, values in seconds.items()}
    ratio = rates["dalr"] / rates["sentence-transformers"]
    print(
        f"\n{layers} layers, {threads} threads: {rates['dalr']:.1f} against {rates['sentence-transformers']:.1f} "
        f"samples/s, {ratio:.2f}x; {products:.0%} of our step are products of matrices"
    )
    assert ratio >= least
