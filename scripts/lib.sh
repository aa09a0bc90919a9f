# Small words that the scripts share. Sourced, never run.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$root/.tools
export PATH="$tools/bin:$HOME/.cargo/bin:$PATH"

say() { printf '  %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root: directly, or through sudo.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif have sudo; then
    sudo --preserve-env=DEBIAN_FRONTEND,http_proxy,https_proxy,no_proxy "$@"
  else
    fail "needs root for: $* (no sudo here; run it as root once, then start again)"
  fi
}

apt_updated=
# Installs those of the given Debian packages that are missing; asks for the package lists once.
apt_install() {
  local package missing=()
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == *'ok installed' ]] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  have apt-get || fail "please install: ${missing[*]} (no apt-get here)"
  export DEBIAN_FRONTEND=noninteractive
  apt_update
  say "installing ${missing[*]} (apt-get)"
  as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$(apt_log)" 2>&1 || {
    tail -n 20 "$(apt_log)" >&2
    fail "apt-get install ${missing[*]} failed"
  }
}

apt_update() {
  [ -z "$apt_updated" ] || return 0
  say "asking for the package lists (apt-get update)"
  # One broken source on a machine must not stop the rest: what is really missing shows at the install.
  as_root apt-get update -qq >"$(apt_log)" 2>&1 || say "apt-get update was not clean; going on with the lists there are"
  apt_updated=yes
}

apt_log() { mkdir -p "$tools/log" && printf '%s' "$tools/log/apt.log"; }

# The Python environment under .tools that carries Node and the linters where the machine has none.
venv() {
  [ -x "$tools/venv/bin/pip" ] && return 0
  python3 -c 'import venv, ensurepip' 2>/dev/null || apt_install python3 python3-venv
  say "making a Python environment in .tools/venv"
  rm -rf "$tools/venv"
  python3 -m venv "$tools/venv"
}

# pip_install NAME==VERSION: into that environment, unless it is there.
pip_install() {
  venv
  [ "$("$tools/venv/bin/pip" show "${1%%==*}" 2>/dev/null | sed -n 's/^Version: //p')" != "${1##*==}" ] || return 0
  say "installing $1 (pip, into .tools/venv)"
  "$tools/venv/bin/pip" install -q --disable-pip-version-check "$1"
}

readonly uv_wheel=uv==0.13.9
readonly endpoints_as_of=2026-11-25

# uv_install NAME PYTHON REQUIREMENT: into an environment of its own, .tools/NAME, over a Python of this machine. uv needs
# seconds where pip needs minutes; what the requirement itself requires is as it was on a day.
uv_install() {
  [ "$(cat "$tools/$1/installed" 2>/dev/null)" != "$3" ] || return 0
  pip_install "$uv_wheel"
  say "installing $3 (uv, into .tools/$1)"
  local versions=${PYENV_ROOT:-$HOME/.pyenv}/versions
  rm -rf "${tools:?}/$1"
  PATH="$PATH:$(printf '%s/bin:' "$versions"/3.1[2-9]*)" "$tools/venv/bin/uv" venv --quiet --no-config --python "$2" "$tools/$1" ||
    fail "$3 needs a Python $2 on the PATH or in $versions"
  "$tools/venv/bin/uv" pip install --quiet --no-config --python "$tools/$1/bin/python" --exclude-newer "$endpoints_as_of" "$3"
  printf '%s' "$3" >"$tools/$1/installed"
}

# link NAME TARGET: puts a program into .tools/bin.
link() { mkdir -p "$tools/bin" && ln -sfn "$2" "$tools/bin/$1"; }
