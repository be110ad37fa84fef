"""`dalr sweep extend`: real trainings of a tiny student, made longer in copies of their folders."""

import json
from pathlib import Path

import pytest

from dalr.errors import InputError
from dalr.sweeps.commands.extend import extend
from dalr.sweeps.execution.disk import DiskKeeper
from dalr.sweeps.execution.trial import train_here
from dalr.sweeps.search.snapshot import read_state, state_of
from dalr.sweeps.search.spec_file import save_spec
from dalr.sweeps.spec.loading import parse_spec
from tests.sweeps.make import coordinator, small_recipe
from tests.sweeps.search import fakes


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
    DiskKeeper().tidy(state_of(search), at_once=True)
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


def test_a_trial_without_its_checkpoint_is_refused(ended: Path) -> None:
    worst = read_state(ended).best()[-1]
    with pytest.raises(InputError, match=r"has no checkpoint any more: the best trials keep theirs"):
        extend(ended, worst.number, ["train.steps=12"])
