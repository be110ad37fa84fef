"""The command `dalr`: the one place that knows all four packages. Nothing imports it.

Only the command that is called is imported; of the others the help page needs a line each, so that
`dalr --help` answers without torch or ray.
"""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from dalr.errors import InputError

if TYPE_CHECKING:
    from dalr.config import RunConfig


class Entry(NamedTuple):
    """Where a command's function is (`package.module:function`), and its line on the help page."""

    target: str
    help: str


COMMANDS: dict[str, Entry] = {
    "quickstart": Entry(
        "dalr.__main__:quickstart", "The whole way on embedded data: features, sweep, training, report."
    ),
    "features": Entry("dalr.data.commands:features", "Compute a recipe's teacher features into the store."),
    "train": Entry("cluster.commands:train", "Train one run on Ray Train, or in this process with --local."),
    "evaluate": Entry("dalr.evaluation.commands:evaluate", "Score a model on the STS and transfer tasks."),
    "encode": Entry("dalr.evaluation.commands:encode", "Turn sentences on stdin into vectors."),
    "sweep": Entry("sweeps.commands:sweep", "Search hyperparameters with Ray Tune and Optuna."),
    "report": Entry("reports.commands:report", "Make tables and figures of runs, sweeps and results."),
    "publish": Entry("reports.commands:publish", "Show what a push of a model to the Hub would send."),
    "submit": Entry("cluster.submit_commands:submit", "Send any of these commands to a cluster as a Ray job."),
}

DATA_COMMANDS: dict[str, Entry] = {
    "fetch": Entry("dalr.data.data_commands:fetch", "Download and verify SentEval and Wiki1M."),
    "check": Entry("dalr.data.data_commands:check", "Check a data folder: files, row counts, checksums."),
}


def build(words: Sequence[str]) -> typer.Typer:
    """The application with the command that `words` names loaded and the others in outline."""
    app = _group("Train, search and report DALR sentence embeddings on a Ray cluster.", COMMANDS, words[:1])
    data = _group("Fetch and check data.", DATA_COMMANDS, words[1:2] if words[:1] == ["data"] else ())
    app.add_typer(data, name="data")
    return app


def _group(text: str, entries: dict[str, Entry], chosen: Sequence[str]) -> typer.Typer:
    app = typer.Typer(help=text, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

    @app.callback(epilog="Example: dalr quickstart --out quickstart")
    def group() -> None:
        """A group, also where it has one command."""

    for name, entry in entries.items():
        function = _load(entry.target) if name in chosen else _outline
        app.command(name, short_help=entry.help)(function)
    return app


def _load(target: str) -> Callable[..., Any]:
    module, _, function = target.partition(":")
    return getattr(importlib.import_module(module), function)


def _outline() -> None:
    """Stands on the help page for a command that was not called."""


def main() -> None:
    """Runs the command line. Exit code 0 on success, 2 on bad input, 1 on failure."""
    # Hub libraries print progress bars of their own; the commands have theirs.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    words = sys.argv[1:]
    try:
        code = build(words)(words, prog_name="dalr", standalone_mode=False)
    except InputError as error:
        sys.exit(_complain(str(error), 2))
    except typer.TyperException as error:
        sys.exit(_complain(f"{error.format_message()} (dalr {' '.join(words[:1])} --help shows what is allowed)", 2))
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(_complain("interrupted", 130))
    except OSError as error:
        # A full disk or a vanished mount: the system's own words name the file.
        sys.exit(_complain(str(error), 1))
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str, code: int) -> int:
    print(f"dalr: {message}", file=sys.stderr)
    return code


def quickstart(
    out: Annotated[Path, typer.Option(help="The folder for everything that is made.")] = Path("quickstart"),
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only errors.")] = False,
) -> None:
    """The whole pipeline on embedded data, in a few minutes on a laptop.

    Draws a small captioned data set, computes teacher features, searches three points, trains the
    best on Ray Train, evaluates it and writes a report. The same command continues where it stopped.

    Example: dalr quickstart --out quickstart
    """
    from cluster.session import ray_session
    from cluster.train import Workers, train_on_ray
    from dalr.data.features import prepare_features
    from dalr.files import writable_folder
    from dalr.inputs import check_inputs
    from dalr.overrides import read_config, with_absolute_paths, with_overrides
    from dalr.recipes import load_recipe
    from sweeps.loading import parse_spec
    from sweeps.run import run_sweep

    def say(text: str) -> None:
        if not quiet:
            typer.echo(text)

    writable_folder(out, "--out")
    overrides = {"data.root": str(out / "data")}
    config = with_absolute_paths(with_overrides(load_recipe("quickstart"), overrides))
    say(f"1/5  data: drawing scenes, writing captions and tasks in {out / 'data'}")
    check_inputs(config)
    say("2/5  features: the image teacher's and the text teacher's, once")
    prepare_features(config, quiet=quiet)
    with ray_session(quiet=True):
        say("3/5  sweep: three points with Ray Tune and Optuna")
        best = run_sweep(
            parse_spec({**_QUICK_SWEEP, "overrides": {**overrides, "train.steps": 20}}), out / "sweep", quiet=quiet
        )
        if best.best_config is None:
            raise InputError(f"no trial of {out / 'sweep'} finished; dalr sweep status {out / 'sweep'} says why")
        say("4/5  training: the best point on Ray Train, then all tasks, its own and the untrained student's")
        winner = with_overrides(read_config(best.best_config), {"train.steps": config.train.steps})
        trained = train_on_ray(winner, out / "runs" / "dalr", workers=Workers(1), recipe="quickstart", quiet=quiet)
    if not trained.finished:
        say(f"stopped after step {trained.steps} ({trained.reason}); the same command continues")
        raise typer.Exit(1)
    _score_untrained(config, out / "runs" / "untrained" / "results" / "test.json")
    say("5/5  report: tables, figures, one page")
    _load(COMMANDS["report"].target)([out / "runs", out / "sweep"], out / "report", quiet=quiet)


def _score_untrained(config: "RunConfig", path: Path) -> None:
    """The student as it was before training, for comparison."""
    from dalr.evaluation import SentenceEncoder, evaluate
    from dalr.model.student import make_student

    student, tokenizer = make_student(config.model)
    encoder = SentenceEncoder(student.encoder, tokenizer, pooler=config.model.pooler)
    assert config.evaluation.data is not None  # the recipe names the embedded tasks
    evaluate(
        encoder.encode,
        config.evaluation.data,
        config.evaluation.tasks,
        model="untrained student",
        pooler=encoder.pooler,
        fingerprint=encoder.fingerprint(),
        out=path,
    )


_QUICK_SWEEP: dict[str, Any] = {
    "recipe": "quickstart",
    "space": {
        "optim.learning_rate": {"log": [1.0e-4, 1.0e-3]},
        "objective.intra_modal": {"uniform": [0.05, 1.0]},
    },
    "sampler": {"name": "tpe", "seed": 0},
    "scheduler": {"name": "none"},
    "budget": {"trials": 3},
    "seeds": {"per_trial": 1, "final": 0},
}


if __name__ == "__main__":
    main()
