#!/usr/bin/env bash
# Lints and type-checks everything: ruff, mypy (strict), shellcheck.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

check_folder() { # FOLDER [OPTION...]
  MYPYPATH="base-image:base-image/build:$1:." .venv/bin/mypy --no-error-summary "$@"
}

check_types() {
  local folder
  .venv/bin/mypy --no-error-summary airflow_ml maintain
  # One run a folder: a stage's modules are top-level there, as they are in its image.
  for folder in base-image dags deploy/kubernetes; do check_folder "$folder"; done
  # The libraries of stages and services are in their images, not in the environment of the tests.
  for folder in stages/* services/*; do check_folder "$folder" --ignore-missing-imports; done
}

main() {
  .venv/bin/ruff check .
  .venv/bin/ruff format --check .
  check_types
  git ls-files '*.sh' .ci/run airflow-ml | xargs .venv/bin/shellcheck --external-sources
}

main "$@"
