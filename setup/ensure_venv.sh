#!/usr/bin/env bash
# Makes .venv, the environment of the tests on this machine, from tests/requirements.txt; and .cache/pytest,
# the pytest that is mounted into the stages' images. Does nothing when both are current.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=setup/lib.sh
. setup/lib.sh

ensure_venv_module() {
  if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    can_be_root && have apt-get || fail "Python's venv module is missing." "On Debian and Ubuntu: apt-get install python3-venv."
    install_packages python3-venv
  fi
}

install_requirements() {
  local python=3.13
  python3 -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r base-image/requirements.txt
  .venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes -r tests/requirements.txt
  rm -rf .cache/pytest
  .venv/bin/uv pip install --quiet --python .venv/bin/python --target .cache/pytest --python-version "$python" \
    --only-binary :all: --require-hashes -r tests/stages/requirements.txt
}

main() {
  local stamp
  stamp=$(cat "$0" base-image/requirements.txt tests/requirements.txt tests/stages/requirements.txt | cksum)
  [ "$(cat .venv/.stamp 2>/dev/null)" = "$stamp" ] && return
  step "Installing the tests' environment into .venv"
  ensure_python 11
  ensure_venv_module
  install_requirements
  printf '%s\n' "$stamp" >.venv/.stamp
}

main "$@"
