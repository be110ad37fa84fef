"""A warm start: the weights of another run's encoder, or of any model, in place of the student's own."""

from collections.abc import Iterator, Mapping

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dalr.errors import InputError
from dalr.model.loading import load_encoder
from dalr.model.weights import some

DECIDING = (
    "model_type",
    "num_hidden_layers",
    "hidden_size",
    "vocab_size",
    "num_attention_heads",
    "hidden_act",
    "position_embedding_type",
    "layer_norm_eps",
)
"""What of a model's config decides what its tensors mean; the first that differs is named."""


def start_from(
    init: str, student: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, dropout: float | None
) -> PreTrainedModel:
    """The encoder of `init`, in float32 on the CPU, whose every tensor but those of a pooler layer has the name and
    shape of one of the student's, and whose tokenizer has the student's vocabulary.

    Raises:
        InputError: it cannot be read, or is of another architecture, size or vocabulary; names both sides.
    """
    try:
        encoder, words = load_encoder(init, dropout=dropout)
    except InputError as error:
        raise InputError(f"model.init: {error}") from error
    if reason := next(_differences(encoder, student), None):
        raise InputError(f"model.init {init}: {reason}; a warm start needs the student's architecture and layers")
    if words.get_vocab() != tokenizer.get_vocab():
        raise InputError(
            f"model.init {init}: its tokenizer has another vocabulary than the student's ({len(words)} and "
            f"{len(tokenizer)} words), so its word vectors would be of other words"
        )
    return encoder


def _differences(encoder: PreTrainedModel, student: PreTrainedModel) -> Iterator[str]:
    """In what an encoder is another than the student, the most telling first."""
    of_init, of_student = encoder.config, student.config
    for key in DECIDING:
        before, now = getattr(of_init, key, None), getattr(of_student, key, None)
        if before != now:
            yield f"its {key} is {before}, the student's {now}"
    theirs, own = _shapes(encoder), _shapes(student)
    if lacking := own.keys() - theirs.keys():
        yield f"it lacks {some(lacking)}"
    if more := theirs.keys() - own.keys():
        yield f"it has {some(more)}, which the student has not"
    for name, shape in own.items():
        if theirs[name] != shape:
            yield f"its {name} is {list(theirs[name])}, the student's {list(shape)}"


def _shapes(model: PreTrainedModel) -> Mapping[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in model.state_dict().items() if not name.startswith("pooler.")}
