"""The options of `dalr evaluate`, what it prints, and `dalr encode`."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dalr.results import Result

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A run's folder, a model folder, or a hub name.")]
PoolerOption = Annotated[
    str | None,
    typer.Option(
        "--pooler",
        help="cls, cls_before_pooler, avg, avg_top2, avg_first_last or avg_embeddings_last.  "
        "[default: the model folder's own, else cls_before_pooler]",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
Data = Annotated[Path | None, typer.Option(help="A SentEval folder (it holds `downstream/`).", show_default=False)]
Out = Annotated[Path, typer.Option(help="The result's JSON file.", show_default=False)]
Tasks = Annotated[
    str | None,
    typer.Option(
        help="Tasks and groups (sts, transfer, all), separated by commas; or `retrieval`.  "
        "[default: all, none without --data]"
    ),
]
Custom = Annotated[
    Path | None, typer.Option(help="A YAML file that declares tasks of your own; for them alone --data is not needed.")
]
Mteb = Annotated[
    str | None,
    typer.Option(
        help="Tasks of MTEB, separated by commas or spaces (extra dalr[mteb]); --data is not needed for them."
    ),
]
Cache = Annotated[Path | None, typer.Option(help="A folder that keeps the model's vectors.")]
Captions = Annotated[Path | None, typer.Option(help="Retrieval: captions.  [default: the run's own]")]
ImageFeatures = Annotated[
    Path | None, typer.Option(help="Retrieval: their images' features.  [default: the run's own]")
]
ImageIds = Annotated[Path | None, typer.Option(help="Retrieval: the features' ids.  [default: the run's own]")]
Split = Annotated[str | None, typer.Option(help="Retrieval: a split of Karpathy's captions.  [default: test]")]
Folds = Annotated[int, typer.Option(min=1, help="Retrieval: the mean over so many parts (COCO's 1k of 5k: 5).")]


class ProtocolName(StrEnum):
    """The protocols."""

    test = "test"
    fast = "fast"
    dev = "dev"


ProtocolOption = Annotated[ProtocolName, typer.Option("--protocol", help="How transfer tasks are scored.")]


class VectorFormat(StrEnum):
    """How `dalr encode` writes vectors."""

    npy = "npy"
    jsonl = "jsonl"


def summary(result: "Result", out: Path) -> str:
    """The scores with their intervals, a line a task, and the averages."""
    lines = []
    for name, task in result.tasks.items():
        interval = f"  [{task.interval.low:.2f}, {task.interval.high:.2f}]" if task.interval else ""
        dev = f"  dev {task.devacc:.2f}" if task.acc is not None and task.devacc is not None else ""
        lines.append(f"{name:<15} {task.score:6.2f}{interval}{dev}")
        if task.retrieval is not None:
            for way in ("image_to_text", "text_to_image"):
                recall = getattr(task.retrieval, way)
                lines.append(
                    f"  {way.replace('_', ' '):<14}R@1 {recall.r1:.1f}  R@5 {recall.r5:.1f}  R@10 {recall.r10:.1f}  "
                    f"median rank {recall.median_rank:g}"
                )
    for name, value in (("STS avg", result.sts_avg), ("transfer avg", result.transfer_avg)):
        if value is not None:
            lines.append(f"{name:<16}{value:6.2f}")
    return "\n".join([*lines, f"{out}"])


def encode(
    model: Model,
    sentences: Annotated[
        list[str] | None, typer.Argument(metavar="SENTENCE", help="Sentences.  [default: stdin, one a line]")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A file.  [default: stdout]")] = None,
    pooler: PoolerOption = None,
    format: Annotated[VectorFormat, typer.Option(help="npy (float32 [n, D]) or jsonl.")] = VectorFormat.npy,
    quiet: Quiet = False,
) -> None:
    """Turns sentences into vectors: those named after the model, or those on stdin, a row for each line.

    Example: dalr encode runs/a "A dog runs." "A cat sits." --format jsonl

    Example: dalr encode runs/a --out vectors.npy < sentences.txt
    """
    import io
    import json
    import sys

    import numpy as np

    from dalr.files import atomic_write, refuse_folder
    from dalr.model.folder import model_path

    refuse_folder(out, "--out")
    model_path(model)  # refused before stdin is waited for, and torch imported
    from dalr.evaluation.encode import encode as vectors_of

    texts = sentences or sentences_of(sys.stdin.buffer.read())
    vectors = vectors_of(model, texts, pooler=pooler, quiet=quiet)
    if format is VectorFormat.npy:
        buffer = io.BytesIO()
        np.save(buffer, vectors)
        written = buffer.getvalue()
    else:
        rows = (
            json.dumps({"sentence": text, "vector": vector}, ensure_ascii=False, allow_nan=False) + "\n"
            for text, vector in zip(texts, vectors.tolist(), strict=True)
        )
        written = "".join(rows).encode()
    if out is None:
        sys.stdout.buffer.write(written)
        return
    with atomic_write(out) as aside:
        aside.write_bytes(written)


def sentences_of(data: bytes) -> list[str]:
    """The sentences on stdin, one a line, empty ones too.

    Raises:
        InputError: not UTF-8, or a table, JSON or a page.
    """
    from dalr.files import decode_utf8, lines_of
    from dalr.reading import refuse_structure

    lines = lines_of(decode_utf8(data, "stdin"))
    refuse_structure(lines, "stdin", "sentence")
    return lines
