#!/usr/bin/env bash
# Lint, formatting, types and all tests, without network. The first run sets up .venv with the `dev` extra.
#
#   bash scripts/test.sh [PYTEST ARGUMENT...]     e.g. bash scripts/test.sh -k fusion
[ -n "${BASH_VERSION:-}" ] || { echo "run this with bash: bash $0" >&2; exit 2; }
set -euo pipefail
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
source "$here/lib/setup.sh"
source "$here/lib/cli.sh"
help_if_asked "$@"
vlm3r_setup dev
cd "$vlm3r_root"

cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
workers=$((cores < 8 ? cores : 8))
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((cores / workers))}" # the workers share the cores

failed=
check() {
  echo "== $*"
  "$@" || failed="$failed; $*"
}
check python -m ruff check .
check python -m ruff format --check .
check python -m basedpyright
check python -m pytest -n "$workers" -rfEs "$@" # last: its summary closes the output
[ -z "$failed" ] || {
  echo "failed: ${failed#; }" >&2
  exit 1
}
