# shellcheck shell=bash
# Sourced by the evaluation scripts, after setup.sh and cli.sh.

# `eval_published BENCHMARK MODEL DATA [OPTION...]` runs `vlm3r eval` as published; the caller's options win, since the last
# of two options of one name counts. A model of the caller's own gets no base model but the one that the caller names.
# `--nproc N` is the script's own: so many processes on this machine share the run.
eval_published() {
  local benchmark=$1 model=(--model "$2" --base lmms-lab/LLaVA-NeXT-Video-7B-Qwen2)
  shift 2
  [ "$#" -ge 1 ] || stop "give the folder of the data set; see: bash $0 --help"
  local data option out=$benchmark nproc=1 previous='' options=()
  data=$(located "$1")
  shift
  [ -d "$data" ] || stop "$data: no such folder; to fetch the data set see: bash $0 --help"
  for option in "$@"; do
    case "$option" in --model | --model=*) model=() ;; --benchmark=*) out=${option#*=} ;; esac
    [ "$previous" != --benchmark ] || out=$option
    if [ "$previous" = --nproc ]; then
      nproc=$option
    else
      case "$option" in --nproc) ;; --nproc=*) nproc=${option#*=} ;; *) options+=("$option") ;; esac
    fi
    previous=$option
  done
  [ "$previous" != --nproc ] || stop "--nproc: give the number of processes"
  case "$nproc" in '' | *[!0-9]* | 0) stop "--nproc '$nproc': use a number above 0" ;; esac
  vlm3r_setup eval
  local launch=(vlm3r)
  [ "$nproc" -eq 1 ] || launch=(torchrun --standalone --nproc-per-node "$nproc" -m vlm3r.cli)
  exec "${launch[@]}" eval --benchmark "$benchmark" --data "$data" --preset published-eval \
    --out "$vlm3r_root/outputs/eval/${out##*/}" ${model[@]+"${model[@]}"} ${options[@]+"${options[@]}"}
}
