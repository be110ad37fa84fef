"""The frozen image teacher: an open_clip model in eval mode."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dalr.checksums import checksum_of
from dalr.errors import InputError, did_you_mean
from dalr.extensions import added, module_of
from dalr.model.weights import behind_wrappers, some

# open_clip is imported where it is asked: it takes a third of the time to import the training loop, and most runs
# need no image teacher, or find its features in the store.
_RANDOM = re.compile(r"random(?::(\d+))?")


def image_teacher(model: str, weights: str) -> Any:
    """The image teacher of a config: `ImageTeacherEncoder`, or one of the user's own modules, in eval mode."""
    own = added("image_teacher").get(model)
    return own(weights).requires_grad_(False).eval() if own is not None else ImageTeacherEncoder(model, weights)


class ImageTeacherEncoder(nn.Module):
    """Image and caption features of an open_clip architecture. It stays in eval mode.

    `weights` is a pretrained tag that open_clip knows for the architecture, a checkpoint file, or
    `random` or `random:SEED`, weights drawn by seed (default 0). Every tensor comes from the file, whose
    names may stand behind the wrappers of training code. A tag brings the activation that its weights
    were trained with: OpenAI's are for QuickGELU, which open_clip leaves out of `ViT-L-14` with a
    warning alone. For a file of such weights name the architecture that has it, `ViT-L-14-quickgelu`.

    Raises:
        InputError: an unknown architecture, tag or file; the message names the nearest known one. A
            file that lacks tensors of the architecture, or has others.
    """

    def __init__(self, model: str, weights: str) -> None:
        super().__init__()
        source = checked_weights(model, weights)
        drawn = _RANDOM.fullmatch(weights)
        with torch.random.fork_rng(enabled=drawn is not None), _quiet():
            if drawn:
                torch.manual_seed(int(drawn.group(1) or 0))
            try:
                self.model, self.preprocess = _created(model, source, weights)
            except (InputError, MemoryError):
                raise
            except Exception as error:
                where = f"teachers.image: {model} with weights {weights}"
                raise InputError(f"{where} cannot be loaded: {_reason(error)}") from error
        self.name = model
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "ImageTeacherEncoder":
        """Ignores the mode: a teacher has no dropout."""
        return super().train(False)

    @torch.no_grad()
    def images(self, pixels: Tensor) -> Tensor:
        """Image features: float32 [n, 3, H, W], preprocessed → float32 [n, V]."""
        return self.model.encode_image(pixels).float()

    @torch.no_grad()
    def captions(self, sentences: Sequence[str], device: str) -> Tensor:
        """Caption features of the text tower, under its own tokenizer: n sentences → float32 [n, C]."""
        return self.model.encode_text(self.tokenizer(list(sentences)).to(device)).float()

    @cached_property
    def tokenizer(self) -> Callable[[list[str]], Tensor]:
        """The text tower's own tokenizer: sentences → int64 [n, context length]."""
        import open_clip

        try:
            return open_clip.get_tokenizer(self.name)
        except Exception as error:
            raise InputError(f"teachers.image.model: no tokenizer for {self.name}: {_reason(error)}") from error


def _created(model: str, source: str | None, weights: str) -> tuple[Any, Callable[..., Tensor]]:
    """The architecture with its weights, and its preprocessing of pictures."""
    import open_clip

    create = partial(open_clip.create_model_and_transforms, model, force_quick_gelu=_quick_gelu(model, weights))
    file = Path(weights)
    try:
        # Without a `source`, a text tower from the hub would come with weights of its own.
        module, _, preprocess = create(pretrained=source, pretrained_text=source is not None)
    except RuntimeError:
        if not file.is_file():
            raise
        module, _, preprocess = create(pretrained=None, pretrained_text=False)
        tensors = open_clip.factory.load_state_dict(str(file))
        own = module.state_dict().keys()
        complete = [names for names in behind_wrappers(tensors) if names.keys() == own]
        if len(complete) != 1:
            raise InputError(
                f"teachers.image.weights: {file} lacks tensors of {model} ({some(own - tensors.keys())}) "
                f"and has instead: {some(tensors.keys() - own)}"
            ) from None
        module.load_state_dict({name: tensors[there] for name, there in complete[0].items()})
    return module, preprocess


def _quick_gelu(model: str, weights: str) -> bool:
    """Whether a tag's weights were trained with QuickGELU. open_clip only warns where the architecture's
    declaration says otherwise, and the features are then others than those of the tag."""
    import open_clip

    return bool(open_clip.get_pretrained_cfg(model, weights).get("quick_gelu", False))


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def checked_weights(model: str, weights: str) -> str | None:
    """What open_clip takes for `pretrained`: a tag, a file's path, or None for random weights."""
    import open_clip

    known = open_clip.list_models()
    if model not in known:
        raise InputError(f"teachers.image.model: open_clip knows no {model!r}{did_you_mean(model, known, cutoff=0.4)}")
    if _RANDOM.fullmatch(weights):
        return None
    tags = open_clip.list_pretrained_tags_by_model(model)
    if weights in tags or Path(weights).is_file():
        return weights
    raise InputError(
        f"teachers.image.weights: {weights!r} is neither a file, nor random[:SEED], nor a tag that open_clip knows "
        f"for {model}{did_you_mean(weights, tags, cutoff=0.4)} (tags: {', '.join(tags) or 'none'})"
    )


def weights_fingerprint(model: str, weights: str) -> str:
    """What tells the weights from others': a file's sha256, or the tag or seed with the version of the
    library that resolves it; of a module of the user's own, the module's sha256 with what it was given."""
    if (own := module_of("image_teacher", model)) is not None:
        return f"{own.sha256} ({weights})"
    import open_clip

    checked_weights(model, weights)
    if Path(weights).is_file():
        return checksum_of(weights)
    drawn = _RANDOM.fullmatch(weights)
    if drawn:
        # The same seed gives other numbers where torch or the architecture's code changes.
        return f"random:{drawn.group(1) or 0} (torch {torch.__version__}, open_clip {open_clip.__version__})"
    settings: dict[str, Any] = open_clip.get_pretrained_cfg(model, weights)
    activation = ", quick_gelu" if _quick_gelu(model, weights) else ""
    return f"{weights} ({settings.get('hf_hub') or settings.get('url')}{activation})"


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences open_clip, which logs through the root logger and would leave a handler there."""
    root, disabled = logging.getLogger(), logging.root.manager.disable
    handlers = list(root.handlers)
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(disabled)
        root.handlers[:] = handlers
