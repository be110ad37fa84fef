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
python "$(dirname "$0")/copy_runs.py" "$(realpath "$runs")" "$out/runs"
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
