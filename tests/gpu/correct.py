"""Whether CUDA computes what the CPU does, and the same twice."""

import time

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from dalr.data.batches import TextBatch
from dalr.model.student import Groups
from dalr.training.arithmetic import arithmetic
from dalr.training.checkpoint import load_checkpoint, save_checkpoint, state_of
from dalr.training.grad_cache import compute_gradients, seed_step
from dalr.training.trainer import Run
from tests.gpu.report import Report
from tests.gpu.world import DEVICE, World

CPU = torch.device("cpu")


def gradient(run: Run, batch: TextBatch, *, parts: int = 1, groups: Groups = 1) -> tuple[dict[str, float], Tensor]:
    """The terms of a batch and the whole gradient, float64 on the CPU."""
    for module in (run.student, run.objective):
        module.train()
    terms = compute_gradients(
        run.student,
        run.objective,
        batch,
        run.gradients,
        parts=parts,
        groups=groups,
        seed=lambda part: seed_step(1, 0, part),
        autocast=run.autocast,
    )
    parameters = [*run.student.parameters(), *run.objective.parameters()]
    flat = torch.cat([p.grad.detach().double().flatten().cpu() for p in parameters if p.grad is not None])
    return {name: float(value) for name, value in terms.terms.items()}, flat


def off(one: Tensor, other: Tensor) -> float:
    """The norm of the difference, relative to the norm of `other`."""
    return float((one - other).norm() / other.norm())


def terms(report: Report, world: World) -> None:
    """Every term finite, and equal to the CPU's in float32; and the gradient, in parts and groups too."""
    size = min(32, world.size.batch)
    run = world.run("dalr", train__batch_size=size, model__dropout=0.0)
    batch = run.prepared_batch(0)
    here, flat = gradient(run, batch)
    host = world.run("dalr", CPU, train__batch_size=size, model__dropout=0.0)
    there, expected = gradient(host, host.prepared_batch(0))
    worst = max(abs(here[name] - there[name]) / max(1e-6, abs(there[name])) for name in there)
    report.expect(here.keys() == there.keys() and worst < 1e-4, f"terms against the CPU's: off by {worst:.1e} at most")
    report.expect(off(flat, expected) < 1e-4, f"gradient against the CPU's: off by {off(flat, expected):.1e}")
    report.note("terms", here=here, there=there, gradient=off(flat, expected))
    run.student.pack_tokens()
    for parts, groups in ((4, 1), (1, 4), (1, "packed")):
        _, other = gradient(run, batch, parts=parts, groups=groups)
        text = f"accumulate={parts} length_groups={groups} against one pass: off by {off(other, flat):.1e}"
        report.expect(off(other, flat) < 1e-5, text)
    half = world.run("dalr", train__batch_size=size, model__dropout=0.0, train__precision="bfloat16")
    _, other = gradient(half, half.prepared_batch(0))
    cosine = float(other @ flat / other.norm() / flat.norm())
    report.expect(
        cosine > 0.999, f"bfloat16 against float32: gradient off by {off(other, flat):.1e}, cosine {cosine:.6f}"
    )
    report.note("bfloat16", gradient=off(other, flat), cosine=cosine)
    with world.run("dalr", train__batch_size=size, train__precision="auto").autocast():
        product = torch.ones(2, 2, device=DEVICE) @ torch.ones(2, 2, device=DEVICE)
    wanted = torch.bfloat16 if DEVICE.type == "cuda" else torch.float32
    report.expect(product.dtype == wanted, f"precision=auto multiplies in {product.dtype}")


def attention(report: Report, world: World) -> None:
    """A step's attention, padded and with dropout, never takes torch's unfused way, in whichever form it comes."""
    fused = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION]
    if DEVICE.type != "cuda":
        report.say("attention: no CUDA")
        return
    for precision in ("bfloat16", "float32"):
        for groups in ("auto", "packed"):
            run = world.run("simcse", train__precision=precision, train__length_groups=groups)
            told = ""
            try:
                with sdpa_kernel(fused):
                    run.step()
            except RuntimeError as error:
                told = str(error).splitlines()[0]
            report.expect(not told, f"attention is fused in {precision}, groups={groups}{': ' * bool(told)}{told}")
            run.close()


def replay(report: Report, world: World) -> None:
    """GradCache's second pass drops what the first dropped."""
    run = world.run("dalr", train__precision="bfloat16")
    batch = run.prepared_batch(0)
    run.student.train()

    def encoded(groups: int) -> Tensor:
        seed_step(1, 0, 0)
        with run.autocast():
            views = run.student(batch.input_ids, batch.attention_mask, groups=groups, lengths=batch.lengths)
        return views.projected.detach()

    for groups in (1, 4):
        with torch.no_grad():
            first = encoded(groups)
        difference = float((first - encoded(groups)).abs().max())
        report.expect(difference == 0, f"second pass, groups={groups}: difference {difference:.1e}")
        report.note("replay", groups=groups, difference=difference)


def weights(run: Run) -> Tensor:
    return torch.cat([p.detach().flatten().cpu() for p in run.student.parameters()])


def resume(report: Report, world: World) -> None:
    """5 steps, a checkpoint, a fresh run, 5 more, against 10: no further apart than 10 steps and 10 steps are; and
    with train.deterministic neither is apart at all."""
    settings = {"train__precision": "bfloat16", "train__batch_size": max(8, world.size.batch // 2)}
    for deterministic in (False, True):
        config = world.config("dalr", train__deterministic=deterministic, **settings)
        with arithmetic(config.train, DEVICE):
            repeated, after_resume, ms = apart(world, train__deterministic=deterministic, **settings)
        kind = "deterministic, " if deterministic else ""
        report.say(f"     {kind}10 steps against 10: weights differ by {repeated:.1e}; {ms:.1f} ms a step")
        most = 0.0 if deterministic else 3 * repeated
        text = f"{kind}5 + resume + 5 steps against 10: weights differ by {after_resume:.1e}"
        report.expect(after_resume <= most and (repeated == 0 or not deterministic), text)
        report.note("resume", deterministic=deterministic, repeated=repeated, after_resume=after_resume, ms=ms)


def apart(world: World, **settings: object) -> tuple[float, float, float]:
    """The largest difference of a weight after 10 steps: from 10 more from the start, and from 5 + resume + 5; and
    milliseconds a step, of the second half of the repetition."""

    def stepped(run: Run, steps: int) -> Run:
        for _ in range(steps):
            run.step()
        return run

    first = stepped(world.run("dalr", **settings), 5)
    folder = world.folder / f"resume-{time.monotonic_ns()}"
    save_checkpoint(folder, state_of(first.trainables), first.progress, first.identity)
    whole = weights(stepped(first, 5))
    del first
    again = world.run("dalr", **settings)
    again.progress = load_checkpoint(folder, 5, again.trainables, again.identity)
    resumed = weights(stepped(again, 5))
    del again
    other = stepped(world.run("dalr", **settings), 5)
    other.read()
    began = time.perf_counter()
    stepped(other, 5).read()
    ms = (time.perf_counter() - began) / 5 * 1e3
    # Attention's backward pass adds in no fixed order on a GPU, so that 10 steps differ from 10 steps, too.
    return float((whole - weights(other)).abs().max()), float((whole - resumed).abs().max()), ms


def evaluation(report: Report, world: World) -> None:
    """SentEval's classifier and the encoder, against the CPU's."""
    import numpy as np

    from dalr.evaluation.classifier import L2_GRID, SETTINGS, Examples, fit_folds
    from dalr.evaluation.encoder import SentenceEncoder
    from dalr.evaluation.folds import Fold, stratified_folds

    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 2000 if world.size.layers > 2 else 200)
    centres = 0.12 * random.normal(size=(2, world.size.width))
    features = (centres[labels] + random.normal(size=(len(labels), world.size.width))).astype(np.float32)
    folds = [Fold(train, test) for train, test in stratified_folds(labels, 5)]
    grid = np.tile(np.array(L2_GRID), (5, 1))
    accuracies = [
        fit_folds(Examples(features, labels, 2, device), folds, grid, SETTINGS["fast"]).accuracy
        for device in ("cpu", DEVICE.type)
    ]
    worst = float(np.abs(accuracies[0] - accuracies[1]).max())
    report.expect(worst <= 0.01, f"classifier against the CPU's: accuracy off by {worst:.4f} at most")
    sentences = (world.folder / "sentences.txt").read_text(encoding="utf-8").splitlines()
    few = sentences[:64]
    vectors = [SentenceEncoder.load(world.model, "cls_before_pooler", device=d).encode(few) for d in (CPU, DEVICE)]
    difference = float(np.abs(vectors[0] - vectors[1]).max())
    report.expect(difference < 1e-3, f"vectors against the CPU's: off by {difference:.1e} at most")
    report.note("evaluation", accuracy=worst, vectors=difference)
