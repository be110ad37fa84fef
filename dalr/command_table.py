"""The commands of `dalr`: of each its function, which is imported when it is called, and its line on the help page."""

from typing import NamedTuple


class Entry(NamedTuple):
    """Where a command's function is (`package.module:function`), and its line on the help page. `check` is a
    function that takes the command's options and raises InputError for what is wrong wherever it runs."""

    target: str
    help: str
    check: str = ""


COMMANDS: dict[str, Entry] = {
    "quickstart": Entry(
        "dalr.__main__:quickstart", "The whole way on embedded data: features, sweep, training, report."
    ),
    "features": Entry(
        "dalr.cluster.commands.features:features",
        "Compute a recipe's teacher features into the store.",
        "dalr.cluster.commands.check:check_config",
    ),
    "train": Entry(
        "dalr.cluster.commands.train:train",
        "Train one run on Ray Train, or in this process with --local.",
        "dalr.cluster.commands.check:check_config",
    ),
    "evaluate": Entry("dalr.cluster.commands.evaluate:evaluate", "Score a model on the STS and transfer tasks."),
    "encode": Entry("dalr.evaluation.commands:encode", "Turn sentences on stdin into vectors."),
    "sweep": Entry(
        "dalr.sweeps.commands.sweep:sweep",
        "Search hyperparameters with Ray Tune and Optuna.",
        "dalr.sweeps.commands.sweep:check_search",
    ),
    "report": Entry("dalr.reports.commands:report", "Make tables and figures of runs, sweeps and results."),
    "publish": Entry("dalr.reports.commands:publish", "Show what a push of a model to the Hub would send."),
    "submit": Entry("dalr.cluster.commands.submit:submit", "Send any of these commands to a cluster as a Ray job."),
    "recipes": Entry("dalr.config.commands:recipes", "List the recipes, or show one as a config file with comments."),
    "config": Entry("dalr.config.commands:config", "Explain the config's keys: meaning, type, range, default."),
    "tasks": Entry("dalr.evaluation.listing:tasks", "List the evaluation tasks."),
    "doctor": Entry("dalr.cluster.commands.doctor:doctor", "Show what this machine has, lacks, and would use."),
}

CONTINUED = ("quickstart", "features", "train", "evaluate", "sweep")
"""The commands that go on where they were cut off when they are given again."""

CONFIGURED = ("features", "train", "sweep")
"""The commands that take KEY=VALUE."""

REPORTED = ("train", "sweep")
"""The commands whose folder --report turns into a report when they have ended."""

DATA_COMMANDS: dict[str, Entry] = {
    "fetch": Entry("dalr.datasets.commands:fetch", "Download and verify SentEval and Wiki1M."),
    "check": Entry("dalr.datasets.commands:check", "Check a data folder: files, row counts, checksums."),
}

SWEEP_COMMANDS: dict[str, Entry] = {
    "status": Entry("dalr.sweeps.commands.questions:status", "Show how a sweep stands."),
    "best": Entry("dalr.sweeps.commands.questions:best", "Name the best trial, and what mattered."),
    "why": Entry("dalr.sweeps.commands.questions:why", "Tell a trial's config, curve and end."),
    "reproduce": Entry("dalr.sweeps.commands.questions:reproduce", "Run a trial again, and compare."),
    "stop": Entry("dalr.sweeps.commands.control:stop", "End a trial, or the whole sweep."),
    "pause": Entry("dalr.sweeps.commands.control:pause", "Let a trial, or all, wait."),
    "resume": Entry("dalr.sweeps.commands.control:resume", "Let what was paused go on."),
    "skip": Entry("dalr.sweeps.commands.control:skip", "Leave out a trial that has not begun."),
    "add": Entry("dalr.sweeps.commands.control:add", "Let the next trial have these values."),
    "extend": Entry("dalr.sweeps.commands.extend:extend", "Train an ended trial on to more steps, in a copy."),
    "set": Entry("dalr.sweeps.commands.control:set_values", "Change the budget and more while it runs."),
    "dashboard": Entry("dalr.sweeps.commands.dashboard:dashboard", "Serve optuna-dashboard on a sweep."),
}
"""What may follow `dalr sweep` instead of a specification: commands of their own."""
