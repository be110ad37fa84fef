#!/usr/bin/env bash
# The session in docs/sweeps.md: a sweep that is added to, stopped in part, killed, given a larger budget, continued,
# and ended by a rule, on the embedded data. Prints each command and what it said.
#
#   bash docs/sweep-session.sh OUT
#
# STEPS sets the length of a trial (120): on a slow machine a smaller one, on a fast one so many that a command has time.
set -euo pipefail
out=$(realpath -m "$1")
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
mkdir -p "$out"
cd "$out"
steps=${STEPS:-120}
cat >session.yaml <<YAML
recipe: quickstart
overrides: {train.steps: $steps, train.eval_every: $((steps / 4)), evaluation.tasks: []}
space:
  optim.learning_rate: {log: [1.0e-5, 1.0e-3]}
  objective.intra_modal: {uniform: [0.05, 1.0]}
sampler: {name: random, seed: 7}
budget: {trials: 5}
resources: {concurrent: 1}
YAML

say() { # COMMAND...: shows a command and what it says
  local word shown=''
  for word in "$@"; do
    [[ $word == *[\ {]* ]] && word="'$word'"
    shown+=" $word"
  done
  printf '$%s\n' "$shown"
  "$@" 2>&1 || echo "(exit code $?)"
}

trials() { # STATE: the numbers of the trials in a state, from the study
  python - "$1" <<'PYTHON'
import sqlite3, sys
from pathlib import Path
if Path("sweep/study.db").is_file():
    try:
        rows = sqlite3.connect("file:sweep/study.db?mode=ro", uri=True).execute(
            "select number from trials where state = ? order by number", (sys.argv[1],)
        )
        print(*(number for (number,) in rows))
    except sqlite3.OperationalError:
        pass  # not made yet
PYTHON
}

await() { # STATE COUNT: waits until so many trials are in a state
  until [ "$(trials "$1" | wc -w)" -ge "$2" ]; do
    sleep 0.5
    kill -0 "$driver" 2>/dev/null || { echo "the driver has ended" >&2; cat driver.log >&2; exit 1; }
  done
}

winner() {
  python -c 'import polars as pl; print(pl.read_parquet("sweep/trials.parquet").sort("place", nulls_last=True)["trial"][0])'
}

events() { # how often the study has each trial and each request, and each run each of its steps
  python - <<'PYTHON'
import json
from collections import Counter
from pathlib import Path

from dalr.sweeps.search.snapshot import read_state

state = read_state(Path("sweep"))
numbers = Counter(trial.number for trial in state.trials)
obeyed = Counter(request.words for request in state.requests if request.state == "obeyed")
for what, counts in ("trials", numbers), ("requests", obeyed):
    print(f"{len(counts)} {what},", "each once" if set(counts.values()) == {1} else f"TWICE: {counts}")
for log in sorted([*Path("sweep").glob("runs/*/metrics.jsonl"), *Path("sweep").glob("extended/*/*/metrics.jsonl")]):
    steps = Counter(json.loads(line)["step"] for line in log.read_text().splitlines())
    print(log.parent, f"steps {min(steps)} to {max(steps)}", "each once" if set(steps.values()) == {1} else "TWICE")
PYTHON
}

start() {
  printf '$ %s &\n' "dalr sweep session.yaml --out sweep data.root=$out/data"
  dalr sweep session.yaml --out sweep "data.root=$out/data" >>driver.log 2>&1 &
  driver=$!
}

start
await RUNNING 1
say dalr sweep add sweep optim.learning_rate=5e-4 objective.intra_modal=0.5
await COMPLETE 2
await RUNNING 1
say dalr sweep stop sweep "$(trials RUNNING)"
await COMPLETE 3
await RUNNING 1
echo "\$ kill -9 $driver    # the driver, while a trial runs"
kill -9 "$driver"
wait "$driver" 2>/dev/null || true
say dalr sweep set sweep budget.trials=20 'stop.plateau={trials: 2, min_improvement: 50}'
start
wait "$driver"
tail -n 1 driver.log
say dalr sweep status sweep
say dalr sweep why sweep 2
say dalr sweep extend sweep "$(winner)" "train.steps=$((steps * 3 / 2))"
say dalr sweep best sweep
echo "# each event once"
events
