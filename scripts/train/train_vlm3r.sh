#!/usr/bin/env bash
# Train by a recipe on all GPUs of this machine, or of several. The first run sets up .venv.
#
#   bash scripts/train/train_vlm3r.sh RECIPE.yaml [OPTION...] [key=value...]
#
#   --zero 2|3          shard optimiser and gradients (2, the default) or the weights, too (3), by DeepSpeed
#   --no-deepspeed      plain data parallelism, which optimiser.method=muon needs
#   --nproc N           processes on this machine; default: one for each GPU, else 1
#   --hostfile FILE     start on the machines that FILE names, `host slots=8` a line, by the DeepSpeed launcher
#   --dry-run           print recipe and counts, train nothing
#
# Several machines without a hostfile: start the same command on each, with NNODES, NODE_RANK, MASTER_ADDR and
# MASTER_PORT in the environment (scripts/train/slurm_example.sbatch does). run.out must lie on a file system that all
# machines share. Start it again after a stop: it continues from the last checkpoint.
[ -n "${BASH_VERSION:-}" ] || { echo "run this with bash: bash $0" >&2; exit 2; }
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
source "$here/../lib/setup.sh"
source "$here/../lib/cli.sh"
help_if_asked "$@"

[ "$#" -ge 1 ] || stop "give a recipe; see: bash $0 --help"
recipe=$(located "$1")
shift
[ -f "$recipe" ] || stop "$recipe: no such recipe; see configs/recipes"
zero=2 nproc='' hostfile=''
arguments=()
while [ "$#" -gt 0 ]; do
  case "$1" in
    --zero | --nproc | --hostfile)
      [ "$#" -ge 2 ] || stop "$1 needs a value"
      case "$1" in --zero) zero=$2 ;; --nproc) nproc=$2 ;; --hostfile) hostfile=$2 ;; esac
      shift
      ;;
    --no-deepspeed) zero='' ;;
    *) arguments+=("$1") ;;
  esac
  shift
done
case "$zero" in
  '') arguments=("run.deepspeed=null" ${arguments[@]+"${arguments[@]}"}) ;;
  2 | 3) arguments=("run.deepspeed=$vlm3r_root/configs/deepspeed/zero$zero.json" ${arguments[@]+"${arguments[@]}"}) ;;
  *) stop "--zero '$zero': use 2 or 3" ;;
esac
if [ -z "$nproc" ]; then
  nproc=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU' || true)
  [ "${nproc:-0}" -gt 0 ] || nproc=1
fi
case "$nproc" in *[!0-9]* | 0) stop "--nproc '$nproc': use a number above 0" ;; esac

if [ -n "$zero" ]; then vlm3r_setup train; else vlm3r_setup; fi
if [ -n "$hostfile" ]; then
  [ -f "$hostfile" ] || stop "$hostfile: no such hostfile"
  exec deepspeed --hostfile "$hostfile" --module vlm3r.cli train "$recipe" "${arguments[@]}"
fi
nodes=(--standalone)
if [ "${NNODES:-1}" -gt 1 ]; then
  : "${NODE_RANK:?number of this machine, from 0}" "${MASTER_ADDR:?address of machine 0}"
  nodes=(--nnodes "$NNODES" --node-rank "$NODE_RANK" --master-addr "$MASTER_ADDR" --master-port "${MASTER_PORT:-29500}")
fi
exec torchrun "${nodes[@]}" --nproc-per-node "$nproc" -m vlm3r.cli train "$recipe" "${arguments[@]}"
