"""How long training waits for a checkpoint that is copied and written beside it, against the writing.

The step after the save is a matrix product that takes longer than the copy, as the gradient of any real batch does.
"""

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from dalr.config.schema import RunConfig
from dalr.identity import Identity
from dalr.training.checkpoint import Progress, Trainables, save_checkpoint, state_of
from dalr.training.run_folder import RunFolder
from dalr.training.saver import Saver

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

REPEATS = 5
SHARE = 0.05
GRADIENT = 40


def trainables() -> Trainables:
    """22 million parameters in the shapes of a 6-layer encoder 384 wide, with AdamW's moments: 270 MB."""
    shapes = [(30522, 384), *[(384, 384)] * 24, *[(384, 1536)] * 12]
    student = nn.ParameterList([nn.Parameter(torch.randn(shape)) for shape in shapes])
    optimizer = torch.optim.AdamW(student.parameters())
    for parameter in student:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return Trainables(student, nn.Linear(384, 256), optimizer)


def test_the_stall_is_a_twentieth_of_the_write_at_most(tmp_path: Path) -> None:
    """Alternates the two in one run: written while the loop waits, and by the thread. Torch has all cores, as in
    training."""
    torch.set_num_threads(os.cpu_count() or 1)
    values = trainables()
    config = RunConfig()
    identity, folder = Identity(config, {}), RunFolder(tmp_path)
    tmp_path.joinpath("provenance.json").write_text('{"attempts": [{}]}')
    saver = Saver(folder, identity, [])
    synchronous, stalls = [], []
    square = torch.randn(1024, 1024)
    for number in range(REPEATS + 1):
        began = time.perf_counter()
        save_checkpoint(tmp_path / "plain", state_of(values), Progress(step=number + 1), identity)
        synchronous.append(time.perf_counter() - began)
        run: Any = SimpleNamespace(trainables=values, progress=Progress(step=number + 1), total=10**6)
        began = time.perf_counter()
        saver.save_if_due(run, stopping=True)
        waited = time.perf_counter() - began
        for _ in range(GRADIENT):
            square = square @ square / 1e3
        began = time.perf_counter()
        saver.wait_copied()
        stalls.append(waited + time.perf_counter() - began)
        saver.finish()
    saver.close()
    # The least of each: what else the machine does only adds.
    write, stall = min(synchronous[1:]), min(stalls[1:])
    print(f"\nwrite {write:.3f} s, stall {stall * 1e3:.1f} ms: {stall / write:.1%}; first copy {stalls[0]:.3f} s")
    assert stall <= SHARE * write
