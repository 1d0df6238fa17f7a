# shellcheck shell=bash
# Sourced by the demo scripts, after setup.sh: help from the header comment, and the published positional arguments.

# `help_if_asked "$@"` prints the script's header comment and ends the script where -h or --help is the first argument.
help_if_asked() {
  case "${1:-}" in
    -h | --help)
      awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"
      exit 0
      ;;
  esac
}

# `need_arguments LEAST MOST "$@"` ends the script unless the number of arguments lies between the two.
need_arguments() {
  local least=$1 most=$2
  shift 2
  if [ "$#" -lt "$least" ] || [ "$#" -gt "$most" ]; then
    stop "takes no arguments, options of 'vlm3r ask', or $least to $most positional arguments, not $#; see: bash $0 --help"
  fi
}

need_stride_2() {
  [ "$1" = 2 ] || stop "pool stride '$1': the published models pool 2x2, so it must be 2"
}

stop() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 2
}

# `located PATH` prints the path as seen from here or else from the repository, so that `playground/...` works anywhere.
located() {
  if [ ! -e "$1" ] && [ -e "$vlm3r_root/$1" ]; then printf '%s\n' "$vlm3r_root/$1"; else printf '%s\n' "$1"; fi
}

# `ask_published CKPT CONV POOL NEWLINE OVERWRITE BASE QUESTION OPTION...` runs `vlm3r ask` with the published arguments' meaning.
ask_published() {
  local ckpt=$1 conv=$2 pool=$3 newline=$4 overwrite=$5 base=$6 question=$7
  shift 7
  case "$overwrite" in
    True | true)
      case "$pool" in average | max | bilinear) ;; *) stop "pool mode '$pool': use average, max or bilinear" ;; esac
      case "$newline" in
        grid | frame | one_token | no_token) ;;
        *) stop "newline position '$newline': use grid, frame, one_token or no_token" ;;
      esac
      set -- "$@" --pool-mode "$pool" --newline-position "$newline"
      ;;
    False | false) echo "overwrite is False: pool mode and newline position come from the checkpoint, not from '$pool' and '$newline'" >&2 ;;
    *) stop "overwrite '$overwrite': use True or False" ;;
  esac
  case "$base" in '' | None | none) ;; *) set -- "$@" --base "$(located "$base")" ;; esac
  [ -z "$question" ] || set -- "$@" --question "$question"
  vlm3r_setup
  exec vlm3r ask --model "$(located "$ckpt")" --conv-template "$conv" "$@"
}
