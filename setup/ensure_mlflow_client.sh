#!/usr/bin/env bash
# Makes .cache/mlflow-client: all of MLflow and LightGBM, as somebody has them who loads our models elsewhere.
# Usage: setup/ensure_mlflow_client.sh        installs it; does nothing when it is there
#        setup/ensure_mlflow_client.sh NETWORK PYTHON-ARGUMENTS...   runs Python with it, on that network of the engine
set -Eeuo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=setup/lib.sh
. setup/lib.sh

packages=$PWD/.cache/mlflow-client

run_python() { # IMAGE NETWORK ARGUMENT...
  docker run --rm --interactive --init --read-only --cap-drop ALL --security-opt no-new-privileges --tmpfs /tmp:size=1g \
    --user "$(id -u):$(id -g)" --env HOME=/tmp --env PYTHONPATH=/opt/client --env MLFLOW_DISABLE_TELEMETRY=true \
    --env MLFLOW_TRACKING_URI=http://mlflow:5000 --volume "$packages:/opt/client:ro" --network "$2" --workdir /tmp \
    --entrypoint /usr/bin/python3.13 "$1" "${@:3}"
}

main() {
  local image
  case "${1-}" in -h | --help) sed -n '2,4s/^# //p' "$0" && return ;; esac
  image=$(builder_image)
  ensure_packages "$image" tests/mlflow_client/requirements.txt "$packages" "the whole of MLflow"
  if [ $# -gt 0 ]; then
    run_python "$image" "$@"
  fi
}

main "$@"
