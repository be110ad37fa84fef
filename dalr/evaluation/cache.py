"""Vectors of sentences kept on disk, one folder for each model fingerprint."""

import json
import uuid
from pathlib import Path

import numpy as np

from dalr.errors import argument
from dalr.files import atomic_write, writable_folder
from dalr.reading import reading


class VectorCache:
    """Blocks of sentences and their vectors under `<folder>/<fingerprint>/`, each a file of its own,
    so that several processes may add to it."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._folder = writable_folder(Path(folder) / fingerprint, argument("cache"))

    def read(self) -> list[tuple[list[str], np.ndarray]]:
        """All blocks: n sentences and float32 [n, D].

        Raises:
            InputError: a block that is damaged."""
        blocks = []
        for path in sorted(self._folder.glob("*.npz")):
            with reading(path, argument("cache"), "a whole block of vectors, delete it"):
                with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                    sentences = json.loads(stored["sentences"].tobytes())
                    vectors = stored["vectors"]
                if not isinstance(sentences, list) or not all(isinstance(text, str) for text in sentences):
                    raise ValueError("its sentences are no list of texts")
            blocks.append((sentences, vectors))
        return blocks

    def write(self, sentences: list[str], vectors: np.ndarray) -> None:
        """Adds a block."""
        text = np.frombuffer(json.dumps(sentences).encode(), dtype=np.uint8)
        with atomic_write(self._folder / f"{uuid.uuid4().hex}.npz") as aside, aside.open("wb") as file:
            np.savez(file, sentences=text, vectors=vectors)
