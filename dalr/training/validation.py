"""Scores the student while it trains, all workers encoding a share, so that none waits for one; and at the end."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from dalr.config.schema import RunConfig
from dalr.distributed import gather_constant, rank, run_on_rank0, world_size
from dalr.evaluation import MetricScorer, SentenceEncoder, evaluate
from dalr.evaluation.encoder import evaluating
from dalr.evaluation.plan import own_tasks
from dalr.evaluation.tasks import STANDARD, parse_metric
from dalr.model.student import Student
from dalr.training.run_folder import RunFolder

TOKENS_A_BATCH = 4096
"""Padded tokens in one batch at most: small enough that a development split has a batch for each worker."""


class Validation:
    """A metric of the live student, the same number on every worker and for any number of workers.

    The split is tokenised, sorted by length and cut into batches once; the tokens stay on the device.
    Worker r of W encodes batches r, r + W, ...; the vectors are gathered, copied from the device once, and
    worker 0 scores them. Which worker encodes a batch changes nothing in it, so the score equals that of one
    process to the last bit, and a resumed run finds the same best checkpoint. On a GPU the encoder computes in
    bfloat16: the score chooses a checkpoint, and what is reported of it is scored again in float32.
    """

    def __init__(self, scorer: MetricScorer, encoder: SentenceEncoder) -> None:
        self.scorer = scorer
        self.encoder = encoder
        # In the order in which a scorer asks: ties of length then fall into the batches of one process.
        sentences = sorted(dict.fromkeys(scorer.sentences), key=len, reverse=True)
        self._row = {sentence: row for row, sentence in enumerate(sentences)}
        budget = TOKENS_A_BATCH if encoder.device.type == "cuda" else None
        batches = list(encoder.batches(sentences, budget))
        shares = [batches[worker :: world_size()] for worker in range(world_size())]
        self._sizes = [sum(len(rows) for rows, _ in share) for share in shares]
        self._places = np.array([row for share in shares for rows, _ in share for row in rows], dtype=np.int64)
        self._mine = [encoder.on_device(ids) for _, ids in shares[rank()]]

    def score(self) -> float:
        """The metric, 0 to 100, of the student as it is now.

        Raises:
            InputError: the student's vectors are not finite.
        """
        vectors = self.vectors()

        def encode(sentences: Sequence[str]) -> np.ndarray[Any, Any]:
            return vectors[[self._row[sentence] for sentence in sentences]]

        return run_on_rank0(lambda: self.scorer.score(encode))

    def vectors(self) -> np.ndarray[Any, Any]:
        """The vectors of all sentences, float32 [n, D], each encoded by one worker."""
        encoder = self.encoder
        reduced = torch.autocast("cuda", torch.bfloat16, enabled=encoder.device.type == "cuda")
        with evaluating(encoder.model), torch.inference_mode():
            with reduced:
                mine = [encoder.vectors(batch).float() for batch in self._mine]
            own = torch.cat(mine) if mine else torch.empty(0, encoder.dimension, device=encoder.device)
            gathered = gather_constant(own, self._sizes).cpu().numpy()
        vectors = np.empty_like(gathered)
        vectors[self._places] = gathered
        return vectors


def validation_of(
    config: RunConfig, student: Student, tokenizer: PreTrainedTokenizerBase, device: torch.device
) -> Validation | None:
    """The scoring of the live student; None where there is no evaluation data."""
    own = own_tasks(config.evaluation.custom)
    if config.evaluation.data is None and parse_metric(config.evaluation.metric, own)[0] in STANDARD:
        return None
    encoder = SentenceEncoder(student.encoder, tokenizer, pooler=config.model.pooler, device=device)
    return Validation(MetricScorer(config.evaluation.data, config.evaluation.metric, own), encoder)


def score_exported(folder: RunFolder, config: RunConfig, step: int, device: torch.device) -> None:
    """Scores the exported model, the checkpoint of `step`, on the tasks that the config names."""
    data, tasks = config.evaluation.data, config.evaluation.tasks
    own = own_tasks(config.evaluation.custom, tasks)
    if not own and (not tasks or data is None):
        return
    encoder = SentenceEncoder.load(str(folder.model), device=device)
    evaluate(
        encoder.encode,
        data,
        tasks if data is not None else (),
        "test",
        model=folder.name,
        pooler=encoder.pooler,
        fingerprint=encoder.fingerprint(),
        out=folder.results / "test.json",
        custom=own,
        provenance=folder.model_provenance(step),
        device=device.type,
    )
