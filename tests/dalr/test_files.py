"""Replacing a folder survives a kill at each of its moments; a lock names who holds it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dalr import files
from dalr.errors import Failed
from dalr.files import Locked, atomic_write, locked, remove_leftovers, remove_tree

MOMENTS = ("inside the block", "before the first rename", "between the renames", "after the second", "removing the old")


def replace_and_die(folder: Path, moment: str) -> None:
    """Replaces `folder`/model, and ends this process at the moment as a kill would: nothing is tidied up."""
    rename, rmtree, renames = Path.rename, shutil.rmtree, 0

    def dying_rename(path: Path, target: Path) -> Path:
        nonlocal renames
        if moment == ("before the first rename", "between the renames")[renames]:
            os._exit(9)
        renames += 1
        renamed = rename(path, target)
        if moment == "after the second" and renames == 2:
            os._exit(9)
        return renamed

    def dying_rmtree(path: Path, **_: bool) -> None:
        if moment == "removing the old":
            (path / "one").unlink()
            os._exit(9)
        rmtree(path)

    Path.rename, files.shutil.rmtree = dying_rename, dying_rmtree  # type: ignore[method-assign,assignment]
    with atomic_write(folder / "model") as aside:
        write(aside, "new")
        if moment == "inside the block":
            os._exit(9)


def write(folder: Path, text: str) -> None:
    folder.mkdir(parents=True)
    for name in ("one", "two"):
        (folder / name).write_text(text)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_folder_is_the_old_or_the_new_one_after_a_kill_at_any_moment(moment: str, tmp_path: Path) -> None:
    write(tmp_path / "model", "old")
    child = os.fork()
    if not child:
        replace_and_die(tmp_path, moment)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    expected = "new" if moment in ("after the second", "removing the old") else "old"
    assert {path.name: path.read_text() for path in (tmp_path / "model").iterdir()} == {
        "one": expected,
        "two": expected,
    }


def test_leftovers_of_one_name_are_told_from_others(tmp_path: Path) -> None:
    for name in ("a", "a.b", "[a]"):
        write(tmp_path / f".{name}.0123abcd.tmp", "half")
    remove_leftovers(tmp_path, "[a]")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.0123abcd.tmp", ".a.b.0123abcd.tmp"]
    remove_leftovers(tmp_path, "a")
    assert [path.name for path in tmp_path.iterdir()] == [".a.b.0123abcd.tmp"]


def test_what_is_removed_does_not_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "step-000003", "superseded")
    with monkeypatch.context() as patch:
        patch.setattr(files.shutil, "rmtree", lambda path: None)  # killed before a file of it was gone
        remove_tree(tmp_path / "step-000003")
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_names_its_holder_and_is_free_when_that_dies(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom dalr.files import locked\n"
        f"with locked(pathlib.Path({str(tmp_path / 'lock')!r}), seconds=0.0, what='it'):\n"
        "    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(Locked, match=rf"another process \(process {holder.pid} on .*\) is at work on the run in a;"),
            locked(tmp_path / "lock", seconds=0.0, what="the run in a"),
        ):
            pytest.fail("both hold it")
    finally:
        holder.kill()
        holder.communicate()
    with locked(tmp_path / "lock", seconds=5.0, what="the run in a"):
        assert f"process {os.getpid()}" in (tmp_path / "lock").read_text()
    assert issubclass(Locked, Failed)


def test_a_trial_waits_longer_for_its_folder_than_a_lost_machine_s_lock_lives() -> None:
    from dalr.sweeps.execution import trial
    from dalr.training import run_folder

    lease = 90.0  # NFS, by default
    assert trial.LOCK_SECONDS == run_folder.LOCK_SECONDS > lease
