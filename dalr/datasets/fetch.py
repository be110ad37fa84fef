"""Fetches the public corpora into a data folder, in the places where the recipes look for them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dalr.data.manifest import Manifest, Origin, count_lines, file_entry, read_manifest, write_manifest
from dalr.datasets.archive import extract_tar
from dalr.datasets.check import check_senteval
from dalr.datasets.download import FetchError, download
from dalr.errors import InputError, did_you_mean
from dalr.evaluation.tasks import expected_files
from dalr.files import atomic_write, writable_folder

HUB_DATASET = "princeton-nlp/datasets-for-simcse"
"""Where SimCSE's authors keep both corpora on the Hub. No checksum of theirs is pinned here: none is published
outside the Hub. The Hub itself names the sha256 of each file when it is fetched, which is checked;
from a mirror that does not, the first fetch's sha256 is recorded and later ones are held against it.
What arrives is checked by content as well: row counts, encodings, scores."""

WIKI1M = "wiki1m_for_simcse.txt"
WIKI1M_ROWS = range(999_000, 1_001_001)
"""A million sentences, give or take what a tool takes for a line; far fewer means that it was cut."""


@dataclass(frozen=True)
class Manual:
    """A corpus that its owners give out themselves: the files that recipes need, below the data
    folder, and how to come by them."""

    files: tuple[str, ...]
    steps: tuple[str, ...]


KARPATHY = "https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip"
MANUAL: dict[str, Manual] = {
    "flickr30k": Manual(
        ("flickr30k/dataset_flickr30k.json", "flickr30k/images"),
        (
            "Flickr30k's pictures need an agreement: request them at https://shannon.cs.illinois.edu/DenotationGraph/",
            "unpack the 31,783 .jpg files into {root}/flickr30k/images",
            f"take dataset_flickr30k.json (captions and splits) from {KARPATHY}",
            "put it at {root}/flickr30k/dataset_flickr30k.json",
        ),
    ),
    "coco": Manual(
        ("coco/dataset_coco.json", "coco/images"),
        (
            "COCO's pictures come under the terms at https://cocodataset.org/#termsofuse",
            "download http://images.cocodataset.org/zips/train2014.zip and val2014.zip",
            "unpack both into {root}/coco/images, without their folders (unzip -j)",
            f"take dataset_coco.json (captions and splits) from {KARPATHY}",
            "put it at {root}/coco/dataset_coco.json",
        ),
    ),
}


def _address(name: str, mirror: str | None) -> tuple[str, dict[str, str]]:
    """Where a file is, and the headers to ask with: below a mirror, or on the Hub as the environment has it
    (HF_ENDPOINT, HF_TOKEN or a login, HF_HUB_OFFLINE)."""
    if mirror is not None:
        return f"{mirror.rstrip('/')}/{name}", {}
    from huggingface_hub import constants, get_token, hf_hub_url

    if constants.HF_HUB_OFFLINE:
        raise InputError(
            f"fetch: HF_HUB_OFFLINE is set, so {name} is not taken from the Hub; unset it, or give --mirror the "
            "address of a folder with the file"
        )
    token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return hf_hub_url(HUB_DATASET, name, repo_type="dataset"), headers


def fetch_senteval(root: Path, *, mirror: str | None = None, quiet: bool = False) -> str:
    """`<root>/senteval`: SimCSE's archive of SentEval's data, unpacked, checked, with a manifest.

    Returns one line that says what was done. The folder appears only when all is well.

    Raises:
        InputError: `<root>/senteval` exists and is not sound.
        FetchError: the download failed, the archive is not safe, or its content is not the official one.
    """
    folder = Path(root) / "senteval"
    if folder.exists():
        return _keep_senteval(folder)
    writable_folder(root, "fetch")
    archive = Path(root) / "senteval.tar"
    known = _first_use(root, archive.name)
    url, headers = _address(archive.name, mirror)
    source = download(url, archive, headers=headers, first_use=known, quiet=quiet)
    with atomic_write(folder) as aside:
        extract_tar(archive, aside / "unpacked")
        _tasks_folder(aside / "unpacked", archive).rename(aside / "downstream")
        _remove_empty(aside / "unpacked")
        faults = [report for report in check_senteval(aside) if report.problem]
        if faults:
            raise FetchError(
                f"{archive}: {len(faults)} files are not SentEval's official ones: "
                f"{faults[0].path}: {faults[0].problem}; nothing is unpacked"
            )
        _write_senteval_manifest(aside, {archive.name: source})
    _record(root, sources={archive.name: source})
    archive.unlink()
    return f"senteval: {folder} ({source.bytes:,} bytes, sha256 {source.sha256[:12]}…, {source.verified})"


def _keep_senteval(folder: Path) -> str:
    """What is there already, if it is sound; it gets a manifest where it has none."""
    faults = [report for report in check_senteval(folder) if report.problem]
    if faults:
        raise InputError(
            f"fetch: {folder} exists and {len(faults)} of its files are not sound ({faults[0].path}: "
            f"{faults[0].problem}); remove the folder to fetch it again"
        )
    if read_manifest(folder) is None:
        _write_senteval_manifest(folder, {})
    return f"senteval: {folder} is there already, and sound"


def _write_senteval_manifest(folder: Path, sources: dict[str, Origin]) -> None:
    files = [folder / expected.path for expected in expected_files()]
    write_manifest(folder, "SentEval", files=files, sources=sources)


def _tasks_folder(unpacked: Path, archive: Path) -> Path:
    """The folder that holds the tasks, at whatever depth the archive has it."""
    for marker in sorted(unpacked.rglob("STS12-en-test")):
        if marker.parent.name == "STS":
            return marker.parent.parent
    raise FetchError(f"{archive}: holds no folder STS/STS12-en-test, so it is not SentEval's data")


def _remove_empty(folder: Path) -> None:
    """Removes what is left of the unpacked tree above the tasks' folder."""
    if folder.exists():
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        folder.rmdir()


def fetch_wiki1m(root: Path, *, mirror: str | None = None, quiet: bool = False) -> str:
    """`<root>/wiki1m_for_simcse.txt`: a million sentences of Wikipedia, one a line, recorded in
    `<root>/manifest.json`. Returns one line that says what was done.

    Raises:
        InputError: the file is there and differs from its manifest.
        FetchError: the download failed, or brought something else than a million lines of UTF-8.
    """
    root = writable_folder(root, "fetch")
    target, manifest = root / WIKI1M, read_manifest(root)
    if target.exists():
        recorded = manifest.files.get(WIKI1M) if manifest else None
        if recorded is not None and file_entry(target) != recorded:
            raise InputError(f"fetch: {target} differs from {root / 'manifest.json'}; remove it to fetch it again")
        _check_wiki1m(target)
        _record(root, target)
        return f"wiki1m: {target} is there already, and sound"
    known = _first_use(root, WIKI1M)
    url, headers = _address(WIKI1M, mirror)
    with atomic_write(target) as aside:
        kept = root / f"{WIKI1M}.download"  # a stable name, so that the next call resumes it
        source = download(url, kept, headers=headers, first_use=known, quiet=quiet)
        kept.rename(aside)
        _check_wiki1m(aside)
    _record(root, target, {WIKI1M: source})
    return f"wiki1m: {target} ({source.bytes:,} bytes, sha256 {source.sha256[:12]}…, {source.verified})"


def _check_wiki1m(path: Path) -> None:
    rows = count_lines(path)
    if rows not in WIKI1M_ROWS:
        raise FetchError(f"{WIKI1M}: {rows:,} lines, expected 1,000,000; not the corpus, nothing is kept")
    with path.open(encoding="utf-8", newline="\n") as file:
        try:
            for _ in file:
                pass
        except UnicodeDecodeError as error:
            raise FetchError(f"{WIKI1M}: not UTF-8: {error.reason}; not the corpus, nothing is kept") from error


def _record(root: Path, target: Path | None = None, sources: dict[str, Origin] | None = None) -> None:
    """Adds a file and downloads to the data folder's manifest, beside what is in it."""
    manifest = read_manifest(root) or Manifest(name="dalr data", files={})
    files = {**manifest.files, target.name: file_entry(target)} if target else manifest.files
    manifest.model_copy(update={"files": files, "sources": manifest.sources | (sources or {})}).write(root)


def _first_use(root: Path, name: str) -> str | None:
    """The sha256 that an earlier fetch of the same file into this folder recorded."""
    manifest = read_manifest(root)
    return manifest.sources[name].sha256 if manifest and name in manifest.sources else None


FETCHERS: dict[str, Callable[..., str]] = {"senteval": fetch_senteval, "wiki1m": fetch_wiki1m}


def checked_names(names: list[str]) -> list[str]:
    """The names, each once; an InputError names the nearest known one."""
    known = [*FETCHERS, *MANUAL]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known, cutoff=0.4)
            raise InputError(f"fetch: unknown data {name!r}{hint} (known: {', '.join(known)})")
    return list(dict.fromkeys(names))


def missing_files(name: str, root: Path) -> list[str]:
    """What a corpus of `MANUAL` still lacks below `root`."""
    return [path for path in MANUAL[name].files if not (Path(root) / path).exists()]


def instructions(name: str, root: Path) -> str:
    """How to come by a corpus of `MANUAL`, step by step."""
    steps = [step.format(root=root) for step in MANUAL[name].steps]
    numbered = [f"  {number}. {step}" for number, step in enumerate(steps, 1)]
    return "\n".join([f"{name} cannot be downloaded for you. How to get it:", *numbered])
