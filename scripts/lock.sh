#!/usr/bin/env bash
# Compiles every requirements.in into a requirements.txt: all platforms, every hash, no index address.
# Usage: scripts/lock.sh [FOLDER] [arguments of uv pip compile, such as --upgrade-package NAME]
set -Eeuo pipefail
cd "$(dirname "$0")/.."

# The images hold Python 3.13; the tests, and with them Airflow, also run on a host with Debian 12's 3.11.
python_version() {
  case "$1" in services/airflow/* | tests/requirements.in) printf 3.11 ;; *) printf 3.13 ;; esac
}

main() {
  local source folders=(base-image stages services tests) uv=${UV:-uv}
  # Each lock is compiled in its own folder: the way to uv must lead there too.
  case "$uv" in /*) ;; */*) uv=$PWD/$uv ;; esac
  if [ -d "${1-}" ]; then
    folders=("$1")
    shift
  fi
  while read -r source; do
    printf '%s\n' "$source" >&2
    (cd "$(dirname "$source")" && "$uv" pip compile --quiet --universal --generate-hashes --no-header \
      --no-emit-index-url --no-emit-find-links --python-version "$(python_version "$source")" \
      --constraint "$OLDPWD/scripts/constraints.txt" --no-annotate "$@" requirements.in -o requirements.txt)
  done < <(find "${folders[@]}" -name requirements.in | sort)
}

main "$@"
