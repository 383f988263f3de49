#!/usr/bin/env bash
# Prints the path of a `docker-registry` program, for the tests of pushing: the machine's own, or the one
# of the distribution's package, unpacked below .cache without installing (no service starts, no root rights).
set -Eeuo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=setup/lib.sh
. setup/lib.sh

readonly FOLDER=$PWD/.cache/docker-registry
readonly PROGRAM=$FOLDER/usr/bin/docker-registry

usage() { sed -n '2,3s/^# //p' "$0"; }

# unpack_package: downloads and unpacks the package into a new folder, then gives the folder its name in one step.
unpack_package() {
  local scratch
  mkdir -p .cache
  scratch=$(mktemp -d .cache/docker-registry-XXXXXX)
  # shellcheck disable=SC2064
  trap "rm -rf '$PWD/$scratch'" RETURN
  # As root, apt-get downloads as another user where that user can write: it must be able to.
  chmod 755 "$scratch"
  (cd "$scratch" && apt-get download -q docker-registry >apt.log 2>&1) || return 1
  dpkg-deb -x "$scratch"/docker-registry_*.deb "$scratch/root"
  rm -rf "$FOLDER"
  mv "$scratch/root" "$FOLDER"
}

main() {
  case "${1-}" in -h | --help) usage; return ;; esac
  if have docker-registry; then
    command -v docker-registry
    return
  fi
  if [ ! -x "$PROGRAM" ]; then
    have apt-get && have dpkg-deb ||
      fail "the tests of pushing need the program docker-registry, and it is not on the PATH." "Install it and run this again."
    step "Fetching the distribution's docker-registry for the tests of pushing"
    if ! unpack_package; then
      if can_be_root; then as_root apt-get update -qq </dev/null; fi
      unpack_package || fail "the package docker-registry could not be downloaded." "See that 'apt-get download docker-registry' works."
    fi
  fi
  "$PROGRAM" --version >&2
  printf '%s\n' "$PROGRAM"
}

main "$@"
