#!/usr/bin/env bash
# From nothing to a trained checkpoint in a few minutes: rooms, questions, features, four steps, an answer.
#
#   bash scripts/train/quick.sh [DIR] [ROOMS]     default: outputs/quick, 2 rooms
#
# It shows that every part runs here; four steps teach a model nothing. The first run sets up .venv. Run it again after a
# stop: finished parts are kept.
[ -n "${BASH_VERSION:-}" ] || { echo "run this with bash: bash $0" >&2; exit 2; }
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
source "$here/../lib/setup.sh"
source "$here/../lib/cli.sh"
help_if_asked "$@"

out=${1:-$vlm3r_root/outputs/quick}
rooms=${2:-2}
vlm3r_setup train
mkdir -p "$out"
cd "$out"
vlm3r scenes generate --rooms "$rooms" --seed 5 --fps 2.5 --out rooms
vlm3r qa generate --scenes rooms --out training.jsonl --format training --overwrite --tolerate-problems
vlm3r features extract --videos rooms --out features --parts all --workers 1
vlm3r train "$vlm3r_root/configs/recipes/tiny/quick.yaml"
vlm3r ask --model run/model --video rooms/room_5_00000/video.mp4 --question "How many chairs are in this room?"
