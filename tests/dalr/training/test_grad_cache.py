"""The gradient in parts, with dropout, against one graph of the whole batch whose parts are seeded alike."""

import contextlib
from pathlib import Path

import pytest
import torch

from dalr.data.batches import Views
from dalr.training.grad_cache import compute_gradients, seed_step
from dalr.training.run_folder import RunFolder
from dalr.training.trainer import Run
from tests.dalr.training.objectives import config_for


def gradients(run: Run) -> dict[str, torch.Tensor]:
    named = [*run.student.named_parameters(), *run.objective.named_parameters()]
    return {name: p.grad.clone() for name, p in named if p.grad is not None}


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("objective", ["simcse", "dalr", "everything"])
def test_parts_with_dropout_are_one_graph_seeded_part_by_part(
    objective: str, groups: int, corpora: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    config = config_for(objective, corpora, tiny_bert, model__dropout=0.3)
    run = Run.start(config, RunFolder(tmp_path), torch.device("cpu"))
    run.student.train()
    run.objective.train()
    for step in (0, 1):  # pairs, then sentences
        batch = run.prepared_batch(step)
        run.optimizer.zero_grad()
        views = []
        for part, rows in enumerate((slice(0, 3), slice(3, 6), slice(6, 8))):
            seed_step(1, step, part)
            lengths = batch.lengths[rows]
            views.append(run.student(batch.input_ids[rows], batch.attention_mask[rows], groups=groups, lengths=lengths))
        whole = Views(torch.cat([v.pooled for v in views]), torch.cat([v.projected for v in views]))
        terms = run.objective(whole, batch)
        terms.total.backward()
        expected = gradients(run)
        run.optimizer.zero_grad()
        cached = compute_gradients(
            run.student,
            run.objective,
            batch,
            parts=3,
            groups=groups,
            seed=lambda part, step=step: seed_step(1, step, part),
            autocast=contextlib.nullcontext,
        )
        assert cached.total == pytest.approx(terms.total.item(), rel=1e-6)
        cached_gradients = gradients(run)
        assert cached_gradients.keys() == expected.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(cached_gradients[name], gradient, atol=1e-6, rtol=1e-4, msg=name)
