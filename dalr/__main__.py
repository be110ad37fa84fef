"""The command `dalr`: the one place that knows all four packages. Nothing imports it.

Only the command that is called is imported; of the others the help page needs a line each
(`dalr.command_table`), so that `dalr --help` answers without torch or ray.
"""

import contextlib
import functools
import importlib
import inspect
import itertools
import logging
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from dalr.command_table import COMMANDS, CONFIGURED, CONTINUED, DATA_COMMANDS, REPORTED, SWEEP_COMMANDS, Entry
from dalr.errors import Failed, InputError, Interrupted, command_line
from dalr.help_pages import Command


def build(words: Sequence[str]) -> typer.Typer:
    """The application with the command that `words` names loaded and the others in outline."""
    text = "Train, search and report DALR sentence embeddings on a Ray cluster."
    about = _about_a_sweep(words)
    commands = {name: entry for name, entry in COMMANDS.items() if not (about and name == "sweep")}
    app = _group(text, "dalr quickstart --out quickstart", commands, words[:1], completion=True)
    if about:
        example = "dalr sweep set sweeps/core budget.trials=60"
        app.add_typer(
            _group("Ask about a sweep, or steer it while it runs.", example, SWEEP_COMMANDS, words[1:2]), name="sweep"
        )
    chosen = words[1:2] if words[:1] == ["data"] else ()
    data = _group("Fetch and check data.", "dalr data fetch senteval wiki1m --out data", DATA_COMMANDS, chosen)
    app.add_typer(data, name="data")
    return app


def _group(
    text: str, example: str, entries: Mapping[str, Entry], chosen: Sequence[str], *, completion: bool = False
) -> typer.Typer:
    app = typer.Typer(help=text, add_completion=completion, pretty_exceptions_enable=False)

    @app.callback(epilog=f"Example: {example}")
    def group(
        version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
        verbose: Annotated[
            bool, typer.Option("--verbose", help="Write details to stderr, too; may follow the command.")
        ] = False,
        imports: Annotated[
            str,
            typer.Option(
                "--import",
                metavar="FILE.py",
                help="Import a module of your own that adds terms, tasks or teachers (docs/extending.md); may stand "
                "several times, and after the command.",
            ),
        ] = "",
    ) -> None:
        """All are seen to by `main`."""

    for name, entry in entries.items():
        function = _load(entry.target) if name in chosen else _outline
        if name in chosen and entry is COMMANDS.get(name) and name in REPORTED:
            function = _with_report(function)
        if name in chosen and name == "submit":
            function = _with_check(function)
        app.command(name, cls=Command, short_help=entry.help)(_interruptible(function) if name in chosen else function)
    return app


def _interruptible(function: Callable[..., Any]) -> Callable[..., Any]:
    """The command, whose Ctrl-C reaches `main` with its words: Typer would end in silence."""

    @functools.wraps(function)
    def command(*args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except KeyboardInterrupt as error:
            raise Interrupted("interrupted") from error

    return command


def _load(target: str) -> Any:
    module, _, function = target.partition(":")
    return getattr(importlib.import_module(module), function)


def _with_report(function: Callable[..., None]) -> Callable[..., None]:
    """The command with one option more, --report. The packages do not know each other, so that it is
    here that one command follows another; the command's own options go to it as Typer read them."""

    @functools.wraps(function)
    def command(*, report: bool, **options: Any) -> None:
        out: str | Path | None = options["out"]
        if report and out is None:
            raise InputError("--report needs the folder to report on: --out DIR")
        if report and (uri := _load("dalr.files:uri_of")(out)):
            raise InputError(f"--report: {uri} is not on this machine; copy the run here, then dalr report DIR")
        function(**options)
        if report and out is not None:
            _load(COMMANDS["report"].target)([Path(out)], Path(out) / "report", quiet=options["quiet"])

    option = inspect.Parameter(
        "report",
        inspect.Parameter.KEYWORD_ONLY,
        default=False,
        annotation=Annotated[
            bool, typer.Option("--report", help="Then write tables, figures and a page of it to DIR/report.")
        ],
    )
    signature = inspect.signature(function, eval_str=True)
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in signature.parameters.values()]
    command.__signature__ = signature.replace(parameters=[*parameters, option])  # type: ignore[attr-defined]
    return command


def _with_check(submit: Callable[..., None]) -> Callable[..., None]:
    """The command `submit`, which sends a command line only after it was checked as if it ran here."""

    @functools.wraps(submit)
    def command(words: list[str], **options: Any) -> None:
        about_jobs = _load("dalr.cluster.commands.submit:JOB_COMMANDS")
        folder = Path(options["working_dir"])
        for module in without_imports(words)[1]:
            inside = (folder / module).resolve().is_relative_to(folder.resolve())
            if module.endswith(".py") and not inside and not Path(module).is_absolute():
                raise InputError(f"--import {module}: lies outside of {folder.resolve()}, which the job takes along")
        if words[0] not in (*about_jobs, "submit", "dalr", "python"):  # of the last three submit says more
            with contextlib.chdir(folder if folder.is_dir() else Path()):
                check_command(words, others=about_jobs)
        submit(words, **options)

    return command


def check_command(words: Sequence[str], *, others: Sequence[str] = ()) -> None:
    """Reads a command line as `main` does, without doing what it says; `others` are names that would be right too.

    Raises:
        InputError: an unknown command or option, a value that an option does not take, an unknown recipe or key.
    """
    words, imports = without_imports(words)
    _import(imports)
    if words[0] not in COMMANDS | {"data": None}:
        near = _load("dalr.errors:did_you_mean")(words[0], [*COMMANDS, "data", *others])
        raise InputError(f"no such command: {words[0]!r}{near} (commands: {', '.join([*COMMANDS, 'data'])})")
    group: Any = typer.main.get_command(build(words))
    try:
        context = group.make_context("dalr", list(words))
        while hasattr(group, "resolve_command"):
            name, group, rest = group.resolve_command(context, [*context._protected_args, *context.args])
            context = group.make_context(name, rest, parent=context)
    except typer.TyperException as error:
        raise InputError(f"{error.format_message()} (dalr {words[0]} --help shows what is allowed)") from error
    if words[0] in COMMANDS and not _about_a_sweep(words) and (check := COMMANDS[words[0]].check):
        _load(check)(**context.params)


def _about_a_sweep(words: Sequence[str]) -> bool:
    """Whether a command line asks about a sweep or steers it, and does not run one."""
    return list(words[:1]) == ["sweep"] and bool(words[1:2]) and words[1] in SWEEP_COMMANDS


def _outline() -> None:
    """Stands on the help page for a command that was not called."""


def main() -> None:
    """Runs the command line. Exit code 0 on success, 2 on bad input, 1 on failure, 130 after Ctrl-C."""
    # Hub libraries print progress bars of their own; the commands have theirs.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if "_DALR_COMPLETE" in os.environ:  # a shell asks what may follow
        build(_words_to_complete())(prog_name="dalr")
    words = sys.argv[1:]
    if words == ["--version"]:
        print(f"dalr {_load('dalr.provenance:code_version')()}")
        sys.exit(0)
    words, verbose = _without_verbose(words)
    words, imports = without_imports(words)
    if words in ([], ["data"]):
        words.append("--help")
    if words[0] in COMMANDS or words[0] == "data":
        level = logging.DEBUG if verbose else logging.ERROR if "--quiet" in _own(words) else logging.INFO
        _load("dalr.logs:log_to_stderr")(level)
    try:
        with command_line(), _load("dalr.extras:explained")():
            if "--help" not in words:
                _import(imports)
            code = build(words)(words, prog_name="dalr", standalone_mode=False)
    except InputError as error:
        sys.exit(_complain(str(error), 2))
    except typer.TyperException as error:
        sys.exit(_complain(_usage(error, words), 2))
    except (typer.Abort, KeyboardInterrupt, Interrupted) as error:
        how = f"; the same command continues: {shlex.join(['dalr', *words])}" if words[0] in CONTINUED else ""
        sys.exit(_complain((str(error) or "interrupted") + how, 130))
    except Failed as error:
        sys.exit(_complain(str(error), 1))
    except OSError as error:
        # A full disk or a vanished mount: the system's own words name the file.
        sys.exit(_complain(str(error), 1))
    sys.exit(code if isinstance(code, int) else 0)


def _words_to_complete() -> list[str]:
    """The words after `dalr` that a shell hands over, in its own variable."""
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    return line.split()[1:]


def _own(words: Sequence[str]) -> Sequence[str]:
    """The words of this command line, without those of a command that `submit` sends."""
    return words[: words.index("--")] if "--" in words else words


def _without_verbose(words: list[str]) -> tuple[list[str], bool]:
    own = _own(words)
    kept = [word for word in own if word != "--verbose"]
    return kept + words[len(own) :], len(kept) < len(own)


def without_imports(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words without `--import FILE`, and the files. What a sent command imports is its own business."""
    own, rest = list(_own(words)), list(words[len(_own(words)) :])
    kept: list[str] = []
    imports: list[str] = []
    while own:
        word = own.pop(0)
        if word == "--import" and own:
            imports.append(own.pop(0))
        elif word.startswith("--import="):
            imports.append(word.removeprefix("--import="))
        else:
            kept.append(word)
    return kept + rest, imports


def _import(modules: Sequence[str]) -> None:
    """Imports the user's modules, and those that installed packages name."""
    _load("dalr.extensions:load_installed")()
    for name in modules:
        _load("dalr.extensions:load")(name)


def _usage(error: typer.TyperException, words: Sequence[str]) -> str:
    """What is wrong with a command line; of an option that is a config key, how the key is written."""
    name = getattr(error, "option_name", None)
    key = _load("dalr.config.keys:key_of_option")(name) if name and words[0] in CONFIGURED else None
    if key:
        values = [word for given, word in itertools.pairwise(words) if given == name and not word.startswith("-")]
        value = values[0] if values else "VALUE"
        return f"no option {name}: a config value is written as key=value, {key}={value}"
    return f"{error.format_message()} (dalr {' '.join(words[:1])} --help shows what is allowed)"


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
    steps = ("features", "sweep", "train", "report")
    run = _load("dalr.quickstart:run")
    run(
        out,
        {name: _load(COMMANDS[name].target) for name in steps},
        _load("dalr.cluster.session:ray_session"),
        quiet=quiet,
    )


if __name__ == "__main__":
    main()
