"""A small data folder in SentEval's layout, with a manifest in place of the official row counts."""

import random
from pathlib import Path

from dalr.data.manifest import write_manifest
from dalr.evaluation.tasks import STANDARD, PairSource, StsTask, TransferTask

WORDS = "a the two man woman dog cat child girl boy plays runs sits sees red blue green big small ball park".split()


def write_small_data(folder: Path, *, rows: int = 24, seed: int = 0) -> Path:
    """All 14 tasks with `rows` examples a file; labels and gold scores follow from the words."""
    drawn = random.Random(seed)
    for task in STANDARD.values():
        for split, sources in task.splits.items():
            for source in sources:
                if isinstance(task, StsTask) and isinstance(source, PairSource):
                    _write_pairs(folder, task, source, rows, drawn)
                elif isinstance(task, TransferTask) and not isinstance(source, PairSource):
                    extra = 2 * rows if split == "train" else rows
                    classes = [i % len(task.classes) if source.label is None else source.label for i in range(extra)]
                    lines = [_example(task, source.layout, chosen, drawn) for chosen in classes]
                    header = ["\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String"] if source.layout == "mrpc" else []
                    _write(folder / source.file.path, header + lines)
    write_manifest(folder, "small")
    return folder


def _sentence(drawn: random.Random, words: list[str] | None = None) -> str:
    return " ".join(drawn.choices(words or WORDS, k=drawn.randint(2, 9)))


def _pair(drawn: random.Random, low: float) -> tuple[str, str, float]:
    first = _sentence(drawn).split()
    kept = drawn.randint(0, len(first))
    second = first[:kept] + _sentence(drawn).split()[: len(first) - kept]
    return " ".join(first), " ".join(second) or "a", round(low + (5 - low) * kept / len(first), 2)


def _write_pairs(folder: Path, task: StsTask, source: PairSource, rows: int, drawn: random.Random) -> None:
    pairs = [_pair(drawn, task.scale[0]) for _ in range(rows)]
    if source.gold is not None:
        _write(folder / source.text.path, [f"{a}\t{b}" for a, b, _ in pairs])
        blank = source.blanks
        _write(folder / source.gold.path, ["" if blank and i % 4 == 3 else str(p[2]) for i, p in enumerate(pairs)])
    elif task.name == "STSBenchmark":
        _write(folder / source.text.path, [f"g\tf\ty\t{i:04}\t{s}\t{a}\t{b}" for i, (a, b, s) in enumerate(pairs)])
    else:
        lines = [f"{i}\t{a}\t{b}\t{s}\tNEUTRAL\r" for i, (a, b, s) in enumerate(pairs)]
        _write(folder / source.text.path, ["pair_ID\tsentence_A\tsentence_B\tscore\tjudgment\r", *lines])


def _example(task: TransferTask, layout: str, chosen: int, drawn: random.Random) -> str:
    """One line whose words lean towards its class."""
    share = len(WORDS) // len(task.classes)
    words = WORDS[chosen * share : (chosen + 1) * share] + drawn.sample(WORDS, 4)
    if layout == "trec":
        return f"{task.classes[chosen]}:any {_sentence(drawn, words)} ?"
    if layout == "sst":
        return f"{_sentence(drawn, words)} \t{chosen}"
    if layout == "mrpc":
        first = _sentence(drawn)
        return f"{chosen}\t1\t2\t{first}\t{first + ' ball' if chosen else _sentence(drawn)}"
    return _sentence(drawn, words)


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(("\n".join(lines) + "\n").encode("utf-8"))
