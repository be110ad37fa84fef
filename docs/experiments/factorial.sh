#!/usr/bin/env bash
# The experiment of docs/experiments/factorial.md. What is finished is skipped, what was cut off goes on.
#
#   DALR_DATA=/path/to/data bash docs/experiments/factorial.sh OUT [rates] [factorial] [transfer] [mends] [balanced] [confirmation]
#   bash docs/experiments/factorial.sh OUT report [options of dalr report]
#
# `report` copies the small files of OUT to docs/example-report/experiments and makes the report over the copies;
# OUT `-` leaves the copies as they are.
set -euo pipefail
out=$1
shift
docs=$(realpath "$(dirname "$0")/..")
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive

search() { # NAME: the sweep docs/experiments/NAME.yaml; the rates that rates found stand in the others
  dalr sweep "$docs/experiments/$1.yaml" --out "$out/$1" \
    data.root="${DALR_DATA:?set DALR_DATA to the data folder}" data.store="$(realpath -m "$out")/features"
}

transfer() { # the captions-only models of seeds 1 to 3
  python - "$out/factorial" <<'PYTHON' | while read -r run; do
import sys
from pathlib import Path

import polars as pl

sweep = Path(sys.argv[1])
trials = pl.read_parquet(sweep / "trials.parquet").filter(pl.col("data.pair_every") == 1)
for trial in trials["trial"]:
    for seed in (1, 2, 3):
        print(sweep / "runs" / f"trial-{trial:04}-seed-{seed}")
PYTHON
    [ -f "$run/results/transfer.json" ] ||
      dalr evaluate "$run/model" --data "$DALR_DATA/senteval" --tasks transfer --out "$run/results/transfer.json" --quiet </dev/null
  done
}

report() {
  local copies="$docs/example-report/experiments"
  [ "$out" = - ] || { rm -rf "$copies/runs"; python "$docs/copy_runs.py" "$out" "$copies/runs" --no-similarities; }
  dalr report "$copies/runs" --out "$copies" --formats svg "$@"
  dalr report --out "$copies" --check
}

while [ $# -gt 0 ]; do
  step=$1
  shift
  case $step in
  rates | factorial | mends | balanced | confirmation) search "$step" ;;
  transfer) transfer ;;
  report) report "$@"; break ;;
  *) echo "no step $step: rates, factorial, transfer, mends, balanced, confirmation, report" >&2; exit 2 ;;
  esac
done
