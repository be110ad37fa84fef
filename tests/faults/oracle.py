"""What holds after any fault, once the same command has run again: the undisturbed run's numbers."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file


def lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def weights(out: Path) -> dict[str, torch.Tensor]:
    """The last checkpoint's student and heads, and the exported model."""
    last = sorted((out / "checkpoints").glob("step-??????"))[-1]
    files = [last / "student.safetensors", last / "objective.safetensors", out / "model" / "model.safetensors"]
    return {
        f"{file.parent.name}/{file.stem}/{name}": value for file in files for name, value in load_file(file).items()
    }


def half_written(*folders: Path) -> list[Path]:
    """What is left of writing aside."""
    found = [path for folder in folders for path in folder.rglob(".*") if path.suffix in (".tmp", ".old")]
    return [*found, *(folder / ".ray" for folder in folders if (folder / ".ray").exists())]


def assert_as_undisturbed(out: Path, undisturbed: Path, *written: Path) -> None:
    """The run in `out` has the weights, the losses and the scores of the other, bit for bit, each step
    once, and nothing half-written lies in it or in the folders `written`."""
    own, expected = lines(out), lines(undisturbed)
    assert [line["step"] for line in own] == [line["step"] for line in expected]
    timed = {"seconds", "samples_per_second", "evaluation_seconds"}
    for one, other in zip(own, expected, strict=True):
        assert {k: v for k, v in one.items() if k not in timed} == {k: v for k, v in other.items() if k not in timed}
    one, other = weights(out), weights(undisturbed)
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert half_written(out, *written) == []


def checkpoints(out: Path) -> list[str]:
    """The names in the folder of checkpoints."""
    return sorted(path.name for path in (out / "checkpoints").iterdir())
