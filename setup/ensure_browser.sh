#!/usr/bin/env bash
# Installs a Chromium for the end-to-end tests, if there is none, to look at Airflow's page with.
set -Eeuo pipefail
cd "$(dirname "$0")"
# shellcheck source=setup/lib.sh
. ./lib.sh

main() {
  local name
  for name in chromium chromium-browser google-chrome; do
    have "$name" && return
  done
  can_be_root && have apt-get && [ "$(os_release ID)" = debian ] ||
    fail "the end-to-end tests need Chromium or Google Chrome, and neither is on the PATH." "Install one and run this again."
  step "Installing Chromium for the tests of Airflow's page"
  as_root apt-get update -qq </dev/null
  install_packages chromium
}

main "$@"
