"""Pages of the documentation that are made from the code when the site is built: commands, config keys, recipes,
and the record of a result. (A hook of MkDocs.)"""

import inspect
from collections.abc import Iterator
from typing import Any, get_args

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel

import dalr
from dalr.__main__ import COMMANDS, DATA_COMMANDS, SWEEP_COMMANDS, build
from dalr.config.commands import commented
from dalr.config.keys import default_of, describe, field_at, known_keys, part_of
from dalr.config.loading import load_recipe
from dalr.config.recipes import RECIPES
from dalr.results import Provenance, Result, TaskScore


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages."""
    pages = {"commands": commands(), "config": config_keys(), "recipes": recipes(), "files": written_files()}
    pages["python"] = python_names()
    for name, lines in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content="\n".join(lines) + "\n"))
    return files


def commands() -> Iterator[str]:
    """Every command: what it does, its arguments and options."""
    yield "# Commands\n\n`dalr COMMAND --help` says the same. `--version` and `--verbose` go with every command."
    for name in COMMANDS:
        yield from _command(f"dalr {name}", _group([name]).commands[name])
    for name in DATA_COMMANDS:
        yield from _command(f"dalr data {name}", _group(["data", name]).commands["data"].commands[name])
    for name in SWEEP_COMMANDS:
        yield from _command(f"dalr sweep {name}", _group(["sweep", name]).commands["sweep"].commands[name])


def _group(words: list[str]) -> Any:
    return typer.main.get_command(build(words))


def _command(title: str, command: Any) -> Iterator[str]:
    text, _, example = (command.help or "").partition("Example: ")
    yield f"\n## {title}\n\n{_escaped(inspect.cleandoc(text))}\n"
    if example:
        yield f"```bash\n{example.strip()}\n```\n"
    yield "| | meaning | default |\n| --- | --- | --- |"
    for parameter in command.params:
        if parameter.name != "help":
            names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
            if not parameter.opts[0].startswith("-"):
                names = f"`{parameter.metavar or parameter.name.upper()}`"
            yield _row(names, _escaped(parameter.help or ""), _default(parameter))


def _default(parameter: Any) -> str:
    if parameter.required:
        return "must be given"
    value = parameter.default
    return "" if value in (None, False, "") else f"`{value}`"


def config_keys() -> Iterator[str]:
    """Every key of a run's config, a table for each group."""
    yield "# Config keys\n\nA run's config is YAML with these keys; on the command line each is `KEY=VALUE`."
    yield "`dalr config KEY` says the same of one key, `dalr config WORD` searches.\n"
    for key in known_keys():
        field = field_at(key)
        if field is None:
            continue
        if part_of(field) is not None:
            yield f"\n## {key}\n\n{_escaped(field.description or '')}\n\n| key | meaning | value | default |"
            yield "| --- | --- | --- | --- |"
        else:
            value = describe(key).removeprefix("expected ")
            yield _row(f"`{key}`", _escaped(field.description or ""), _escaped(value), f"`{default_of(key)}`")


def recipes() -> Iterator[str]:
    """Every recipe as a config file with comments."""
    yield "# Recipes\n\n`dalr recipes NAME > mine.yaml` makes a config file to change.\n"
    yield "| recipe | what it is | source |\n| --- | --- | --- |"
    for name, recipe in RECIPES.items():
        yield _row(f"[`{name}`](#{name})", _escaped(recipe.summary), _escaped(recipe.source))
    for name in RECIPES:
        values = load_recipe(name).dump()
        values["data"].pop("root", None)  # the machine's own
        yield f"\n## {name}\n\n```yaml"
        yield from commented(values)
        yield "```"


def python_names() -> Iterator[str]:
    """Every public name of `dalr` with its signature and docstring, those of a class's members below it."""
    yield "# Python\n\nThe names of `dalr`; [From Python](../python.md) shows them at work."
    for name in dalr.__all__:
        value = getattr(dalr, name)
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        yield f"\n## dalr.{name}\n"
        yield from _documented(name, value)
        if inspect.isclass(value):
            for member, inner in vars(value).items():
                function = getattr(inner, "__func__", getattr(inner, "fget", inner))
                own = not member.startswith("_") and not hasattr(BaseModel, member)
                if own and inspect.isfunction(function) and function.__doc__:
                    yield f"\n### {name}.{member}\n"
                    yield from _documented(member, function, call=not isinstance(inner, property))


def _documented(name: str, value: Any, *, call: bool = True) -> Iterator[str]:
    if call and not (inspect.isclass(value) and issubclass(value, BaseModel | BaseException)):
        yield f"```python\n{name}{_signature(inspect.signature(value))}\n```\n"
    yield _escaped(inspect.getdoc(value) or "")


def _signature(signature: inspect.Signature) -> str:
    """A signature, each parameter on its own line where they do not fit on one."""
    text = str(signature)
    if len(text) < 70:
        return text
    marked = "\0"
    for parameter in signature.parameters.values():
        text = text.replace(f", {parameter}", f",{marked}    {parameter}", 1)
    text = text.replace(", *,", f",{marked}    *,", 1)
    inside, _, returns = text.rpartition(")")
    return f"(\n    {inside.removeprefix('(')},\n){returns}".replace(marked, "\n")


def written_files() -> Iterator[str]:
    """What a run, a sweep and a report consist of; the fields of a result from the code."""
    yield _WRITTEN
    for record in (Result, TaskScore, Provenance):
        yield f"\n### {record.__name__}\n\n{_escaped(inspect.cleandoc(record.__doc__ or ''))}\n"
        yield "| field | type | default |\n| --- | --- | --- |"
        for name, field in record.model_fields.items():
            default = "must be given" if field.is_required() else f"`{field.get_default(call_default_factory=True)}`"
            yield _row(f"`{name}`", f"`{_type(field.annotation)}`", default)


def _type(annotation: Any) -> str:
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    text = str(annotation).replace("typing.", "")
    models = {f"{model.__module__}.": "" for model in _models(annotation)}
    for long, short in models.items():
        text = text.replace(long, short)
    return text


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    for part in (annotation, *get_args(annotation)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            yield part


def _row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def _escaped(text: str) -> str:
    """Text in which nothing but backticks is Markdown."""
    parts = text.split("`")
    marks = str.maketrans({"<": "&lt;", "*": "\\*", "_": "\\_", "[": "\\["})
    return "`".join(part if place % 2 else part.translate(marks) for place, part in enumerate(parts))


_WRITTEN = """\
# Files that are written

## A run

| file | what it is |
| --- | --- |
| `config.yaml` | the complete config; `dalr train config.yaml` trains the same again |
| `provenance.json` | recipe and overrides, code and package versions, checksums of the data, every attempt |
| `metrics.jsonl` | a line for each step: losses, terms, rate, gradient norm; a line for each evaluation |
| `checkpoints/` | where a run that was cut off goes on |
| `model/` | the best checkpoint as transformers and sentence-transformers load it; `heads.safetensors` beside it |
| `results/NAME.json` | a result (below); `NAME.details/` has each example's outcome, for tests over examples |

## A sweep

| file | what it is |
| --- | --- |
| `sweep.yaml` | the specification |
| `study.db` | the Optuna study, SQLite, unless the specification names another database |
| `trials.parquet` | a row for each ended trial and seed: state, value, steps, seconds, point |
| `best.yaml` | the winner's config |
| `finals.parquet`, `importance.parquet`, `comparison.parquet` | final runs, importance of each path, recipes compared |
| `runs/` | every trial's run |

A report's files are in [Reports](../reports.md). Every file is written aside and renamed, so that none is half there.

## A result
"""
