#!/usr/bin/env bash
# The tests that need no engine: lint, types, conventions, stagekit, Dags, policy of the engine proxy.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

main() {
  scripts/ensure_venv.sh
  scripts/check.sh
  .venv/bin/python -m pytest tests --ignore tests/stages --ignore tests/images --ignore tests/end_to_end \
    --ignore tests/dags/engine --ignore tests/benchmarks --ignore tests/notebook "$@"
}

main "$@"
