"""The student with its layers' activations computed again: the same gradient, held in less memory."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertModel

from dalr.config.overrides import with_overrides
from dalr.config.schema import RunConfig
from dalr.errors import InputError
from dalr.model.student import Student
from dalr.training.run_folder import RunFolder
from dalr.training.trainer import Run
from tests.tensor_memory import TensorMemory

LAYERS, SEQUENCES, TOKENS = 6, 16, 20


def make_student(*, checkpointing: bool) -> Student:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=LAYERS, num_attention_heads=2, intermediate_size=128
    )
    student = Student(BertModel(config), "avg").train()
    if checkpointing:
        student.checkpoint_activations()
    return student


def backward(student: Student) -> tuple[Tensor, dict[str, Tensor]]:
    """A loss and every gradient, with the model's own dropout of 0.1, drawn from a fixed seed."""
    ids = torch.randint(0, 50, (SEQUENCES, TOKENS), generator=torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    views = student(ids, torch.ones_like(ids))
    loss = (views.projected[:, 0] * views.projected[:, 1]).sum() + views.pooled.square().sum()
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in student.named_parameters() if p.grad is not None}


def test_the_gradient_is_the_same_bit_for_bit_with_dropout() -> None:
    loss, plain = backward(make_student(checkpointing=False))
    again, recomputed = backward(make_student(checkpointing=True))
    assert torch.equal(loss, again)
    assert plain.keys() == recomputed.keys()
    assert len(plain) > 16 * LAYERS
    for name, gradient in plain.items():
        assert torch.equal(gradient, recomputed[name]), name


def peak_bytes(student: Student) -> int:
    """The most bytes of tensors alive at once in a forward and backward pass, beside the weights."""
    with TensorMemory() as memory:
        backward(student)
    return memory.peak


def test_the_memory_is_counted_where_it_is_known() -> None:
    with TensorMemory() as memory:
        kept = torch.zeros(1000)
        view = kept.view(10, 100)
        passing = view + 1
        del passing
        added = kept.add_(1)
    assert added is kept
    assert (memory.now, memory.peak) == (4000, 8000)


def test_the_peak_of_a_step_falls() -> None:
    plain, recomputed = (peak_bytes(make_student(checkpointing=on)) for on in (False, True))
    # One of six layers is whole at a time; the gradients of all weights are part of both sides.
    assert recomputed < 0.5 * plain


def test_evaluation_is_not_affected() -> None:
    plain, checkpointed = make_student(checkpointing=False).eval(), make_student(checkpointing=True).eval()
    ids = torch.randint(0, 50, (4, TOKENS))
    with torch.inference_mode():
        one, other = (student(ids, torch.ones_like(ids)).pooled for student in (plain, checkpointed))
    assert torch.equal(one, other)


def test_an_encoder_that_cannot_is_refused_with_the_key() -> None:
    class Stubborn(BertModel):
        supports_gradient_checkpointing = False

    config = BertConfig(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    with pytest.raises(InputError, match=r"train\.activation_checkpointing: Stubborn does not support"):
        Student(Stubborn(config), "avg").checkpoint_activations()


def test_the_config_turns_it_on_for_the_student(small: RunConfig, tmp_path: Path) -> None:
    for accumulate in (1, 3):
        metrics = []
        for on in (False, True):
            changes = {"model.dropout": 0.1, "train.activation_checkpointing": on, "train.accumulate": accumulate}
            run = Run.start(with_overrides(small, changes), RunFolder(tmp_path), torch.device("cpu"))
            assert bool(run.student.encoder.is_activation_checkpointing) == on
            run.step()
            run.step()
            metrics.append([(line.metrics["loss"], line.metrics["grad_norm"]) for line in run.read()[0]])
        assert metrics[0] == metrics[1]
