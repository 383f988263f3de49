# Shared by the scripts of this project: sourced, never run.
# shellcheck shell=bash

say() { printf '%s\n' "$*" >&2; }
step() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

# fail FOUND [WHAT_TO_DO...]: one clear message, then exit 1.
fail() {
  printf 'error: %s\n' "$1" >&2
  shift
  local line
  for line in "$@"; do printf '       %s\n' "$line" >&2; done
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# as_root COMMAND...: runs it as root, through sudo where we are not.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}
can_be_root() { [ "$(id -u)" -eq 0 ] || { have sudo && sudo -n true 2>/dev/null; }; }

# os_release KEY: a value of /etc/os-release, such as ID or VERSION_ID; empty where there is none.
os_release() {
  [ -r /etc/os-release ] || return 0
  # shellcheck disable=SC1091
  (. /etc/os-release && printf '%s' "${!1-}")
}

# ensure_python VERSION: Python 3.VERSION or newer as python3; installs it where that is possible.
ensure_python() {
  if ! have python3 && can_be_root && have apt-get; then
    step "Installing Python"
    as_root apt-get update -qq </dev/null
    install_packages python3
  fi
  have python3 && python3 -c "import sys; sys.exit(sys.version_info < (3, $1))" ||
    fail "Python 3.$1 or newer is needed; found: $(python3 --version 2>&1 || true)." "Install it and run this again."
}

install_packages() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" \
    </dev/null >/dev/null
}
