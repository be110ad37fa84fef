"""The encoder against a plain loop of one sentence at a time, and what it must leave untouched."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dalr.errors import InputError
from dalr.evaluation import SentenceEncoder
from dalr.evaluation.encoder import evaluating
from dalr.evaluation.st_folder import SentenceModules, read_head
from dalr.model.loading import load_encoder
from dalr.model.pooling import pool

SENTENCES = ["a man runs in the park", "a dog", "", "the big red ball is with the girl and the boy", "a dog", "sits"]


def one_at_a_time(folder: Path, pooler: str) -> np.ndarray:
    model, tokenizer = load_encoder(str(folder))
    rows = []
    with torch.no_grad():
        for sentence in SENTENCES:
            inputs = tokenizer(sentence, return_tensors="pt")
            outputs = model(**inputs, output_hidden_states=True)
            rows.append(pool(outputs, inputs["attention_mask"], pooler)[0].numpy())
    return np.stack(rows)


@pytest.mark.parametrize(
    "pooler", ["cls", "cls_before_pooler", "avg", "avg_top2", "avg_first_last", "avg_embeddings_last"]
)
def test_every_pooler_equals_one_sentence_at_a_time(tiny_bert: Path, pooler, monkeypatch) -> None:
    monkeypatch.setitem(__import__("dalr.evaluation.encoder", fromlist=["x"]).TOKENS_A_BATCH, "cpu", 24)
    encoder = SentenceEncoder.load(str(tiny_bert), pooler)
    vectors = encoder.encode(SENTENCES)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(SENTENCES), encoder.dimension)
    np.testing.assert_allclose(vectors, one_at_a_time(tiny_bert, pooler), atol=2e-6)
    assert encoder.encode([]).shape == (0, 32)


def test_distinct_sentences_are_encoded_once_longest_first(tiny_bert: Path) -> None:
    encoder = SentenceEncoder.load(str(tiny_bert))
    batches = list(encoder.batches(["a dog", "a big red dog runs", "a dog sits"]))
    assert batches[0][0] == [1, 2, 0]
    calls = []
    encoder.model.register_forward_pre_hook(
        lambda module, args, kwargs: calls.append(kwargs["input_ids"].shape), with_kwargs=True
    )
    encoder.encode(["a dog"] * 50)
    assert calls == [(1, 4)]


def test_many_vectors_are_copied_from_the_device_in_few_pieces(tiny_bert: Path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("dalr.evaluation.encoder", fromlist=["x"]).TOKENS_A_BATCH, "cpu", 8)
    encoder = SentenceEncoder.load(str(tiny_bert), device="cpu")
    whole = encoder.encode(SENTENCES)
    monkeypatch.setattr("dalr.evaluation.encoder.HELD_ROWS", 2)
    np.testing.assert_array_equal(encoder.encode(SENTENCES), whole)


def test_modes_and_random_state_are_restored(tiny_bert: Path) -> None:
    model, tokenizer = load_encoder(str(tiny_bert))
    model.train()
    model.encoder.layer[0].eval()
    modes = [module.training for module in model.modules()]
    torch.manual_seed(3)
    state = torch.get_rng_state()
    SentenceEncoder(model, tokenizer).encode(SENTENCES)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    with evaluating(model):
        assert not model.training
    assert model.training


def test_a_live_student_is_not_copied_and_its_change_is_seen(tiny_bert: Path) -> None:
    model, tokenizer = load_encoder(str(tiny_bert))
    encoder = SentenceEncoder(model, tokenizer, pooler="avg")
    before, fingerprint = encoder.encode(["a dog"]), encoder.fingerprint()
    assert fingerprint == SentenceEncoder.load(str(tiny_bert), "avg").fingerprint()
    with torch.no_grad():
        model.embeddings.word_embeddings.weight.mul_(1.5)
    assert not np.allclose(before, encoder.encode(["a dog"]))
    assert encoder.fingerprint() != fingerprint
    assert SentenceEncoder.load(str(tiny_bert), "cls").fingerprint() != fingerprint


def test_only_the_models_own_limit_cuts_sentences(tiny_bert: Path) -> None:
    encoder = SentenceEncoder.load(str(tiny_bert))
    assert encoder.max_tokens == 64
    assert len(encoder._tokens(["a dog " * 100])[0]) == 64
    assert len(encoder._tokens(["a dog " * 20])[0]) == 42
    assert SentenceEncoder.load(str(tiny_bert), max_tokens=8).max_tokens == 8
    with pytest.raises(InputError, match="max_tokens"):
        SentenceEncoder.load(str(tiny_bert), max_tokens=1)


def write_st_folder(source: Path, folder: Path, modules: list[tuple[str, dict]]) -> Path:
    shutil.copytree(source, folder)
    entries = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for number, (kind, config) in enumerate(modules, 1):
        place = f"{number}_{kind}"
        (folder / place).mkdir()
        (folder / place / "config.json").write_text(json.dumps(config))
        kind_path = f"sentence_transformers.models.{kind}"
        entries.append({"idx": number, "name": str(number), "path": place, "type": kind_path})
    (folder / "modules.json").write_text(json.dumps(entries))
    return folder


def test_a_sentence_transformers_folder_brings_its_pooler(tiny_bert: Path, tmp_path: Path) -> None:
    mean = {"word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    folder = write_st_folder(tiny_bert, tmp_path / "mean", [("Pooling", mean), ("Normalize", {})])
    encoder = SentenceEncoder.load(str(folder))
    assert (encoder.pooler, encoder.normalize) == ("avg", True)
    np.testing.assert_allclose(np.linalg.norm(encoder.encode(SENTENCES), axis=1), 1, atol=1e-6)
    assert SentenceEncoder.load(str(folder), "cls").normalize is False
    newer = write_st_folder(tiny_bert, tmp_path / "new", [("Pooling", {"pooling_mode": "cls"})])
    assert SentenceEncoder.load(str(newer)).pooler == "cls_before_pooler"
    assert SentenceEncoder.load(str(tiny_bert)).pooler == "cls_before_pooler"


def test_concatenated_poolings_and_dense_layers_equal_sentence_transformers(tiny_bert: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file
    from sentence_transformers import SentenceTransformer

    pooling = {"embedding_dimension": 32, "pooling_mode": ["cls", "max", "mean_sqrt_len_tokens"]}
    activation = "torch.nn.modules.activation.Tanh"
    dense = {"in_features": 96, "out_features": 7, "bias": True, "activation_function": activation}
    folder = write_st_folder(tiny_bert, tmp_path / "dense", [("Pooling", pooling), ("Dense", dense)])
    linear = nn.Linear(96, 7)
    save_file(
        {"linear.weight": linear.weight.data, "linear.bias": linear.bias.data}, folder / "2_Dense" / "model.safetensors"
    )
    encoder = SentenceEncoder.load(str(folder))
    assert (encoder.dimension, encoder.pooler) == (7, "sentence-transformers(cls+max+mean_sqrt_len_tokens+dense)")
    expected = SentenceTransformer(str(folder), device="cpu").encode(SENTENCES, show_progress_bar=False)
    np.testing.assert_allclose(encoder.encode(SENTENCES), expected, atol=1e-5)


MODES = ["cls", "mean", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
SWITCHES = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize(("mode", "switch"), list(zip(MODES, SWITCHES, strict=True)))
@pytest.mark.parametrize("normalize", [True, False])
def test_every_pooling_is_that_of_sentence_transformers(
    tiny_bert: Path, tmp_path: Path, mode: str, switch: str, old: bool, normalize: bool
) -> None:
    from sentence_transformers import SentenceTransformer

    switches = {f"pooling_mode_{other}": other == switch for other in SWITCHES}
    config = {"word_embedding_dimension": 32} | (switches if old else {"pooling_mode": mode})
    modules = [("Pooling", config), *([("Normalize", {})] if normalize else [])]
    folder = write_st_folder(tiny_bert, tmp_path / "model", modules)
    expected = SentenceTransformer(str(folder), device="cpu").encode(SENTENCES, show_progress_bar=False)
    np.testing.assert_allclose(SentenceEncoder.load(str(folder), device="cpu").encode(SENTENCES), expected, atol=1e-6)


def test_the_usual_poolings_need_no_sentence_transformers(tiny_bert: Path, tmp_path: Path, monkeypatch) -> None:
    """They are dalr's own poolers, which a test above holds against it; to import it costs every process 5 s."""
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    for mode in ("cls", "mean"):
        folder = write_st_folder(tiny_bert, tmp_path / mode, [("Pooling", {"pooling_mode": mode}), ("Normalize", {})])
        assert isinstance(read_head(str(folder)).pooler, str)


def test_other_modules_are_run_by_sentence_transformers(tiny_bert: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    torch.manual_seed(0)
    base = write_st_folder(
        tiny_bert, tmp_path / "base", [("Pooling", {"pooling_mode": "mean", "embedding_dimension": 32})]
    )
    transformer = SentenceTransformer(str(base), device="cpu")[0]
    chain = [transformer, modules.CNN(32, 16), modules.Pooling(48, "max"), modules.LayerNorm(48), modules.Dense(48, 8)]
    theirs = SentenceTransformer(modules=chain, device="cpu")
    theirs.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    ours = SentenceEncoder.load(str(tmp_path / "model"), device="cpu")
    assert (ours.pooler, ours.dimension) == ("sentence-transformers(max+cnn+layernorm+dense)", 8)
    assert isinstance(ours._pooler, SentenceModules)
    expected = theirs.encode(SENTENCES, show_progress_bar=False, batch_size=1)
    np.testing.assert_allclose(ours.encode(SENTENCES[:1]), expected[:1], atol=1e-5)


def test_a_default_prompt_and_lower_case_are_those_of_sentence_transformers(tiny_bert: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    folder = write_st_folder(
        tiny_bert, tmp_path / "model", [("Pooling", {"pooling_mode": "mean", "embedding_dimension": 32})]
    )
    plain = SentenceEncoder.load(str(folder), device="cpu")
    about = {"prompts": {"query": "the big dog : "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(about))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64, "do_lower_case": True}))
    ours = SentenceEncoder.load(str(folder), device="cpu")
    expected = SentenceTransformer(str(folder), device="cpu").encode(["A Dog", "the man"], show_progress_bar=False)
    np.testing.assert_allclose(ours.encode(["A Dog", "the man"]), expected, atol=1e-6)
    assert ours.fingerprint() != plain.fingerprint()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"pooling_mode": "mean", "embedding_dimension": 32, "include_prompt": False})
    )
    with pytest.raises(InputError, match="leaves its default prompt 'the big dog : ' out of its pooling"):
        SentenceEncoder.load(str(folder))
    assert SentenceEncoder.load(str(folder), "avg").prompt == ""


def test_what_cannot_be_pooled_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown pooler"):
        SentenceEncoder.load(str(tiny_bert), "median")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="list of sentences"):
        SentenceEncoder.load(str(tiny_bert)).encode("a dog")
    for kind, message in {"CRF": "has no module CRF", "CNN": "cannot be loaded", "Dense": "cannot be loaded"}.items():
        odd = write_st_folder(
            tiny_bert, tmp_path / kind, [("Pooling", {"pooling_mode": "mean", "embedding_dimension": 32}), (kind, {})]
        )
        with pytest.raises(InputError, match=message):
            read_head(str(odd))
    odd = write_st_folder(
        tiny_bert, tmp_path / "odd", [("Pooling", {"pooling_mode": "median", "embedding_dimension": 32})]
    )
    with pytest.raises(InputError, match=r"cannot be loaded: .*median"):
        read_head(str(odd))
    foreign = (tmp_path / "odd" / "modules.json").read_text().replace("sentence_transformers.models.P", "mine.P")
    (tmp_path / "odd" / "modules.json").write_text(foreign)
    with pytest.raises(InputError, match=r"mine\.Pooling is code of its own"):
        read_head(str(tmp_path / "odd"))
    without = tmp_path / "no-pooler"
    model, tokenizer = load_encoder(str(tiny_bert))
    model.pooler = None
    model.save_pretrained(without)
    tokenizer.save_pretrained(without)
    with pytest.raises(InputError, match="no weights for one"):
        SentenceEncoder.load(str(without), "cls")


@pytest.mark.parametrize("kind", ["Transformer", "BERT"])
@pytest.mark.parametrize("mode", ["mean_tokens", "cls_token"])
def test_a_folder_of_an_old_release_is_read(kind: str, mode: str, tiny_bert: Path, tmp_path: Path) -> None:
    """Before 2.0 sentence-transformers wrote the encoder into a folder of its own, with its settings."""
    old, new = tmp_path / "old", tmp_path / "new"
    place = f"0_{kind}"
    shutil.copytree(tiny_bert, old / place)
    shutil.copytree(tiny_bert, new)
    switches = {f"pooling_mode_{name}": name == mode for name in ("cls_token", "mean_tokens", "max_tokens")}
    for folder, where in ((old, place), (new, "")):
        modules = [
            {"idx": 0, "name": "0", "path": where, "type": f"sentence_transformers.models.{kind}"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        ]
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": 32, **switches}))
        (folder / where / "sentence_bert_config.json").write_text('{"max_seq_length": 32, "do_lower_case": true}')
    sentences = ["A Man plays", "the big red dog"]
    one, other = SentenceEncoder.load(str(old)), SentenceEncoder.load(str(new))
    np.testing.assert_array_equal(one.encode(sentences), other.encode(sentences))
    assert one.pooler == other.pooler == ("avg" if mode == "mean_tokens" else "cls_before_pooler")
    assert one.fingerprint() == other.fingerprint()
    (old / place / "config.json").unlink()
    with pytest.raises(InputError, match=f"{place} has no config.json"):
        SentenceEncoder.load(str(old))


@pytest.mark.parametrize("bad", ["a \udcff b", None, 3, b"bytes"])
def test_what_is_no_text_is_refused_in_one_line(bad: object, tiny_bert: Path) -> None:
    """Words of a command line that are not UTF-8 arrive as halves of surrogate pairs."""
    with pytest.raises(InputError, match="is no text, or has bytes in it that are not UTF-8"):
        SentenceEncoder.load(str(tiny_bert)).encode(["a dog", bad])  # type: ignore[list-item]
