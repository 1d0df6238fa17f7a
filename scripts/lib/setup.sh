# shellcheck shell=bash
# Sourced by the scripts. `vlm3r_setup [EXTRA...]` makes .venv in the repository, installs the project with the named
# extras into it and puts it first on PATH. A second call costs a few milliseconds: a stamp in .venv says what is there.
#
#   VLM3R_PYTHON=/path/to/python   the Python (3.10 to 3.13) to build .venv with
#   VLM3R_SKIP_SETUP=1             use the environment as it is, install nothing
#   PIP_*, UV_*                    are honoured; uv is used where it is on PATH, else pip
#
# Works with bash 3.2 (macOS): no associative arrays, no BASHPID, no flock.

vlm3r_root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
_venv=$vlm3r_root/.venv
_stamp=$_venv/vlm3r-setup.stamp # line 1: what the installation depends on; line 2: the extras in it
_made=$_venv/vlm3r-setup.made   # this script made .venv, so it may also empty it
_lock=$_venv/vlm3r-setup.lock
_log=$_venv/vlm3r-setup.log
_child=

vlm3r_setup() {
  [ -z "${VLM3R_SKIP_SETUP:-}" ] || return 0
  unset PYTHONHOME
  _setup_is_current "$@" || _setup_locked "$@" || return
  export VIRTUAL_ENV=$_venv PATH=$_venv/bin:$PATH
}

_say() { printf 'set-up: %s\n' "$*" >&2; }

_fail() {
  _say "$*"
  return 1
}

# ---- what is there already

_setup_key() {
  local version
  version=$(sed -n 's/^version\(_info\)\{0,1\} *= *//p' "$_venv/pyvenv.cfg" 2>/dev/null)
  printf '%s|%s|%s' "$(cksum <"$vlm3r_root/pyproject.toml")" "$version" "$vlm3r_root"
}

_setup_is_current() {
  local key='' have='' extra
  [ -x "$_venv/bin/python" ] && [ -f "$_stamp" ] || return 1
  { read -r key && read -r have; } <"$_stamp" || return 1
  [ "$key" = "$(_setup_key)" ] && _python_is_as_asked || return 1
  for extra in "$@"; do
    case " $have " in *" $extra "*) ;; *) return 1 ;; esac
  done
}

_python_is_as_asked() {
  [ -n "${VLM3R_PYTHON:-}" ] || return 0
  local asked
  asked=$(_version_of "$VLM3R_PYTHON")
  grep -q "^version[_info]* *= *$asked\." "$_venv/pyvenv.cfg" || [ -z "$asked" ]
}

# ---- one set-up at a time; mkdir is atomic on every file system, flock is not to be had on some

_setup_locked() {
  local from=$PWD status=0
  mkdir -p "$_venv" 2>/dev/null || _fail "cannot write to $vlm3r_root: clone the project into a folder of yours" || return
  _take_lock || return
  trap 'rm -rf "$_lock"' EXIT
  trap '[ -z "$_child" ] || kill "$_child" 2>/dev/null; exit 130' INT TERM HUP
  cd "$vlm3r_root" || return
  _setup_is_current "$@" || _setup_now "$@" || status=$? # another command may have finished it while this one waited
  cd "$from" || true
  trap - EXIT INT TERM HUP
  rm -rf "$_lock"
  return "$status"
}

_take_lock() {
  local told=
  until mkdir "$_lock" 2>/dev/null; do
    [ -d "$_lock" ] || [ -w "$_venv" ] || _fail "cannot write to $_venv" || return
    _drop_stale_lock && continue
    [ -n "$told" ] || _say "another set-up is running; waiting for it (if none is, delete $_lock)"
    told=yes
    sleep 1
  done
  printf '%s %s\n' "$(hostname)" "$$" >"$_lock/owner"
}

_drop_stale_lock() {
  local host='' pid='' child='' aside=$_lock.$$
  if read -r host pid 2>/dev/null <"$_lock/owner"; then
    [ "$host" = "$(hostname)" ] || return 1
    ! kill -0 "$pid" 2>/dev/null || return 1
    ! read -r child 2>/dev/null <"$_lock/child" || ! kill -0 "$child" 2>/dev/null || return 1
  else
    [ -n "$(find "$_lock" -maxdepth 0 -mmin +1 2>/dev/null)" ] || return 1 # killed before it could write its name
  fi
  mv "$_lock" "$aside" 2>/dev/null || return 0
  if [ "$(cat "$aside/owner" 2>/dev/null)" = "${host:+$host $pid}" ]; then
    rm -rf "$aside"
  else
    mv "$aside" "$_lock" # another command replaced the stale lock in between: this one is alive
  fi
}

# ---- the set-up itself

_setup_now() {
  local began=$SECONDS have='' extras key='' old=''
  if [ -f "$_stamp" ]; then { read -r old && read -r have; } <"$_stamp" || true; fi
  # shellcheck disable=SC2086
  extras=$(printf '%s\n' $have "$@" | sort -u | tr '\n' ' ')
  extras=${extras# } extras=${extras% }
  key=$(_setup_key)
  # Only a stamped environment of this folder and Python is updated; what a killed run left is made anew.
  if [ -f "$_made" ] && { [ "${old#*|}" != "${key#*|}" ] || [ ! -x "$_venv/bin/python" ] || ! _python_is_as_asked; }; then
    find "$_venv/" -mindepth 1 -maxdepth 1 ! -name "${_lock##*/}" -exec rm -rf {} +
  fi
  rm -f "$_stamp"
  : >"$_log"
  if [ ! -f "$_venv/pyvenv.cfg" ]; then
    _make_venv || return
  elif ! _suits "$(_version_of "$_venv/bin/python")" || ! _python_is_as_asked; then
    _fail "$_venv does not hold ${VLM3R_PYTHON:-a Python 3.10 to 3.13}; remove it and start again: rm -rf '$_venv'" || return
  fi
  _install ".${extras:+[$(printf %s "$extras" | tr ' ' ',')]}" || return
  printf '%s\n%s\n' "$(_setup_key)" "$extras" >"$_stamp.new" && mv "$_stamp.new" "$_stamp" || return
  _say "done in $((SECONDS - began)) s"
}

_make_venv() {
  local python free
  python=$(_find_python) || return
  free=$(df -Pk "$_venv" | awk 'NR == 2 { print int($4 / 1024) }')
  [ "${free:-9999}" -ge 2500 ] || _say "only $free MB free here; the installation takes about 1,500 MB (8,000 MB with CUDA)"
  : >"$_made"
  _say "making .venv with $python"
  if command -v uv >/dev/null 2>&1; then
    _run uv venv --allow-existing --python "$python" "$_venv" && return
  else
    _run "$python" -m venv "$_venv" && return
  fi
  _explain "could not make .venv with $python"
}

_version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

_suits() { case "$1" in 3.10 | 3.11 | 3.12 | 3.13) ;; *) return 1 ;; esac; }

# Prints the Python to use, or says what was found instead.
_find_python() {
  local name version seen='' no_venv='' uv=
  uv=$(command -v uv || true)
  for name in ${VLM3R_PYTHON:+"$VLM3R_PYTHON"} python3 python3.13 python3.12 python3.11 python3.10; do
    command -v "$name" >/dev/null 2>&1 || [ "$name" = "${VLM3R_PYTHON:-}" ] || continue
    version=$(_version_of "$name" || true)
    if ! _suits "$version"; then
      seen="$seen, $name is ${version:-not running}"
    elif [ -z "$uv" ] && ! "$name" -c 'import venv, ensurepip' 2>/dev/null; then
      no_venv=$version seen="$seen, $name has no venv module"
    else
      "$name" -c 'import sys; print(sys.executable)'
      return
    fi
    [ "$name" != "${VLM3R_PYTHON:-}" ] || _fail "VLM3R_PYTHON does not fit: ${seen#, }; it must be Python 3.10 to 3.13 with venv" || return
  done
  if [ -n "$uv" ]; then
    echo 3.12 # uv fetches it
  elif [ -n "$no_venv" ]; then
    _fail "${seen#, }; install it (Debian, Ubuntu: sudo apt-get install python$no_venv-venv), or install uv"
  else
    seen=${seen#, }
    _fail "no Python 3.10 to 3.13 found (${seen:-no python3 on PATH}); install one (Debian, Ubuntu: sudo apt-get install" \
      "python3 python3-venv; macOS: brew install python@3.12) or uv, or set VLM3R_PYTHON=/path/to/python"
  fi
}

_install() {
  local target=$1 python=$_venv/bin/python uv backend find_links uv_install
  uv=$(command -v uv || true)
  find_links=$(_pip_setting find-links PIP_FIND_LINKS)
  backend=$(_torch_backend "${UV_FIND_LINKS:-$find_links}")
  if [ -z "$uv" ] && [ "$backend" = cpu ]; then
    # pip takes torch's CUDA build on every Linux: gigabytes without use where there is no GPU. uv finds the CPU build.
    _say "getting uv, to install torch without CUDA"
    if _run "$python" -m pip install uv; then uv=$_venv/bin/uv; else _say "that failed ($(_last_line))"; fi
  fi
  if [ -n "$uv" ]; then
    _tell_uv_what_pip_knows "$find_links"
    uv_install=("${_with[@]}" "$uv" pip install --python "$python")
    if [ -n "$backend" ]; then
      _say "installing $target with uv (torch: $backend)"
      ! _run "${uv_install[@]}" --torch-backend "$backend" -e "$target" || return 0
      _disk_is_full || _say "that failed ($(_last_line)); trying without a choice of torch build"
    fi
    if [ "$uv" != "$_venv/bin/uv" ] && ! _disk_is_full; then
      _say "installing $target with uv"
      ! _run "${uv_install[@]}" -e "$target" || return 0
      _disk_is_full || _say "uv failed ($(_last_line)); trying pip"
    fi
    _disk_is_full || "$python" -m pip --version >/dev/null 2>&1 || "$python" -m ensurepip >/dev/null 2>&1 ||
      _explain "uv could not install the project, and this Python has no pip" || return
  fi
  if ! _disk_is_full; then
    _say "installing $target with pip (a few minutes the first time)"
    # Python compiles what it imports anyway; compiling all of torch up front takes a minute.
    ! PIP_USER=0 _run "$python" -m pip install --no-compile --progress-bar off -e "$target" || return 0
  fi
  _explain "could not install the project"
}

_torch_backend() { # FIND_LINKS: prints cpu, auto, or nothing where the choice is the user's or there is none
  [ -z "$1" ] && [ -z "${UV_TORCH_BACKEND:-}" ] && [ "$(uname -s)" = Linux ] || return 0
  if [ -e /dev/kfd ] || nvidia-smi -L >/dev/null 2>&1; then
    [ -z "$uv" ] || echo auto
  else
    echo cpu
  fi
}

_pip_setting() { # NAME VARIABLE: the value from the environment or from pip's files, on one line
  local value=${!2:-}
  [ -n "$value" ] || value=$("$_venv/bin/python" -m pip config list 2>/dev/null || python3 -m pip config list 2>/dev/null || true)
  case "$value" in *"='"*) value=$(printf '%s\n' "$value" | sed -n "s/^[a-z:.]*[.]$1='\(.*\)'\$/\1/p" | tail -n 1) ;; esac
  printf '%s' "$value" | sed 's/\\n/ /g' | tr -s '\n ' '  ' | sed 's/^ //; s/ $//'
}

_tell_uv_what_pip_knows() { # FIND_LINKS: sets _with to the environment for uv, which reads none of pip's settings
  local index extra cert
  index=$(_pip_setting index-url PIP_INDEX_URL)
  extra=$(_pip_setting extra-index-url PIP_EXTRA_INDEX_URL)
  cert=$(_pip_setting cert PIP_CERT)
  _with=(env)
  [ -z "$1" ] || _with+=(UV_FIND_LINKS="${UV_FIND_LINKS:-$(printf %s "$1" | tr ' ' ',')}")
  [ -z "$index" ] || _with+=(UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}")
  [ -z "$cert" ] || _with+=(SSL_CERT_FILE="${SSL_CERT_FILE:-$cert}")
  # pip takes the best version of all its indexes; uv's default is the first index that has the package.
  [ -z "$extra" ] || _with+=(UV_INDEX="${UV_INDEX:-$extra}" UV_INDEX_STRATEGY="${UV_INDEX_STRATEGY:-unsafe-best-match}")
}

# ---- running and explaining

_run() { # COMMAND...: its output goes to the log; a line every 15 s shows that it lives
  local began=$SECONDS next=15 status=0
  "$@" >"$_log" 2>&1 </dev/null &
  _child=$!
  echo "$_child" >"$_lock/child"
  while kill -0 "$_child" 2>/dev/null; do
    sleep 0.3
    if [ $((SECONDS - began)) -ge "$next" ]; then
      _say "  $((SECONDS - began)) s, $(du -sm "$_venv" 2>/dev/null | cut -f1) MB: $(_last_line)"
      next=$((next + 15))
    fi
  done
  wait "$_child" || status=$?
  _child=
  return "$status"
}

_last_line() { grep -viE '^ *$|uninstall' "$_log" 2>/dev/null | tail -n 1 | sed 's/^ *//' | cut -c 1-110; }

_disk_is_full() { grep -qiE 'no space left on device|errno 28|disk quota exceeded' "$_log" 2>/dev/null; }

_explain() { # WHAT: the log's last lines and a remedy
  local remedy="the whole log is in $_log"
  if _disk_is_full; then
    remedy="the disk is full: free space in $vlm3r_root and ${TMPDIR:-/tmp} (or set TMPDIR), then start again"
  elif grep -qiE 'certificate.verify.failed|invalid peer certificate' "$_log"; then
    remedy="the connection's certificate is not trusted: set PIP_CERT (and SSL_CERT_FILE for uv) to your network's certificates"
  elif grep -qiE 'resolve host|name resolution|connection.*(refused|error|broken|reset)|unreachable|timed out|dns error|proxyerror|sending request' "$_log"; then
    remedy="no connection to the package index: check the network or HTTPS_PROXY, or set PIP_INDEX_URL or PIP_FIND_LINKS to a mirror"
  elif grep -qi 'ensurepip' "$_log"; then
    remedy="install Python's venv module (Debian, Ubuntu: sudo apt-get install python3-venv), or install uv"
  elif grep -qiE 'no matching distribution|no solution found' "$_log"; then
    remedy="a dependency has no build for this Python or system; try another Python: VLM3R_PYTHON=python3.12"
  fi
  { grep -iE '^ *(error|cause|caused by|fatal)' "$_log" || tail -n 6 "$_log"; } | tail -n 6 | cut -c 1-300 | sed 's/^ */  | /' >&2
  _fail "$1; $remedy"
}
