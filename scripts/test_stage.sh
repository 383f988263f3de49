#!/usr/bin/env bash
# Runs a stage's tests inside that stage's own image, as Airflow runs it: non-root, no network, read-only root.
# Usage: scripts/test_stage.sh STAGE [pytest arguments]
set -Eeuo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=setup/lib.sh
. setup/lib.sh

# image_of STAGE: the image that the Dags run; its second tag, latest, may be another checkout's.
image_of() {
  python3 - "$1" <<'PYTHON'
import json, sys
try:
    print(json.load(open("dags/images.lock.json"))["images"][sys.argv[1]]["image"])
except (OSError, KeyError):
    sys.exit(f"error: the image lock has no image of {sys.argv[1]}; do: run ./build_images.sh")
PYTHON
}

main() {
  local stage=${1-} image
  [ -d "stages/$stage" ] && [ -n "$stage" ] || fail "'$stage' is no stage." "Usage: scripts/test_stage.sh STAGE [pytest arguments]"
  shift
  setup/ensure_venv.sh
  image=$(image_of "$stage")
  # /small is the disk that is full, /data the data folder; pytest itself is mounted, the image is the one that ships.
  docker run --rm --read-only --network none --cap-drop ALL --security-opt no-new-privileges \
    --tmpfs /tmp:size=2g,exec --tmpfs /data:uid=10001,gid=10001,size=4g --tmpfs /small:uid=10001,gid=10001,size=1m \
    --volume "$PWD/tests:/repo/tests:ro" --volume "$PWD/pyproject.toml:/repo/pyproject.toml:ro" \
    --volume "$PWD/.cache/pytest:/opt/pytest:ro" \
    --env PYTHONPATH=/opt/pytest:/opt/stage --env HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis --workdir /repo --entrypoint /usr/bin/tini \
    "$image" -- python -m pytest -p no:cacheprovider "tests/stages/$stage" "$@"
}

main "$@"
