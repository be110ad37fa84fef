"""The memory estimate against real models: exact where it counts, an upper bound where it guesses."""

from dataclasses import replace

import pytest
import torch
from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

from dalr.cluster.preflight.memory import EncoderShape, encoder_config, estimate_memory
from dalr.config.overrides import with_overrides
from dalr.config.schema import ModelConfig, RunConfig, TrainConfig
from dalr.errors import InputError
from dalr.model.student import Student

SMALL = {
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 100,
    "vocab_size": 211,
    "max_position_embeddings": 40,
}


@pytest.mark.parametrize(("config_class", "model_class"), [(BertConfig, BertModel), (RobertaConfig, RobertaModel)])
def test_parameters_are_counted_exactly(config_class, model_class):
    config = config_class(**SMALL)
    model = model_class(config)
    shape = EncoderShape.of(config.to_dict())
    assert shape.parameters() == sum(p.numel() for p in model.parameters())


def test_a_cut_encoder_counts_its_kept_layers():
    config = BertConfig(**SMALL).to_dict()
    assert EncoderShape.of(config, layers=2) == EncoderShape.of({**config, "num_hidden_layers": 2})


def test_other_families_names_are_known():
    distil = {"dim": 64, "n_layers": 2, "hidden_dim": 128, "n_heads": 4, "vocab_size": 50}
    shape = EncoderShape.of(distil)
    assert (shape.width, shape.layers, shape.inner, shape.heads) == (64, 2, 128, 4)
    with pytest.raises(KeyError, match="hidden_size"):
        EncoderShape.of({"vocab_size": 5})


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("half", [False, True])
def test_activations_bound_what_autograd_saves(attention, half):
    config = BertConfig(**SMALL, attn_implementation=attention)
    model = BertModel(config, add_pooling_layer=False).train()
    measured = _saved_bytes(model, half)
    # Autocast's bfloat16 copies of the matrices are part of `weights`.
    measured -= 2 * sum(p.numel() for p in model.parameters() if p.dim() == 2) if half else 0
    expected = EncoderShape.of(config.to_dict()).activations(6, 24, element=2 if half else 4)
    assert measured <= 1.03 * expected
    assert expected <= (1.5 if half else 1.05) * measured


@pytest.mark.parametrize("half", [False, True])
def test_checkpointed_layers_keep_their_inputs_and_one_is_whole(half):
    element = 2 if half else 4
    config = BertConfig(**SMALL)
    student = Student(BertModel(config, add_pooling_layer=False), "avg")
    student.checkpoint_activations()
    shape = EncoderShape.of(config.to_dict())
    kept = _saved_bytes(student.encoder.train(), half)
    # While a layer is computed again, all that it saves is alive beside the inputs of all.
    one, none = (replace(shape, layers=count).activations(6, 24, element) for count in (1, 0))
    expected = shape.activations(6, 24, element, checkpointing=True) - (one - none)
    assert kept <= 1.03 * expected
    assert expected <= 1.5 * kept
    assert shape.activations(6, 24, element, checkpointing=True) < 0.6 * shape.activations(6, 24, element)


def _saved_bytes(model, half):
    """The bytes that a real forward pass saves for its backward pass, weights left out."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    saved: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = tensor
        return tensor

    ids = torch.randint(0, SMALL["vocab_size"], (6, 24))
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=half),
    ):
        output = model(ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    assert output.requires_grad
    return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


def _estimate(workers: int = 1, on_gpu: bool = False, **train):
    config = RunConfig(model=ModelConfig(max_tokens=24), train=TrainConfig(steps=1, batch_size=64, **train))
    return estimate_memory(config, BertConfig(**SMALL).to_dict(), workers=workers, on_gpu=on_gpu)


def test_each_setting_moves_its_own_part():
    plain = _estimate()
    assert _estimate(accumulate=4).activations == plain.activations // 4
    assert _estimate(workers=2).activations == plain.activations // 2
    assert _estimate(workers=2).gradients == plain.gradients
    assert _estimate(workers=2).objective == plain.objective // 2
    assert _estimate(precision="bfloat16").activations < plain.activations
    assert _estimate(activation_checkpointing=True).activations < plain.activations
    assert _estimate(precision="bfloat16").weights == 1.5 * plain.weights


def test_with_a_gpu_the_host_keeps_the_process_and_a_checkpoint():
    host, device = _estimate(), _estimate(on_gpu=True)
    assert host.device == 0
    assert device.device > device.training == host.training
    assert device.host < host.host
    assert "activations" in device.explain()


def test_the_student_config_is_read_from_its_folder(tiny_bert, tmp_path):
    values = encoder_config(str(tiny_bert))
    assert values is not None
    assert values["hidden_size"] == 32
    with pytest.raises(InputError, match="no such folder"):
        encoder_config(str(tmp_path / "none"))


def test_a_hub_name_out_of_reach_gives_no_estimate(caplog):
    assert encoder_config("nobody/no-such-model") is None
    assert "no estimate of memory" in caplog.text


def test_online_teachers_are_counted_where_their_token_states_are_needed():
    """Weights exactly; the states of the whole batch."""
    shape, config = EncoderShape.of(BertConfig(**SMALL).to_dict()), BertConfig(**SMALL).to_dict()
    values = RunConfig(model=ModelConfig(max_tokens=24), train=TrainConfig(steps=1, batch_size=64))
    plain = estimate_memory(values, config, teachers=[config])
    assert plain.teachers == 0
    assert "teachers" not in plain.explain()
    term = {"objective.intra_modal": 1.0, "objective.weights.local_global": 1.0, "objective.on_text": ["local_global"]}
    active = with_overrides(values, {"teachers.text": [{"model": "any"}], **term})
    one, two = (estimate_memory(active, config, teachers=[config] * count) for count in (1, 2))
    assert two.teachers - one.teachers == 4 * shape.parameters()
    states = 3 * 64 * 24 * 48 * 4
    assert one.teachers > 4 * shape.parameters() + states
    assert two.host - one.host == 4 * shape.parameters()
    assert "teachers" in one.explain()
