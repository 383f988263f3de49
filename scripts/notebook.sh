#!/usr/bin/env bash
# Opens notebook/ in Jupyter, in a container that sees the data read-only. Needs Docker and our images, nothing else.
# Usage: [ML_DATA=VOLUME|/FOLDER] [ML_DS=YYYY-MM-DD] [ML_NOTEBOOK_PORT=8888] scripts/notebook.sh
#        scripts/notebook.sh PYTHON-ARGUMENTS...   runs Python there instead, without a network
set -Eeuo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=setup/lib.sh
. setup/lib.sh

lock=tests/notebook/requirements.txt
packages=$PWD/.cache/notebook

# data_mount: what ML_DATA names, in the environment or else in .env: a volume, or an absolute path.
data_mount() {
  local data=${ML_DATA-}
  [ -n "$data" ] || data=$(sed -n 's/^ML_DATA=//p' .env 2>/dev/null || true)
  data=${data:-data}
  case "$data" in
    /*) [ -d "$data" ] || fail "ML_DATA is $data, which is no folder; expected: a folder, or the name of a volume." ;;
    */*) fail "ML_DATA is $data; expected: an absolute path, or the name of a volume." "Say ML_DATA=\$PWD/$data." ;;
    *)
      docker volume inspect "$data" >/dev/null 2>&1 ||
        fail "ML_DATA is $data, and there is no such volume." \
          "Name one of: docker volume ls; or make a day: docker run --rm -v $data:/data airflow-ml-generator --ds 2026-11-21"
      ;;
  esac
  printf '%s' "$data"
}

run_python() { # IMAGE DATA OPTION... -- ARGUMENT...
  local image=$1 data=$2 options=()
  shift 2
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  docker run --rm --init --read-only --cap-drop ALL --security-opt no-new-privileges --tmpfs /tmp:size=1g \
    --user "$(id -u):$(id -g)" --env HOME=/tmp --env ML_DATA=/data --env ML_DS="${ML_DS-}" \
    --env PYTHONPATH=/opt/notebook --env JUPYTER_PATH=/opt/notebook/share/jupyter \
    --env JUPYTERLAB_DIR=/opt/notebook/share/jupyter/lab --volume "$packages:/opt/notebook:ro" \
    --volume "$data:/data:ro" --volume "$PWD/notebook:/project/notebook" --workdir /project/notebook \
    --entrypoint /usr/bin/python3.13 "${options[@]}" "$image" "${@:2}"
}

main() {
  local image data port=${ML_NOTEBOOK_PORT:-8888}
  case "${1-}" in -h | --help) sed -n '2,4s/^# //p' "$0" && return ;; esac
  image=$(builder_image)
  data=$(data_mount)
  ensure_packages "$image" "$lock" "$packages" Jupyter
  if [ $# -gt 0 ]; then
    run_python "$image" "$data" --network none --volume "$PWD/tests/notebook:/project/tests/notebook:ro" -- "$@"
  else
    # All addresses of the container; the host publishes the port on the loopback address alone. Who starts this as
    # root is root in there too, without any capability.
    run_python "$image" "$data" --publish "127.0.0.1:$port:$port" -- -m jupyterlab --no-browser --ip 0.0.0.0 \
      --allow-root --port "$port" --notebook-dir /project/notebook --LabApp.extension_manager=readonly \
      --LabApp.default_url=/lab/tree/raw_data.ipynb --FileCheckpoints.checkpoint_dir=/tmp/checkpoints -y
  fi
}

main "$@"
