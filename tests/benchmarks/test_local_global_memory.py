"""Peak memory of `local_global`, forward and backward, at B = 512, L = 32, D = 768.

Comparing every token of every sentence with every other token would hold at least one float32 matrix
[B, L, B, L] and its gradient. Each measurement is a process of its own, because a process's peak
never falls.
"""

import subprocess
import sys

import pytest

SIZE, LENGTH, WIDTH = 512, 32, 768
MIB = 2**20

MEASURE = """
import resource, sys
from pathlib import Path
import torch
from dalr.losses import local_global

size, length, width = map(int, sys.argv[1:])
torch.manual_seed(0)
sentences = torch.randn(size, width, requires_grad=True)
tokens = torch.nn.functional.normalize(torch.randn(size, length, width), dim=-1)
mask = torch.ones(size, length, dtype=torch.bool)
local_global(sentences[:4], tokens[:4], mask[:4], temperature=0.05).backward()
before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
local_global(sentences, tokens, mask, temperature=0.05).backward()
assert torch.isfinite(sentences.grad).all()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before)
"""


def peak(length: int) -> int:
    """Bytes that one forward and backward pass needs beside its inputs."""
    command = [sys.executable, "-c", MEASURE, str(SIZE), str(length), str(WIDTH)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.benchmark
def test_memory_grows_with_the_tokens_and_not_with_their_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    used, doubled = peak(LENGTH), peak(2 * LENGTH)
    naive = 2 * 4 * (SIZE * LENGTH) ** 2
    with capsys.disabled():
        print(
            f"\nlocal_global at B={SIZE}, L={LENGTH}, D={WIDTH}: {used / MIB:.0f} MiB peak beside its inputs, "
            f"naive at least {naive / MIB:.0f} ({naive / used:.1f} times); at L={2 * LENGTH} {doubled / MIB:.0f}"
        )
    assert used < naive / 8
    assert doubled < 2.5 * used
