"""Teachers mixed, and their token states normalised, against plain loops."""

import numpy as np
import pytest
import torch

from dalr.losses.similarity import cosine
from dalr.losses.targets import TeacherMix, TokenNorm, normalise_tokens
from tests.dalr.losses import oracles
from tests.dalr.losses.sampling import rows


def test_ranks_mix_similarities_with_normalised_weights() -> None:
    a, b = rows(4, 5, seed=1), rows(4, 3, seed=2)
    expected = 0.25 * oracles.cosine(a.numpy(), a.numpy()) + 0.75 * oracles.cosine(b.numpy(), b.numpy())
    assert np.allclose(TeacherMix((5, 3), (1, 3)).rank_similarity([a, b]), expected)


def test_alignment_mixes_embeddings_of_one_width() -> None:
    a, b = rows(4, 5, seed=1), rows(4, 5, seed=2)
    mixed = (0.25 * a + 0.75 * b).numpy()
    assert np.allclose(TeacherMix((5, 5), (1, 3)).similarity([a, b]), oracles.cosine(mixed, mixed))


def test_alignment_mixes_similarities_where_widths_differ() -> None:
    a, b = rows(4, 5, seed=1), rows(4, 3, seed=2)
    mix = TeacherMix((5, 3), (1, 3))
    assert torch.equal(mix.similarity([a, b]), mix.rank_similarity([a, b]))


def test_a_teacher_of_weight_0_says_nothing() -> None:
    a, b = rows(4, 5, seed=1), rows(4, 3, seed=2)
    assert torch.allclose(TeacherMix((5, 3), (2, 0)).similarity([a, b]), cosine(a, a))


@pytest.mark.parametrize("norm", ["feature", "token", "token_padded"])
def test_token_norms_equal_the_loop(norm: TokenNorm) -> None:
    tokens = rows(12, 5).view(3, 4, 5)
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]], dtype=torch.bool)
    ours = normalise_tokens(tokens, mask, norm)
    assert np.allclose(ours, oracles.normalise_tokens(tokens.numpy(), mask.numpy(), norm))


@pytest.mark.parametrize(("norm", "depends"), [("feature", False), ("token", False), ("token_padded", True)])
def test_only_token_padded_depends_on_the_padding(norm: TokenNorm, depends: bool) -> None:
    tokens, mask = rows(8, 5).view(2, 4, 5), torch.tensor([[True, True, False, False]] * 2)
    other = torch.where(mask[..., None], tokens, 7.0)
    same = torch.equal(normalise_tokens(tokens, mask, norm)[mask], normalise_tokens(other, mask, norm)[mask])
    assert same is not depends


@pytest.mark.parametrize("norm", ["feature", "token", "token_padded"])
def test_states_of_0_stay_0(norm: TokenNorm) -> None:
    assert not normalise_tokens(torch.zeros(2, 3, 4), torch.ones(2, 3).bool(), norm).any()
