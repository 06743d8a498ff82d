#!/usr/bin/env bash
# bash training/gpu.sh SECONDS PRESET [--key value ...]
#
# Trains on a bare machine for at most SECONDS, from the source tree, with torch, numpy, OpenCV and safetensors alone;
# nothing is installed and nothing is fetched. Takes in: this tree, PACK (a file that `python -m training pack` wrote;
# by default pack.npz beside this tree's README; with --perceptual it holds VGG16 for the presets that need it) and,
# to go on with a training, RUN_FOLDER/state. Leaves state, curves and log under RUN_FOLDER (by default
# runs/PRESET). Where OUT is set, what a training needs to go on elsewhere is copied there: at most eight files of
# 15 MiB, to be laid over RUN_FOLDER. OUT itself is never read: whoever sets it may empty it between calls.
# teco_lite and real_lite begin from the frvsr-lite of this tree, others from nothing, unless --init says otherwise.
set -euo pipefail

seconds=${1:?SECONDS} preset=${2:?PRESET}
shift 2
cd "$(dirname "$0")/.."
run=${RUN_FOLDER:-runs/$preset} pack=${PACK:-pack.npz} python=${PYTHON:-python}
mkdir -p "$run"

copy_out() {
  mkdir -p "$OUT"
  for part in state best log.jsonl; do
    [ ! -e "$run/$part" ] || cp -R "$run/$part" "$OUT/"
  done
}
[ -z "${OUT:-}" ] || trap copy_out EXIT

case $preset in # a second --init wins
teco_lite | real_lite) set -- --init frvsr-lite "$@" ;;
esac

devices=$("$python" -c 'import torch; print(max(1, torch.cuda.device_count()))')
launch=("$python" -m)
[ "$devices" -gt 1 ] && launch=("$python" -m torch.distributed.run --standalone --nproc-per-node "$devices" -m)

# Starting Python and reading the pack count as well: the run ends with its state written before the caller's deadline.
"${launch[@]}" training train --preset "$preset" --data "$pack" --out "$run" --stop-seconds "$((seconds - SECONDS - 5))" "$@" 2>&1 |
  tee -a "$run/train.out"
