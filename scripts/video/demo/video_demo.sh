#!/usr/bin/env bash
# Ask questions about a video. The first run sets up .venv; without arguments it needs no download of weights.
#
#   bash scripts/video/demo/video_demo.sh                        the embedded model on the demo video
#   bash scripts/video/demo/video_demo.sh --question "..."       the same with options of `vlm3r ask`
#   bash scripts/video/demo/video_demo.sh CKPT CONV FRAMES STRIDE POOL NEWLINE OVERWRITE VIDEO BASE [QUESTION]
#
#   CKPT       checkpoint: a folder or a hub id, e.g. Journey9ni/vlm-3r-llava-qwen2-lora
#   CONV       conversation template: qwen_1_5
#   FRAMES     number of frames taken from the video, e.g. 32
#   STRIDE     pool stride: 2
#   POOL       pool mode: average, max or bilinear
#   NEWLINE    newline position: grid, frame, one_token or no_token
#   OVERWRITE  True: POOL and NEWLINE replace the checkpoint's settings; False: they are ignored
#   VIDEO      the video file
#   BASE       the base model of a LoRA checkpoint, e.g. lmms-lab/LLaVA-NeXT-Video-7B-Qwen2; none where CKPT is whole
#   QUESTION   what to ask
[ -n "${BASH_VERSION:-}" ] || { echo "run this with bash: bash $0" >&2; exit 2; }
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
source "$here/../../lib/setup.sh"
source "$here/../../lib/cli.sh"
help_if_asked "$@"

case "${1:--}" in
  -*)
    vlm3r_setup
    exec vlm3r ask "$@"
    ;;
esac
need_arguments 9 10 "$@"
need_stride_2 "$4"
ask_published "$1" "$2" "$5" "$6" "$7" "$9" "${10:-}" --video "$(located "$8")" --frames "$3"
