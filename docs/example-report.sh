#!/usr/bin/env bash
# Makes docs/example-report again: copies of the small files of finished runs, and the report over them.
#
#   bash docs/example-report.sh RUNS [options of dalr report]
#   bash docs/example-report.sh --report-only [options of dalr report]     over the copies that are there
#
# RUNS is what docs/real-run.sh and docs/real-sweep.sh have made (the sweep in RUNS/sweep). What the copies
# leave out and change is said in docs/example-report/README.md; nothing under RUNS is changed.
set -euo pipefail
runs=$1
shift
out=$(dirname "$(realpath "$0")")/example-report
export OMP_NUM_THREADS=1

rm -rf "$out"/{tables,figures,index.html,report.md,report.json,scores.parquet}
if [ "$runs" != --report-only ]; then
rm -rf "$out/runs"
python - "$(realpath "$runs")" "$out/runs" <<'PYTHON'
import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import yaml

from dalr.reports.load.names import without_paths  # /a/b/c/d.csv becomes …/c/d.csv

source, target = Path(sys.argv[1]), Path(sys.argv[2])


def copy(path: Path) -> None:
    """One file without the machine's paths; of similarities, single precision."""
    to = target / path.relative_to(source)
    to.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            single = {name: array.astype(np.float32) if array.dtype == np.float64 else array for name, array in arrays.items()}
            np.savez_compressed(to, **single)
    elif path.suffix == ".yaml":
        values = without_paths(yaml.safe_load(path.read_text(encoding="utf-8")))
        to.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")
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


def copy_run(run: Path) -> None:
    for name in ("config.yaml", "provenance.json", "metrics.jsonl"):
        if (run / name).is_file():
            copy(run / name)
    for path in sorted([*run.glob("results/*.json"), *run.glob("results/*.details/*.npz")]):
        copy(path)


sweeps = sorted(path.parent for path in source.glob("*/sweep.yaml"))
for sweep in sweeps:
    for name in ("sweep.yaml", "trials.parquet", "finals.parquet", "importance.parquet", "best.yaml"):
        if (sweep / name).is_file():
            copy(sweep / name)
    for run in sorted(sweep.glob("runs/*/config.yaml")):
        copy_run(run.parent)
for result in sorted(source.glob("*/results/test.json")):  # a run is done when it was scored
    copy_run(result.parent.parent)
PYTHON
fi

names=() # as in docs/real-run.md; other rows are called by the settings in which they differ
name() { [ ! -d "$out/runs/$1" ] || names+=(--name "runs/$1=$2"); }
name dalr-pairs1-lr3e-4-seed1 DALR
name simcse-pairs1-lr3e-4-seed1 SimCSE
name mcse-pairs1-lr3e-4-seed1 MCSE
name kdmcse-pairs1-lr3e-4-seed1 KDMCSE
name rankcse-pairs1-lr3e-4-seed1 RankCSE
name dalr_paper-pairs1-lr3e-4-seed1 "DALR, the paper's formula"
name winner-no-intra-modal-seed1001 "the sweep's winner, no intra-modal group"

dalr report "$out/runs" --out "$out" --baseline SimCSE --ablate DALR --formats svg "${names[@]}" "$@"
dalr report --out "$out" --check
du -sh --apparent-size "$out"
