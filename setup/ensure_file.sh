#!/usr/bin/env bash
# Prints the path of a file of a package of the distribution, for tests: the machine's own, or the one of the package,
# unpacked below .cache without installing (no service starts, no root rights).
# Usage: ensure_file.sh PACKAGE FILE, such as `docker-registry usr/bin/docker-registry`; FILE may be a pattern.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=setup/lib.sh
. setup/lib.sh

usage() { sed -n '2,4s/^# //p' "$0"; }

# unpack_package PACKAGE: downloads and unpacks it into a new folder, then gives the folder its name in one step.
unpack_package() {
  local scratch
  mkdir -p .cache/packages
  scratch=$(mktemp -d ".cache/packages/$1-XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf '$PWD/$scratch'" RETURN
  # As root, apt-get downloads as another user where that user can write: it must be able to.
  chmod 755 "$scratch"
  (cd "$scratch" && apt-get download -q "$1" >apt.log 2>&1) || return 1
  dpkg-deb -x "$scratch/$1"_*.deb "$scratch/root"
  rm -rf ".cache/packages/$1"
  mv "$scratch/root" ".cache/packages/$1"
}

main() {
  case "${1-}" in -h | --help) usage; return ;; esac
  [ $# = 2 ] || fail "ensure_file.sh got $# arguments." "Name a package and a file of it: ensure_file.sh docker-registry usr/bin/docker-registry"
  local package=$1 file=$2 folder=$PWD/.cache/packages/$1
  if compgen -G "/$file"; then return; fi
  if ! compgen -G "$folder/$file" >/dev/null; then
    have apt-get && have dpkg-deb ||
      fail "a test needs /$file of Debian's package $package, and it is not there." "Install it and run this again."
    step "Fetching the distribution's $package for the tests"
    if ! unpack_package "$package"; then
      if can_be_root; then as_root apt-get update -qq </dev/null >&2; fi
      unpack_package "$package" || fail "the package $package could not be downloaded." "See that 'apt-get download $package' works."
    fi
  fi
  compgen -G "$folder/$file" || fail "the package $package has no $file." "Correct the call of ensure_file.sh."
}

main "$@"
