"""A disk that runs full at every moment: one line, exit code 1, what was saved stays, and after room is
made the same command goes on. The disk is a real file system of 4 MB."""

from pathlib import Path

import pytest

from tests.faults.conftest import Plan
from tests.faults.inject import Fault, Moment, dalr_apart
from tests.faults.oracle import assert_as_undisturbed, checkpoints, half_written

pytestmark = pytest.mark.medium


@pytest.mark.parametrize(
    ("moment", "step", "saved", "what"),
    [
        ("start-up", 0, [], "/store/"),
        ("step", 5, ["step-000003"], "/run/"),
        ("checkpoint", 6, ["step-000003"], "/run/checkpoints/step-000006"),
        ("evaluation", 6, ["step-000003"], "/run/"),
        ("export", 8, ["step-000006", "step-000008"], "/run/model"),
    ],
)
def test_a_full_disk_is_one_line_and_costs_the_time_since_the_checkpoint(
    moment: Moment, step: int, saved: list[str], what: str, plan: Plan, small_disk: Path, tmp_path: Path
) -> None:
    out, store = small_disk / "run", small_disk / "store"
    words = [*plan.words, f"data.store={store}", "train.keep=2", "--out", str(out)]
    fault = Fault("fill", moment, tmp_path / "struck", step, disk=small_disk)
    said = dalr_apart(words, tmp_path / "first", fault)
    assert said.code == 1
    assert said.err.startswith("dalr: [Errno 28] No space left on device: ")
    assert what in said.err
    assert said.err.endswith("; make room, and the same command continues\n")
    assert len(said.err.splitlines()) == 1
    assert half_written(out, store) == []
    if saved:
        assert set(saved) <= set(checkpoints(out)), "the checkpoints before stay"
        assert checkpoints(out)[-1] == saved[-1]
    # Nothing has changed: the same line again, and nothing is lost by trying.
    assert dalr_apart(words, tmp_path / "again").code == 1
    (small_disk / "filler").unlink()
    assert dalr_apart(words, tmp_path / "second").code == 0
    assert_as_undisturbed(out, plan.undisturbed, store)


def test_a_quota_is_named_as_such(plan: Plan, tmp_path: Path) -> None:
    """The limit of a file's size stands for a quota: it needs no rights, and the system's words differ."""
    out = tmp_path / "run"
    words = [*plan.words, "--out", str(out)]
    # Smaller than a checkpoint's files, larger than all others.
    said = dalr_apart(words, tmp_path / "first", file_limit=40_000)
    assert said.code == 1
    assert said.err.startswith("dalr: [Errno 27] File too large: ")
    assert "step-000003" in said.err
    assert (checkpoints(out), half_written(out)) == ([], [])
    assert dalr_apart(words, tmp_path / "second").code == 0
    assert_as_undisturbed(out, plan.undisturbed)
