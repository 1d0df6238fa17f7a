#!/usr/bin/env bash
# VLM-3R on VSI-Bench as published: the data set's test questions, asked and scored as the published evaluation does.
# The first run sets up .venv.
#
#   bash scripts/eval/vsibench.sh DATA [OPTION...]
#
#   DATA       folder of the data set nyu-visionx/VSI-Bench, videos unpacked in it; to fetch it:
#                hf download nyu-visionx/VSI-Bench --repo-type dataset --local-dir DATA
#                (cd DATA && for name in arkitscenes scannet scannetpp; do unzip -q "$name.zip"; done)
#
# Options are those of `vlm3r eval` and win over what this script gives, and of the script itself:
#
#   --nproc N                          processes that share the run on this machine, a GPU each; default 1
#   --benchmark vsibench-debiased      the debiased subset; default vsibench
#   --model Journey9ni/vlm-3r-llava-qwen2-lora --base lmms-lab/LLaVA-NeXT-Video-7B-Qwen2     the default
#   --preset published-eval            the default
#   --out outputs/eval/vsibench        the default; run it again after a stop, and it goes on where it was
[ -n "${BASH_VERSION:-}" ] || { echo "run this with bash: bash $0" >&2; exit 2; }
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
source "$here/../lib/setup.sh"
source "$here/../lib/cli.sh"
source "$here/../lib/eval.sh"
help_if_asked "$@"

eval_published vsibench Journey9ni/vlm-3r-llava-qwen2-lora "$@"
