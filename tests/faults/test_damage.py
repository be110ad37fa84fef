"""Files that were damaged after they were written: a run goes on from the newest checkpoint that is whole."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dalr.config.overrides import with_overrides
from dalr.config.schema import RunConfig
from dalr.training.loop import train
from tests.dalr.training.test_loop import StopAfter
from tests.faults.conftest import Plan
from tests.faults.oracle import assert_as_undisturbed, checkpoints

pytestmark = pytest.mark.medium


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture(scope="module")
def stopped_once(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Path]:
    """A run that keeps all its checkpoints and was stopped after step 7: it has those of 3, 6 and 7."""
    config, out = with_overrides(plan.config, {"train.keep": 10}), tmp_path_factory.mktemp("stopped")
    train(config, out, callbacks=[StopAfter(7)], quiet=True)
    return config, out


@pytest.fixture
def stopped(stopped_once: tuple[RunConfig, Path], tmp_path: Path) -> tuple[RunConfig, Path]:
    """A copy of that run."""
    config, out = stopped_once
    return config, Path(shutil.copytree(out, tmp_path / "run"))


@pytest.mark.parametrize("file", ["student.safetensors", "objective.safetensors", "optimizer.pt", "meta.json"])
@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(
    file: str,
    damage: Callable[[Path], None],
    stopped: tuple[RunConfig, Path],
    plan: Plan,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config, out = stopped
    damage(out / "checkpoints" / "step-000007" / file)
    assert train(config, out, quiet=True).finished
    assert_as_undisturbed(out, plan.undisturbed)
    if (file, damage) == ("meta.json", Path.unlink):
        return  # without its notes a checkpoint does not exist
    (told,) = [record.getMessage() for record in caplog.records if record.name == "dalr.training.checkpoint_files"]
    assert f"step-000007: {file if damage is not Path.unlink else ''}" in told or file in told
    assert "step-000007.damaged" in checkpoints(out)


def test_without_the_best_checkpoint_a_run_goes_back_to_before_it(
    stopped: tuple[RunConfig, Path], plan: Plan, caplog: pytest.LogCaptureFixture
) -> None:
    config, out = stopped
    for step in (3, 6):
        flip(out / "checkpoints" / f"step-{step:06d}" / "student.safetensors")
    assert train(config, out, quiet=True).finished  # from the beginning: the best one is 3 or 6
    assert_as_undisturbed(out, plan.undisturbed)
    assert "step-000007 " not in caplog.text
