"""How a sweep stands, and what it has brought: `dalr sweep status` and `dalr sweep best`."""

import time
from pathlib import Path

import typer
from rich.console import Console
from rich.live import Live

from dalr.sweeps.analysis.outcome import outcome_of
from dalr.sweeps.display import REFRESH_SECONDS, best_lines, extensions, failures, request_lines, table
from dalr.sweeps.execution.place import question
from dalr.sweeps.search.snapshot import final_runs, read_state


def show_status(folder: Path, *, watch: bool = False, quiet: bool = False) -> None:
    """Counts, budget, running and best trials, failures."""
    with question(folder) as place:
        folder = place.folder
    state = read_state(folder, scores=False)
    if quiet:
        return
    console = Console()
    if watch:
        with Live(table(state), console=console, auto_refresh=False) as display:
            while True:
                time.sleep(REFRESH_SECONDS)
                display.update(table(read_state(folder, scores=False)), refresh=True)
    console.print(table(state))
    for line in [*failures(state), *extensions(state), *request_lines(state.requests)]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def show_best(folder: Path, *, quiet: bool = False) -> None:
    """The winner, whether it beats the base recipe, and what mattered."""
    with question(folder) as place:
        state = read_state(place.folder)
        place.fetch_runs(final_runs(state))
        outcome = outcome_of(state)
    if not quiet:
        typer.echo("\n".join(best_lines(outcome)))
