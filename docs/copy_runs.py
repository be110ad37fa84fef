"""Copies the small files of finished runs and sweeps, without weights, teacher features and the machine's paths.

python docs/copy_runs.py RUNS COPIES [--no-similarities]
"""

import argparse
import json
from pathlib import Path

import numpy as np
import polars as pl

from dalr.reports.load.names import without_paths  # /a/b/c/d.csv becomes …/c/d.csv
from dalr.yaml_text import dump_yaml, read_yaml

OF_A_SWEEP = ("sweep.yaml", "trials.parquet", "finals.parquet", "importance.parquet", "best.yaml")
OF_A_RUN = ("config.yaml", "provenance.json", "metrics.jsonl", "results/*.json")
SIMILARITIES = "results/*.details/*.npz"


def small_files(runs: Path, *, similarities: bool) -> list[Path]:
    """The files that make the report: of each sweep, of each of its runs, and of each other run that was scored."""
    sweeps = sorted(path.parent for path in runs.glob("*/sweep.yaml"))
    of_sweeps = [path for sweep in sweeps for name in OF_A_SWEEP if (path := sweep / name).is_file()]
    folders = [path.parent for sweep in sweeps for path in sorted(sweep.glob("runs/*/config.yaml"))]
    folders += [path.parent.parent for path in sorted(runs.glob("*/results/test.json"))]
    patterns = (*OF_A_RUN, SIMILARITIES) if similarities else OF_A_RUN
    return of_sweeps + [path for folder in folders for pattern in patterns for path in sorted(folder.glob(pattern))]


def copy(path: Path, to: Path) -> None:
    """One file without the machine's paths; of similarities, single precision."""
    to.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            single = {
                name: array.astype(np.float32) if array.dtype == np.float64 else array for name, array in arrays.items()
            }
            np.savez_compressed(to, **single)
    elif path.suffix == ".yaml":
        to.write_text(dump_yaml(without_paths(read_yaml(path))), encoding="utf-8")
    elif path.suffix == ".json":
        values = without_paths(json.loads(path.read_text(encoding="utf-8")))
        to.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    elif path.suffix == ".parquet":
        frame = pl.read_parquet(path)
        texts = [name for name, kind in frame.schema.items() if kind == pl.String]
        shorter = [pl.col(name).map_elements(without_paths, return_dtype=pl.String) for name in texts]
        frame.with_columns(shorter).write_parquet(to)
    else:
        to.write_bytes(path.read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("copies", type=Path)
    parser.add_argument("--no-similarities", action="store_true", help="leave out the similarities of test pairs")
    arguments = parser.parse_args()
    for path in small_files(arguments.runs, similarities=not arguments.no_similarities):
        copy(path, arguments.copies / path.relative_to(arguments.runs))


if __name__ == "__main__":
    main()
