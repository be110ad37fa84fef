"""The command `dalr evaluate`."""

from typing import Annotated

import typer

from dalr.cluster.commands.options import Address, Gpus
from dalr.evaluation.commands import (
    Cache,
    Captions,
    Custom,
    Data,
    Folds,
    ImageFeatures,
    ImageIds,
    Model,
    Mteb,
    Out,
    PoolerOption,
    ProtocolName,
    ProtocolOption,
    Quiet,
    Split,
    Tasks,
)


def evaluate(
    model: Model,
    out: Out,
    data: Data = None,
    tasks: Tasks = None,
    protocol: ProtocolOption = ProtocolName.test,
    pooler: PoolerOption = None,
    custom: Custom = None,
    mteb: Mteb = None,
    cache: Cache = None,
    captions: Captions = None,
    image_features: ImageFeatures = None,
    image_ids: ImageIds = None,
    split: Split = None,
    folds: Folds = 1,
    ray: Annotated[bool, typer.Option("--ray", help="Spread encoding and scoring over Ray workers.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Ray workers, one CPU each. Default: as many as the cluster has room for.")
    ] = None,
    gpus: Gpus = None,
    address: Address = None,
    quiet: Quiet = False,
) -> None:
    """Scores a model on the STS and transfer tasks as SentEval does, on your own and MTEB's; writes a result.

    A task that is done already (same model, data and protocol) is not done again. With --ray the
    result is the same; model and data must then be where every node sees them. `--tasks retrieval` ranks
    images by captions and captions by images, through a run's grounding heads.

    Example: dalr evaluate runs/a --data senteval --out runs/a/results/test.json

    Example: dalr evaluate runs/a --tasks retrieval --out runs/a/ranks.json
    """
    from dalr.cluster.api.scoring import evaluate as score
    from dalr.evaluation.commands import summary

    result = score(
        model,
        data,
        tasks,
        protocol=protocol.value,
        pooler=pooler,
        custom=custom,
        mteb=mteb.replace(",", " ").split() if mteb is not None else (),
        out=out,
        cache=cache,
        captions=captions,
        image_features=image_features,
        image_ids=image_ids,
        split=split,
        folds=folds,
        ray=ray,
        workers=workers,
        gpus=gpus,
        address=address,
        quiet=quiet,
    )
    if not quiet:
        typer.echo(summary(result, out))
