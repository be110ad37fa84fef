#!/usr/bin/env bash
# Runs one dalr command on the nodes of this SLURM job:  on_nodes.sh COMMAND…  (from train.sbatch, sweep.sbatch)
#
# Ray is started on every node, the command runs on the first one, and Ray is stopped. Two things SLURM and
# Ray do not do by themselves: before the time limit the nodes are drained, so that runs write their
# checkpoints, and the job is queued again; and since `ray symmetric-run` ends with 0 even where Ray never
# came up, only a file that the command's success leaves behind counts as success.
#
# Settings, all with defaults: DALR_STATE (a folder that every node sees), DALR_DRAIN_SECONDS (from the
# warning signal to the time limit), DALR_REQUEUE (1, or 0 to end instead), DALR_PORT.
set -euo pipefail

# The part that runs on the first node, under symmetric-run. `dalr` gets SIGTERM through its pid.
if [ "${1:-}" = --driver ]; then
  shift
  python -m dalr "$@" &
  pid=$!
  trap 'kill -TERM "$pid" 2> /dev/null || true' TERM
  echo "${SLURMD_NODENAME:-$(hostname)} $pid" > "$DALR_STATE/driver"
  code=0
  wait "$pid" || code=$?
  # A trapped signal ends the first wait early; the second one waits for the command itself.
  if kill -0 "$pid" 2> /dev/null; then code=0; wait "$pid" || code=$?; fi
  echo "$code" > "$DALR_STATE/exit-code"
  if [ "$code" = 0 ]; then touch "$DALR_STATE/success"; fi
  exit "$code"
fi

if [ $# = 0 ]; then
  echo "on_nodes.sh: no command; expected, for example: on_nodes.sh train dalr --out /nfs/runs/a" >&2
  exit 2
fi
: "${SLURM_JOB_ID:?on_nodes.sh runs inside a SLURM job}" "${SLURM_JOB_NODELIST:?}"

nodes=${SLURM_JOB_NUM_NODES:-1}
seconds=${DALR_DRAIN_SECONDS:-300}
port=${DALR_PORT:-$((20000 + SLURM_JOB_ID % 10000))}
export DALR_STATE=${DALR_STATE:-${SLURM_SUBMIT_DIR:-$PWD}/.dalr-slurm/$SLURM_JOB_ID}
mkdir -p "$DALR_STATE"
chmod 700 "$DALR_STATE"
rm -f "$DALR_STATE"/{success,exit-code,driver} # a job that was queued again finds its own old ones

# One token for each job, in a folder that nobody else may read; every process below inherits its path.
unset RAY_AUTH_TOKEN
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$DALR_STATE/auth_token
if [ ! -s "$RAY_AUTH_TOKEN_PATH" ]; then
  (umask 077 && python -c 'import secrets; print(secrets.token_hex(32), end="")' > "$RAY_AUTH_TOKEN_PATH")
fi

# /tmp/ray may belong to the node's last user. Slow file systems need more than Ray's 30 seconds to start.
export RAY_TMPDIR=/tmp/dalr-$SLURM_JOB_ID
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=${RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT:-300}
export OMP_WAIT_POLICY=passive RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0 TOKENIZERS_PARALLELISM=false

mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${hosts[0]:?scontrol names no nodes}
head_ip=$(srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')
address=$head_ip:$port
resources=(--num-cpus="${SLURM_CPUS_PER_TASK:-1}" --num-gpus="${SLURM_GPUS_ON_NODE:-0}")
script=${BASH_SOURCE[0]}

drained=0
# shellcheck disable=SC2317 # the trap below calls it
drain() {
  trap '' USR1
  drained=1
  echo "time limit in $seconds s: draining $nodes nodes, then stopping: $*"
  srun --overlap --nodes="$nodes" --ntasks="$nodes" --ntasks-per-node=1 \
    ray drain-node --address "$address" --reason DRAIN_NODE_REASON_PREEMPTION \
    --reason-message "SLURM time limit" --deadline-remaining-seconds "$((seconds * 4 / 5))" \
    || echo "draining failed on some node; the run goes on from its last checkpoint" >&2
  if [ -e "$DALR_STATE/driver" ]; then
    read -r where pid < "$DALR_STATE/driver"
    srun --overlap --nodes=1 --ntasks=1 --nodelist="$where" kill -TERM "$pid" || true
  fi
}
trap 'drain "$@"' USR1

# RAY_ADDRESS makes dalr join this cluster instead of starting one of its own.
srun --nodes="$nodes" --ntasks="$nodes" --ntasks-per-node=1 --kill-on-bad-exit=0 \
  ray symmetric-run --address "$address" --min-nodes "$nodes" "${resources[@]}" -- \
  env RAY_ADDRESS="$address" bash "$script" --driver "$@" &
step=$!
code=0
wait "$step" || code=$?
while kill -0 "$step" 2> /dev/null; do # the trap ended the wait, not the step
  code=0
  wait "$step" || code=$?
done

if [ -e "$DALR_STATE/success" ]; then
  rm -f "$RAY_AUTH_TOKEN_PATH"
  echo "succeeded: $*"
  exit 0
fi
if [ "$drained" = 1 ]; then
  if [ "${DALR_REQUEUE:-1}" = 1 ]; then
    echo "out of time; queued again, to go on from the last checkpoint"
    scontrol requeue "$SLURM_JOB_ID"
  else
    echo "out of time; submit the same job again to go on from the last checkpoint" >&2
  fi
  exit 1
fi
rm -f "$RAY_AUTH_TOKEN_PATH"
if [ -e "$DALR_STATE/exit-code" ]; then
  code=$(cat "$DALR_STATE/exit-code")
  echo "failed with exit code $code: $*" >&2
  exit "$code"
fi
echo "failed: Ray did not start on the nodes, the command never ran (srun ended with $code): $*" >&2
exit 1
