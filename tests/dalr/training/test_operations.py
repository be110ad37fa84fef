"""What a step asks of the device: nothing that the host waits for, and no more kernels than it must."""

from collections import Counter
from pathlib import Path

import pytest
import torch

from dalr.data.features.prepare import prepare_features
from dalr.data.features.token_states import CachedTokenStates
from dalr.model.student import Groups
from dalr.training.grad_cache import compute_gradients, seed_step
from dalr.training.run_folder import RunFolder
from dalr.training.trainer import Run
from tests.dalr.training.objectives import OBJECTIVES, OPTIONS, Variants, config_for
from tests.operations import Operations
from tests.tiny import write_tiny_bert

pytestmark = pytest.mark.medium

STEPS = 20


@pytest.fixture(scope="module")
def deep_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many layers as BERT-base, with dropout."""
    folder = tmp_path_factory.mktemp("models") / "deep"
    write_tiny_bert(folder, layers=12, dropout=0.1)
    return folder


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_no_operation_of_a_step_waits(
    objective: str, accumulate: int, corpora: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    """Text and pairs come in turn; every later step does what these do."""
    steps = 4
    config = config_for(objective, corpora, tiny_bert, train__steps=steps, train__accumulate=accumulate)
    run = Run.start(config, RunFolder(tmp_path), torch.device("cpu"))
    with Operations() as operations:
        for _ in range(steps):
            run.step()
    assert operations.waits == Counter()
    assert run.progress.step == steps


@pytest.mark.parametrize("option", OPTIONS)
def test_no_setting_makes_a_step_wait(option: str, variants: Variants, tmp_path: Path) -> None:
    """Nor does a user's own term that asks for no number."""
    run = Run.start(variants(option), RunFolder(tmp_path), torch.device("cpu"))
    with Operations() as operations:
        for _ in range(4):
            run.step()
    run.close()
    assert operations.waits == Counter()


def test_twenty_steps_are_read_with_one_wait(corpora: Path, tiny_bert: Path, tmp_path: Path) -> None:
    run = Run.start(config_for("dalr", corpora, tiny_bert), RunFolder(tmp_path), torch.device("cpu"))
    for _ in range(STEPS):
        run.step()
    with Operations() as operations:
        lines, failure = run.read()
    assert failure is None
    assert [line.step for line in lines] == list(range(1, STEPS + 1))
    assert operations.kernels["aten.cat"] == 1  # and one copy of what it makes to the host


@pytest.mark.parametrize("cached", [False, True])
def test_cached_and_online_token_states_wait_for_nothing(
    cached: bool, corpora: Path, tiny_bert: Path, tmp_path: Path
) -> None:
    """A term on text batches too, whatever the teachers' states come from."""
    store = str(tmp_path / "features")
    config = config_for("everything", corpora, tiny_bert, train__batch_size=7, data__store=store)
    if cached:
        prepare_features(config, cache_tokens=True, quiet=True)
    run = Run.start(config, RunFolder(tmp_path), torch.device("cpu"))
    assert isinstance(run.features.token_states, CachedTokenStates) == cached
    with Operations() as operations:
        for _ in range(4):
            run.step()
    assert operations.waits == Counter()


CEILINGS = [(1, 1, 1000), (1, "packed", 1150), (1, 4, 4500), (4, 1, 6300), (4, 4, 24800)]


@pytest.mark.parametrize(("parts", "groups", "ceiling"), CEILINGS)
def test_the_kernels_of_a_gradient_have_a_ceiling(
    parts: int, groups: Groups, ceiling: int, corpora: Path, deep_bert: Path, tmp_path: Path
) -> None:
    """SimCSE on a student of 12 layers, forward and backward."""
    config = config_for("simcse", corpora, deep_bert, data__pair_every=None, train__batch_size=64)
    run = Run.start(config, RunFolder(tmp_path), torch.device("cpu"))
    run.student.pack_tokens()
    batch = run.prepared_batch(0)
    with Operations() as operations:
        compute_gradients(
            run.student.train(),
            run.objective,
            batch,
            run.gradients,
            parts=parts,
            groups=groups,
            seed=lambda part: seed_step(1, 0, part),
            autocast=run.autocast,
        )
    assert operations.kernels.total() <= ceiling, operations.kernels.most_common(12)
