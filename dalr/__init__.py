"""Train, evaluate, search and report sentence embeddings from Python.

    import dalr

    config = dalr.recipe("dalr", **{"train.steps": 1000})
    run = dalr.train(config, out="runs/a", workers=8)
    result = dalr.evaluate(run, data="senteval", tasks="sts")

Each name is imported when it is asked for, so that `import dalr` itself loads neither torch nor Ray. `__init__.pyi`
gives editors and type checkers the same names.
"""

MOUNTED = {
    "recipe": "dalr.training.recipe:recipe",
    "train": "dalr.cluster.api.training:train",
    "Run": "dalr.cluster.api.run:Run",
    "evaluate": "dalr.cluster.api.scoring:evaluate",
    "Result": "dalr.cluster.api.scoring:Result",
    "encode": "dalr.evaluation.encode:encode",
    "SentenceEncoder": "dalr.evaluation.encoder:SentenceEncoder",
    "sweep": "dalr.sweeps.api:sweep",
    "Sweep": "dalr.sweeps.api:Sweep",
    "report": "dalr.reports.api:report",
    "Report": "dalr.reports.api:Report",
    "RunConfig": "dalr.config.schema:RunConfig",
    "Callback": "dalr.training.callbacks:Callback",
    "losses": "dalr.losses",
    "extensions": "dalr.extensions",
    "InputError": "dalr.errors:InputError",
    "Failed": "dalr.errors:Failed",
}
"""Where each public name is: `package.module:name`, or a module."""

__all__ = ["__version__", *MOUNTED]


def __getattr__(name: str) -> object:
    import importlib

    if name == "__version__":
        from dalr.extras import version

        value: object = version()
    elif name in MOUNTED:
        from dalr.extras import explained

        module, _, attribute = MOUNTED[name].partition(":")
        with explained():
            value = importlib.import_module(module)
        value = getattr(value, attribute) if attribute else value
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
