"""Scoring what a folder or a hub name names, with what the folder says of the model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dalr.config.loading import read_config
from dalr.errors import InputError, argument
from dalr.provenance import code_version
from dalr.reading import read_json
from dalr.results import Protocol, Provenance, Result


def score_model(
    model: str, data: Path | None, tasks: Sequence[str], protocol: Protocol, *, pooler: str | None, **options: Any
) -> Result:
    """`dalr.evaluation.run.evaluate` of the model that `model` names; `options` are its own."""
    from dalr.evaluation.encoder import SentenceEncoder
    from dalr.evaluation.run import evaluate

    encoder = SentenceEncoder.load(model, pooler)
    return evaluate(
        encoder.encode,
        data,
        tasks,
        protocol,
        model=model,
        pooler=encoder.pooler,
        fingerprint=encoder.fingerprint(),
        provenance=provenance_of(Path(model)),
        device=encoder.device.type,
        **options,
    )


def score_retrieval(
    run: Path,
    out: Path | None,
    files: Mapping[str, Path | None],
    *,
    split: str | None = None,
    folds: int = 1,
    quiet: bool = False,
) -> Result:
    """Ranks images by captions and captions by images, through a run's grounding heads. `files` are paths by config
    key, None for the run's own; the result is written to `out` where that is given."""
    from dalr.evaluation.retrieval import evaluate_retrieval
    from dalr.files import refuse_folder, writable_folder

    if out is not None:
        refuse_folder(out, argument("out"))
        writable_folder(out.parent, argument("out"))
    given = {key: str(file.absolute()) for key, file in files.items() if file is not None}
    about = provenance_of(run)
    result = evaluate_retrieval(run, given, split=split, folds=folds, provenance=about, quiet=quiet)
    if out is not None:
        result.write(out)
    return result


def provenance_of(folder: Path) -> Provenance | None:
    """What a run's folder says of its model; None for a model that is not a run's."""
    run = folder.parent if folder.name == "model" else folder
    if not (run / "config.yaml").is_file():
        return None
    path = run / "provenance.json"
    notes = read_json(path, "provenance") if path.is_file() else {}
    if not isinstance(notes, dict):
        raise InputError(f"provenance: {path}: expected keys and values")
    # Whoever evaluates a model need not have the modules that its config's keys are of.
    seed = notes["seed"] if "seed" in notes else read_config(run / "config.yaml").train.seed
    return Provenance(
        code_version=code_version(),
        recipe=notes.get("recipe"),
        config_fingerprint=notes.get("config_fingerprint"),
        seed=seed,
    )
