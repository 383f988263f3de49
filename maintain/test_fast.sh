#!/usr/bin/env bash
# The tests that need no engine: lint, types, conventions, stagekit, Dags, policy of the engine proxy.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

# Which need an engine, or minutes: each is a part of tests/run_all.py.
readonly LATER=(stages attacks images data_sets end_to_end dags/engine dags/swarm benchmarks nightly notebook shared_storage)

main() {
  setup/ensure_venv.sh
  maintain/check.sh
  .venv/bin/python -m pytest tests "${LATER[@]/#/--ignore=tests/}" --numprocesses auto --dist worksteal "$@"
}

main "$@"
