"""What the processes of `test_validation` run: they score one encoder together."""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from unittest import mock

import torch
import torch.distributed as dist

from dalr.distributed import barrier
from dalr.errors import InputError
from dalr.evaluation import MetricScorer, SentenceEncoder
from dalr.evaluation.encoder import TOKENS_A_BATCH, TokenBatch
from dalr.training.validation import Validation

METRICS = ("STSBenchmark.dev", "STS12.test", "CR.dev")


class Counting(SentenceEncoder):
    """Counts the sentences that this process encodes."""

    encoded = 0

    def vectors(self, batch: TokenBatch) -> torch.Tensor:
        self.encoded += len(batch.input_ids)
        return super().vectors(batch)


def answers(model: str, data: str) -> dict[str, object]:
    """The scores, how much was encoded here, the modules' mode afterwards, and what a broken student says."""
    with small_batches():
        return _answers(Counting.load(model, "avg", device="cpu"), data)


def small_batches() -> AbstractContextManager[object]:
    """Inside, a batch is so small that the small data has several for each worker."""
    return mock.patch.dict(TOKENS_A_BATCH, {"cpu": 128})


def _answers(encoder: Counting, data: str) -> dict[str, object]:
    encoder.model.train()
    found: dict[str, object] = {}
    for metric in METRICS:
        encoder.encoded = 0
        validation = Validation(MetricScorer(data, metric), encoder)
        found[metric] = validation.score()
        found[f"{metric}.encoded"] = encoder.encoded
    found["training"] = encoder.model.training
    with torch.no_grad():
        next(encoder.model.parameters()).fill_(torch.nan)
    try:
        validation.score()
    except InputError as error:
        found["error"] = str(error)
    return found


def worker(number: int, worlds: Sequence[int], model: str, data: str, folder: str) -> None:
    """One process: takes part in a gloo group on loopback of each size in turn, and writes its answers."""
    torch.set_num_threads(1)
    for world in worlds:
        if number < world:
            store = dist.FileStore(f"{folder}/store-{world}", world)
            dist.init_process_group("gloo", store=store, rank=number, world_size=world, timeout=timedelta(minutes=5))
            Path(folder, f"{world}-{number}.json").write_text(json.dumps(answers(model, data)))
            barrier()
            dist.destroy_process_group()
