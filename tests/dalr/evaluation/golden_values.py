"""The original toolkit's answers, and the encoder that anyone can compute exactly."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "golden"


def golden(name: str) -> dict[str, dict[str, Any]]:
    """task → the toolkit's values, from one of the files in `golden/`."""
    rows = [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    return {row["task"]: row["r"] for row in rows}


@cache
def token_vector(token: str) -> np.ndarray:
    """float32 [32]: four digests of the token, read as integers, scaled to -1 to 1."""
    digests = b"".join(hashlib.sha256(f"{i}:{token}".encode()).digest() for i in range(4))
    return (np.frombuffer(digests, dtype="<u4").astype(np.float64) / 2**31 - 1).astype(np.float32)


def hash32(sentences: list[str]) -> np.ndarray:
    """The mean of the tokens' vectors, float32 [n, 32]; zeros for a sentence without tokens."""
    vectors = np.zeros((len(sentences), 32), dtype=np.float32)
    for row, sentence in enumerate(sentences):
        tokens = sentence.split()
        if tokens:
            vectors[row] = np.mean([token_vector(token).astype(np.float64) for token in tokens], axis=0)
    return vectors
