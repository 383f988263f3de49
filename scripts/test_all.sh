#!/usr/bin/env bash
# Every test: those without an engine, each stage's inside its own image, every image's, and the whole stack's.
# An engine is required: no test is skipped for want of one. Says at the end how long each part took.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=setup/lib.sh
. setup/lib.sh

timings=()

run_part() { # TITLE COMMAND...
  local title=$1 started=$SECONDS
  shift
  step "$title"
  "$@"
  timings+=("$(printf '%5d s  %s' $((SECONDS - started)) "$title")")
}

test_stages() {
  local folder
  for folder in stages/*/; do
    scripts/test_stage.sh "$(basename "$folder")" -q
  done
}

main() {
  setup/ensure_venv.sh
  run_part "Images" ./build_images.sh
  run_part "Tests without an engine" scripts/test_fast.sh -q
  run_part "Tools: locks, audit, make stage" .venv/bin/python -m pytest -q --numprocesses auto tests/tools
  run_part "Stages, each in its own image" test_stages
  run_part "Images and Dags on the engine" .venv/bin/python -m pytest -q tests/images tests/dags/engine
  run_part "Notebook" .venv/bin/python -m pytest -q tests/notebook
  run_part "Benchmarks, on few rows" .venv/bin/python -m pytest -q tests/benchmarks
  setup/ensure_browser.sh
  setup/ensure_mlflow_client.sh
  run_part "End to end" .venv/bin/python -m pytest -v tests/end_to_end
  step "Every test passed"
  printf '%s\n' "${timings[@]}" >&2
}

main "$@"
