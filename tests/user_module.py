"""The modules of a user's own that docs/extending.md shows, with a task's files, and a run that uses the first."""

import re
from pathlib import Path
from typing import Any

from dalr.config.schema import RunConfig
from tests import ROOT
from tests.small_run import small_config

PAGE = ROOT / "docs" / "extending.md"


def documented(name: str) -> str:
    """One of the modules that the page shows, by its name there."""
    page = PAGE.read_text(encoding="utf-8")
    shown = dict(re.findall(r"`(\w+\.py)`[^`]*?:\n(?:[^`]*?:\n)?\n?```python\n(.*?)```", page, flags=re.DOTALL))
    return shown[name]


def write_module(folder: Path) -> Path:
    """`my_terms.py` of the page, and its task's files beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "my_terms.py").write_text(documented("my_terms.py"), encoding="utf-8")
    for split in ("dev", "test"):
        pairs = [f"a man plays {i}\ta {'man' if i % 2 else 'dog'} sits {i}\t{i % 6}" for i in range(24)]
        (folder / f"{split}.tsv").write_text("\n".join(["sentence1\tsentence2\tscore", *pairs]) + "\n")
    return folder / "my_terms.py"


def small(corpora: Path, tiny_bert: Path, **changes: Any) -> RunConfig:
    mine = {"objective__weights__spread": 0.5, "evaluation__metric": "OurPairs.dev", "evaluation__tasks": ["OurPairs"]}
    return small_config(corpora, tiny_bert, train__steps=4, train__eval_every=2, **{**mine, **changes})
