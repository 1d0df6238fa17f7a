# shellcheck shell=bash
# Sourced by the evaluation scripts, after setup.sh and cli.sh.

# `eval_published BENCHMARK MODEL DATA [OPTION...]` runs `vlm3r eval` as published; the caller's options win, since the last
# of two options of one name counts. A model of the caller's own gets no base model but the one that the caller names.
eval_published() {
  local benchmark=$1 model=(--model "$2" --base lmms-lab/LLaVA-NeXT-Video-7B-Qwen2)
  shift 2
  [ "$#" -ge 1 ] || stop "give the folder of the data set; see: bash $0 --help"
  local data option out=$benchmark
  data=$(located "$1")
  shift
  [ -d "$data" ] || stop "$data: no such folder; to fetch the data set see: bash $0 --help"
  local previous=
  for option in "$@"; do
    case "$option" in --model | --model=*) model=() ;; --benchmark=*) out=${option#*=} ;; esac
    [ "$previous" != --benchmark ] || out=$option
    previous=$option
  done
  vlm3r_setup eval
  exec vlm3r eval --benchmark "$benchmark" --data "$data" --preset published-eval \
    --out "$vlm3r_root/outputs/eval/${out##*/}" ${model[@]+"${model[@]}"} "$@"
}
