#!/usr/bin/env bash
# The embedded model from nothing: rooms, questions, CUT3R, SigLIP, base model, VLM-3R, and its report.
#
#   bash scripts/train/tiny.sh                    636 rooms, everything below outputs/tiny
#   bash scripts/train/tiny.sh ROOMS TEST_ROOMS   fewer than 550 and 200 rooms: quicker, and worse
#
# Takes an evening on two CPU cores. Run it again after a stop: every step goes on where it was.
[ -n "${BASH_VERSION:-}" ] || { echo "run this with bash: bash $0" >&2; exit 2; }
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
source "$here/../lib/setup.sh"
source "$here/../lib/cli.sh"
help_if_asked "$@"

rooms=${1:-550}
test_rooms=${2:-200}
vlm3r_setup train
cd "$vlm3r_root"
out=outputs/tiny
recipes=configs/recipes/tiny
mkdir -p "$out"

# Rooms to learn from, and rooms that are only ever asked about: other seeds, other rooms.
# At 1.5 frames a second small rooms have fewer than 32; the encoders learn from those too, questions are for the others
# and for some rooms that are filmed more densely.
vlm3r scenes generate --rooms "$rooms" --seed 1000 --fps 1.5 --sampled-frames 21 --out "$out/rooms/sparse"
vlm3r scenes generate --rooms $((rooms * 86 / 550)) --seed 2000 --fps 2.5 --out "$out/rooms/dense"
vlm3r scenes generate --rooms "$test_rooms" --seed 100 --fps 2.5 --out "$out/test_rooms"
questions() { # SCENES FILE OPTION...
  [ -s "$2" ] || vlm3r qa generate --scenes "$1" --out "$2" --tolerate-problems "${@:3}"
}
questions "$out/rooms" "$out/train.jsonl" --least-frames 32 --format training --style vsibench --per-scene 12
questions "$out/rooms" "$out/train_open.jsonl" --least-frames 32 --format open --per-scene 3 --seed 1
describe() { # SCENES FILE PER_KIND OPTION...
  [ -s "$2" ] || vlm3r qa describe --scenes "$1" --out "$2" --per-kind "$3" "${@:4}"
}
describe "$out/rooms" "$out/describe.jsonl" 8 --least-frames 32
describe "$out/rooms" "$out/text.jsonl" 120 --kinds letters
questions "$out/test_rooms" "$out/test.jsonl" --style vsibench --per-scene 4

# Single pictures and short clips of the same rooms, to learn from first.
vlm3r scenes cut --scenes "$out/rooms/sparse" --out "$out/pictures" --frames 1 --clips 16
vlm3r scenes cut --scenes "$out/rooms/sparse" --out "$out/clips" --frames 8 --clips 5
describe "$out/pictures" "$out/pictures.jsonl" 2
describe "$out/clips" "$out/clips.jsonl" 3

# 1. The encoders, each alone.
vlm3r geometry train "$recipes/geometry.yaml"
vlm3r vision train "$recipes/vision.yaml"
made() { # FOLDER COMMAND...
  [ -d "$1" ] || "${@:2}"
}
made "$out/encoders" vlm3r init configs/models/vlm3r-tiny.yaml "geometry=$out/geometry/model" --out "$out/encoders"
made "$out/start" vlm3r init configs/models/vlm3r-tiny.yaml --out "$out/start"
extract() { # VIDEOS STORE FRAMES PARTS
  vlm3r features extract --model "$out/encoders" --videos "$1" --out "$2" --frames "$3" --parts "$4"
}
extract "$out/rooms" "$out/features" 32 all
extract "$out/pictures" "$out/features_pictures" 1 all
extract "$out/clips" "$out/features_clips" 8 vision

ranks=1 # two processes of one thread each are faster on two cores than one of two
[ "$(nproc)" -lt 2 ] || nvidia-smi -L >/dev/null 2>&1 || ranks=2
train() { OMP_NUM_THREADS=1 torchrun --standalone --nproc-per-node "$ranks" -m vlm3r.cli train "$@"; }

# 2. A base model without geometry, from text to pictures to clips to walks.
train "$recipes/base_text.yaml"
train "$recipes/base_pictures.yaml"
train "$recipes/base_clips.yaml"
train "$recipes/base.yaml"

# 3. VLM-3R on top of it, and what it is compared with: no geometry, no video, the published start of the fusion block.
# Two runs of one process side by side, the log of the first in a file.
alone() { OMP_NUM_THREADS=1 vlm3r train "$@"; }
with_geometry() {
  alone "$recipes/vlm3r_pictures.yaml" &&
    alone "$recipes/vlm3r.yaml"
}
without() {
  alone "$recipes/vlm3r_pictures.yaml" model.geometry=none "run.out=$out/no_geometry_pictures"
  alone "$recipes/vlm3r.yaml" "model.source=$out/no_geometry_pictures/model" "run.out=$out/no_geometry"
  alone "$recipes/vlm3r.yaml" "model.source=$out/base/model" data.with_video=false data.features=null "run.out=$out/blind"
}
if [ "$ranks" = 2 ]; then
  with_geometry >"$out/vlm3r.log" 2>&1 &
  without
  wait $! || { tail -n 20 "$out/vlm3r.log" >&2 && exit 1; }
else
  with_geometry
  without
fi
train "$recipes/vlm3r_pictures.yaml" model.fusion_init=published "run.out=$out/published_start"

# 4. One folder as it ships.
made "$out/vlm3r-tiny" vlm3r convert "$out/vlm3r/model" --merge-lora --dtype bfloat16 --out "$out/vlm3r-tiny"

# 5. Everything on rooms that were never seen in training, and the report.
evaluate() { # NAME MODEL OPTION...
  vlm3r eval --benchmark "$out/test.jsonl" --scenes "$out/test_rooms" --out "$out/scores/$1" --model "$2" "${@:3}"
}
vlm3r features extract --model "$out/vlm3r-tiny" --videos "$out/test_rooms" --out "$out/features_test" --frames 32 --parts all
evaluate vlm3r "$out/vlm3r-tiny" --features "$out/features_test"
evaluate zero "$out/vlm3r-tiny" --features "$out/features_test" --probe zero
evaluate shuffle "$out/vlm3r-tiny" --features "$out/features_test" --probe shuffle
evaluate no_geometry "$out/no_geometry/model"
evaluate blind "$out/blind/model" --probe blind
vlm3r compare "$out/scores/vlm3r" "$out/scores/no_geometry"
vlm3r compare "$out/scores/vlm3r" "$out/scores/blind"
vlm3r geometry evaluate "$out/geometry" --scenes "$out/test_rooms" --out "$out/scores/geometry.json"
cp docs/tiny.md "$out/report.md"
python scripts/train/tiny_report.py "$out" "$out/report.md"
