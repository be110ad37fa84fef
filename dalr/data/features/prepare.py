"""Everything that a run reads besides its config: corpora as tokens, and the teachers' features.

`prepare_features` is the one entry. It computes what the objective's active terms need and the store
lacks, and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from dalr.checksums import checksums_of
from dalr.config.overrides import with_absolute_paths
from dalr.config.schema import RunConfig, TextTeacher
from dalr.data.corpora.sources import Captions, Sentences, read_captions, read_sentences
from dalr.data.corpora.tokens import TokenisedCorpus, tokenise
from dalr.data.features.image import CaptionVectors, ImageVectors, release_image_teacher
from dalr.data.features.needs import Needs, needs_of
from dalr.data.features.pictures import image_files, image_names
from dalr.data.features.published import published_caption_features, published_image_features
from dalr.data.features.text import SentenceVectors, TokenVectors, release_teacher
from dalr.data.features.token_states import CachedTokenStates, OnlineTokenStates, TokenStates
from dalr.data.rows import Rows
from dalr.data.schedule import Schedule, schedule_of
from dalr.data.store import Extraction, Prepared, Runner, StoredArray, find, obtain, run_here
from dalr.errors import InputError
from dalr.losses.terms import terms_where
from dalr.model.checksum import model_checksum
from dalr.model.image_teacher import weights_fingerprint
from dalr.model.loading import encoder_width, load_tokenizer
from dalr.model.teachers import TextTeacherEncoder

CORPORA = ("captions", "text")


@dataclass(frozen=True)
class Features:
    """A run's data, ready to be batched. Arrays are memory-mapped float16; N captions, M images, S
    sentences; what no active term needs is None or empty.

    `tokens`: the student's token ids by corpus, `captions` [N] and `text` [S]. `sentence_vectors`: by
    corpus, one array [N or S, T_k] for each text teacher. `images`: [M, V], in the order of
    `captions.image_ids`. `caption_features`: the image teacher's, [N, C]. `token_states`: see there.
    `prepared` tells what was computed, and where it lies.
    """

    schedule: Schedule
    captions: Captions | None
    tokens: dict[str, TokenisedCorpus]
    sentence_vectors: dict[str, tuple[StoredArray, ...]]
    images: Rows | None = None
    caption_features: Rows | None = None
    token_states: TokenStates | None = None
    prepared: tuple[Prepared, ...] = ()


@dataclass
class _Store:
    """The feature store of one preparation, and what was done to it."""

    path: Path
    run: Runner
    quiet: bool
    device: str
    prepared: list[Prepared] = field(default_factory=list)
    _tokenizers: dict[str, PreTrainedTokenizerBase] = field(default_factory=dict)
    _fingerprints: dict[str, str] = field(default_factory=dict)

    def obtain(self, extraction: Extraction, what: str) -> StoredArray:
        array, prepared = obtain(self.path, extraction, what, run=self.run, quiet=self.quiet)
        self.prepared.append(prepared)
        return array

    def tokenise(self, corpus: Sentences, model: str, max_tokens: int) -> TokenisedCorpus:
        return tokenise(corpus, self.tokenizer(model), max_tokens, self.path, quiet=self.quiet)

    def tokenizer(self, model: str) -> PreTrainedTokenizerBase:
        if model not in self._tokenizers:
            self._tokenizers[model] = load_tokenizer(model)
        return self._tokenizers[model]

    def fingerprint(self, model: str) -> str:
        if model not in self._fingerprints:
            self._fingerprints[model] = model_checksum(model)
        return self._fingerprints[model]


def prepare_features(
    config: RunConfig,
    *,
    cache_tokens: bool = False,
    quiet: bool = False,
    device: str | None = None,
    run: Runner = run_here,
) -> Features:
    """Reads the corpora and obtains the features that the objective's active terms need.

    `cache_tokens` also stores the teachers' token states, which are computed online otherwise; stored
    ones are used whenever they are there. `device` runs the teachers (default: a GPU where there is
    one). `run` computes missing shards, here or elsewhere. Any number of processes may call this at
    once on one store: one computes, the others wait and read.

    Raises:
        InputError: a file, a model or a setting that is not right; the message names it.
    """
    config = with_absolute_paths(config)
    if cache_tokens and config.objective.token_norm == "token_padded":
        raise InputError(
            "objective.token_norm is token_padded, which depends on the padding, so token states cannot be "
            "cached; leave out --tokens, or set token_norm to feature or token"
        )
    corpora, captions, schedule = read_corpora(config)
    assert config.data.store is not None  # with_absolute_paths set it
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    store = _Store(Path(config.data.store), run, quiet, device)
    max_tokens = config.model.max_tokens
    tokens = {name: store.tokenise(corpus, config.model.student, max_tokens) for name, corpus in corpora.items()}
    needs = needs_of(config.objective)
    vectors = _sentence_vectors(config, needs, corpora, store)
    states = _token_states(config, needs, corpora, tokens, store, cache_tokens)
    images, caption_features = _image_features(config, needs, captions, store)
    release_teacher()
    release_image_teacher()
    return Features(schedule, captions, tokens, vectors, images, caption_features, states, tuple(store.prepared))


def image_features(config: RunConfig, captions: Captions, *, quiet: bool = False) -> Rows:
    """The images' features [M, V], in the order of `captions.image_ids`: published ones where the config
    names some, else the image teacher's, computed where the store lacks them.

    Raises:
        InputError: neither is named, or a file that is not right.
    """
    config = with_absolute_paths(config)
    assert config.data.store is not None  # with_absolute_paths set it
    device = "cuda" if torch.cuda.is_available() else "cpu"
    features = _images(config, captions, _Store(Path(config.data.store), run_here, quiet, device))
    release_image_teacher()
    return features


def read_corpora(config: RunConfig) -> tuple[dict[str, Sentences], Captions | None, Schedule]:
    """The corpora that the schedule uses, by name: `captions`, `text`."""
    data = config.data
    assert data.store is not None  # with_absolute_paths set it
    paired = data.captions is not None and data.pair_every is not None
    captions = read_captions(data.captions, Path(data.store)) if paired else None  # type: ignore[arg-type]
    text = read_sentences(data.text) if data.text is not None and data.pair_every != 1 else None
    for key, items, unit in (
        ("data.text", text.texts if text else None, "sentences"),
        ("data.captions", captions.image_ids if captions else None, "images"),
    ):
        if items is not None and len(items) < config.train.batch_size:
            raise InputError(
                f"{key}: {getattr(data, key[5:])} has {len(items)} {unit}, fewer than a batch "
                f"(train.batch_size {config.train.batch_size}); give more, or a smaller batch"
            )
    pairs, most = pairs_of(captions, data.pairs) if captions else (0, 0)
    schedule = schedule_of(
        data,
        sentences=len(text) if text else 0,
        pairs=pairs,
        most_of_an_image=most,
        batch_size=config.train.batch_size,
    )
    corpora = {}
    if captions is not None:
        corpora["captions"] = captions.sentences
    if text is not None and schedule.uses_text:
        corpora["text"] = text
    return corpora, captions, schedule


def pairs_of(captions: Captions, unit: Literal["caption", "image"]) -> tuple[int, int]:
    """How many pairs a pass over the captions has, and the most that one image has."""
    if unit == "image":
        return len(captions.image_ids), 1
    return len(captions.image_of_caption), int(np.bincount(captions.image_of_caption).max())


def _sentence_vectors(
    config: RunConfig, needs: Needs, corpora: dict[str, Sentences], store: _Store
) -> dict[str, tuple[StoredArray, ...]]:
    vectors: dict[str, tuple[StoredArray, ...]] = {}
    for name, corpus in corpora.items():
        if name not in needs.sentence_vectors:
            continue
        arrays = []
        for teacher in config.teachers.text:
            tokens = store.tokenise(corpus, teacher.model, config.model.max_tokens)
            extraction = SentenceVectors(
                teacher.model, teacher.pooler, store.fingerprint(teacher.model), tokens, store.device
            )
            arrays.append(store.obtain(extraction, f"{name}: {teacher.model}"))
        vectors[name] = tuple(arrays)
    return vectors


def _token_teachers(config: RunConfig, store: _Store) -> tuple[tuple[TextTeacher, ...], str]:
    """The teachers whose token states the objective reads, and the model whose tokenizer they see.

    They are the teachers that share the student's vocabulary, where their widths agree; the first of
    them where they do not; and where none shares it and `objective.token_teachers` allows it, the first
    teacher under its own tokenizer.

    Raises:
        InputError: none shares the vocabulary.
    """
    teachers = [teacher for teacher in config.teachers.text if teacher.weight > 0]
    vocabulary = store.tokenizer(config.model.student).get_vocab()
    sharing = [teacher for teacher in teachers if store.tokenizer(teacher.model).get_vocab() == vocabulary]
    if not sharing and config.objective.token_teachers == "any":
        return (teachers[0],), teachers[0].model
    if not sharing:
        readers = terms_where(lambda term: "tokens" in term.needs)
        term = next(name for name in readers if config.objective.active(name))
        raise InputError(
            f"{term} needs token states, but no text teacher has the tokenizer of {config.model.student}; choose "
            f"a teacher of the student's family, or objective.token_teachers=any (those of {teachers[0].model} under "
            f"its own tokenizer), or objective.weights.{term}=0"
        )
    if len({encoder_width(teacher.model) for teacher in sharing}) > 1:
        sharing = sharing[:1]
    return tuple(sharing), config.model.student


def _token_states(
    config: RunConfig,
    needs: Needs,
    corpora: dict[str, Sentences],
    student_tokens: dict[str, TokenisedCorpus],
    store: _Store,
    cache_tokens: bool,
) -> TokenStates | None:
    names = [name for name in corpora if name in needs.token_states]
    if not names:
        return None
    teachers, tokenizer = _token_teachers(config, store)
    if tokenizer == config.model.student:
        tokens = {name: student_tokens[name] for name in names}
    else:
        tokens = {name: store.tokenise(corpora[name], tokenizer, config.model.max_tokens) for name in names}
    weights = [teacher.weight for teacher in teachers]
    to_max = config.objective.token_norm == "token_padded"
    arrays = None if to_max else _cached_states(teachers, tokens, store, cache_tokens)
    if arrays is not None:
        return CachedTokenStates(arrays, tokens, weights)
    encoders = [TextTeacherEncoder(teacher.model, teacher.pooler) for teacher in teachers]
    return OnlineTokenStates(encoders, tokens, weights, to_max=to_max)


def _cached_states(
    teachers: Sequence[TextTeacher], tokens: dict[str, TokenisedCorpus], store: _Store, cache_tokens: bool
) -> dict[str, list[StoredArray]] | None:
    """The stored token states of every corpus and teacher; None where one of them is not stored."""
    arrays: dict[str, list[StoredArray]] = {}
    for name, corpus in tokens.items():
        arrays[name] = []
        for teacher in teachers:
            fingerprint = store.fingerprint(teacher.model)
            extraction = TokenVectors(teacher.model, teacher.pooler, fingerprint, corpus, store.device)
            if not cache_tokens and find(store.path, extraction) is None:
                return None
            arrays[name].append(store.obtain(extraction, f"{name}, tokens: {teacher.model}"))
    return arrays


def _image_features(
    config: RunConfig, needs: Needs, captions: Captions | None, store: _Store
) -> tuple[Rows | None, Rows | None]:
    if captions is None:
        return None, None
    images = _images(config, captions, store) if needs.images else None
    return images, _caption_features(config, captions, store) if needs.caption_features else None


def _images(config: RunConfig, captions: Captions, store: _Store) -> Rows:
    """Published image features where the config names some, else the image teacher's."""
    if config.data.image_features is not None:
        return published_image_features(config.data, captions)
    teacher, folder = config.teachers.image, config.data.images
    if teacher is None or folder is None:
        missing = "teachers.image" if teacher is None else "data.images"
        raise InputError(f"the images' features are needed: set data.image_features, or {missing} to make them")
    names = image_names(config.data, captions)
    files = image_files(Path(folder), names)
    fingerprint = weights_fingerprint(teacher.model, teacher.weights)
    extraction = ImageVectors(
        teacher.model, teacher.weights, fingerprint, files, tuple(checksums_of(files)), store.device
    )
    return store.obtain(extraction, f"images: {teacher.model}")


def _caption_features(config: RunConfig, captions: Captions, store: _Store) -> Rows:
    """Published caption features where the config names some, else those of the image teacher's text
    tower."""
    if config.data.caption_features is not None:
        return published_caption_features(config.data, captions)
    teacher = config.teachers.image
    if teacher is None:
        raise InputError("the captions' image-teacher features are needed: set data.caption_features or teachers.image")
    fingerprint = weights_fingerprint(teacher.model, teacher.weights)
    extraction = CaptionVectors(teacher.model, teacher.weights, fingerprint, captions.captions, store.device)
    return store.obtain(extraction, f"captions: {teacher.model}")
