"""Features are what the teachers say, computed for active terms only, and token states agree however made."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dalr.data.corpora.sources import read_captions, read_sentences
from dalr.data.features import text as text_vectors
from dalr.data.features.prepare import Features, prepare_features
from dalr.data.features.token_states import CachedTokenStates, OnlineTokenStates
from dalr.data.mixing import MixedBatches
from dalr.errors import InputError
from dalr.model.loading import load_encoder
from dalr.model.pooling import pool
from tests.dalr.data.corpus import IMAGES, WIDTH, tiny_config, write_corpus
from tests.tiny import write_tiny_bert


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


@pytest.fixture(scope="module")
def other_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same vocabulary, other weights."""
    folder = tmp_path_factory.mktemp("models") / "other"
    write_tiny_bert(folder, seed=1)
    return folder


@pytest.fixture(scope="module")
def foreign_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another vocabulary."""
    folder = tmp_path_factory.mktemp("models") / "foreign"
    write_tiny_bert(folder, seed=2)
    from transformers import BertTokenizerFast

    pieces = (folder / "vocab.txt").read_text().replace("dog\n", "").replace("cat\n", "") + "cat\ndog\n"
    (folder / "vocab.txt").write_text(pieces)
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    return folder


def prepared(folder: Path, model: Path, **overrides: object) -> Features:
    cache = bool(overrides.pop("cache_tokens", False))
    return prepare_features(tiny_config(folder, model, **overrides), quiet=True, device="cpu", cache_tokens=cache)


def encoded(model: Path, texts: list[str], pooler: str) -> torch.Tensor:
    """One sentence at a time, without any of the code under test."""
    encoder, tokenizer = load_encoder(str(model))
    rows = []
    for text in texts:
        tokens = tokenizer(text, truncation=True, max_length=12, return_tensors="pt")
        with torch.no_grad():
            rows.append(pool(encoder(**tokens, output_hidden_states=True), tokens["attention_mask"], pooler))  # type: ignore[arg-type]
    return torch.cat(rows)


@pytest.mark.parametrize("pooler", ["avg", "avg_first_last", "cls"])
def test_sentence_vectors_are_the_teachers(corpus: Path, tiny_bert: Path, pooler: str) -> None:
    features = prepared(corpus, tiny_bert, teachers__text__0__pooler=pooler)
    texts = read_captions(corpus / "captions.csv").captions
    (array,) = features.sentence_vectors["captions"]
    expected = encoded(tiny_bert, list(texts), pooler)
    got = torch.from_numpy(array.rows(np.arange(len(texts)))).float()
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)  # float16
    assert "text" not in features.sentence_vectors


def test_shards_do_not_change_the_vectors(
    corpus: Path, tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prepared(corpus, tiny_bert).sentence_vectors["captions"][0]
    monkeypatch.setattr(text_vectors, "SHARD", 7)
    cut = prepared(corpus, tiny_bert, data__store=str(tmp_path)).sentence_vectors["captions"][0]
    assert len(cut.shards) == 5
    everything = np.arange(len(whole))
    np.testing.assert_allclose(cut.rows(everything), whole.rows(everything), atol=1e-3)


def test_only_what_active_terms_need(corpus: Path, tmp_path: Path, tiny_bert: Path) -> None:
    nothing = prepared(
        corpus, tiny_bert, objective__cross_modal=0.0, objective__intra_modal=0.0, data__store=str(tmp_path / "none")
    )
    assert (nothing.prepared, nothing.images, nothing.caption_features, nothing.token_states) == ((), None, None, None)
    everything = prepared(corpus, tiny_bert)
    assert everything.images is not None
    assert everything.images.shape == (IMAGES, WIDTH)
    assert everything.token_states is not None
    on_text = prepared(corpus, tiny_bert, objective__on_text=["rank", "local_global"])
    assert set(on_text.sentence_vectors) == {"captions", "text"}
    assert on_text.token_states is not None
    assert set(on_text.token_states.corpora) == {"captions", "text"}
    captions_only = prepared(corpus, tiny_bert, data__pair_every=1)
    assert set(captions_only.tokens) == {"captions"}
    sentences_only = prepared(
        corpus, tiny_bert, data__pair_every=None, objective__cross_modal=0.0, objective__intra_modal=0.0
    )
    assert sentences_only.captions is None
    assert len(sentences_only.tokens["text"]) == len(read_sentences(corpus / "text.txt"))


def test_images_follow_the_captions_order(corpus: Path, tiny_bert: Path) -> None:
    features = prepared(corpus, tiny_bert)
    ids = (corpus / "ids.txt").read_text().split()
    published = np.load(corpus / "images.npy")
    assert features.captions is not None
    assert features.images is not None
    expected = published[[ids.index(name) for name in features.captions.image_ids]]
    assert (features.images.rows(np.arange(IMAGES)) == expected).all()


def test_cached_token_states_equal_online_ones(corpus: Path, tmp_path: Path, tiny_bert: Path, other_bert: Path) -> None:
    teachers = [{"model": str(tiny_bert), "weight": 1.0}, {"model": str(other_bert), "weight": 3.0}]
    settings = {"teachers__text": teachers, "data__store": str(tmp_path)}
    online = prepared(corpus, tiny_bert, **settings)
    assert isinstance(online.token_states, OnlineTokenStates)
    written = prepared(corpus, tiny_bert, cache_tokens=True, **settings)
    cached = prepared(corpus, tiny_bert, **settings)  # used without being asked for, once it is there
    assert isinstance(written.token_states, CachedTokenStates)
    assert isinstance(cached.token_states, CachedTokenStates)
    assert [array.computed_shards for array in cached.prepared if "tokens" in array.what] == [0, 0]
    batch = MixedBatches(tiny_config(corpus, tiny_bert), online).batch(0)
    tokens, mask = online.token_states(batch)
    again, same = cached.token_states(batch)
    assert torch.equal(mask, same)
    torch.testing.assert_close(again[mask], tokens[mask], rtol=2e-3, atol=2e-3)
    assert again[~mask].eq(0).all()
    assert not tokens.requires_grad
    # 0.25 of the one teacher and 0.75 of the other, without the first token, [SEP] kept.
    states = [
        load_encoder(str(model))[0](input_ids=batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state
        for model in (tiny_bert, other_bert)
    ]
    expected = (0.25 * states[0] + 0.75 * states[1])[:, 1:]
    torch.testing.assert_close(tokens[mask], expected[mask], rtol=1e-4, atol=1e-5)
    assert torch.equal(mask, batch.attention_mask[:, 1:].bool())


def test_shares_of_a_batch_join_to_the_whole(corpus: Path, tiny_bert: Path) -> None:
    features = prepared(corpus, tiny_bert)
    batch = MixedBatches(tiny_config(corpus, tiny_bert), features).batch(0)
    assert features.token_states is not None
    tokens, mask = features.token_states(batch)
    parts = [features.token_states(batch, part) for part in (slice(0, 1), slice(1, 4), slice(4, 4))]
    assert torch.equal(torch.cat([part[1] for part in parts]), mask)
    joined = torch.cat([part[0] for part in parts])
    assert joined.shape == tokens.shape == (4, batch.input_ids.shape[1] - 1, features.token_states.width)
    torch.testing.assert_close(joined[mask], tokens[mask], rtol=1e-4, atol=1e-5)


def test_a_foreign_teacher_keeps_its_own_tokenizer(corpus: Path, tiny_bert: Path, foreign_bert: Path) -> None:
    alone = {"teachers__text": [{"model": str(foreign_bert)}]}
    with pytest.raises(InputError, match=r"no text teacher has the tokenizer .*objective\.token_teachers=any"):
        prepared(corpus, tiny_bert, **alone)
    foreign = prepared(corpus, tiny_bert, **alone, objective__token_teachers="any")
    assert foreign.token_states is not None
    assert foreign.token_states.corpora["captions"].key != foreign.tokens["captions"].key
    teachers = [{"model": str(foreign_bert)}, {"model": str(tiny_bert)}]
    mixed = prepared(corpus, tiny_bert, teachers__text=teachers)
    assert mixed.token_states is not None  # of the one teacher that shares the student's vocabulary
    assert mixed.token_states.corpora["captions"].key == mixed.tokens["captions"].key
    assert mixed.token_states.weights == (1.0,)


def test_padded_norm_pads_everything_and_is_never_cached(corpus: Path, tiny_bert: Path) -> None:
    config = tiny_config(corpus, tiny_bert, objective__token_norm="token_padded")
    features = prepare_features(config, quiet=True)
    batch = MixedBatches(config, features).batch(0)
    assert isinstance(features.token_states, OnlineTokenStates)
    tokens, mask = features.token_states(batch)
    assert batch.input_ids.shape == (4, 12)
    assert tokens.shape[:2] == mask.shape == (4, 11)
    assert not tokens[~mask].eq(0).all()  # as published: padding has states, and takes part in the norm
    with pytest.raises(InputError, match="token_padded"):
        prepare_features(config, quiet=True, cache_tokens=True)


def test_a_changed_teacher_is_computed_anew(corpus: Path, tmp_path: Path) -> None:
    write_tiny_bert(tmp_path / "bert")
    before = prepared(corpus, tmp_path / "bert").sentence_vectors["captions"][0]
    write_tiny_bert(tmp_path / "bert", seed=5)
    after = prepared(corpus, tmp_path / "bert").sentence_vectors["captions"][0]
    assert before.folder != after.folder


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"data__image_features": None}, "set data.image_features, or teachers.image"),
        ({"data__captions": "none.csv"}, "no such file"),
        ({"data__text": None}, "data.text is not set"),
        ({"objective__weights__grounding_text": 1.0}, "set data.caption_features or teachers.image"),
    ],
)
def test_what_is_missing_is_named(corpus: Path, tiny_bert: Path, overrides: dict[str, object], expected: str) -> None:
    overrides = {"data__pair_every": 2} | overrides
    with pytest.raises(InputError, match=expected):
        prepared(corpus, tiny_bert, **overrides)
