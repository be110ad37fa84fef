"""The student's two passes, and the groups of like length in which they are encoded."""

from pathlib import Path

import pytest
import torch

from dalr.config.schema import ModelConfig
from dalr.model.student import Student, make_student
from tests.tiny import write_tiny_bert

LENGTHS = (5, 9, 3, 9, 1, 7, 5)


@pytest.fixture
def student(tmp_path: Path) -> Student:
    write_tiny_bert(tmp_path / "bert")
    torch.manual_seed(0)
    return make_student(ModelConfig(student=str(tmp_path / "bert"), pooler="avg", dropout=0.0))[0].train()


def padded() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    return torch.randint(5, 40, mask.shape, generator=generator) * mask, mask


@pytest.mark.parametrize("pooler", ["avg", "cls_before_pooler"])
@pytest.mark.parametrize("groups", [1, 2, 3, 7, 64])
def test_groups_change_neither_vectors_nor_gradients(student: Student, groups: int, pooler: str) -> None:
    student.pooler = pooler  # type: ignore[assignment]
    ids, mask = padded()
    weights = torch.randn(len(ids), 2, student.width, generator=torch.Generator().manual_seed(2))
    # The plain way: each sentence alone, by its ids, without padding.
    states = [student.encoder(row[None, :n]).last_hidden_state[0] for row, n in zip(ids, LENGTHS, strict=True)]
    alone = torch.stack([s[0] if pooler == "cls_before_pooler" else s.mean(0) for s in states])
    pooled = alone[:, None].expand(-1, 2, -1)
    expected = student.head(pooled)
    (expected * weights).sum().backward()
    gradients = {name: p.grad.clone() for name, p in student.named_parameters() if p.grad is not None}
    student.zero_grad()
    views = student(ids, mask, groups=groups)
    torch.testing.assert_close(views.projected, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(views.pooled, pooled, atol=1e-5, rtol=1e-5)
    (views.projected * weights).sum().backward()
    for name, p in student.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(p.grad, gradients.pop(name), atol=1e-5, rtol=1e-4, msg=name)
    assert not gradients


def test_the_two_passes_differ_by_dropout_alone(student: Student) -> None:
    ids, mask = padded()
    both = student(ids, mask, groups=3).pooled
    torch.testing.assert_close(both[:, 0], both[:, 1])
    for module in student.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    both = student(ids, mask, groups=3).pooled
    assert (both[:, 0] - both[:, 1]).abs().amax(1).min() > 1e-3


def test_left_padding_is_kept(student: Student) -> None:
    ids, mask = padded()
    views = student(ids.flip(1), mask.flip(1), groups=3)
    assert views.pooled.shape == (len(ids), 2, student.width)
    whole = student(ids.flip(1), mask.flip(1), groups=1)
    torch.testing.assert_close(views.pooled, whole.pooled, atol=1e-5, rtol=1e-5)
