"""The command `dalr evaluate`."""

from pathlib import Path
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
    retrieve,
)
from dalr.evaluation.commands import evaluate as evaluate_here


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

    Example: dalr evaluate runs/a --data data/senteval --tasks sts --out runs/a/results/sts.json

    Example: dalr evaluate runs/a --tasks retrieval --captions dataset_flickr30k.json --out runs/a/results/ranks.json
    """
    from dalr.errors import InputError

    if tasks == "retrieval":
        if ray:
            raise InputError("--tasks retrieval is scored in this process; leave --ray out")
        retrieve(Path(model), out, captions, image_features, image_ids, split, folds, quiet)
        return
    if (captions, image_features, image_ids, split, folds) != (None, None, None, None, 1):
        raise InputError("--captions, --image-features, --image-ids, --split and --folds go with --tasks retrieval")
    if not ray:
        if (workers, gpus, address) != (None, None, None):
            raise InputError("--workers, --gpus and --address are for evaluating on Ray; add --ray")
        evaluate_here(model, out, data, tasks, protocol, pooler, custom, mteb, cache, quiet)
        return

    if mteb is not None:
        raise InputError("--mteb: MTEB's tasks are scored in one process; leave --ray out")

    from dalr.cluster.evaluate import Evaluation, evaluate_on_ray
    from dalr.cluster.preflight.resources import check, default_gpus
    from dalr.cluster.session import ray_session
    from dalr.cluster.train import Workers
    from dalr.evaluation.commands import provenance_of, summary
    from dalr.evaluation.plan import asked_tasks

    names, own = asked_tasks(tasks, data, custom, protocol.value)
    asked = Evaluation.prepare(
        model,
        data,
        names,
        protocol.value,
        out=out,
        pooler=pooler,  # type: ignore[arg-type]
        cache=cache,
        custom=own,
        provenance=provenance_of(Path(model)),
    )
    with ray_session(address, dashboard=False, quiet=quiet):
        count = workers or most_workers()
        crew = Workers(count, gpus=default_gpus(count) if gpus is None else gpus)
        check(crew.resources, crew.count)
        (result,) = evaluate_on_ray([asked], workers=crew, quiet=quiet)
    if not quiet:
        typer.echo(summary(result, out))


def most_workers() -> int:
    """One worker for each GPU of the connected cluster, or for each CPU where it has none."""
    import ray

    there = ray.cluster_resources()
    return max(1, int(there.get("GPU", 0) or there.get("CPU", 1)))
