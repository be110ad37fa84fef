"""MTEB tasks on data made here. MTEB takes seconds to import: only the tests of it do."""

from typing import Any

from datasets import Dataset, DatasetDict
from mteb import TaskMetadata
from mteb.abstasks import AbsTaskClassification
from mteb.abstasks.sts import AbsTaskSTS

SENTENCES = ["a dog runs", "a cat sits", "the man plays", "two women in the park", "a red ball", "the blue cat"]


def metadata(name: str, kind: str, main_score: str, revision: str = "1") -> TaskMetadata:
    values = dict.fromkeys(
        "reference date domains task_subtypes license annotations_creators dialect sample_creation "
        "bibtex_citation".split()
    )
    about = {"name": name, "description": "Made in a test.", "type": kind, "category": "t2t", "modalities": ["text"]}
    data = {"path": "nobody/nothing", "revision": revision}
    splits = {"eval_splits": ["test"], "eval_langs": ["eng-Latn"], "main_score": main_score}
    return TaskMetadata(**{**values, **about, **splits, "dataset": data})


class Pairs(AbsTaskSTS):
    """Six scored pairs."""

    metadata = metadata("Pairs", "STS", "cosine_spearman")
    min_score, max_score = 0, 5

    def load_data(self, **options: Any) -> None:
        columns = {"sentence1": SENTENCES, "sentence2": SENTENCES[::-1], "score": [5.0, 4.0, 1.0, 0.0, 3.0, 2.0]}
        self.dataset = DatasetDict({"test": Dataset.from_dict(columns)})
        self.data_loaded = True


class Kinds(AbsTaskClassification):
    """Two classes that words tell apart."""

    metadata = metadata("Kinds", "Classification", "accuracy")

    def load_data(self, **options: Any) -> None:
        texts = [f"{'a dog runs' if i % 2 else 'the cat sits'} {i // 2}" for i in range(40)]
        split = Dataset.from_dict({"text": texts, "label": [i % 2 for i in range(40)]})
        self.dataset = DatasetDict({"train": split, "test": split})
        self.data_loaded = True
