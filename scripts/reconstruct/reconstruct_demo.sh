#!/usr/bin/env bash
# Reconstruct a video: point cloud, depth maps, camera path and a preview, by CUT3R. The first run sets up .venv.
#
#   bash scripts/reconstruct/reconstruct_demo.sh                           every 20th frame of the demo video, into
#                                                                          outputs/reconstruct/room_walk, which it replaces
#   bash scripts/reconstruct/reconstruct_demo.sh VIDEO [DIR] [OPTION...]   with options of `vlm3r reconstruct`
#
#   VIDEO   the video file
#   DIR     folder for the results; outputs/reconstruct/<name of the video> if not given
[ -n "${BASH_VERSION:-}" ] || { echo "run this with bash: bash $0" >&2; exit 2; }
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
source "$here/../lib/setup.sh"
source "$here/../lib/cli.sh"
help_if_asked "$@"

case "${1:--}" in
  -*)
    video=$vlm3r_root/playground/demo/room_walk.mp4
    set -- --every 20 "$@" --overwrite # the demo's own folder; every frame would take minutes
    ;;
  *) video=$(located "$1") && shift ;;
esac
name=${video##*/}
out=$vlm3r_root/outputs/reconstruct/${name%.*}
case "${1:--}" in -*) ;; *) out=$1 && shift ;; esac
vlm3r_setup
exec vlm3r reconstruct "$video" --out "$out" "$@"
