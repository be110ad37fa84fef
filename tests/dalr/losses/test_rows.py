"""Shares of the rows of a batch add up to the whole: every term, and every gradient."""

from collections import Counter
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from dalr.data.batches import PairedBatch, TextBatch, Views
from dalr.losses.inputs import TermInputs
from dalr.losses.objective import LossTerms, Objective
from dalr.losses.rows import Rows
from dalr.losses.terms import TERMS, Term
from tests.dalr.losses.batches import WIDTH, as_text, make_batch, make_views
from tests.dalr.training.objectives import OBJECTIVES
from tests.operations import Operations
from tests.tensor_memory import TensorMemory

SIZE = 8
CUTS = [(0, 3, 6, 8), (0, 5, 5, 8), (0, 1, 8), (0, 8, 8)]
"""Shares of several workers; some have no row."""


def objective_of(name: str) -> Objective:
    torch.manual_seed(0)
    return Objective(
        OBJECTIVES[name],
        width=WIDTH,
        projection_dim=4,
        image_width=9 if name != "everything" else WIDTH,
        caption_width=9 if name != "everything" else WIDTH,
        teacher_widths=(5, 5),
        teacher_weights=(0.3, 0.7),
        token_width=7,
    ).double()


def batch_of(name: str) -> PairedBatch:
    width = 9 if name != "everything" else WIDTH
    return make_batch(SIZE, image_width=width, caption_width=width, token_width=7)


def gradient(objective: Objective, views: Views, loss: Tensor) -> list[Tensor]:
    wanted = [views.pooled, views.projected, *objective.parameters()]
    found = torch.autograd.grad(loss, wanted, allow_unused=True)
    return [torch.zeros_like(w) if g is None else g for w, g in zip(wanted, found, strict=True)]


def added(all_terms: list[LossTerms]) -> dict[str, Tensor]:
    names = all_terms[0].terms
    sums = {name: torch.stack([terms.terms[name] for terms in all_terms]).sum() for name in names}
    return {"total": torch.stack([terms.total for terms in all_terms]).sum(), **sums}


@pytest.mark.parametrize("cut", CUTS, ids=str)
@pytest.mark.parametrize("kind", ["paired", "text"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_shares_add_up_to_the_batch(name: str, kind: str, cut: tuple[int, ...]) -> None:
    objective, views, paired = objective_of(name), make_views(SIZE), batch_of(name)
    batch: TextBatch = paired if kind == "paired" else as_text(paired)
    whole = objective(views, batch)
    shares = [objective(views, batch, slice(*ends)) for ends in pairwise(cut)]
    for part, value in added(shares).items():
        expected = whole.total if part == "total" else whole.terms[part]
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12, msg=part)
    parts = [gradient(objective, views, share.total) for share in shares]
    for expected, *pieces in zip(gradient(objective, views, whole.total), *parts, strict=True):
        torch.testing.assert_close(sum(pieces), expected, rtol=1e-8, atol=1e-11)


def test_a_term_that_is_not_by_rows_sees_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of a user's, which reads a matrix of all rows, beside terms that compute a share."""
    seen = []

    def spread(inputs: TermInputs) -> Tensor:
        seen.append(inputs.cosines.shape)
        return inputs.cosines.std()

    monkeypatch.setitem(TERMS, "dropout_consistency", Term("intra_modal", "spreads", spread))
    objective, views, batch = objective_of("rankcse"), make_views(SIZE), batch_of("rankcse")
    whole = objective(views, batch)
    shares = [objective(views, batch, rows) for rows in (slice(0, 3), slice(3, 8))]
    assert seen == [(SIZE, SIZE)] * 3
    torch.testing.assert_close(added(shares)["total"], whole.total)


def test_the_matrices_are_as_many_rows_as_are_computed() -> None:
    """With a quarter of the rows, what a step holds at its fullest is nearly a quarter."""
    size, peaks = 256, {}
    objective = objective_of("dalr")
    views, batch = make_views(size), make_batch(size, image_width=9, token_width=7)
    for count in (size, size // 4):
        with TensorMemory() as memory:
            objective(views, batch, slice(0, count)).total.backward()
        peaks[count] = memory.peak
    assert peaks[size // 4] < 0.4 * peaks[size]


def test_rows() -> None:
    rows = Rows(2, 3, 8, torch.device("cpu"))
    assert rows.own.tolist() == [2, 3, 4]
    assert rows.diagonal.nonzero().tolist() == [[0, 2], [1, 3], [2, 4]]
    assert rows.of(torch.arange(8)).tolist() == [2, 3, 4]
    assert rows.mean(torch.ones(3)).item() == pytest.approx(3 / 8)
    assert rows.mean(torch.ones(2, 3)).item() == pytest.approx(3 / 8)
    assert (rows.are_all, rows.share) == (False, 3 / 8)
    assert Rows(8, 0, 8, torch.device("cpu")).mean(torch.ones(2, 0)).item() == 0
    assert torch.equal(Rows.all_of(torch.zeros(2, 3, 3)).diagonal, torch.eye(3, dtype=torch.bool))


CEILINGS = {"simcse": 60, "mcse": 135, "kdmcse": 300, "dalr": 530, "rankcse": 170}


@pytest.mark.parametrize("name", CEILINGS)
def test_the_kernels_of_an_objective_have_a_ceiling(name: str) -> None:
    """Forward and backward, of a batch of pairs."""
    objective, views, batch = objective_of(name), make_views(SIZE), batch_of(name)
    with Operations() as operations:
        objective(views, batch).total.backward()
    assert operations.waits == Counter()
    assert operations.kernels.total() <= CEILINGS[name], operations.kernels.most_common(12)
