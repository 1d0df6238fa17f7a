#!/usr/bin/env bash
# A benchmark of synthetic rooms: scenes, questions, statistics and a page to look at. The first run sets up .venv.
#
#   bash scripts/data/synthetic_benchmark.sh                             20 rooms, into outputs/synthetic
#   bash scripts/data/synthetic_benchmark.sh ROOMS [DIR] [SEED]
#
# Run it again after a stop: finished rooms are kept. DIR receives rooms/, benchmark.jsonl, training.jsonl, stats/ and page.html.
[ -n "${BASH_VERSION:-}" ] || { echo "run this with bash: bash $0" >&2; exit 2; }
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
source "$here/../lib/setup.sh"
source "$here/../lib/cli.sh"
help_if_asked "$@"

rooms=${1:-20}
out=${2:-$vlm3r_root/outputs/synthetic}
seed=${3:-0}
vlm3r_setup
vlm3r scenes generate --rooms "$rooms" --seed "$seed" --out "$out/rooms"
vlm3r qa generate --scenes "$out/rooms" --out "$out/benchmark.jsonl" --style vsibench --overwrite
vlm3r qa generate --scenes "$out/rooms" --out "$out/training.jsonl" --format training --overwrite
vlm3r qa stats "$out/benchmark.jsonl" --out "$out/stats"
vlm3r qa inspect "$out/benchmark.jsonl" --scenes "$out/rooms" --out "$out/page.html"
