"""What the checks train on: a BERT-base drawn by seed, sentences as long as Wikipedia's, captions as Flickr's."""

import re
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from dalr.cluster.preflight.memory import encoder_config, estimate_memory
from dalr.config.loading import load_recipe
from dalr.config.overrides import with_absolute_paths, with_overrides
from dalr.config.schema import RunConfig
from dalr.data.mixing import MixedBatches
from dalr.data.schedule import schedule_of
from dalr.datasets.embedded import make_embedded_data
from dalr.identity import identity_of
from dalr.training.checkpoint import Progress
from dalr.training.loader import BatchLoader
from dalr.training.run_folder import RunFolder
from dalr.training.trainer import Run
from dalr.training.unread import Unread
from tests.gpu.report import work_folder

DEVICE = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


@dataclass(frozen=True)
class Size:
    """The model and the corpora; `batch` is the smallest batch measured."""

    width: int = 768
    layers: int = 12
    heads: int = 12
    inner: int = 3072
    vocabulary: int = 30522
    rows: int = 20480
    batch: int = 128

    @property
    def parameters(self) -> int:
        """Of the layers: what a token is multiplied with."""
        return self.layers * (4 * self.width**2 + 2 * self.width * self.inner)


BASE = Size()
TINY = Size(width=32, layers=2, heads=2, inner=64, vocabulary=2000, rows=256, batch=8)


class World:
    """The files of a size, written once. Several processes may use them when `prepare` has returned."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.folder = work_folder() / f"{size.layers}x{size.width}"
        self.model = str(self.folder / "bert")

    def prepare(self) -> None:
        """Writes what is not there."""
        done = self.folder / "done"
        if not done.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            make_embedded_data(self.folder)
            self._write_model()
            self._write_corpora()
            done.touch()

    def _words(self) -> list[str]:
        """Those of the embedded tasks, and four letters each to fill the vocabulary."""
        letters = "abcdefghijklmnopqrstuvwxyz"
        files = [path for path in (self.folder / "embedded" / "senteval").rglob("*") if path.is_file()]
        told = {word for file in files for word in re.findall("[a-z]+", file.read_text(encoding="latin-1").lower())}
        drawn = ("".join(letters[(i // 26**k) % 26] for k in range(4)) for i in range(self.size.vocabulary))
        return list(dict.fromkeys([*sorted(told), *drawn]))[: self.size.vocabulary - 5]

    def _write_model(self) -> None:
        from transformers import BertConfig, BertModel, BertTokenizerFast

        size, folder = self.size, Path(self.model)
        folder.mkdir(exist_ok=True)
        pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *self._words()]
        (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
        BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=512).save_pretrained(folder)
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=size.vocabulary,
            hidden_size=size.width,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            intermediate_size=size.inner,
        )
        with DEVICE:  # drawn there in no time
            encoder = BertModel(config)
        encoder.cpu().save_pretrained(folder)

    def _write_corpora(self) -> None:
        random, rows = np.random.default_rng(0), self.size.rows
        words = np.array(self._words())

        def sentence(mean: float, spread: float) -> str:
            return " ".join(random.choice(words, size=int(np.clip(random.lognormal(mean, spread), 3, 60))))

        def write(name: str, lines: list[str]) -> None:
            (self.folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

        # With the two special tokens about 24 tokens a sentence, 14 a caption.
        write("sentences.txt", [sentence(2.95, 0.45) for _ in range(rows)])
        write("captions.csv", ["image,caption", *(f"{i}.jpg,{sentence(2.4, 0.35)}" for i in range(rows))])
        write("image_ids.txt", [f"{i}.jpg" for i in range(rows)])
        np.save(self.folder / "images.npy", random.normal(size=(rows, self.size.width)).astype(np.float16))

    def config(self, recipe: str, **changes: object) -> RunConfig:
        """`simcse` on sentences alone; `dalr` on pairs alone, two text teachers as large as the student.
        `changes` are overrides with `__` for the dots."""
        values: dict[str, object] = {
            "model.student": self.model,
            "data.store": str(self.folder / "features"),
            "evaluation.data": None,
            "train.epochs": None,
            "train.precision": "float32",  # what differs says so
            "train.steps": 1000,
            "train.eval_every": 1000,
            "train.batch_size": self.size.batch,
            "optim.learning_rate": 1e-5,
            "data.images": None,
        }
        if recipe == "simcse":
            values |= {
                "data.text": str(self.folder / "sentences.txt"),
                "data.captions": None,
                "data.pair_every": None,
            }
        else:
            values |= {
                "data.text": None,
                "data.captions": str(self.folder / "captions.csv"),
                "data.pair_every": 1,
                "data.image_features": str(self.folder / "images.npy"),
                "data.image_ids": str(self.folder / "image_ids.txt"),
                "teachers.image": None,
                "teachers.text": [{"model": self.model, "weight": 0.33}, {"model": self.model, "weight": 0.67}],
            }
        values |= {key.replace("__", "."): value for key, value in changes.items()}
        return with_absolute_paths(with_overrides(load_recipe(recipe), values))

    def run(self, recipe: str, device: torch.device = DEVICE, **changes: object) -> Run:
        """A run at its first step."""
        folder = self.folder / "runs" / f"{recipe}-{time.monotonic_ns()}"
        return Run.start(self.config(recipe, **changes), RunFolder(folder), device)

    def expected_memory(self, config: RunConfig) -> int:
        """What the preflight expects of torch's memory on the GPU, bytes."""
        teachers = [encoder_config(teacher.model) or {} for teacher in config.teachers.text]
        student = encoder_config(config.model.student) or {}
        return estimate_memory(config, student, teachers=teachers, on_gpu=True).training

    def change(self, run: Run, **train: object) -> Run:
        """The same run with other values of `train`, back at its first step: the model is not loaded again."""
        config = with_overrides(run.config, {f"train.{key}": value for key, value in train.items()})
        if config.train.length_groups == "packed":
            run.student.pack_tokens()
        paired, rows = config.data.pair_every == 1, self.size.rows
        schedule = schedule_of(
            config.data,
            sentences=0 if paired else rows,
            pairs=rows if paired else 0,
            batch_size=config.train.batch_size,
        )
        run.identity, run.features = identity_of(config), replace(run.features, schedule=schedule)
        run.batches = MixedBatches(config, run.features, shape_step=run.batches.shape_step)
        run.loader.close()
        run.loader = BatchLoader(run.batches, run.features.token_states, run.device)
        run.progress, run.unread = Progress(), Unread()
        return run
