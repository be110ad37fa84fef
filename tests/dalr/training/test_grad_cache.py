"""The gradient in parts, with dropout, against one graph of the whole batch whose parts are seeded alike."""

import contextlib
from pathlib import Path

import pytest
import torch

from dalr.config.overrides import to_yaml
from dalr.data.batches import Views
from dalr.training.grad_cache import compute_gradients, seed_step
from dalr.training.run_folder import RunFolder
from dalr.training.trainer import Run
from tests.dalr.training.grad_cache_workers import gradient_of, worker
from tests.dalr.training.objectives import config_for
from tests.processes import run_workers

pytestmark = pytest.mark.medium


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
            run.gradients,
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


@pytest.mark.parametrize("parts", [1, 3])
def test_two_workers_in_parts_have_the_gradient_of_one_in_one(
    parts: int, corpora: Path, tmp_path: Path, tiny_bert: Path
) -> None:
    config = config_for("everything", corpora, tiny_bert)
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    expected = gradient_of(tmp_path, 1)
    run_workers(worker, 2, parts, str(tmp_path), count=2)
    for number in range(2):
        found = torch.load(tmp_path / f"gradient-{number}.pt", weights_only=True)
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6, msg=name)
