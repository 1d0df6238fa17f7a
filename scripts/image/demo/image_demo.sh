#!/usr/bin/env bash
# Ask questions about an image or a folder of images of one scene. The first run sets up .venv.
#
#   bash scripts/image/demo/image_demo.sh                        the embedded model on the demo images
#   bash scripts/image/demo/image_demo.sh --question "..."       the same with options of `vlm3r ask`
#   bash scripts/image/demo/image_demo.sh CKPT CONV STRIDE POOL NEWLINE OVERWRITE IMAGES BASE [QUESTION]
#
#   CKPT       checkpoint: a folder or a hub id, e.g. Journey9ni/vlm-3r-llava-qwen2-lora
#   CONV       conversation template: qwen_1_5
#   STRIDE     pool stride: 2
#   POOL       pool mode: average, max or bilinear
#   NEWLINE    newline position: grid, frame, one_token or no_token
#   OVERWRITE  True: POOL and NEWLINE replace the checkpoint's settings; False: they are ignored
#   IMAGES     an image file, or a folder whose images are taken in the order of their names
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
    exec vlm3r ask --images "$vlm3r_root/playground/demo/room_images" "$@"
    ;;
esac
need_arguments 8 9 "$@"
need_stride_2 "$3"
ask_published "$1" "$2" "$4" "$5" "$6" "$8" "${9:-}" --images "$(located "$7")"
