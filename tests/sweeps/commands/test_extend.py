"""`dalr sweep extend`: real trainings of a tiny student, made longer in copies of their folders."""

import json
from pathlib import Path

import polars as pl
import pytest

from dalr.errors import InputError
from dalr.reports.build import build
from dalr.reports.options import Options
from dalr.sweeps.commands.control import answer, asked_once
from dalr.sweeps.commands.extend import extend
from dalr.sweeps.commands.questions import best, status, why
from dalr.sweeps.execution.disk import DiskKeeper
from dalr.sweeps.execution.place import SharedSweep
from dalr.sweeps.execution.trial import train_here
from dalr.sweeps.search.control import Control
from dalr.sweeps.search.requests import ExtendedRun, new_request
from dalr.sweeps.search.snapshot import read_state, state_of
from dalr.sweeps.search.spec_file import save_spec
from dalr.sweeps.spec.loading import parse_spec
from tests.sweeps.make import coordinator, small_recipe, spec
from tests.sweeps.search import fakes

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """Four trials of 8 steps; of all but the best three the checkpoints are gone."""
    folder = tmp_path_factory.mktemp("ended")
    chosen = parse_spec(
        {
            "recipe": str(small_recipe(folder, tiny_bert, steps=8, eval_every=4)),
            "space": {"optim.learning_rate": {"choice": [1e-3, 5e-4, 1e-4, 1e-5]}},
            "sampler": {"name": "grid"},
        }
    )
    out = folder / "sweep"
    out.mkdir()
    save_spec(chosen, out)
    search = coordinator(chosen, out, touch=False)
    fakes.work(search, trainer=train_here)
    DiskKeeper(SharedSweep(Path(search.out)).remove).tidy(state_of(search), at_once=True)
    return out


def lines(folder: Path) -> list[dict[str, float]]:
    """metrics.jsonl without what the clock says."""
    read = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if "second" not in key} for line in read]


def test_a_trial_trains_on_in_a_copy_and_keeps_its_value(ended: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = read_state(ended)
    winner = before.best()[0]
    extend(ended, winner.number, ["train.steps=12"])
    original, copy = (
        ended / "runs" / f"trial-{winner.number:04d}-seed-1",
        ended / "extended" / f"trial-{winner.number:04d}" / "seed-1",
    )
    assert len(lines(original)) == 8
    assert [line["step"] for line in lines(copy)] == list(range(1, 13))
    assert lines(copy)[:8] == lines(original), "it has not begun anew"
    assert "STSBenchmark.dev" in capsys.readouterr().out
    after = read_state(ended)
    assert after.trials == before.trials, "the search compares its trials at one length"
    (request,) = (known for known in after.requests if known.action == "extend")
    assert (request.state, request.words) == ("obeyed", f"extend {winner.number} train.steps=12")
    assert f"after 12 steps, {winner.values[0]:.2f} after 8" in request.answer


def test_an_extended_trial_is_seen_everywhere(ended: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the file of trials, in what the commands say, in the report; while a sweep runs, by its own process."""
    second = read_state(ended).best()[1]
    extend(ended, second.number, ["train.steps=10"])
    extend(ended, second.number, ["train.steps=12"])
    ((longer,),) = (runs for trial, runs in read_state(ended).extensions.items() if trial == second.number)
    copy = lines(ended / "extended" / f"trial-{second.number:04d}" / "seed-1")
    reached = max(line["STSBenchmark.dev"] for line in copy if "STSBenchmark.dev" in line)
    assert (longer.seed, longer.steps, longer.value) == (1, 12, reached)

    frame = pl.read_parquet(ended / "trials.parquet").filter(pl.col("trial") == second.number)
    assert frame.select("extended_steps", "extended_value", "value", "steps").row(0) == (
        12, reached, second.values[0], 8,
    )  # fmt: skip
    capsys.readouterr()
    status(ended)
    best(ended)
    why(ended, second.number)
    said = capsys.readouterr().out
    line = f"trial {second.number} was extended: STSBenchmark.dev {reached:.2f} after 12 steps; {ended}/extended/"
    assert said.count(line) == 2, said
    assert f"  extended to 12 steps: STSBenchmark.dev {reached:.2f}" in said.splitlines()

    (board,) = (table for table in build([ended], Options(with_figures=False)).tables if "leaderboard" in table.name)
    told = f"Extended: trial {second.number} to 12 steps, {reached:.2f}; its value here is that of the search."
    assert told in board.notes


def test_a_running_sweep_s_files_say_what_was_extended_meanwhile(tmp_path: Path) -> None:
    chosen = spec(budget={"trials": 2})
    save_spec(chosen, tmp_path)
    search = coordinator(chosen, tmp_path, touch=False)
    control = Control(search, chosen, every=0.0)
    search.listen = control.look
    fakes.work(search, reports=6)
    state = read_state(tmp_path)
    request = new_request("extend", 0, {"train.steps": 30})
    answer(state, asked_once(state, request), "obeyed", "81.00 after 30 steps", [ExtendedRun(1, 30, 81.0)])
    control.look()
    frame = pl.read_parquet(tmp_path / "trials.parquet")
    assert frame.filter(pl.col("trial") == 0).select("extended_steps", "extended_value").row(0) == (30, 81.0)


@pytest.mark.parametrize(
    ("trial", "words", "message"),
    [
        (9, ["train.steps=12"], "no trial 9"),
        (0, ["optim.learning_rate=1"], "expected train.steps=N alone"),
    ],
)
def test_what_cannot_be_extended_is_refused(ended: Path, trial: int, words: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        extend(ended, trial, words)
    assert message in str(caught.value)


def test_a_length_that_the_trial_has_passed_is_refused_and_nothing_copied(ended: Path) -> None:
    third = read_state(ended).best()[2]
    asked = len(read_state(ended).requests)
    with pytest.raises(InputError, match=r"^trial \d: train.steps was 8, is 4: extend=True makes a run longer"):
        extend(ended, third.number, ["train.steps=4"])
    assert not (ended / "extended" / third.name).exists()
    assert len(read_state(ended).requests) == asked


def test_a_trial_without_its_checkpoint_is_refused(ended: Path) -> None:
    worst = read_state(ended).best()[-1]
    with pytest.raises(InputError, match=r"has no checkpoint any more: the best trials keep theirs"):
        extend(ended, worst.number, ["train.steps=12"])
