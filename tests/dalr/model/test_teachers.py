"""The frozen text teachers under autocast."""

from pathlib import Path

import torch

from dalr.model.teachers import TextTeacherEncoder


def test_weights_rounded_once_give_the_states_of_weights_rounded_at_every_pass(tiny_bert: Path) -> None:
    teacher = TextTeacherEncoder(str(tiny_bert), "avg")
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 40, (4, 9), generator=generator)
    mask = (torch.arange(9) < torch.tensor([9, 2, 5, 7])[:, None]).long()
    full = teacher.tokens(ids, mask)
    with torch.autocast("cpu", torch.bfloat16):
        before = teacher.tokens(ids, mask)
        teacher.narrow()
        after = teacher.tokens(ids, mask)
    assert torch.equal(before, after)
    assert not torch.equal(before, full)  # autocast was at work
    assert after.dtype == torch.float32
