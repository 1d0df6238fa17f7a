#!/usr/bin/env bash
# VLM-3R's published training for VSI-Bench (configs/recipes/vlm3r_vsibench.yaml) on this machine's GPUs.
#
#   bash scripts/VLM_3R/train_vsibench.sh DATA VIDEOS [OPTION...] [key=value...]
#
#   DATA     training rows: JSON, JSON Lines, or a YAML mixture
#   VIDEOS   folder that the rows' video paths are relative to
#
# Options are those of scripts/train/train_vlm3r.sh, e.g. --zero 3; keys those of the recipe, e.g. optimiser.epochs=5.
[ -n "${BASH_VERSION:-}" ] || { echo "run this with bash: bash $0" >&2; exit 2; }
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
source "$here/../lib/setup.sh"
source "$here/../lib/cli.sh"
help_if_asked "$@"

[ "$#" -ge 2 ] || stop "give the training rows and the folder of their videos; see: bash $0 --help"
data=$(located "$1") videos=$(located "$2")
shift 2
exec bash "$here/../train/train_vlm3r.sh" "$vlm3r_root/configs/recipes/vlm3r_vsibench.yaml" \
  "data.sources.0.path=$data" "data.sources.0.root=$videos" "$@"
